"""How many environment steps each algorithm takes to solve CartPole-v1: greedy return of 475 over 100 episodes.

    python experiments/benchmarks/algorithms.py [--only NAME ...]

Each has its own defaults and usual network, and a learning rate that falls linearly to 0 over the budget. It is
evaluated about every 512 env steps, so a number is exact to these. The numbers were chosen on other seeds. Writes
results/algorithms.json and results/algorithms.md; with --only the others are kept from there.
"""

import argparse
import json
import pathlib

import numpy as np

import jaxrl_ft as ft

SEEDS, SEED, EPISODES, THRESHOLD, EVERY = 8, 7, 100, 475.0, 512
RESULTS = pathlib.Path(__file__).parent.parent / "results"
ADAM = ft.Adam()
ROWS = {
    "ppo": (ADAM, 40_960),
    "a2c": (ADAM, 40_960),
    "reinforce": (ft.Adam(learning_rate=1e-2), 102_400),
    "dqn": (ADAM, 25_600),
    "pqn": (ADAM, 40_960),
    "sac": (ADAM, 25_600),
}
"""Optimizer and budget of each algorithm."""


def measured(name: str) -> dict:
    """When each seed first solved it, and how it ended."""
    optimizer, steps = ROWS[name]
    agents = ft.pretrain(
        ft.make_task("CartPole-v1"),
        algo=ft.ALGOS[name],
        optimizer=optimizer,
        seeds=SEEDS,
        steps=steps,
        seed=SEED,
        num_evals=steps // EVERY + 1,
        eval_episodes=EPISODES,
    )
    solved = agents.curve >= THRESHOLD
    first = [int(steps[row.argmax()]) if row.any() else None for row, steps in zip(solved, agents.curve_steps)]
    return {
        "first_solved_at": first,
        "last_return": np.round(agents.curve[:, -1].astype(float), 1).tolist(),
        "budget": steps,
        "learning_rate": float(optimizer.learning_rate),
        "parameters": agents.num_parameters,
        "gradient_steps_per_env_step": agents.algo.gradient_steps_per_update() / agents.algo.steps_per_update(),
    }


def table(found: dict) -> str:
    """The measurements as a table."""
    lines = [
        "| algorithm | learning rate | budget | solved, of 8 | median | slowest | at the end, of 8 |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in found.items():
        steps = sorted(np.inf if step is None else step for step in row["first_solved_at"])
        told = [f"{step:,.0f}" if np.isfinite(step) else "beyond" for step in (steps[len(steps) // 2], steps[-1])]
        ends = sum(value >= THRESHOLD for value in row["last_return"])
        solved = str(int(np.isfinite(steps).sum()))
        cells = [f"{row['learning_rate']:g}", f"{row['budget']:,}", solved, *told, str(ends)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="NAME")
    chosen = parser.parse_args().only
    path = RESULTS / "algorithms.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for name in chosen:
        found[name] = measured(name)
        print(name, found[name]["first_solved_at"], flush=True)
        ordered = {name: found[name] for name in ROWS if name in found}
        path.write_text(json.dumps(ordered, indent=1) + "\n")
        (RESULTS / "algorithms.md").write_text(table(ordered) + "\n")


if __name__ == "__main__":
    main()
