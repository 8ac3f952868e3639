"""The leaderboard of all methods, from results/methods.csv: tables in results/*.md and the figure results/methods.png.

    python experiments/leaderboard.py

It takes the shifts on which every method has run, and says which. Areas are those under the greedy target curve over
20,480 env steps, of 500. A method's number is the mean over the shifts of the interquartile mean over runs; intervals
are 95%, from 2,000 resamples of the runs in each shift.
"""

import argparse
import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from methods import COEFFICIENT, REFERENCES, SHIFTS, tune

import jaxrl_ft as ft
from jaxrl_ft.analysis.figures import palette, style
from jaxrl_ft.analysis.report.tables import format_number, markdown_table
from jaxrl_ft.analysis.statistics.aggregate import iqm, per_task
from jaxrl_ft.analysis.statistics.intervals import Interval, probability_interval, stratified_bootstrap
from jaxrl_ft.core.config import floats

RESULTS = Path(__file__).parent / "results"
SCRATCH, FULL, RECOMMENDED = REFERENCES
REPETITIONS = 2_000
Runs = dict[tuple[str, str], dict[str, np.ndarray]]


def read() -> Runs:
    """The columns of the runs of every method and shift, by agent."""
    rows: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    with (RESULTS / "methods.csv").open() as file:
        for row in csv.DictReader(file):
            rows[row["method"], row["shift"]].append(row)
    numbers = [key for key in next(iter(rows.values()))[0] if key not in ("method", "shift", "status")]
    return {
        cell: {
            key: np.array([float(row[key]) for row in sorted(found, key=lambda r: int(r["agent"]))]) for key in numbers
        }
        for cell, found in rows.items()
    }


def scores(runs: Runs, method: str, column: str, shifts: tuple[str, ...]) -> np.ndarray:
    """A column of a method, [R, T]; runs that became non-finite count as 0."""
    columns = [runs[method, shift][column] for shift in shifts]
    return np.nan_to_num(np.stack([c[: min(map(len, columns))] for c in columns], axis=1))


def mean_iqm(values: np.ndarray) -> Any:
    """The mean over shifts of the interquartile mean over runs."""
    return per_task(iqm)(values).mean(axis=-1)


def complete(runs: Runs, shifts: tuple[str, ...]) -> list[str]:
    return [name for name in ft.METHODS if all((name, shift) in runs for shift in shifts)]


def measure(runs: Runs, shifts: tuple[str, ...]) -> list[dict[str, Any]]:
    """One row per method, the largest area first."""
    rows = []
    for name in complete(runs, shifts):
        areas = scores(runs, name, "auc", shifts)
        lost = scores(runs, name, "source_return_before", shifts) - scores(runs, name, "source_return", shifts)
        against = {
            other: probability_interval(areas, scores(runs, other, "auc", shifts), REPETITIONS)
            for other in (SCRATCH, FULL)
        }
        rows.append(
            {
                "method": name,
                "runs": len(areas),
                "auc": stratified_bootstrap(areas, mean_iqm, REPETITIONS),
                **{f"over {other}": interval for other, interval in against.items()},
                "end": mean_iqm(scores(runs, name, "target_return", shifts)),
                "forgetting": np.nan if isinstance(ft.METHODS[name].warm_start, ft.Scratch) else mean_iqm(lost),
                "held out": mean_iqm(scores(runs, name, "held_out_return", shifts)),
                "dip": mean_iqm(scores(runs, name, "dip", shifts)),
            }
        )
    return sorted(rows, key=lambda row: -row["auc"].value)


def told(interval: Interval, decimals: int = 0) -> str:
    return f"{interval.value:.{decimals}f} ({interval.low:.{decimals}f} to {interval.high:.{decimals}f})"


def leaderboard(rows: list[dict[str, Any]]) -> str:
    headings = ["method", "runs", "area", "P(over scratch)", "P(over full)", "end", "forgetting", "held out", "dip"]
    lines = [
        [
            f"`{row['method']}`",
            row["runs"],
            told(row["auc"]),
            *(told(row[f"over {other}"], 2) for other in (SCRATCH, FULL)),
            *(format_number(row[key], 0) for key in ("end", "forgetting", "held out", "dip")),
        ]
        for row in rows
    ]
    return markdown_table(headings, lines)


def by_shift(runs: Runs, shifts: tuple[str, ...]) -> tuple[str, list[dict[str, Any]]]:
    """The recommended method beside scratch and full, shift by shift."""
    lines, facts = [], []
    for shift in shifts:
        cells = {
            name: stratified_bootstrap(scores(runs, name, "auc", (shift,)), mean_iqm, REPETITIONS)
            for name in REFERENCES
        }
        ours, scratch, full = cells[RECOMMENDED], cells[SCRATCH], cells[FULL]
        fact = {
            "shift": shift,
            "over_scratch": bool(ours.value > scratch.value),
            "apart_from_scratch": bool(ours.low > scratch.high),
            "of_full": float(ours.value / full.value),
            "apart_from_full": bool(ours.low > full.high),
        }
        facts.append(fact)
        untouched = [f"{iqm(runs['zero_shot', shift]['target_return']):.0f}"] if ("zero_shot", shift) in runs else []
        verdicts = ["apart" if fact[key] else "" for key in ("apart_from_scratch", "apart_from_full")]
        lines.append([shift, *untouched, *(told(cells[name]) for name in REFERENCES), *verdicts])
    first = ["shift", "zero-shot"] if len(lines[0]) == len(REFERENCES) + 4 else ["shift"]
    headings = [*first, *REFERENCES, "above scratch", "above full"]
    return markdown_table(headings, lines), facts


def retention(runs: Runs, shifts: tuple[str, ...], method: str) -> str:
    """What a method that holds the source keeps of it, beside what it gains on the target."""
    path = RESULTS / "joint.json"
    joint = json.loads(path.read_text()) if path.exists() else {}
    lines = []
    for shift in shifts:
        ours, full, base = (runs[name, shift] for name in (method, FULL, "zero_shot"))
        kept = iqm(ours["source_return"]) / iqm(ours["source_return_before"])
        before = iqm(base["target_return"])
        gains = [iqm(cell["target_return"]) - before for cell in (ours, full)]
        share = f"{gains[0] / gains[1]:.0%}" if gains[1] > 0.1 * gains[0] else "full gains next to nothing"
        both = joint.get(shift)
        possible = f"{both['source']:.0f}, {both['target']:.0f}" if both else ""
        lines.append([shift, possible, f"{kept:.0%}", f"{gains[0]:+.0f}", f"{gains[1]:+.0f}", share])
    return markdown_table(
        ["shift", "trained on both: source, target", "source return kept", f"{method} gains", "full gains", "share"],
        lines,
    )


def settings(names: list[str]) -> dict[str, dict[str, float]]:
    """The learning rate and the own number that tuning chose for every method."""
    chosen = {name: floats(method) for name, method in tune(names, False).items()}
    paths = {name: ("optimizer.learning_rate", COEFFICIENT.get(name)) for name in names}
    return {name: {path: chosen[name][path] for path in paths[name] if path in chosen[name]} for name in names}


def draw(runs: Runs, rows: list[dict[str, Any]], shifts: tuple[str, ...]) -> None:
    """Every method's area with its interval, and beside it the area on each shift as a map."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [row["method"] for row in rows]
    table = np.array([[iqm(runs[name, shift]["auc"]) for shift in shifts] for name in names])
    figure = Figure(figsize=(13, 2.2 + 0.19 * len(rows)), dpi=style.DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    bars, heat = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.15))
    looks = palette.looks([*REFERENCES, "zero_shot"])
    for place, row in enumerate(rows):
        estimate, known = row["auc"], row["method"] in looks
        colour = looks[row["method"]].colour if known else "#56B4E9"
        bars.plot([estimate.low, estimate.high], [place, place], color=colour, linewidth=4, solid_capstyle="butt")
        bars.plot(estimate.value, place, "o", color=colour, markersize=4, markeredgecolor="white", markeredgewidth=0.5)
    bars.set_yticks(range(len(rows)), names, fontsize=7)
    for label, row in zip(bars.get_yticklabels(), rows):
        label.set_fontweight("bold" if row["method"] in looks else "normal")
    bars.set_ylim(len(rows) - 0.5, -0.5)
    bars.grid(axis="x", color=palette.GRID)
    bars.spines[["top", "right"]].set_visible(False)
    bars.set_xlabel("area under the target curve, of 500: mean over shifts of the IQM, 95% interval", fontsize=8)
    image = heat.imshow(table, aspect="auto", cmap="cividis", vmin=0, vmax=500)
    heat.set_xticks(range(len(shifts)), shifts, rotation=40, ha="left", fontsize=7)
    heat.xaxis.tick_top()
    for (i, j), value in np.ndenumerate(table):
        heat.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=5, color="white" if value < 300 else "black")
    figure.colorbar(image, ax=heat, shrink=0.3, label="area, IQM over runs")
    counts = sorted({row["runs"] for row in rows})
    title = f"{len(rows)} methods on {len(shifts)} shifts, {' or '.join(map(str, counts))} runs each"
    figure.suptitle(title, x=0.02, ha="left")
    figure.savefig(RESULTS / "methods.png", dpi=style.DPI)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    runs = read()
    shifts = tuple(shift for shift in SHIFTS if all((name, shift) in runs for name in ft.METHODS))
    rows = measure(runs, shifts)
    (RESULTS / "leaderboard.md").write_text(leaderboard(rows) + "\n")
    table, facts = by_shift(runs, shifts)
    (RESULTS / "recommended.md").write_text(table + "\n")
    summary: dict[str, Any] = {"methods": len(rows), "runs": sorted({row["runs"] for row in rows}), "shifts": shifts}
    summary["mean"] = {row["method"]: row["auc"].value for row in rows}
    summary["areas"] = {
        row["method"]: {shift: float(iqm(runs[row["method"], shift]["auc"])) for shift in shifts} for row in rows
    }
    summary["settings"] = settings([row["method"] for row in rows])
    summary["recommended"] = {"method": RECOMMENDED, "shifts": facts}
    fresh = tuple(shift for method, shift in runs if method == RECOMMENDED and shift.startswith("fresh"))
    if fresh:
        table, facts = by_shift(runs, fresh)
        (RESULTS / "fresh_shifts.md").write_text(table + "\n")
        summary["fresh"] = facts
    (RESULTS / "retention.md").write_text(retention(runs, shifts, "imagine_both") + "\n")
    (RESULTS / "leaderboard.json").write_text(json.dumps(summary, indent=1) + "\n")
    draw(runs, rows, shifts)
    print((RESULTS / "leaderboard.md").read_text())


if __name__ == "__main__":
    main()
