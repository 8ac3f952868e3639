"""How good the advice is: on each shift of the leaderboard without its evidence, and on ten tasks it has never seen.

    python experiments/advise_report.py

Regret is the mean area under the target curve that was given up: of the best method of the menu in hindsight, which is
known only after all have run and profits from chance, less that of the method chosen. Beside the advice stand fixed
choices: the method of the menu with the largest mean area over the evidence, which is what one would take from the
leaderboard, single methods, no training, and a method drawn at random. `zero_shot` may be chosen in every menu.
Intervals are 95%, from 2,000 resamples of the shifts. Reads what experiments/advise.py has left; writes
results/advise.md and results/advise.json.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from advise import MENU, RUNS, SIGNS
from appending import read

import jaxrl_ft as ft
from jaxrl_ft.advice.choice import choose
from jaxrl_ft.advice.evidence import UNTRAINED, Evidence, expected, fitted, leaderboard
from jaxrl_ft.analysis.report.tables import markdown_table
from jaxrl_ft.analysis.statistics.aggregate import mean
from jaxrl_ft.analysis.statistics.intervals import stratified_bootstrap

RESULTS = Path(__file__).parent / "results"
RANGE = (0.0, 500.0)
FIXED = ("imagine", "full", "scratch", UNTRAINED)
DRAWN, SIZE, SEED = 100, 4, 20261124
Areas = dict[str, float]


def probes() -> dict[str, dict[str, np.ndarray]]:
    """The signs of every shift by name, [S]."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in read(SIGNS):
        for name, value in row.items():
            if name not in ("shift", "agent"):
                found[row["shift"]][name].append(float(value))
    return {shift: {name: np.array(values) for name, values in signs.items()} for shift, signs in found.items()}


def unseen_areas() -> dict[str, Areas]:
    """Mean area of every method on every unseen shift on which the whole menu has run."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in read(RUNS):
        if row["stage"] == "unseen":
            found[row["shift"]][row["method"]].append(float(np.nan_to_num(float(row["auc"]))))
    means = {s: {name: float(np.mean(runs)) for name, runs in methods.items()} for s, methods in found.items()}
    return {shift: areas for shift, areas in means.items() if set(MENU) <= set(areas)}


def seen_areas(known: Evidence, zero_shot: dict[str, float]) -> dict[str, Areas]:
    """Mean area of every method on every shift of the leaderboard on which it has run."""
    areas = RANGE[1] * known.areas.mean(axis=2)
    return {
        shift: {
            **{name: float(areas[i, t]) for i, name in enumerate(known.methods) if np.isfinite(areas[i, t])},
            UNTRAINED: zero_shot[shift],
        }
        for t, shift in enumerate(known.shifts)
    }


def untouched() -> dict[str, float]:
    """Mean return of the untouched agents on every shift of the leaderboard."""
    found: dict[str, list[float]] = defaultdict(list)
    rows = [row for row in read(RUNS) if row["stage"] == "more"] + read(RESULTS / "methods.csv")
    for row in rows:
        if row["method"] == UNTRAINED and int(row["agent"]) < 16:
            found[row["shift"]].append(float(row["auc"]))
    return {shift: float(np.mean(runs)) for shift, runs in found.items()}


def regrets(menu: list[str], known: Evidence, probe: dict[str, np.ndarray], areas: Areas) -> dict[str, Any]:
    """What the advice and every fixed choice gave up on one shift."""
    allowed = {name: areas[name] for name in dict.fromkeys([UNTRAINED, *menu])}
    best = max(allowed.values())
    names = [name for name in menu if name != UNTRAINED]
    advice = choose(known, probe, names, RANGE)
    usual = {name: float(np.nanmean(known.areas[known.methods.index(name)])) for name in names}
    leader = max(usual, key=lambda name: usual[name])
    chosen = {"the advice": advice.method, "best of the leaderboard": leader}
    chosen |= {f"always {name}": name for name in FIXED if name in allowed}
    given_up = {what: best - allowed[name] for what, name in chosen.items()}
    given_up["a random method"] = best - float(np.mean(list(allowed.values())))
    hoped = next(row.area for row in advice.evidence if row.method == advice.method)
    winner = max(allowed, key=lambda name: allowed[name])
    return {"advised": advice.method, "expected": hoped, "came": allowed[advice.method], "best": winner} | {
        "best area": best,
        "regret": given_up,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean regret of every choice over shifts with its interval, and the worst."""
    found = {}
    for what in common(rows):
        values = np.array([row["regret"][what] for row in rows])
        found[what] = {**stratified_bootstrap(values, mean)._asdict(), "worst": float(values.max())}
    return {"shifts": len(rows), "choices": {w: {k: float(v) for k, v in f.items()} for w, f in found.items()}}


def left_out(known: Evidence, probe: dict[str, Any], menus: dict[str, list[list[str]]]) -> dict[str, Any]:
    """Every menu on every shift of the leaderboard, with the evidence, and the bandwidth, of the other shifts alone."""
    areas, rows, inside = seen_areas(known, untouched()), defaultdict(list), []
    for t, shift in enumerate(known.shifts):
        rest = fitted(known.without([shift]))
        hoped = expected(rest, known.points[t])
        for i, name in enumerate(known.methods):
            if np.isfinite(known.areas[i, t]).all():
                inside.append(((known.areas[i, t] >= hoped[name].low) & (known.areas[i, t] <= hoped[name].high)).mean())
        for what, lists in menus.items():
            able = [[name for name in menu if name in areas[shift]] for menu in lists]
            each = [regrets(menu, rest, probe[shift], areas[shift]) for menu in able if len(menu) > 1]
            mean_regret = {c: float(np.mean([one["regret"][c] for one in each])) for c in common(each)}
            rows[what].append({**each[0], "shift": shift, "menus": len(each), "regret": mean_regret})
    return {"coverage": float(np.mean(inside)), **{what: {"rows": r, **summary(r)} for what, r in rows.items()}}


def common(each: list[dict[str, Any]]) -> list[str]:
    """The choices that could be made every time."""
    return [what for what in each[0]["regret"] if all(what in one["regret"] for one in each)]


def menus(known: Evidence) -> dict[str, list[list[str]]]:
    """The lists of methods to choose from."""
    free = [name for name in known.methods if not ft.METHODS[name].imagination.steps]
    blind = [name for name in free if not ft.METHODS[name].spent()]
    rng = np.random.default_rng(SEED)
    drawn = [[str(name) for name in rng.choice(blind, SIZE, replace=False)] for _ in range(DRAWN)]
    return {
        "all methods": [list(known.methods)],
        "without models of the target": [free],
        "without models or looks": [blind],
        f"{DRAWN} random lists of {SIZE} of these": drawn,
    }


def unseen(known: Evidence, probe: dict[str, Any]) -> dict[str, Any]:
    """The menu with and without imagination on every unseen shift."""
    found = {}
    lists = {"the ten methods": list(MENU), "without imagine": [name for name in MENU if name != "imagine"]}
    for what, menu in lists.items():
        rows = [{"shift": s, **regrets(menu, known, probe[s], areas)} for s, areas in unseen_areas().items()]
        found[what] = {"rows": rows, **summary(rows)}
    return found


def table(found: dict[str, Any]) -> str:
    """Mean regret of every choice, a column for each menu."""
    lists = {what: one for what, one in found.items() if isinstance(one, dict)}
    choices = list(dict.fromkeys(choice for one in lists.values() for choice in one["choices"]))
    lines = []
    for choice in choices:
        cells = [one["choices"].get(choice) for one in lists.values()]
        told = [
            "" if c is None else f"{c['value']:.0f} ({c['low']:.0f} to {c['high']:.0f}), {c['worst']:.0f}"
            for c in cells
        ]
        lines.append([choice, *told])
    return markdown_table(["mean regret (95%), worst shift", *lists], lines)


def by_shift(found: dict[str, Any]) -> str:
    """What was advised on every unseen shift, and what came of it."""
    lines = []
    for what, one in found.items():
        for row in one["rows"]:
            cells = [
                row["advised"],
                f"{row['expected']:.0f}",
                f"{row['came']:.0f}",
                row["best"],
                f"{row['best area']:.0f}",
            ]
            lines.append([row["shift"], what, *cells])
    return markdown_table(
        ["shift", "menu", "advised", "expected", "came to", "best in hindsight", "its area"], lines, 2
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    known, probe = leaderboard(), probes()
    found = {"left out": left_out(known, probe, menus(known)), "unseen": unseen(known, probe)}
    found["bandwidth"] = known.bandwidth
    steps = np.concatenate([probe[shift]["env_steps"] for shift in probe])
    found["probe steps"] = {"median": float(np.median(steps)), "most": float(steps.max())}
    (RESULTS / "advise.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "advise_left_out.md").write_text(table(found["left out"]))
    (RESULTS / "advise_unseen.md").write_text(table(found["unseen"]))
    (RESULTS / "advise.md").write_text(by_shift(found["unseen"]))
    print(*(path.read_text() for path in sorted(RESULTS.glob("advise*.md"))), sep="\n")


if __name__ == "__main__":
    main()
