"""What can be reached on each named shift of classic control, and what agents of the source reach there untouched.

    python experiments/classic_shifts.py [ENVIRONMENT ...] [--ceilings]

Of every shift: what a controller reaches that reads the true state, on the target and at least on the tasks held out
beside it; with `--ceilings` what PPO reaches on the target from scratch with ten times the budget of the environment's
default (4 agents, the best of 21 evaluations of each, evaluated anew); the return of uniformly random actions; and the
greedy zero-shot returns of 16 agents that pretrained with the environment's defaults. The ceiling is the better of the
controller and the best PPO agent. The share is (zero-shot - random) / (ceiling - random), zero-shot the interquartile
mean over the agents.

Rows are added to results/classic_shifts.csv and results/classic_shifts_ceilings.csv as they are finished, and a second
call goes on from there. Writes results/classic_shifts.md.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from appending import append, read
from controllers import at_random, controlled_returns

import jaxrl_ft as ft
from jaxrl_ft.analysis.statistics.aggregate import iqm
from jaxrl_ft.defaults.pretraining import pretraining
from jaxrl_ft.envs.classic_shifts import CLASSIC

RESULTS = Path(__file__).parent / "results"
ZERO_SHOT, CEILINGS, TABLE = (RESULTS / f"classic_shifts{end}" for end in (".csv", "_ceilings.csv", ".md"))
AGENTS, SEED, EPISODES, HELD_OUT_EPISODES = 16, 11, 100, 64
CEILING_SEEDS, TIMES = 4, 10
ALGO = ft.PPO(normalize_obs=True, normalize_reward=True)
NEAR_CEILING, NEAR_NOTHING = 0.85, 0.25
"""Shares from which, and up to which, a shift is of the one kind or the other."""
SOURCE = "none"
"""The row of the source itself."""


def made(id: str, shift: str) -> ft.Task:
    return ft.make_task(id) if shift == SOURCE else ft.make_task(id, shift)


def zero_shot(agents: ft.Agents, id: str, shift: str) -> dict:
    """A row of the first file."""
    task = made(id, shift)
    held_out = [] if shift == SOURCE else [one for _, one in ft.held_out_tasks(id, shift)]
    least = min([controlled_returns(one, HELD_OUT_EPISODES, SEED).mean() for one in held_out], default=np.nan)
    returns = ft.evaluate(agents, task, episodes=EPISODES, seed=SEED).mean(axis=1)
    return {
        "environment": id,
        "shift": shift,
        "controller": round(float(controlled_returns(task, EPISODES, SEED).mean()), 2),
        "controller_least_held_out": round(float(least), 2),
        "random": round(float(controlled_returns(task, EPISODES, SEED, at_random).mean()), 2),
        "zero_shot": json.dumps(np.round(returns.astype(float), 1).tolist()),
    }


def ceiling(id: str, shift: str) -> dict:
    """A row of the second file."""
    task, steps = made(id, shift), TIMES * pretraining(id).steps
    agents = ft.pretrain(task, algo=ALGO, seeds=CEILING_SEEDS, steps=steps, seed=SEED, keep="best")
    returns = ft.evaluate(agents, task, episodes=EPISODES, seed=SEED).mean(axis=1)
    return {"environment": id, "shift": shift, "steps": steps, "ppo": json.dumps(np.round(returns, 1).tolist())}


def pairs(ids: Sequence[str]) -> list[tuple[str, str]]:
    return [(id, shift) for id in ids for shift in (SOURCE, *ft.shifts_of(id))]


def missing(path: Path, ids: list[str]) -> list[tuple[str, str]]:
    known = {(row["environment"], row["shift"]) for row in read(path)}
    return [pair for pair in pairs(ids) if pair not in known]


def table() -> str:
    """A line for every shift."""
    trained = {(row["environment"], row["shift"]): json.loads(row["ppo"]) for row in read(CEILINGS)}
    lines = [
        "| environment | shift | controller | the same, least held out | PPO, 10 times the budget | random | zero-shot "
        "| share | kind |",
        "| :--- | :--- | ---: | ---: | ---: | ---: | ---: | ---: | :--- |",
    ]
    found = {(row["environment"], row["shift"]): row for row in read(ZERO_SHOT)}
    for row in (found[pair] for pair in pairs(CLASSIC) if pair in found):
        ppo = trained.get((row["environment"], row["shift"]), [])
        best = max([float(row["controller"]), *ppo])
        own, nothing = iqm(np.array(json.loads(row["zero_shot"]))), float(row["random"])
        share = (own - nothing) / (best - nothing)
        kind = "near the ceiling" if share >= NEAR_CEILING else "near nothing" if share <= NEAR_NOTHING else "between"
        numbers = [float(row["controller"]), float(row["controller_least_held_out"]), max(ppo, default=np.nan)]
        cells = [f"{value:.0f}" if np.isfinite(value) else "" for value in (*numbers, nothing, own)]
        lines.append(f"| {row['environment']} | {row['shift']} | {' | '.join(cells)} | {share:.2f} | {kind} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*", metavar="ENVIRONMENT")
    parser.add_argument("--ceilings", action="store_true")
    chosen = parser.parse_args()
    ids = chosen.ids or list(CLASSIC)
    for id in ids:
        rows = missing(ZERO_SHOT, [id])
        agents = ft.pretrain(ft.make_task(id), seeds=AGENTS, seed=SEED, keep="best") if rows else None
        for _, shift in rows:
            append(ZERO_SHOT, [zero_shot(agents, id, shift)])
            TABLE.write_text(table())
            print(table().splitlines()[-1], flush=True)
    for id, shift in missing(CEILINGS, ids) if chosen.ceilings else []:
        append(CEILINGS, [ceiling(id, shift)])
        print(read(CEILINGS)[-1], flush=True)
    TABLE.write_text(table())


if __name__ == "__main__":
    main()
