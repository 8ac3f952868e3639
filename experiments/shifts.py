"""Which shifts are worth having: what can be reached on each, and what zero-shot, scratch and fine-tuning reach.

For every shift the ceiling is the mean return of the oracle on the target and on its held-out tasks; zero-shot is the
greedy return of agents pretrained on CartPole-v1; scratch, full and the recommended method are areas under the target's
learning curve over 20,480 env steps, IQM over 16 runs. A shift is admitted when the ceiling on its target is at least
95% of the limit. The oracle reads the true state, so under sensor noise its ceiling is one no policy may reach.

    python experiments/shifts.py [--oracle-only] [--episodes N]

Each finished shift is written to results/shifts.json and results/shifts.md at once; a second call goes on from there.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import jaxrl_ft as ft
from jaxrl_ft.analysis.statistics.aggregate import iqm
from jaxrl_ft.envs.oracle import oracle_return

RESULTS = Path(__file__).parent / "results"
SOURCE, SEEDS, STEPS = "CartPole-v1", 16, 20_480
ADMITTED = 0.95
METHODS = ("scratch", "full", ft.RECOMMENDED)


def ceilings(shift: str, episodes: int) -> dict[str, Any]:
    """The oracle's mean return on the target and on each held-out task of a shift."""
    target = ft.make_task(SOURCE, shift)
    reached = float(oracle_return(target, episodes=episodes, seed=0).mean())
    held_out = [
        {"kind": kind, "task": task.describe(), "oracle": float(oracle_return(task, episodes=episodes, seed=0).mean())}
        for kind, task in ft.held_out_tasks(SOURCE, shift)
    ]
    admitted = reached >= ADMITTED * target.return_range[1]
    return {"task": target.describe(), "oracle": reached, "admitted": admitted, "held_out": held_out}


def reached(agents: ft.Agents, shift: str) -> dict[str, Any]:
    """Raw per-run numbers of every method on a shift: zero-shot return, areas and final returns, [R] each."""
    target, held_out = ft.make_task(SOURCE, shift), ft.held_out_tasks(SOURCE, shift)
    result = ft.compare(agents, {shift: target}, METHODS, steps=STEPS, held_out={shift: held_out})
    columns = ("auc", "target_return", "source_return", "held_out_return")
    rows = {name: [row for row in result.runs if row["method"] == name] for name in ("zero_shot", *METHODS)}
    return {name: {column: [row[column] for row in runs] for column in columns} for name, runs in rows.items()}


def markdown(shifts: dict[str, Any]) -> str:
    """One line per shift."""
    names = " | ".join(f"{name} AUC" for name in METHODS)
    lines = [f"| shift | target | oracle | lowest held out | zero-shot | {names} |", "|---|---|" + "---|" * 6]
    for shift, row in shifts.items():
        lowest = min(task["oracle"] for task in row["held_out"])
        cells = [shift, row["task"].removeprefix(SOURCE).strip(), f"{row['oracle']:.0f}", f"{lowest:.0f}"]
        if set(METHODS) <= set(row.get("methods", {})):
            cells.append(f"{iqm(np.array(row['methods']['zero_shot']['target_return'])):.0f}")
            cells += [f"{iqm(np.array(row['methods'][name]['auc'])):.0f}" for name in METHODS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle-only", action="store_true")
    parser.add_argument("--episodes", type=int, default=1000)
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "shifts.json"
    shifts = json.loads(path.read_text()) if path.exists() else {}
    agents = None
    for shift in ft.shifts_of(SOURCE):
        row = shifts.setdefault(shift, {})
        if "oracle" not in row:
            row.update(ceilings(shift, arguments.episodes))
        if not set(METHODS) <= set(row.get("methods", {})) and not arguments.oracle_only:
            agents = agents or ft.pretrain(ft.make_task(SOURCE), seeds=SEEDS)
            row["methods"] = reached(agents, shift)
        path.write_text(json.dumps(shifts, indent=1) + "\n")
        (RESULTS / "shifts.md").write_text(markdown(shifts))
        print(markdown({shift: row}).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
