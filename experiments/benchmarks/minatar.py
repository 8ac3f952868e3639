"""Greedy returns of convolutional networks on MinAtar over environment steps, 8 seeds.

    python experiments/benchmarks/minatar.py [--only GAME/ALGORITHM ...] [--steps STEPS]

PQN has the numbers of its authors for MinAtar (purejaxql, config/alg/pqn_minatar.yaml) but for fewer environments and
minibatches, in proportion, as fewer steps are taken; PPO has a trunk that policy and value share. Each seed is a run of
its own, written to results/minatar.json when it is finished; a second call goes on with those that are missing.
"""

import argparse
import json
import pathlib
import time

import numpy as np

import jaxrl_ft as ft

SEEDS, EVALS, EPISODES = 8, 11, 32
RESULTS = pathlib.Path(__file__).parent.parent / "results" / "minatar.json"
GAMES = {"breakout": "Breakout-MinAtar", "space_invaders": "SpaceInvaders-MinAtar"}
ALGOS = {
    "pqn": (
        ft.PQN(num_envs=32, num_steps=32, num_minibatches=8, q_lambda=0.65, exploration_share=0.1),
        ft.CNN(layer_norm=True),
        ft.Adam(learning_rate=5e-4, max_grad_norm=10.0),
    ),
    "ppo": (
        ft.PPO(num_envs=32, num_steps=64, num_epochs=4, num_minibatches=8, ent_coef=0.01),
        ft.CNN(shared_trunk=True),
        ft.Adam(learning_rate=1e-3),
    ),
}
"""Algorithm, network and optimizer, whose learning rate falls linearly to 0."""


def measured(game: str, name: str, seed: int, steps: int) -> dict:
    """One run: its curve, and the seconds from the first update on."""
    algo, network, optimizer = ALGOS[name]
    begun: list[float] = []
    agents = ft.pretrain(
        ft.make_task(GAMES[game]),
        algo=algo,
        network=network,
        optimizer=optimizer,
        seeds=1,
        seed=seed,
        steps=steps,
        num_evals=EVALS,
        eval_episodes=EPISODES,
        progress=False,
        callback=lambda moment: begun.append(time.perf_counter()),
    )
    return {
        "game": game,
        "algorithm": name,
        "seed": seed,
        "steps": agents.curve_steps[0].tolist(),
        "returns": np.round(agents.curve[0].astype(float), 2).tolist(),
        "seconds": round(time.perf_counter() - begun[0], 1),
        "parameters": agents.num_parameters,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [f"{game}/{name}" for game in GAMES for name in ALGOS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="GAME/ALGORITHM")
    parser.add_argument("--steps", type=int, default=1_000_000)
    args = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    done = {(run["game"], run["algorithm"], run["seed"]) for run in found}
    for seed in range(SEEDS):
        for game, name in (chosen.split("/") for chosen in args.only):
            if (game, name, seed) in done:
                continue
            found.append(measured(game, name, seed, args.steps))
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
            print(game, name, seed, found[-1]["returns"], found[-1]["seconds"], flush=True)


if __name__ == "__main__":
    main()
