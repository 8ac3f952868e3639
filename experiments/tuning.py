"""The search for the tuned defaults of pretraining: random points around a row, on seeds that no measurement has.

    python experiments/tuning.py ENVIRONMENT/ALGORITHM [--points N] [--seeds N] [--first]

Every point trains some agents for the budget of its row. Its score is the mean over them of the env steps at which
the greedy return first reaches the environment's threshold, twice the budget where it never does. The first point is
the row itself, or where the search says so; `--first` tries it alone. Rows are added to results/tuning.csv as they are
finished, points that stand there are not tried again, and the best of each search is printed.
"""

import argparse
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from appending import append, read
from thresholds import THRESHOLDS, first_reached

import jaxrl_ft as ft
from jaxrl_ft.core.config import map_fields
from jaxrl_ft.defaults.pretraining import Pretraining, pretraining

RESULTS = Path(__file__).parent / "results" / "tuning.csv"
SEED, EPISODES, EVALS = 1_000, 32, 31
Point = dict[str, Any]


@dataclass(frozen=True)
class Search:
    """Where a search looks: a range is drawn evenly in the logarithm, of a list one is chosen."""

    space: dict[str, tuple[float, float] | list[Any]]
    """by field, behind `algo.`, `optimizer.` or `network.`"""
    steps: int | None = None
    """the budget, if it is not that of the row"""
    start: Point = field(default_factory=dict)
    """fields of the first point that differ from the row's"""
    chosen: tuple[Point, ...] = ()
    """points by hand, tried before those that are drawn"""
    evals: int = EVALS
    """evaluations of a training"""
    episodes: int = EPISODES
    """greedy episodes of each"""


RATE, CLIP = {"optimizer.learning_rate": (3e-4, 1e-2)}, {"optimizer.max_grad_norm": [0.5, 10.0]}
REPLAYED = {**RATE, **CLIP, "algo.tau": (0.005, 0.05), "algo.num_returns": [1, 2, 4, 8], "algo.gamma": [0.98, 0.99]}
SEARCHES = {
    "Acrobot-v1/dqn": Search({**REPLAYED, "algo.exploration_share": [0.1, 0.2, 0.4]}),
    "Acrobot-v1/ppo": Search(
        {
            "optimizer.learning_rate": (1e-3, 6e-3),
            "algo.ent_coef": (1e-3, 3e-2),
            "algo.num_envs": [8, 16],
            "algo.normalize_obs": [False, True],
        },
        steps=30_720,
        start={"algo.ent_coef": 0.01, "algo.normalize_reward": False},
        chosen=(
            {"algo.ent_coef": 0.03},
            {"algo.num_envs": 16},
            {"algo.normalize_obs": True},
            {"optimizer.learning_rate": 1.5e-3},
            {"algo.num_steps": 64},
            {"algo.gae_lambda": 0.98},
            {"algo.normalize_reward": True},
        ),
        evals=16,
        episodes=16,
    ),
    "MountainCar-v0/dqn": Search(
        {**RATE, "algo.tau": (0.005, 0.03), "algo.exploration_hold": [8, 16, 32], "algo.num_returns": [4, 8, 16]}
    ),
    "Pendulum-v1/sac": Search(
        {**RATE, "algo.tau": (0.005, 0.03), "algo.gamma": [0.95, 0.98, 0.99], "algo.batch_size": [64, 128]}
    ),
    "MountainCarContinuous-v0/sac": Search(
        {**RATE, "algo.tau": (0.005, 0.03), "algo.exploration_hold": [8, 16, 32], "algo.gamma": [0.99, 0.999]}
    ),
    "CartPole-v1/dqn": Search({**REPLAYED, "algo.exploration_share": [0.1, 0.2, 0.4], "algo.num_returns": [4, 8]}),
    "CartPole-v1/a2c": Search(
        {**RATE, **CLIP, "algo.gae_lambda": [0.9, 0.95, 1.0], "algo.ent_coef": (1e-4, 3e-2), "algo.vf_coef": (0.1, 1.0)}
    ),
    "CartPole-v1/sac": Search({**REPLAYED, "algo.entropy_share": (0.05, 0.5)}),
}


def drawn(search: Search, number: int) -> Point:
    """A point; number 0 is the start, and those chosen by hand follow."""
    if number <= len(search.chosen):
        return {**search.start, **({}, *search.chosen)[number]}
    rng = np.random.default_rng([SEED, number])
    point = {}
    for name, values in search.space.items():
        if isinstance(values, list):
            point[name] = values[int(rng.integers(len(values)))]
        else:
            low, high = values
            point[name] = float(f"{low * (high / low) ** rng.random():.3g}")
    return {**search.start, **point}


def changed(id: str, row: Pretraining, point: Point) -> Pretraining:
    """The row with these fields."""
    parts = {"algo": row.algo, "optimizer": row.optimizer, "network": row.usual_network(ft.make_task(id))}
    for name, part in parts.items():
        parts[name] = map_fields(part, lambda path, value, name=name: point.get(f"{name}.{path}", value))
    return replace(row, **parts)


def tried(name: str, row: Pretraining, search: Search, seeds: int, steps: int) -> dict[str, Any]:
    """When each agent first reaches the threshold."""
    began, id = time.perf_counter(), name.split("/")[0]
    agents = ft.pretrain(
        ft.make_task(id),
        algo=row.algo,
        network=row.usual_network(ft.make_task(id)),
        optimizer=row.optimizer,
        seeds=seeds,
        steps=steps,
        seed=SEED,
        num_evals=search.evals,
        eval_episodes=search.episodes,
    )
    first = first_reached(agents, THRESHOLDS[id])
    return {
        "seed": SEED,
        "seeds": seeds,
        "steps": steps,
        "reached": int(np.isfinite(first).sum()),
        "score": round(float(np.minimum(first, 2 * steps).mean())),
        "median": float(np.median(first)),
        "last": round(float(np.median(agents.curve[:, -1])), 1),
        "seconds": round(time.perf_counter() - began),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(SEARCHES))
    parser.add_argument("--points", type=int, default=12, metavar="N")
    parser.add_argument("--seeds", type=int, default=8, metavar="N")
    parser.add_argument("--first", action="store_true")
    chosen = parser.parse_args()
    search, row = SEARCHES[chosen.name], pretraining(*chosen.name.split("/"))
    steps = search.steps or row.steps
    for number in range(1 if chosen.first else chosen.points):
        point = drawn(search, number)
        known = [old for old in read(RESULTS) if old["name"] == chosen.name and json.loads(old["point"]) == point]
        if any((old["seeds"], old["steps"]) == (str(chosen.seeds), str(steps)) for old in known):
            continue
        found = tried(chosen.name, changed(chosen.name.split("/")[0], row, point), search, chosen.seeds, steps)
        print(point, found, flush=True)
        append(RESULTS, [{"name": chosen.name, **found, "point": json.dumps(point)}])
    rows = [row for row in read(RESULTS) if row["name"] == chosen.name and row["steps"] == str(steps)]
    for row in sorted(rows, key=lambda row: float(row["score"]))[:5]:
        print(row)


if __name__ == "__main__":
    main()
