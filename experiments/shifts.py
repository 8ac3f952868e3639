"""Which shifts are worth having: what can be reached on each, and what a pretrained policy reaches untouched.

For every shift the ceiling is the mean return of the oracle on the target and on its held-out tasks, and zero-shot is
the greedy return of agents pretrained on CartPole-v1. A shift is admitted when the ceiling on its target is at least
95% of the limit. The oracle reads the true state, so under sensor noise its ceiling is one no policy may reach.

    python experiments/shifts.py [--oracle-only] [--episodes N] [--seeds N]
"""

import argparse
import json
from pathlib import Path

import numpy as np

import jaxrl_ft as ft
from jaxrl_ft.envs.catalogue import held_out_tasks, make_task
from jaxrl_ft.envs.oracle import oracle_return
from jaxrl_ft.envs.shifts import SHIFTS
from jaxrl_ft.envs.task import Task

RESULTS = Path(__file__).parent / "results"
SOURCE = "CartPole-v1"
ADMITTED = 0.95


def ceilings(episodes: int) -> list[dict]:
    """One row per target and held-out task: shift, kind, what changed, and the oracle's mean return."""
    rows = []
    for shift in SHIFTS:
        for kind, task in [("target", make_task(SOURCE, shift)), *held_out_tasks(SOURCE, shift)]:
            returns = oracle_return(task, episodes=episodes, seed=0)
            row = {"shift": shift, "kind": kind, "task": task.describe(), "oracle": float(returns.mean())}
            row["admitted"] = bool(returns.mean() >= ADMITTED * task.return_range[1])
            rows.append(row)
            print(f"{shift:18} {kind:14} {row['oracle']:6.1f}  {row['task']}", flush=True)
    return rows


def zero_shots(tasks: list[Task], seeds: int) -> list[list[float]]:
    """The mean greedy return of each pretrained agent on each task: [tasks][seeds]."""
    agents = ft.pretrain(make_task(SOURCE), seeds=seeds, steps=40_960, seed=0)
    return [np.mean(ft.evaluate(agents, task, episodes=100, greedy=True, seed=1), axis=1).tolist() for task in tasks]


def all_tasks() -> list[Task]:
    """The tasks in the order of the rows of `ceilings`."""
    pairs = [(make_task(SOURCE, shift), held_out_tasks(SOURCE, shift)) for shift in SHIFTS]
    return [task for target, held_out in pairs for task in (target, *(held for _, held in held_out))]


def markdown(rows: list[dict]) -> str:
    """One line per shift: the ceiling on the target, the lowest on its held-out tasks, and zero-shot when known."""
    lines = ["| shift | target | oracle | lowest oracle held out | zero-shot | admitted |", "|---|---|---|---|---|---|"]
    for shift in SHIFTS:
        target, *held_out = [row for row in rows if row["shift"] == shift]
        zero = f"{np.mean(target['zero_shot']):.0f}" if "zero_shot" in target else ""
        lowest = min(row["oracle"] for row in held_out)
        lines.append(
            f"| {shift} | {target['task']} | {target['oracle']:.1f} | {lowest:.1f} | {zero} "
            f"| {'yes' if target['admitted'] else 'no'} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle-only", action="store_true")
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=16)
    arguments = parser.parse_args()
    rows = ceilings(arguments.episodes)
    if not arguments.oracle_only:
        for row, returns in zip(rows, zero_shots(all_tasks(), arguments.seeds)):
            row["zero_shot"] = returns
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "shifts.json").write_text(json.dumps({"episodes": arguments.episodes, "rows": rows}, indent=1) + "\n")
    (RESULTS / "shifts.md").write_text(markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
