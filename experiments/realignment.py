"""What realignment reads of 40 targets whose sensors, actions and physics change together, and what it is worth.

Sixteen agents pretrained on CartPole-v1 look at every target for 256 steps, as `realign` pays, and for 512, as
`imagine` does. Each run's reading is compared with the truth: read rightly; left alone with the reason; missed, with
no reason given; or wrong. CartPole is its own mirror image, so that other signs of all four sensors together are the
same reading as other actions. A scale counts as right within 25%, or where less than half of the change is left in
logarithms, an offset within 0.05 of the sensor's unit and three deviations of the noise. The numbers of
`alignment/reading.py` were chosen on these looks, those of `alignment/units.py` on these and on another draw of
`unseen`: 40 targets drawn by a rule, which agents of another seed look at. Then `imagine`, `realign_soften` and
`soften` are fine-tuned for 20,480 steps.

    python experiments/realignment.py [--stages read unseen train]

The tables of readings are rewritten in minutes; fine-tunes are appended to results/realignment_returns.csv at once, and
a second call goes on from there. All are told in results/realignment.md.
"""

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from appending import append, read

import jaxrl_ft as ft
from jaxrl_ft.analysis.statistics.aggregate import iqm
from jaxrl_ft.analysis.statistics.intervals import paired_difference
from jaxrl_ft.analysis.statistics.transfer import area_under_curve
from jaxrl_ft.methods.alignment import Realignment
from jaxrl_ft.training.preparation import realign
from jaxrl_ft.training.preparation.look import ON_TARGET, experience_before, look_at
from jaxrl_ft.training.spec import Budget, finetune_spec

RESULTS = Path(__file__).parent / "results"
SOURCE, SEEDS, STEPS = "CartPole-v1", 16, 20_480
LOOKS = (32, 64)
METHODS = ("soften", "imagine", "realign_soften")
STAGES = ("read", "unseen", "train")
SENSES: dict[str, dict[str, Any]] = {
    "none": {},
    "flip": {"flip_actions": True},
    "swap": {"obs_permutation": (2, 3, 0, 1)},
    "mix and flip": {"obs_permutation": (3, 1, 2, 0), "flip_actions": True},
    "offset": {"obs_offset": (1.0, -1.0, 0.5, 1.0)},
    "double": {"obs_scale": 2.0},
    "scale": {"obs_scale": (3.0, 3.0, 0.3, 0.3)},
    "reverse": {"obs_scale": -1.0},
    "reverse pole": {"obs_scale": (1.0, 1.0, -1.0, -1.0)},
    "flip and double": {"flip_actions": True, "obs_scale": 2.0},
}
PHYSICS: dict[str, dict[str, Any]] = {
    "same": {},
    "weak": {"force": 5.0},
    "strong": {"force": 20.0},
    "heavy": {"cart_mass": 1.5},
    "heavier": {"cart_mass": 3.0},
    "long": {"half_length": 1.5},
    "slow": {"tau": 0.04},
    "late": {"action_delay": 2},
    "noisy": {"obs_noise": 0.05},
}
PAIRS = {
    "flip": "weak strong heavy long slow late noisy",
    "flip and double": "same",
    "swap": "weak heavier long slow late noisy",
    "mix and flip": "weak long slow",
    "offset": "weak heavier long slow late noisy",
    "double": "weak long slow",
    "scale": "weak long late",
    "reverse": "same weak slow",
    "reverse pole": "same long late",
    "none": "weak heavier slow late noisy",
}
KINDS = ("rightly", "left alone", "missed", "wrong")
USUAL = {"gravity": 9.8, "cart_mass": 1.0, "pole_mass": 0.1, "half_length": 0.5, "force": 10.0, "tau": 0.02}
UNSEEN, UNSEEN_SEED = "unseen", 2000


def targets() -> dict[tuple[str, str], dict[str, Any]]:
    """The quantities of every target, by its change of sensors and actions and its change of physics."""
    pairs = ((sense, physics) for sense, several in PAIRS.items() for physics in several.split())
    return {(sense, physics): {**SENSES[sense], **PHYSICS[physics]} for sense, physics in pairs}


def shifts() -> dict[tuple[str, str], dict[str, Any]]:
    """Those of every shift that has a name."""
    return {("shift", name): dict(ft.SHIFTS[name].physics) for name in ft.shifts_of("CartPole-v1")}


def unseen() -> dict[tuple[str, str], dict[str, Any]]:
    """Forty targets by a rule, not by hand, with a fixed seed.

    One to three changes of sensors and actions, and two quantities of physics multiplied or divided by up to 2.5; every
    fourth target has late actions or noisy sensors too.
    """
    rng, found = np.random.default_rng(20261128), {}
    for number in range(40):
        names = rng.choice(list(USUAL), 2, replace=False)
        quantities = {str(name): USUAL[name] * float(np.exp(rng.uniform(-1, 1) * np.log(2.5))) for name in names}
        changes = {
            "flip_actions": True,
            "obs_permutation": tuple(rng.permutation(4).tolist()),
            "obs_offset": tuple(rng.uniform(-1, 1, 4).round(3).tolist()),
            "obs_scale": tuple((rng.choice([-1, 1], 4) * np.exp(rng.uniform(-1, 1, 4))).round(3).tolist()),
        }
        chosen = rng.choice(list(changes), rng.integers(1, 4), replace=False)
        quantities |= {name: changes[name] for name in map(str, chosen)}
        if number % 4 == 0:
            quantities |= {"action_delay": 1} if rng.integers(2) else {"obs_noise": 0.03}
        found[UNSEEN, f"{number + 1}: {' '.join(sorted(quantities))}"] = quantities
    return found


def judged(found: Realignment, quantities: dict[str, Any]) -> str:
    """Which of `KINDS` a reading is."""
    order = np.argsort(quantities.get("obs_permutation", range(4)))
    scale = np.broadcast_to(np.array(quantities.get("obs_scale", 1.0)), 4)
    offset = np.broadcast_to(np.array(quantities.get("obs_offset", 0.0)), 4)
    flipped = bool(quantities.get("flip_actions", False)) ^ bool(found.actions[0])
    signs = np.array_equal(found.scale < 0, scale < 0) and not flipped
    mirrored = np.array_equal(found.scale < 0, scale > 0) and flipped
    meaning = np.array_equal(found.order, order) and (signs or mirrored)
    allowed = np.maximum(np.log(1.25), np.abs(np.log(np.abs(scale))) / 2)
    near = np.abs(np.log(np.abs(found.scale / scale))) < allowed
    room = 0.05 * np.abs(scale) + 3 * quantities.get("obs_noise", 0.0)
    shifted = meaning and bool(np.all(np.abs(found.offset - offset) <= room))
    if meaning and near.all() and shifted:
        return "rightly"
    claims = {
        "sensors reordered": meaning,
        "sensors reversed": meaning,
        "actions changed": meaning,
        "sensors rescaled": bool(np.all(near | (np.abs(found.scale) == 1))),
        "sensors shifted": shifted,
    }
    if any(found.parts[part] and not true for part, true in claims.items()):
        return "wrong"
    return "left alone" if found.left_alone else "missed"


def readings(agents: ft.Agents, worlds: dict[tuple[str, str], dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each target and length of look: how many runs were read how, and the reasons given."""
    base, rows = agents.policies, []
    for num_steps in LOOKS:
        method = replace(ft.METHODS["realign"], look=ft.Look(steps=num_steps))
        known = None
        for (sense, physics), quantities in worlds.items():
            task = ft.make_task(SOURCE, **quantities)
            spec = finetune_spec(agents, task, method, Budget(STEPS, 1, 2, 1))
            known = known or experience_before(spec, base)
            look = look_at(spec, base, task, ON_TARGET).experiences
            found = realign.estimates(spec, known, look)
            counts = Counter(judged(one, quantities) for one in found)
            reasons = Counter(one.left_alone for one in found if one.left_alone)
            rows.append(
                {
                    "sensors and actions": sense,
                    "physics": physics,
                    "look": method.look.env_steps,
                    **{kind: counts[kind] for kind in KINDS},
                    "reasons": "; ".join(f"{reason}: {count}" for reason, count in reasons.items()),
                }
            )
    return rows


def train(agents: ft.Agents) -> None:
    """The runs of every method on every target that are not among the results, appended as they are finished."""
    path = RESULTS / "realignment_returns.csv"
    done = {(row["sensors and actions"], row["physics"], row["method"]) for row in read(path)}
    for name in METHODS:
        for (sense, physics), quantities in targets().items():
            if (sense, physics, name) in done:
                continue
            target = ft.make_task(SOURCE, **quantities)
            tuned = ft.finetune(agents, target, name, steps=STEPS, seed=3, num_evals=11)
            final = ft.evaluate(tuned, target, episodes=32, seed=5).mean(axis=1)
            area = area_under_curve(tuned.curve, tuned.curve_steps)
            what = {"sensors and actions": sense, "physics": physics, "method": name}
            append(path, [{**what, "agent": i, "auc": area[i], "final": final[i]} for i in range(SEEDS)])
            print(f"{sense}, {physics}, {name}: {iqm(final):.0f}", flush=True)


def markdown() -> str:
    """Both tables."""
    rows = read(RESULTS / "realignment.csv") + read(RESULTS / "realignment_unseen.csv")
    lines = []
    for look in dict.fromkeys(row["look"] for row in rows):
        for name, among in (
            ("40 targets", PAIRS),
            (f"{len(ft.shifts_of('CartPole-v1'))} shifts", ("shift",)),
            ("40 unseen targets", (UNSEEN,)),
        ):
            counted = [row for row in rows if row["look"] == look and row["sensors and actions"] in among]
            told = ", ".join(f"{sum(int(row[kind]) for row in counted)} {kind}" for kind in KINDS)
            lines.append(f"- {name}, looks of {look} steps: {told}.")
    lines += ["", "| sensors and actions | physics | look | " + " | ".join(KINDS) + " |", "|---|---|" + "---|" * 5]
    lines += ["| " + " | ".join([*list(row.values())[:3], *(row[kind] for kind in KINDS)]) + " |" for row in rows]
    return "\n".join([*lines, "", *_returns()]) + "\n"


def _returns() -> list[str]:
    """Final returns of every method, and by how much each is ahead of softening alone."""
    finals: dict[tuple[str, str], dict[str, list[float]]] = {}
    for run in read(RESULTS / "realignment_returns.csv"):
        cell = finals.setdefault((run["sensors and actions"], run["physics"]), {})
        cell.setdefault(run["method"], []).append(float(run["final"]))
    heads = [METHODS[0], *(f"{name} | {name} - {METHODS[0]}" for name in METHODS[1:])]
    lines = [
        "| sensors and actions | physics | " + " | ".join(heads) + " |",
        "|---|---|" + "---|" * (2 * len(METHODS) - 1),
    ]
    for names, cell in finals.items():
        plain, cells = cell[METHODS[0]], [f"{iqm(cell[METHODS[0]]):.0f}"]
        for name in METHODS[1:]:
            if name in cell:
                ahead = paired_difference(cell[name], plain)
                cells += [f"{iqm(cell[name]):.0f}", f"{ahead.value:.0f} ({ahead.low:.0f} to {ahead.high:.0f})"]
            else:
                cells += ["", ""]
        lines.append("| " + " | ".join([*names, *cells]) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    stages = parser.parse_args().stages
    agents = ft.pretrain(ft.make_task(SOURCE), seeds=SEEDS, seed=0, num_evals=2)
    if "read" in stages:
        rewrite("realignment.csv", readings(agents, {**targets(), **shifts()}))
    if "unseen" in stages:
        others = ft.pretrain(ft.make_task(SOURCE), seeds=SEEDS, seed=UNSEEN_SEED, num_evals=2)
        rewrite("realignment_unseen.csv", readings(others, unseen()))
    if "train" in stages:
        train(agents)
    (RESULTS / "realignment.md").write_text(markdown())


def rewrite(name: str, rows: list[dict[str, Any]]) -> None:
    (RESULTS / name).unlink(missing_ok=True)
    append(RESULTS / name, rows)


if __name__ == "__main__":
    main()
