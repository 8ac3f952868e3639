"""Which of the environments that gymnax registers step here, and which a short training by PPO improves on.

python experiments/worlds.py [IDS ...]

Each has 4 agents with PPO's defaults and an MLP; it learns where the mean greedy return of every agent's last
evaluation is above that of its first one. Writes `results/worlds.json` and the README's table, `results/worlds.md`.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import jaxrl_ft as ft
from jaxrl_ft.envs.catalogue import TASK_IDS

RESULTS = Path(__file__).parent / "results"
SEEDS, STEPS, EPISODES = 4, 20_480, 32
ALGO = ft.PPO(normalize_obs=True)


def tried(id: str) -> dict:
    """What came of one environment: sizes and returns, or why it does not step."""
    began = time.perf_counter()
    try:
        task = ft.make_task(id)
        agents = ft.pretrain(
            task, algo=ALGO, network=ft.MLP(), seeds=SEEDS, steps=STEPS, num_evals=2, eval_episodes=EPISODES, seed=0
        )
    except ValueError as error:
        return {"id": id, "refused": str(error)}
    space = task.action_space
    return {
        "id": id,
        "observation": " + ".join(" x ".join(map(str, shape)) for shape in task.obs_shapes.values()),
        "actions": f"{space.num_actions} discrete" if hasattr(space, "num_actions") else f"{space.size} continuous",
        "episode_limit": int(task.episode_limit),
        "first": agents.curve[:, 0].astype(float).round(4).tolist(),
        "last": agents.curve[:, -1].astype(float).round(4).tolist(),
        "seconds": round(time.perf_counter() - began, 1),
    }


def learned(row: dict) -> int:
    """How many agents end above where they began."""
    return int(np.sum(np.array(row["last"]) > np.array(row["first"])))


def table(rows: list[dict]) -> str:
    """The README's table."""
    lines = [
        "| environment | observation | actions | limit | return at first | after | agents that gained |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        if "refused" in row:
            lines.append(f"| `{row['id']}` | {row['refused'].split(', and')[0].split(': ')[1]} | | | | | |")
            continue
        means = " | ".join(f"{np.mean(row[when]):.4g}" for when in ("first", "last"))
        facts = f"{row['observation']} | {row['actions']} | {row['episode_limit']:,}"
        lines.append(f"| `{row['id']}` | {facts} | {means} | {learned(row)} of {len(row['last'])} |")
    return "\n".join(lines) + "\n"


def main(ids: list[str]) -> None:
    """Try the environments, and add them to those that were tried before."""
    path = RESULTS / "worlds.json"
    known = {row["id"]: row for row in json.loads(path.read_text())["rows"]} if path.exists() else {}
    for id in ids:
        known[id] = tried(id)
        print(known[id], flush=True)
        rows = [known[id] for id in TASK_IDS if id in known]
        settings = {
            "seeds": SEEDS,
            "steps": STEPS,
            "eval_episodes": EPISODES,
            "algo": "PPO(normalize_obs=True)",
            "seed": 0,
        }
        path.write_text(json.dumps({**settings, "rows": rows}, indent=1) + "\n")
        (RESULTS / "worlds.md").write_text(table(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="ID")
    main(parser.parse_args().names or [id for id in TASK_IDS if id != "CartPole-v0"])
