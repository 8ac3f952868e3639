"""How many environment steps until CartPole-v1 is solved: greedy return of 475 over 100 episodes, 64 seeds.

    python experiments/solve.py

Evaluates every 512 env steps, so a number is exact to these. Writes results/solve.json beside itself.
"""

import argparse
import json
import pathlib

import numpy as np

import jaxrl_ft as ft

SEEDS, STEPS, EPISODES, THRESHOLD, EVERY = 64, 40_960, 100, 475.0, 512
RESULTS = pathlib.Path(__file__).parent / "results" / "solve.json"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    agents = ft.pretrain(
        ft.make_task("CartPole-v1"), seeds=SEEDS, steps=STEPS, num_evals=STEPS // EVERY + 1, eval_episodes=EPISODES
    )
    solved = agents.curve >= THRESHOLD
    first = np.where(solved.any(axis=1), agents.curve_steps[0][solved.argmax(axis=1)], np.inf)
    result = {
        "seeds": SEEDS,
        "episodes": EPISODES,
        "threshold": THRESHOLD,
        "steps_to_solve": {
            f"quantile {q}": float(np.quantile(first, q, method="higher")) for q in (0.1, 0.5, 0.9, 1.0)
        },
        "solved_by_10000": int((first <= 10_000).sum()),
        "solved_at_the_end": int((agents.curve[:, -1] >= THRESHOLD).sum()),
        "ever_solved": int(np.isfinite(first).sum()),
        "first_solved_at": first.astype(int).tolist() if np.isfinite(first).all() else [str(f) for f in first],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "first_solved_at"}, indent=1))


if __name__ == "__main__":
    main()
