"""The evidence that `ft.advise` rests on, and runs on shifts that it has not seen.

    python experiments/advise.py [--stages signs more unseen evidence]

1. Signs. What the probe of `ft.advise` measures, of the 16 agents of results/methods.csv on all sixteen shifts.
2. More. The methods of `MORE` on the four shifts that the leaderboard leaves out, since only there the untouched agents
   are hard to beat; 16 runs each, with the settings that experiments/methods.py has chosen.
3. Unseen. The methods of `MENU` with 8 agents of another pretraining seed, on ten tasks drawn by `unseen_shifts`.
4. Evidence. jaxrl_ft/analysis/evidence/leaderboard.json, from these files alone.

Runs go to results/advise.csv, signs to results/advise_signs.csv, each shift as it is finished; a second call goes on
from there. `python experiments/advise_report.py` then tells how good the advice is.
"""

import argparse
import functools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from methods import EVALS, MORE as LATER, SEEDS, SHIFTS, SOURCE, STEPS, append, pretrained, read, tune

import jaxrl_ft as ft
from jaxrl_ft.engine.examining import examine

RESULTS = Path(__file__).parent / "results"
RUNS, SIGNS = RESULTS / "advise.csv", RESULTS / "advise_signs.csv"
EVIDENCE = Path(ft.__file__).parent / "analysis" / "evidence" / "leaderboard.json"
STAGES = ("signs", "more", "unseen", "evidence")
MORE = tuple(
    "zero_shot scratch full imagine imagine_both imagine_scratch realign_soften realign head_reset soften probe_soften "
    "shrink_perturb critic_warmup lora last_k head bias l2 l2sp l2init ewc kl cloning churn entropy_bonus".split()
)
MENU = tuple("zero_shot scratch full lora kl l2sp shrink_perturb soften head_reset imagine".split())
UNSEEN_SEEDS, UNSEEN_SEED = 8, 2000
KINDS = ("mild", "strong", "noisy", "delayed", "faulty")
PHYSICS = {"gravity": 9.8, "cart_mass": 1.0, "pole_mass": 0.1, "half_length": 0.5, "force": 10.0, "tau": 0.02}
MILD, STRONG = (1.1, 1.6), (2.0, 5.0)


def unseen_shifts() -> dict[str, dict[str, Any]]:
    """Ten tasks by a rule, not by hand, with a fixed seed: two of each kind.

    Two quantities are multiplied or divided by a factor, of 2 to 5 in the strong kind, of 1.1 to 1.6 in the others; and
    sensors are noisy, or actions late, or sensors shifted and actions perhaps flipped.
    """
    rng = np.random.default_rng(20261123)
    tasks = {}
    for number in (1, 2):
        for kind in KINDS:
            sizes = np.log(STRONG if kind == "strong" else MILD)
            names = rng.choice(list(PHYSICS), 2, replace=False)
            factors = np.exp(rng.choice([-1.0, 1.0], 2) * rng.uniform(*sizes, 2))
            physics: dict[str, Any] = {str(n): float(f"{PHYSICS[n] * f:.4g}") for n, f in zip(names, factors)}
            if kind == "noisy":
                physics["obs_noise"] = round(float(rng.uniform(0.03, 0.15)), 3)
            if kind == "delayed":
                physics["action_delay"] = int(rng.integers(1, 4))
            if kind == "faulty":
                physics["obs_offset"] = tuple(rng.uniform(-1.0, 1.0, 4).round(3).tolist())
                physics["flip_actions"] = bool(rng.integers(2))
            tasks[f"{kind}-{number}"] = physics
    return tasks


@functools.cache
def agents_of(stage: str) -> ft.Agents:
    """The 16 agents of the leaderboard, or 8 that are not in it."""
    if stage == "unseen":
        return pretrained("full", UNSEEN_SEEDS, UNSEEN_SEED)
    return pretrained("full", SEEDS + LATER, 0).select(np.arange(SEEDS))


def tasks_of(stage: str) -> dict[str, ft.Task]:
    """The targets of a stage by name."""
    if stage == "unseen":
        return {name: ft.make_task(SOURCE, **physics) for name, physics in unseen_shifts().items()}
    return {name: ft.make_task(SOURCE, name) for name in ft.SHIFTS if stage == "signs" or name not in SHIFTS}


def measure_signs() -> None:
    """Every sign of every agent on every shift that is not among the results yet."""
    done = {row["shift"] for row in read(SIGNS)}
    for stage in ("signs", "unseen"):
        for shift, task in tasks_of(stage).items():
            if shift in done:
                continue
            found = examine(agents_of(stage), task)
            append(
                SIGNS,
                [
                    {
                        "shift": shift,
                        "agent": i,
                        **{name: f"{sign[i]:.5g}" for name, sign in found.signs.items()},
                        "env_steps": int(found.env_steps[i]),
                        "source_steps": int(found.source_steps[i]),
                    }
                    for i in range(len(found.env_steps))
                ],
            )
            print(f"signs {shift}", flush=True)


def train(stage: str, names: tuple[str, ...]) -> None:
    """Every shift of a stage that is not among the results yet, with all of these methods."""
    done = {row["shift"] for row in read(RUNS) if row["stage"] == stage}
    methods = tune(list(names), False)
    columns = ("auc", "target_return", "source_return", "source_return_before")
    for shift, task in tasks_of(stage).items():
        if shift in done:
            continue
        began = time.perf_counter()
        # What becomes of other tasks is no part of the question, and comparisons want at least one.
        held_out = {shift: [("interpolation", task)]}
        options = {"steps": STEPS, "num_evals": EVALS, "episodes": 32, "held_out_episodes": 1, "held_out": held_out}
        result = ft.compare(agents_of(stage), {shift: task}, methods, **options)
        rows = [
            {
                "stage": stage,
                "method": row["method"],
                "shift": shift,
                "agent": row["agent"],
                **{name: f"{row[name]:.6g}" for name in columns},
                "env_steps": row["env_steps"],
                "status": row["status"],
            }
            for row in result.runs
        ]
        append(RUNS, rows)
        print(f"{stage} {shift}: {time.perf_counter() - began:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    stages = parser.parse_args().stages
    if "signs" in stages:
        measure_signs()
    if "more" in stages:
        train("more", MORE)
    if "unseen" in stages:
        train("unseen", MENU)
    if "evidence" in stages:
        write_evidence()


if __name__ == "__main__":
    main()
