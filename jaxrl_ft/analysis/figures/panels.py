"""The figures of a report: what each shows, of how many runs, how its intervals were made; and which are left out."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from jaxrl_ft.analysis.figures import curves, leaderboard, maps, scatters
from jaxrl_ft.analysis.marks import code
from jaxrl_ft.analysis.report.content import (
    LeftOut,
    Panel,
    Story,
    counted,
    listed,
    which_methods,
)
from jaxrl_ft.analysis.report.measurements import KL_COLUMN, PhysicsGrid
from jaxrl_ft.analysis.report.tables import format_interval, format_number, runs_in_words
from jaxrl_ft.analysis.statistics import standings
from jaxrl_ft.analysis.statistics.standings import Standing
from jaxrl_ft.analysis.statistics.summary import RIVALS, Row, chosen_methods, interval
from jaxrl_ft.core.curves import Floats

MOST_LINES, MOST_SIGNS = 8, 16
"""Most methods drawn as lines, and as signs."""
MOST_COLUMNS = 8
"""Most columns of a map that a phone has room for."""
PROFILE_POINTS = 101
GRIDS, ANIMATIONS = "Returns over physics", "Before and after, in motion"


def panels(story: Story) -> Iterator[Panel | LeftOut]:
    """Every figure of a report in order, drawn only when asked to."""
    ranking = standings.standings(story.runs, "auc", story.repetitions, story.seed)
    yield _leaderboard(story, ranking)
    yield _improvement(story)
    yield _profiles(story, ranking)
    yield _heat_map(story, ranking)
    for number, target in enumerate(story.targets, 1):
        yield _curves(story, target, number)
    yield _source_target(story, ranking)
    yield _divergence(story, ranking)
    yield from _grids(story)
    yield from _animations(story)


def _leaderboard(story: Story, ranking: Sequence[Standing]) -> Panel | LeftOut:
    title = "Leaderboard"
    if not ranking:
        return LeftOut(title, "no method finished a run on every shift")
    many = len(story.targets) > 1
    mean = f"the mean over {len(story.targets)} shifts of the interquartile mean over runs" if many else (
        "the interquartile mean over runs"
    )  # fmt: skip
    missing = {row["method"] for row in story.rows} - {standing.method for standing in ranking}
    absent = f" Without {_listed(missing)}, which did not finish a run on every shift." if missing else ""
    caption = (
        f"Mean return during fine-tuning (AUC, the area under the learning curve): {mean}, {counted(ranking)} "
        f"{story.where()}. {story.bootstrap('Bars')}. Dashed lines stand where `zero_shot` and `scratch` do.{absent}"
    )
    alt = "Dots with intervals, best first: " + listed(ranking)
    heading = "Mean return during fine-tuning (AUC)"
    return Panel(
        "leaderboard", title, "", caption, alt, partial(leaderboard.draw_leaderboard, ranking, story.looks, heading)
    )


def _improvement(story: Story) -> Panel | LeftOut:
    title = "Probability of improvement"
    found = {rival: standings.improvements(story.runs, rival, "auc", story.repetitions, story.seed) for rival in RIVALS}
    over = {rival: of_rival for rival, of_rival in found.items() if of_rival}
    if not over:
        return LeftOut(title, "it needs two finished runs of a method and of `scratch` or `full` on every shift")
    signs = " and ".join(f"{sign} over {code(rival)}" for sign, rival in zip(("filled signs", "hollow signs"), over))
    every = [standing for of_rival in over.values() for standing in of_rival]
    caption = (
        f"The chance that a run's AUC is above that of a run of the rival drawn at random, ties counting half, a mean "
        f"over shifts; {signs}; {counted(every)} {story.where()}. {story.bootstrap('Bars')}, the same runs of both. "
        "At a half neither is better."
    )
    alt = ". ".join(f"Over {rival}: {listed(of_rival)}" for rival, of_rival in over.items())
    return Panel("improvement", title, "", caption, alt, partial(leaderboard.draw_improvements, over, story.looks))


def _profiles(story: Story, ranking: Sequence[Standing]) -> Panel | LeftOut:
    title = "Performance profiles"
    chosen = chosen_methods([standing.method for standing in ranking], MOST_LINES)
    runs = [row for row in story.runs if row["method"] in chosen]
    values = [
        score for of in standings.scored(runs, "target_return").values() for o in of.values() for score in o.values()
    ]
    if not ranking or not values:
        return LeftOut(title, "no method finished a run on every shift")
    low, high = min(values), max(values)
    thresholds = np.linspace(low, high if high > low else low + 1.0, PROFILE_POINTS)
    repetitions = min(500, story.repetitions)
    lines = standings.profiles(runs, thresholds, "target_return", repetitions, story.seed)
    lines.sort(key=lambda line: chosen.index(line.method))
    caption = (
        f"The share of runs, all shifts together, whose return on the target at the end of the budget is above the "
        f"value below; {which_methods(chosen, ranking)}{counted(lines)} {story.where()}. "
        f"{story.bootstrap('Bands', repetitions)}, at each value by itself. Higher is better; a line that falls late "
        "is of a method whose worst runs are good too."
    )
    alt = "Lines that fall from 1 to 0. Share of runs above the middle of the range: " + ", ".join(
        f"{line.method} {line.estimate.value[PROFILE_POINTS // 2]:.2f}" for line in lines
    )
    heading = "Return on the target at the end"
    return Panel(
        "profiles", title, "", caption, alt, partial(leaderboard.draw_profiles, lines, thresholds, story.looks, heading)
    )


def _heat_map(story: Story, ranking: Sequence[Standing]) -> Panel | LeftOut:
    title = "Methods and shifts"
    if len(story.targets) < 2:
        return LeftOut(title, "there is one shift, and the leaderboard shows it")
    if not any(np.isfinite(row["auc"]) for row in story.rows):
        return LeftOut(title, "no run finished")
    cells = {(row["method"], row["target"]): row for row in story.rows}
    best_first = [standing.method for standing in ranking]
    methods = best_first + [
        name for name in dict.fromkeys(row["method"] for row in story.rows) if name not in best_first
    ]
    caption = (
        "Numbers are interquartile means of the mean return during fine-tuning (AUC), colours the difference from "
        "`scratch` on that shift: blue above it, vermilion below, the stronger the larger. Bold where the 95% "
        f"bootstrap interval of the paired difference ({story.repetitions:,} resamples of agents, then runs) leaves "
        f"out zero; {runs_in_words([row['n_ok'] for row in story.rows])} in a cell."
    )
    alt = "; ".join(f"{target}: " + _told_cells(cells, methods, target) for target in story.targets)
    draw = partial(maps.draw_heat_map, cells, methods, story.targets)
    return Panel("shifts", title, "", caption, alt, draw, wide=len(story.targets) > MOST_COLUMNS)


def _curves(story: Story, target: str, number: int) -> Panel | LeftOut:
    text = f" ({story.texts[target]})" if story.texts.get(target) else ""
    section = "Learning curves"
    repetitions = min(1000, story.repetitions)
    try:
        bands = curves.learning_bands(
            story.runs, story.curves, story.curve_steps, target, MOST_LINES, repetitions, story.seed
        )
    except ValueError:
        return LeftOut(section, f"on {code(target)} no run finished with finite returns")
    caption = (
        f"Greedy return on {code(target)}{text} against env steps spent there, probes included; {bands.hidden}lines "
        f"are interquartile means of {bands.counted}. {story.bootstrap('Bands', repetitions)}, at each point by "
        f"itself. {story.episodes()}The dashed line is the pretrained agent as it is, the thick one a fresh policy on "
        "the same budget."
    )
    ends = ", ".join(f"{name} {format_number(float(band.value[-1]))}" for name, _, band in bands.lines)
    alt = f"Lines of return against env steps on {target}. At the end: {ends}"
    draw = partial(curves.draw_bands, bands)
    return Panel(f"curves-{number}", section, target, caption, alt, draw)


def _source_target(story: Story, ranking: Sequence[Standing]) -> Panel | LeftOut:
    title = "Kept on the source, gained on the target"
    chosen = chosen_methods([standing.method for standing in ranking], MOST_SIGNS)
    runs = [row for row in story.runs if row["method"] in chosen]
    points = scatters.kept_and_gained(runs)
    if not len(points.x):
        return LeftOut(title, "no run has a return on both source and target")
    ends = [
        standings.standings(runs, column, story.repetitions, story.seed)
        for column in ("source_return", "target_return")
    ]
    signs = " (mean over shifts)" if len(story.targets) > 1 else ""
    caption = (
        f"Each pale point is a run after fine-tuning ({len(points.x):,} in all); each sign is its method's "
        f"interquartile mean over runs{signs}, {which_methods(chosen, ranking)}{counted(ends[1])} {story.where()}. "
        f"{story.bootstrap('Bars')}. Signs that would hide one another stand beside their place. Right is kept, "
        "left is forgotten, up is learned; `zero_shot` is where all begin."
    )
    kept = {standing.method: standing.estimate.value for standing in ends[0]}
    alt = "Source and target return: " + ", ".join(
        f"{end.method} {format_number(kept.get(end.method, np.nan))} and {format_number(end.estimate.value)}"
        for end in ends[1]
    )
    return Panel(
        "forgetting",
        title,
        "",
        caption,
        alt,
        partial(scatters.draw_source_target, points, ends[0], ends[1], story.looks),
    )


def _divergence(story: Story, ranking: Sequence[Standing]) -> Panel | LeftOut:
    title = "Divergence from the pretrained policy and forgetting"
    points = scatters.divergence_and_forgetting(story.runs)
    if not len(points.x):
        return LeftOut(
            title, f"the runs have no finite `{KL_COLUMN}`: the divergence from the pretrained policy was not measured"
        )
    value = scatters.correlation(points, min(500, story.repetitions), story.seed)
    if len(set(points.methods)) > MOST_SIGNS:
        chosen = chosen_methods([standing.method for standing in ranking], MOST_SIGNS)
        shown = scatters.divergence_and_forgetting([row for row in story.runs if row["method"] in chosen])
    else:
        shown = points
    caption = (
        f"Each pale point is a run ({len(shown.x):,} of {len(points.x):,}), each sign the interquartile mean of one "
        "method's runs on one shift. Across: KL(pretrained ‖ fine-tuned) in nats, the mean over the states that the "
        "fine-tuned policy visits on its target when it samples its actions. Up: return on the source before "
        "fine-tuning less that after. Spearman's rank "
        f"correlation over all runs is {format_interval(*value, signed=True)}; "
        f"{story.bootstrap('in brackets', min(500, story.repetitions))}. Points and signs have no intervals; signs "
        "that would hide one another stand beside their place."
    )
    alt = f"Points of return lost on the source against divergence; rank correlation {value.value:.2f}"
    return Panel("divergence", title, "", caption, alt, partial(scatters.draw_divergence, shown, story.looks))


def _grids(story: Story) -> Iterator[Panel | LeftOut]:
    if not story.measurements.grids:
        yield LeftOut(GRIDS, "returns over a grid of physics were not measured")
    for number, grid in enumerate(story.measurements.grids, 1):
        yield _grid(grid, number)


def _grid(grid: PhysicsGrid, number: int) -> Panel:
    places = [
        f"{how} frame: {which}"
        for how, which, place in (("dashed", "source", grid.source), ("solid", "target", grid.target_cell))
        if place is not None
    ]
    caption = (
        f"Mean greedy return of the pretrained agents as they are (zero-shot) and of {code(grid.method)} fine-tuned on "
        f"{code(grid.target)}, over {_grid_names(grid)} with everything else as on that target; "
        f"{runs_in_words([grid.runs])}, {grid.episodes} episodes each, in every cell, without intervals. "
        + ("; ".join(places).capitalize() + "." if places else "")
    )
    before, after = (np.asarray(values, np.float64) for values in (grid.before, grid.after))
    means = f"zero-shot {_mean_in_words(before)}, fine-tuned {_mean_in_words(after)}"
    alt = f"Two maps over {_grid_names(grid)}. Mean over all cells: {means}"
    draw = partial(maps.draw_physics_grid, grid, "zero-shot", f"{grid.method}, fine-tuned")
    return Panel(f"physics-{number}", GRIDS, f"{grid.method} on {grid.target}", caption, alt, draw)


def _animations(story: Story) -> Iterator[Panel | LeftOut]:
    if not story.measurements.animations:
        yield LeftOut(ANIMATIONS, "no episodes were recorded")
    for number, shown in enumerate(story.measurements.animations, 1):
        steps = [len(episode.push) for episode in (shown.before, shown.after)]
        label = shown.world.chart(np.asarray(shown.after.motion)).label
        caption = (
            f"Run {shown.run} on {code(shown.target)}, acting greedily from one start, before fine-tuning and after "
            f"{code(shown.method)}: one episode each, chosen by its number and not by its return. Drawn from the "
            f"recorded states; below, the {label} over time."
        )
        alt = f"Two drawings in motion, {shown.world.noun}: {steps[0]} steps before fine-tuning, {steps[1]} after"
        name = f"{shown.method} on {shown.target}"
        yield Panel(f"animation-{number}", ANIMATIONS, name, caption, alt, None, shown)


def _told_cells(cells: Mapping[tuple[str, str], Row], methods: Sequence[str], target: str) -> str:
    there = [(method, cells[method, target]) for method in methods if (method, target) in cells]
    return ", ".join(f"{method} {format_number(interval(row, 'auc').value)}" for method, row in there)


def _listed(names: set[str]) -> str:
    return ", ".join(f"{code(name)}" for name in sorted(names))


def _grid_names(grid: PhysicsGrid) -> str:
    return " and ".join(name.replace("_", " ") for name in grid.names)


def _mean_in_words(values: Floats) -> str:
    return format_number(float(np.nanmean(values))) if np.isfinite(values).any() else "unknown"
