"""How much time agents save that stop once they are good enough, of those that pretrain to the end of their budget.

    python experiments/benchmarks/early_stops.py

16 and 64 agents on CartPole-v1, for 40,960 env steps with 11 evaluations, and the same until two evaluations in a row
return 500. Both alternate in one run, after a first call of each that compiles, and every round is kept. Writes
results/early_stops.json.
"""

import argparse
import json
import time
from pathlib import Path

from throughput import spread

import jaxrl_ft as ft

RESULTS = Path(__file__).parents[1] / "results" / "early_stops.json"
AGENTS, ROUNDS, STOPS = (16, 64), 5, {"all steps": None, "500": 500.0}


def pretrained(num: int, stop_at: float | None) -> tuple[float, ft.Agents]:
    """The seconds that so many agents take, and the agents."""
    source, start = ft.make_task("CartPole-v1"), time.perf_counter()
    agents = ft.pretrain(
        source, algo=ft.PPO(), network=ft.MLP(), seeds=num, steps=40_960, num_evals=11, stop_at=stop_at,
        progress=False,
    )  # fmt: skip
    return time.perf_counter() - start, agents


def measured(num: int) -> dict[str, object]:
    """The rounds of so many agents, and what they come to."""
    seconds: dict[str, list[float]] = {name: [] for name in STOPS}
    for number in range(ROUNDS + 1):
        for name, stop_at in STOPS.items():
            spent, agents = pretrained(num, stop_at)
            if number:
                seconds[name].append(round(spent, 2))
    ratios = [whole / early for whole, early in zip(*seconds.values())]
    return {
        "seconds": seconds,
        "times_faster": spread(ratios),
        "share_of_env_steps": float(agents.env_steps.mean() / 40_960),
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    found = {str(num): measured(num) for num in AGENTS}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
