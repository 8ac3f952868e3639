"""Where one policy can do both tasks: agents trained on source and target at once, far beyond a fine-tune's budget.

    python experiments/joint.py

Eight agents go on from pretraining with half of their environments on the source and half on the target for 327,680
env steps. Returns are greedy, over 32 episodes, interquartile means over agents; results/joint.json.
"""

import argparse
import dataclasses
import json
from pathlib import Path

from methods import SHIFTS, SOURCE

import jaxrl_ft as ft
from jaxrl_ft.analysis.statistics.aggregate import iqm

RESULTS = Path(__file__).parent / "results"
SEEDS, STEPS = 8, 327_680


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    path = RESULTS / "joint.json"
    reached = json.loads(path.read_text()) if path.exists() else {}
    source = ft.make_task(SOURCE)
    agents = ft.pretrain(source, seeds=SEEDS, num_evals=2)
    method = dataclasses.replace(ft.METHODS["soften"], data=ft.Mixture(share=0.5))
    for shift in SHIFTS:
        if shift not in reached:
            target = ft.make_task(SOURCE, shift)
            tuned = ft.finetune(agents, target, method, steps=STEPS, num_evals=2)
            tasks = {"source": source, "target": target}
            returns = {name: ft.evaluate(tuned, task, episodes=32).mean(axis=1) for name, task in tasks.items()}
            reached[shift] = {name: float(iqm(runs)) for name, runs in returns.items()}
            path.write_text(json.dumps(reached, indent=1) + "\n")
            print(shift, reached[shift], flush=True)


if __name__ == "__main__":
    main()
