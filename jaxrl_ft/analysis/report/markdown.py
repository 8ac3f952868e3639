"""The report of a comparison as one Markdown text; it reads no clock and no files, so equal input gives equal text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from jaxrl_ft.analysis.marks import cell, code, sentence
from jaxrl_ft.analysis.report.content import About
from jaxrl_ft.analysis.report.findings import cautions, findings
from jaxrl_ft.analysis.report.tables import cells, columns, markdown_table, meanings
from jaxrl_ft.analysis.statistics.standings import detectable
from jaxrl_ft.analysis.statistics.summary import Row, is_ok, ranked

HOW = (
    "Values are interquartile means over runs (the mean without the lowest and the highest quarter); in brackets are "
    "95% percentile bootstrap intervals, {repetitions:,} resamples, which resample pretrained agents and then runs "
    "within agents. Runs with the same index share agent and random keys across methods, so differences are taken and "
    "resampled in pairs. Returns are sums of rewards over an episode, without discount. The mean return during "
    "fine-tuning (AUC) is the area of the learning curve, in trapezoids over env steps, divided by the budget; what a "
    "method spends before its first update counts. Runs can detect a difference when a true one of that size has an "
    "interval without zero in as many comparisons as the power says. Failed runs are left out of the statistics and "
    "listed."
)
EPISODES = (
    " Each point of a learning curve is the mean of {eval_episodes} greedy episodes of a run; its returns on source "
    "and target are means of {episodes} greedy episodes after training, and those on held-out tasks of "
    "{held_out_episodes} on each task. The end of a curve and the return on the target are thus two "
    "measurements of the same policy."
)
FAILURE_COLUMNS = ("target", "method", "why", "runs")


def markdown_report(
    rows: Sequence[Row],
    about: About,
    *,
    figures: Mapping[str, Sequence[str | PurePath]] | None = None,
    runs: Sequence[Row] = (),
) -> str:
    """The report as Markdown: what was run, findings, tables and figures per target, and how to read them.

    Args:
        rows: summary rows from `summarise`.
        about: what was run.
        figures: target name -> paths of its figures, relative to the report.
        runs: the rows of single runs, for the smallest difference that could be detected and the list of failures.

    Raises:
        ValueError: no rows, or a figure with an absolute path (the report must survive being moved).
    """
    if not rows:
        raise ValueError("rows: [] is not allowed; a report needs at least one summary row")
    ordered, repetitions = ranked(rows), about.repetitions
    lines = [f"- {heading}: {sentence(text)}" for heading, text in facts(ordered, about)]
    parts = [f"# {sentence(about.title)}", "\n".join(lines)]
    parts += ["## Findings", *map(sentence, [*findings(ordered), *detectable(runs, repetitions)])]
    for target in dict.fromkeys(row["target"] for row in ordered):
        shift = f": {about.targets[target]}" if about.targets.get(target) else ""
        parts.append(f"## {cell(target)}{sentence(shift)}")
        of_target = [row for row in ordered if row["target"] == target]
        parts += [_table(of_target, "main"), _table(of_target, "rest")]
        parts += [_figure(target, path) for path in (figures or {}).get(target, ())]
    failed = failures(runs)
    if failed:
        parts += ["## Failed runs", markdown_table(FAILURE_COLUMNS, failed, text_columns=3, plain=True)]
    parts += ["## How to read this", how(repetitions, runs)]
    parts.append("\n".join(f"- **{heading}**: {meaning}." for heading, meaning in meanings() if heading != "target"))
    remarks = [*cautions(rows), *about.notes]
    if remarks:
        parts += ["## Notes", "\n".join(f"- {sentence(remark)}" for remark in remarks)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def how(repetitions: int, runs: Sequence[Row]) -> str:
    """How the numbers were made.

    Args:
        repetitions: resamples behind the intervals.
        runs: one mapping per run; the text has its `eval_episodes`, `episodes` and `held_out_episodes`, if any.
    """
    first = runs[0] if runs else {}
    counts = {name: first[name] for name in ("eval_episodes", "episodes", "held_out_episodes") if name in first}
    return HOW.format(repetitions=repetitions) + (EPISODES.format(**counts) if len(counts) == 3 else "")


def facts(rows: Sequence[Row], about: About) -> list[tuple[str, str]]:
    """What the numbers come from: headings and Markdown."""
    shifts = about.targets
    amounts_of = {"Seeds": about.seeds, "Budgets": about.budgets}
    amounts_of |= {"Versions": about.versions, "Hardware": about.hardware}
    named = dict.fromkeys(row["target"] for row in rows)
    texts = [code(target) + (f" ({shifts[target]})" if shifts.get(target) else "") for target in named]
    methods = dict.fromkeys(row["method"] for row in rows)
    lines = [("Source", about.source), (f"Target{'s' if len(texts) > 1 else ''}", ", ".join(texts))]
    lines.append(("Methods", ", ".join(map(code, methods))))
    for heading, entries in amounts_of.items():
        if entries:
            amounts = [f"{name} {_amount(value, heading == 'Budgets')}" for name, value in entries.items()]
            lines.append((heading, ", ".join(amounts)))
    return lines


def failures(runs: Sequence[Row]) -> list[list[object]]:
    """How many runs of each method failed on each target, and why; a list of cells under `FAILURE_COLUMNS` each."""
    counted = Counter((row["target"], row["method"], row["status"]) for row in runs if not is_ok(row))
    return [[target, method, status, count] for (target, method, status), count in sorted(counted.items())]


def _amount(value: object, commas: bool) -> str:
    """A whole number with commas if wanted, anything else as it prints."""
    return f"{value:,}" if commas and isinstance(value, int) else str(value)


def _table(rows: Sequence[Row], part: str) -> str:
    """One table of one target, without the column that would repeat its name."""
    return markdown_table(columns(part)[1:], [line[1:] for line in cells(rows, part)], text_columns=1, plain=True)


def _figure(target: str, path: str | PurePath) -> str:
    """A figure embedded by its relative path."""
    place = PurePath(path)
    if place.is_absolute():
        raise ValueError(f"figures: {str(path)!r} is not allowed; it must be relative to the report")
    words = place.stem.replace("_", " ").replace("-", " ")
    return f"![{cell(target)}: {words}](<{place.as_posix()}>)"
