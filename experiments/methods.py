"""All methods on the twelve shifts: tuned on other tasks with other agents, run with 16 seeds, the best with 64.

    python experiments/methods.py [--only NAME ...] [--stages tuning table more fresh]

1. Tuning. Every method gets the same budget: 6 settings (its own, and 5 points of a Halton sequence around it, over the
   learning rate and over one number of its own where it has one) on 3 development tasks with 4 agents of another
   pretraining seed. The setting with the largest mean area under the target curve is kept.
2. Table. Every tuned method on every shift with 16 agents, 20,480 env steps.
3. More seeds. Scratch, full, the recommended method and the ten largest mean areas with 48 more agents.
4. Fresh shifts. Scratch, full and the recommended method on four tasks that no tuning has seen: `fresh_shifts`.

Every finished piece is appended to results/methods_tuning.csv or results/methods.csv at once, and a second call goes
on from there. `python experiments/leaderboard.py` makes tables and the figure from them.
"""

import argparse
import functools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from appending import append, read

import jaxrl_ft as ft
from jaxrl_ft.analysis.statistics.aggregate import iqm
from jaxrl_ft.analysis.statistics.transfer import area_under_curve, dip_area
from jaxrl_ft.core.config import map_fields

RESULTS = Path(__file__).parent / "results"
SOURCE, STEPS, EVALS = "CartPole-v1", 20_480, 11
SHIFTS = tuple(ft.SHIFTS)[:12]
REFERENCES = ("scratch", "full", ft.RECOMMENDED)
SEEDS, MORE, BEST = 16, 48, 10
STAGES = ("tuning", "table", "more", "fresh")
SETTINGS, TUNING_SEEDS, TUNING_SEED = 6, 4, 1000
# One where the base is useless, one where it is wrong, one where it is nearly right; none is among the shifts.
DEVELOPMENT = {
    "half_length=1.25": {"half_length": 1.25},
    "flipped, half_length=0.7": {"flip_actions": True, "half_length": 0.7},
    "force=1.4": {"force": 1.4},
}

# The number that each method has of its own, by the dotted path of its field.
COEFFICIENT = {
    "lora": "adapter.alpha",
    "rslora": "adapter.alpha",
    "dora": "adapter.alpha",
    "gradual_unfreezing": "optimizer.rates.layer_start",
    "lp_ft": "optimizer.rates.body_start",
    "discriminative": "optimizer.rates.layer_decay",
    "critic_warmup": "optimizer.rates.policy_start",
    "soften": "warm_start.scale",
    "probe_soften": "warm_start.scale",
    "realign_soften": "warm_start.scale",
    "imagine": "warm_start.scale",
    "imagine_both": "penalty.coef",
    "shrink_perturb": "warm_start.shrink",
    "net2wider": "warm_start.spread",
    "entropy_bonus": "ent_coef",
    **dict.fromkeys(("adamw", "nadamw", "gap_decay"), "optimizer.weight_decay"),
    **dict.fromkeys(ft.PENALTIES, "penalty.coef"),
    **dict.fromkeys(("strength", "pbt"), "penalty.coef"),
    "adaptive_decay": "optimizer.decay_ratio",
    "adam_rel": "optimizer.beta2",
    "kl_rate": "optimizer.desired_kl",
    "target_kl": "optimizer.target_kl",
    "redo": "intervention.tau",
    "continual_backprop": "intervention.replacement_rate",
    "soft_shrink_perturb": "intervention.perturb",
    "weight_clipping": "intervention.kappa",
    "normalize_project": "intervention.strength",
    "head_resets": "intervention.period",
    "critic_resets": "intervention.period",
    "mixture": "data.share",
    "between": "data.spread",
    "replay": "data.share",
    "jump_start": "data.guide_steps",
    "jump_start_curriculum": "data.guide_steps",
    "wise": "finish.weight",
    "soup": "finish.weight",
}
BELOW_ONE = ("scale", "share", "spread", "shrink", "strength", "weight", "beta2", "layer_start", "body_start", "period")


def halton(index: int, base: int) -> float:
    """The `index`-th number of the van der Corput sequence."""
    value, share = 0.0, 1.0
    while index:
        share /= base
        value += share * (index % base)
        index //= base
    return value


def setting(name: str, number: int) -> ft.Method:
    """Setting `number` of a method: 0 is its own, the others lie around it."""
    method, path = ft.METHODS[name], COEFFICIENT.get(name, "")
    if number == 0:
        return method
    factors = {
        "optimizer.learning_rate": 2.0 ** (4 * halton(number, 2) - 1.5),
        path: 10.0 ** (2 * halton(number, 3) - 1),
    }

    def change(field: str, value: Any) -> Any:
        if field not in factors or value is None:
            return value
        changed = value * factors[field]
        return min(changed, 0.999) if field.split(".")[-1] in BELOW_ONE else changed

    return map_fields(method, change)


def fresh_shifts() -> dict[str, dict[str, Any]]:
    """Four tasks by a rule, not by hand: two quantities each, drawn with a fixed seed, and faulty sensors in two."""
    rng = np.random.default_rng(20261122)
    ranges = {
        "half_length": (0.2, 2.5),
        "gravity": (4.0, 30.0),
        "force": (2.0, 30.0),
        "cart_mass": (0.3, 5.0),
        "pole_mass": (0.02, 1.0),
        "tau": (0.008, 0.06),
    }
    tasks = []
    for faulty in (False, False, True, True):
        names = rng.choice(list(ranges), 2, replace=False)
        physics = {str(n): float(np.exp(rng.uniform(*np.log(ranges[n])))) for n in names}
        if faulty:
            physics["obs_offset"] = tuple(rng.uniform(-1.0, 1.0, 4).round(3).tolist())
            physics["flip_actions"] = bool(rng.integers(2))
        tasks.append(physics)
    return {f"fresh-{i + 1}": physics for i, physics in enumerate(tasks)}


def pretrained(name: str, seeds: int, seed: int) -> ft.Agents:
    """Agents for a method: with layer norms where it trains these."""
    return _pretrained(name == "norm", seeds, seed)


@functools.cache
def _pretrained(layer_norm: bool, seeds: int, seed: int) -> ft.Agents:
    network = ft.MLP(layer_norm=layer_norm)
    return ft.pretrain(ft.make_task(SOURCE), network=network, seeds=seeds, seed=seed, num_evals=2)


def task_of(shift: str) -> ft.Task:
    """The target of a shift, one of the twelve or a fresh one."""
    return ft.make_task(SOURCE, shift) if shift in SHIFTS else ft.make_task(SOURCE, **fresh_shifts()[shift])


def tune(names: list[str], on: bool) -> dict[str, ft.Method]:
    """The best setting of every method among those tried; tries those that were not when `on`."""
    path = RESULTS / "methods_tuning.csv"
    done = {(row["method"], int(row["setting"])): float(row["auc"]) for row in read(path)}
    for name in names:
        for number in range(SETTINGS):
            if on and (name, number) not in done and name != "zero_shot":
                agents, areas = pretrained(name, TUNING_SEEDS, TUNING_SEED), {}
                for task, physics in DEVELOPMENT.items():
                    tuned = ft.finetune(
                        agents,
                        ft.make_task(SOURCE, **physics),
                        setting(name, number),
                        steps=STEPS,
                        seed=TUNING_SEED + 1,
                        num_evals=6,
                    )
                    areas[task] = float(np.nan_to_num(area_under_curve(tuned.curve, tuned.curve_steps)).mean())
                done[name, number] = float(np.mean(list(areas.values())))
                append(path, [{"method": name, "setting": number, "auc": done[name, number], **areas}])
                print(f"tuning {name} {number}: {done[name, number]:.0f}", flush=True)
    best = {name: max(range(SETTINGS), key=lambda i: done.get((name, i), 0.0)) for name in names}
    return {name: setting(name, number) for name, number in best.items()}


def cells(methods: dict[str, ft.Method], shifts: Iterable[str], first: int) -> Iterator[list[dict]]:
    """The rows of each cell of methods x shifts with 16 agents from `first` on, as they are finished."""
    done = {(row["method"], row["shift"], int(row["agent"])) for row in read(RESULTS / "methods.csv")}
    for shift in shifts:
        for name, method in methods.items():
            if (name, shift, first) in done:
                continue
            agents = pretrained(name, SEEDS + MORE, 0).select(np.arange(first, first + SEEDS))
            began = time.perf_counter()
            yield cell(agents, name, method, shift, first)
            print(f"{shift} {name}: {time.perf_counter() - began:.1f} s", flush=True)


def cell(agents: ft.Agents, name: str, method: ft.Method, shift: str, first: int) -> list[dict[str, Any]]:
    """One row per run of a method on a shift."""
    source, target, options = agents.source, task_of(shift), {"episodes": 32, "seed": 5 + first}
    untouched = before(name == "norm", shift, first)
    tuned = ft.finetune(agents, target, method, steps=STEPS, seed=3 + first, num_evals=EVALS)
    zero_shot = tuned.curve[:, 0] if method.spent_before() else untouched["target"]
    held_out = [ft.evaluate(tuned, task, **{**options, "episodes": 16}) for _, task in ft.held_out_grid(source, target)]
    columns = {
        "auc": area_under_curve(tuned.curve, tuned.curve_steps),
        "target_return": ft.evaluate(tuned, target, **options).mean(axis=1),
        "source_return": ft.evaluate(tuned, source, **options).mean(axis=1),
        "source_return_before": untouched["source"],
        "held_out_return": np.mean(held_out, axis=(0, 2)) if held_out else np.full(len(zero_shot), np.nan),
        "dip": dip_area(tuned.curve, tuned.curve_steps, zero_shot),
        "env_steps": tuned.env_steps - agents.env_steps,
    }
    return [
        {
            "method": name,
            "shift": shift,
            "agent": first + i,
            **{key: f"{float(column[i]):.6g}" for key, column in columns.items()},
            "source_steps": tuned.source_steps,
            "status": tuned.status[i],
        }
        for i in range(tuned.num_seeds)
    ]


@functools.cache
def before(layer_norm: bool, shift: str, first: int) -> dict[str, np.ndarray]:
    """The agents' own returns on source and target, [R]; evaluated once for all methods."""
    agents = _pretrained(layer_norm, SEEDS + MORE, 0).select(np.arange(first, first + SEEDS))
    tasks = {"source": agents.source, "target": task_of(shift)}
    return {where: ft.evaluate(agents, task, episodes=32, seed=5 + first).mean(axis=1) for where, task in tasks.items()}


def run(methods: dict[str, ft.Method], shifts: Iterable[str], firsts: Iterable[int]) -> None:
    """Every cell that is not among the results, written to them as it is finished."""
    for first in firsts:
        for rows in cells(methods, shifts, first):
            append(RESULTS / "methods.csv", rows)


def best(names: list[str]) -> list[str]:
    """The methods with the largest mean over the shifts of the interquartile mean area, and the references."""
    areas: dict[str, dict[str, list[float]]] = {}
    for row in read(RESULTS / "methods.csv"):
        if int(row["agent"]) < SEEDS and row["shift"] in SHIFTS:
            areas.setdefault(row["method"], {}).setdefault(row["shift"], []).append(float(row["auc"]))
    whole = {name: np.mean([iqm(np.array(runs)) for runs in shifts.values()]) for name, shifts in areas.items()}
    order = sorted((name for name in names if name in whole), key=lambda name: -whole[name])
    return list(dict.fromkeys([*REFERENCES, *order[:BEST]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(ft.METHODS), metavar="NAME")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    arguments = parser.parse_args()
    names = [ft.METHODS.name(name) for name in arguments.only]
    RESULTS.mkdir(exist_ok=True)
    methods = tune(names, "tuning" in arguments.stages)
    later = range(SEEDS, SEEDS + MORE, SEEDS)
    if "table" in arguments.stages:
        run(methods, SHIFTS, [0])
    if "more" in arguments.stages:
        run({name: methods[name] for name in best(names) if name in methods}, SHIFTS, later)
    if "fresh" in arguments.stages:
        run({name: methods[name] for name in REFERENCES if name in methods}, fresh_shifts(), [0, *later])


if __name__ == "__main__":
    main()
