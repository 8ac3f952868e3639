"""How many environment steps each row of the tuned defaults takes to solve its environment: 32 seeds, 100 episodes.

    python experiments/benchmarks/algorithms.py [ENVIRONMENT/ALGORITHM ...]

Every row of `ft.DEFAULTS` for classic control, or those named, is trained for its budget and evaluated greedily about
every 512 env steps, or 81 times where that is more seldom, so a number is exact to these. The seeds are none of those
that `experiments/tuning.py` searched on. Each finished row is added to results/algorithms.json and
results/algorithms.md. A row that stands there is trained again only where it has changed, or is named.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

import jaxrl_ft as ft
from jaxrl_ft.core.config import to_json

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from thresholds import THRESHOLDS, first_reached  # noqa: E402

SEEDS, SEED, EPISODES, EVERY, MOST_EVALS = 32, 7, 100, 512, 81
RESULTS = ROOT / "results"


def described(id: str, row: ft.Pretraining) -> dict:
    """All that decides the numbers of a row."""
    parts = {"algo": row.algo, "network": row.usual_network(ft.make_task(id)), "optimizer": row.optimizer}
    return {**{name: to_json(part) for name, part in parts.items()}, "steps": row.steps}


def measured(id: str, row: ft.Pretraining) -> dict:
    """When each seed first solved it, and how it ended."""
    agents = ft.pretrain(
        ft.make_task(id),
        algo=row.algo,
        network=row.usual_network(ft.make_task(id)),
        optimizer=row.optimizer,
        seeds=SEEDS,
        steps=row.steps,
        seed=SEED,
        num_evals=min(row.steps // EVERY, MOST_EVALS - 1) + 1,
        eval_episodes=EPISODES,
    )
    first = first_reached(agents, THRESHOLDS[id])
    return {
        "first_solved_at": [int(step) if np.isfinite(step) else None for step in first],
        "last_return": np.round(agents.curve[:, -1].astype(float), 1).tolist(),
        "parameters": agents.num_parameters,
        "gradient_steps_per_env_step": agents.algo.gradient_steps_per_update() / agents.algo.steps_per_update(),
        "row": described(id, row),
    }


def told(steps: float) -> str:
    return f"{steps:,.0f}" if np.isfinite(steps) else "beyond"


def table(found: dict) -> str:
    """The measurements as a table."""
    lines = [
        "| environment, return | algorithm | budget | solved | median | 90th percentile | at the end |",
        "| :--- | :--- | ---: | ---: | ---: | ---: | ---: |",
    ]
    before = ""
    for name, row in found.items():
        id, algo = name.split("/")
        steps = np.array([np.inf if step is None else step for step in row["first_solved_at"]])
        quantiles = [told(float(np.quantile(steps, share, method="higher"))) for share in (0.5, 0.9)]
        ends = sum(value >= THRESHOLDS[id] for value in row["last_return"])
        cells = [f"{row['row']['steps']:,}", f"{np.isfinite(steps).sum()} of {len(steps)}", *quantiles, str(ends)]
        shown = "" if id == before else f"{id}, {THRESHOLDS[id]:g}"
        lines.append(f"| {shown} | {algo} | {' | '.join(cells)} |")
        before = id
    return "\n".join(lines)


def main(names: list[str]) -> None:
    rows = {f"{id}/{algo}": row for id in THRESHOLDS for algo, row in ft.DEFAULTS[id].items()}
    path, found = RESULTS / "algorithms.json", {}
    if path.exists():
        found = json.loads(path.read_text())
    for name in names or list(rows):
        if not names and found.get(name, {}).get("row") == described(name.split("/")[0], rows[name]):
            continue
        own = measured(name.split("/")[0], rows[name])
        print(name, own["first_solved_at"], flush=True)
        found = {**json.loads(path.read_text()), name: own} if path.exists() else {name: own}
        ordered = {name: found[name] for name in rows if name in found}
        path.write_text(json.dumps(ordered, indent=1) + "\n")
        (RESULTS / "algorithms.md").write_text(table(ordered) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="ENVIRONMENT/ALGORITHM")
    main(parser.parse_args().names)
