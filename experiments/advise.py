"""The evidence that `ft.advise` rests on, and runs on shifts that it has not seen.

    python experiments/advise.py [--stages signs more unseen evidence]

1. Signs. What the probe of `ft.advise` measures, of the 16 agents of results/methods.csv on all sixteen shifts.
2. More. The methods of `MORE` on the four shifts that the leaderboard leaves out, since only there the untouched agents
   are hard to beat; 16 runs each, with the settings that experiments/methods.py has chosen.
3. Unseen. The methods of `MENU` with 8 agents of another pretraining seed, on ten tasks drawn by `unseen_shifts`.
4. Evidence. jaxrl_ft/analysis/results/leaderboard.json, from these files alone.

Runs go to results/advise.csv, signs to results/advise_signs.csv, each piece as it is finished; a second call goes on
from there. `python experiments/advise_report.py` then tells how good the advice is.
"""

import argparse
import functools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from appending import append, read
from methods import EVALS, SEEDS, SHIFTS, SOURCE, STEPS, pretrained, tune
from methods import MORE as LATER

import jaxrl_ft as ft
from jaxrl_ft.advice.evidence import LEADERBOARD, Evidence, fitted, to_json
from jaxrl_ft.advice.signs import examine
from jaxrl_ft.core.config import floats
from jaxrl_ft.sweeps.compare import study
from jaxrl_ft.training.spec import Budget

RESULTS = Path(__file__).parent / "results"
RUNS, SIGNS = RESULTS / "advise.csv", RESULTS / "advise_signs.csv"
STAGES = ("signs", "more", "unseen", "evidence")
_MORE = """
zero_shot scratch full imagine imagine_both realign_soften head_reset soften probe_soften shrink_perturb lora kl l2sp
l2init
"""
MORE = tuple(_MORE.split())
_MENU = "zero_shot scratch full lora kl l2sp shrink_perturb soften head_reset imagine"
MENU = tuple(_MENU.split())
UNSEEN_SEEDS, UNSEEN_SEED = 8, 2000
COLUMNS = ("auc", "target_return", "source_return", "source_return_before")
# Hardly a tanh unit is ever dormant: that sign is shown, and tells nothing apart.
USED = ("zero_shot", "explained", "changed_meaning", "state_kl", "entropy", "value_error", "gradient")
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
    return {name: ft.make_task(SOURCE, name) for name in ft.shifts_of(SOURCE) if stage == "signs" or name not in SHIFTS}


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
    """Every cell of a stage that is not among the results yet, each written as it is finished."""
    done = {(row["shift"], row["method"]) for row in read(RUNS) if row["stage"] == stage}
    methods = tune(list(names), False)
    for shift, task in tasks_of(stage).items():
        # What becomes of other tasks is no part of the question, and comparisons want at least one.
        held_out = {shift: [("interpolation", task)]}
        options = {"budget": Budget(STEPS, 3, EVALS, 16), "episodes": 32, "held_out_episodes": 1, "held_out": held_out}
        planned = study(agents_of(stage), {shift: task}, methods, **options)
        skip = [number for number, (name, _) in enumerate(planned.names) if (shift, name) in done]
        for cell in planned.cells(skip) if len(skip) < len(planned.names) else ():
            append(RUNS, [told(stage, row) for row in cell.rows])
            print(f"{time.strftime('%X')} {stage} {shift} {cell.method}", flush=True)


def told(stage: str, row: dict[str, Any]) -> dict[str, Any]:
    """A run as it is kept."""
    names = {"stage": stage, "method": row["method"], "shift": row["target"], "agent": row["agent"]}
    numbers = {name: f"{row[name]:.6g}" for name in COLUMNS}
    return {**names, **numbers, "env_steps": row["env_steps"], "status": row["status"]}


def evidence() -> Evidence:
    """What the results say of every method on the shifts on which those of `MORE` have run, bandwidth included.

    Runs that became non-finite count as 0. `norm` is left out: its agents were others, with layer norms.
    """
    rows = [row for row in read(RESULTS / "methods.csv") if row["shift"] in SHIFTS and int(row["agent"]) < SEEDS]
    rows += [row for row in read(RUNS) if row["stage"] == "more"]
    names = [name for name in ft.METHODS if name not in ("zero_shot", "norm")]
    ran = {(row["method"], row["shift"]) for row in rows}
    shifts = tuple(shift for shift in ft.shifts_of(SOURCE) if all((name, shift) in ran for name in MORE))
    low, high = ft.make_task(SOURCE).return_range
    columns = {column: np.full((len(names), len(shifts), SEEDS), np.nan) for column in COLUMNS}
    places = {name: i for i, name in enumerate(names)}, {shift: i for i, shift in enumerate(shifts)}
    for row in rows:
        if row["method"] in names and row["shift"] in shifts:
            cell = places[0][row["method"]], places[1][row["shift"]], int(row["agent"])
            for column, values in columns.items():
                values[cell] = np.nan_to_num(float(row[column]))
    points = np.zeros((len(shifts), SEEDS, len(USED)))
    for row in read(SIGNS):
        if row["shift"] in shifts:
            points[places[1][row["shift"]], int(row["agent"])] = [float(row[name]) for name in USED]
    found = Evidence(
        environment=ft.make_task(SOURCE).simulator,
        methods=tuple(names),
        shifts=shifts,
        signs=USED,
        points=points,
        areas=(columns["auc"] - low) / (high - low),
        ends=(columns["target_return"].mean(axis=2) - low) / (high - low),
        kept=columns["source_return"].mean(axis=2) / columns["source_return_before"].mean(axis=2),
        settings=settings(names),
        steps=STEPS,
    )
    return fitted(found)


def settings(names: list[str]) -> dict[str, dict[str, float]]:
    """The learning rate and the own number that tuning chose for every method, where they are not the method's own."""
    chosen = {name: floats(method) for name, method in tune(names, False).items()}
    usual = {name: floats(ft.METHODS[name]) for name in names}
    return {
        name: {path: float(f"{value:.6g}") for path, value in chosen[name].items() if value != usual[name][path]}
        for name in names
    }


def written() -> str:
    """The evidence as it travels with the package: a line for each method."""
    kept = to_json(evidence())
    methods = kept.pop("methods")
    head = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in kept.items()]
    lines = [f" {json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}" for name, value in methods.items()]
    return "{" + ",\n".join(head) + ',\n"methods": {\n' + ",\n".join(lines) + "\n}}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    stages = parser.parse_args().stages
    if "signs" in stages:
        measure_signs()
    for stage, names in (("unseen", MENU), ("more", MORE)):
        if stage in stages:
            train(stage, names)
    if "evidence" in stages:
        LEADERBOARD.parent.mkdir(exist_ok=True)
        LEADERBOARD.write_text(written())


if __name__ == "__main__":
    main()
