"""What agents of the source reach, untouched, on each named shift of MinAtar; nothing is trained.

    python experiments/game_shifts.py [GAME/ALGORITHM ...]

The agents are the 8 of each game that `benchmarks/minatar.py` leaves in runs/minatar/. Of every shift: their greedy
returns on the target, 64 episodes each, and the return of uniformly random actions. What can be reached is known only
where the target is the source read or acted in otherwise: at least what the agents reach on the source, by an agent
that undoes it. Elsewhere the source's return is a yardstick, and what can be reached may be more or less. The share is
(zero-shot - random) / (source - random), each the mean over the agents, random on the target.

Rows are added to results/game_shifts.csv as they are finished, and a second call goes on from there. Writes
results/game_shifts.md.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from appending import append, read
from controllers import at_random, controlled_returns

import jaxrl_ft as ft

HERE = Path(__file__).parent
RESULTS, KEPT = HERE / "results", HERE.parent / "runs" / "minatar"
ROWS, TABLE = RESULTS / "game_shifts.csv", RESULTS / "game_shifts.md"
SEED, EPISODES = 11, 64
NEAR_SOURCE, NEAR_NOTHING = 0.85, 0.25
"""Shares from which, and up to which, a shift is of the one kind or the other."""
SOURCE = "none"
"""The row of the source itself."""
USUAL = ("Breakout-MinAtar/pqn", "SpaceInvaders-MinAtar/pqn")


def measured(agents: ft.Agents, name: str, shift: str) -> dict:
    """A row."""
    id = name.split("/")[0]
    task = ft.make_task(id) if shift == SOURCE else ft.make_task(id, shift)
    returns = ft.evaluate(agents, task, episodes=EPISODES, seed=SEED).mean(axis=1)
    at_chance = controlled_returns(task, EPISODES * len(returns), SEED, at_random).mean()
    return {
        "agents": name,
        "shift": shift,
        "random": round(float(at_chance), 3),
        "zero_shot": json.dumps(np.round(returns.astype(float), 2).tolist()),
    }


def undone(id: str, shift: str) -> bool:
    """Whether an agent could act as on the source by undoing the shift."""
    changed = set(ft.SHIFTS[shift].physics) if shift != SOURCE else set()
    return changed <= {"flip_actions", "action_permutation", "obs_permutation", "obs_scale", "obs_offset"}


def table() -> str:
    """A line for every shift."""
    lines = [
        "| game | shift | random | zero-shot: mean (least to most) | share of the source's | can be undone | kind |",
        "| :--- | :--- | ---: | ---: | ---: | :--- | :--- |",
    ]
    order = [(name, shift) for name in USUAL for shift in (SOURCE, *ft.shifts_of(name.split("/")[0]))]
    rows = sorted(read(ROWS), key=lambda row: order.index((row["agents"], row["shift"])))
    sources = {row["agents"]: np.mean(json.loads(row["zero_shot"])) for row in rows if row["shift"] == SOURCE}
    for row in rows:
        id, returns, nothing = row["agents"].split("/")[0], json.loads(row["zero_shot"]), float(row["random"])
        share = (np.mean(returns) - nothing) / (sources[row["agents"]] - nothing)
        kind = "near the source" if share >= NEAR_SOURCE else "near nothing" if share <= NEAR_NOTHING else "between"
        told = f"{np.mean(returns):.1f} ({min(returns):.1f} to {max(returns):.1f})"
        able = "yes" if undone(id, row["shift"]) else ""
        lines.append(f"| {id} | {row['shift']} | {nothing:.1f} | {told} | {share:.2f} | {able} | {kind} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="GAME/ALGORITHM")
    names = parser.parse_args().names or USUAL
    for name in names:
        if name not in USUAL:
            parser.error(f"{name} is not allowed; it must be one of {', '.join(USUAL)}")
    for name in names:
        known = {row["shift"] for row in read(ROWS) if row["agents"] == name}
        missing = [shift for shift in (SOURCE, *ft.shifts_of(name.split("/")[0])) if shift not in known]
        agents = ft.load(KEPT / name.replace("/", "-")) if missing else None
        for shift in missing:
            append(ROWS, [measured(agents, name, shift)])
            print(read(ROWS)[-1], flush=True)
    TABLE.write_text(table())


if __name__ == "__main__":
    main()
