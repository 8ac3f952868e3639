"""The report of a comparison as one HTML page: it loads nothing, reads no clock, and equal input gives equal text."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TypeVar

from numpy.typing import ArrayLike

from jaxrl_ft.analysis.figures.animation import animation_html
from jaxrl_ft.analysis.figures.panels import panels
from jaxrl_ft.analysis.figures.style import PAGE, PHONE
from jaxrl_ft.analysis.figures.svg import DARK, THEMED, inline_svg, variable
from jaxrl_ft.analysis.marks import one_line, pieces
from jaxrl_ft.analysis.report import measurements as measured
from jaxrl_ft.analysis.report import tables
from jaxrl_ft.analysis.report.content import About, LeftOut, Panel, Story
from jaxrl_ft.analysis.report.findings import cautions, findings
from jaxrl_ft.analysis.report.markdown import FAILURE_COLUMNS, facts, failures, how
from jaxrl_ft.analysis.report.measurements import Measurements
from jaxrl_ft.analysis.statistics.standings import detectable
from jaxrl_ft.analysis.statistics.summary import REFERENCES, Row, ranked

T = TypeVar("T")

PARTS = Path(__file__).parent / "page"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
"""What a browser may load: only what is in the page."""
FEW_TARGETS = 3
"""Paragraphs of findings that are shown without being asked for."""
LONG_NOTE = 200
"""Characters of a note that is shown without being asked for."""


def html_report(
    rows: Sequence[Row],
    runs: Sequence[Row],
    curves: ArrayLike,
    curve_steps: ArrayLike,
    about: About,
    *,
    files: Mapping[str, str] | None = None,
    measurements: Measurements | None = None,
    seed: int = 0,
) -> str:
    """The report as one HTML page that loads nothing: findings, a table to sort, figures, and how to read them.

    A figure without numbers is left out, and the page gives the reason.

    Args:
        rows: summary rows from `summarise`.
        runs: one mapping per run, R of them; `kl_from_base` among them gives the figure of divergence.
        curves: mean greedy returns [R, K].
        curve_steps: env steps [R, K].
        about: what was run.
        files: what lies beside the page, path relative to it -> what it holds.
        measurements: what else was measured.
        seed: a Python int.

    Raises:
        ValueError: no rows, or measurements whose shapes do not fit.
    """
    if not rows:
        raise ValueError("rows: [] is not allowed; a report needs at least one summary row")
    extra, ordered = measured.check(measurements or Measurements()), ranked(rows)
    story = Story(ordered, runs, curves, curve_steps, about.targets, extra, about.repetitions, seed)
    shown = list(panels(story))
    parts = [
        _header(about.title, facts(ordered, about), shown),
        "<main>",
        _findings(ordered, detectable(runs, about.repetitions, seed)),
        _table(ordered),
        _failed(runs),
        figures_html(shown),
        _left_out(shown),
        _how(how(about.repetitions, runs)),
        _notes([*cautions(rows), *about.notes]),
        "</main>",
        _footer(files or {}),
    ]
    return page(about.title, "\n".join(part for part in parts if part))


def prose(text: str) -> str:
    """Text as HTML: everything escaped, and what stands between backticks as code."""
    parts = pieces(one_line(text))
    return "".join(f"<code>{escape(part)}</code>" if is_code else escape(part) for part, is_code in parts)


def page(title: str, body: str) -> str:
    """A whole document with the style and the script of reports, which loads nothing.

    Args:
        title: of the window, as plain text.
        body: HTML.
    """
    light = "".join(f"{variable(colour)}:{colour};" for colour in THEMED)
    dark = "".join(f"{variable(colour)}:{shown};" for colour, shown in DARK.items())
    themes = f":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n"
    style, script = (PARTS.joinpath(name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{themes}{style}</style>\n</head>\n<body>\n{body}\n"
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _header(title: str, entries: Sequence[tuple[str, str]], shown: Sequence[Panel | LeftOut]) -> str:
    """The title, what was run, and where to find what."""
    lines = "".join(f"<dt>{escape(heading)}</dt><dd>{prose(text)}</dd>" for heading, text in entries)
    figures = dict.fromkeys((_slug(panel.section), panel.section) for panel in shown if isinstance(panel, Panel))
    places = [("findings", "Findings"), ("table", "Table"), *figures, ("how", "How to read this")]
    links = "".join(f'<a href="#{key}">{escape(text)}</a>' for key, text in places)
    return f'<header><h1>{escape(title)}</h1><dl>{lines}</dl><nav aria-label="contents">{links}</nav></header>'


def _findings(rows: Sequence[Row], detectable: Sequence[str]) -> str:
    """What the comparison shows, in sentences; those on single targets unfold where there are many."""
    paragraphs, others = (
        [f"<li>{prose(paragraph)}</li>" for paragraph in part] for part in (findings(rows), detectable)
    )
    if len(paragraphs) <= FEW_TARGETS:
        return f'<section id="findings"><h2>Findings</h2><ul>{"".join([*paragraphs, *others])}</ul></section>'
    *single, across = paragraphs
    return (
        f'<section id="findings"><h2>Findings</h2><ul>{"".join([across, *others])}</ul>'
        f"<details><summary>Target by target</summary><ul>{''.join(single)}</ul></details></section>"
    )


def _table(rows: Sequence[Row]) -> str:
    """All summary rows, to be sorted by any column and filtered by words."""
    main = set(tables.columns("main"))
    kinds = ["text", "text"] + ["" if heading in main else "rest" for heading in tables.columns()[2:]]
    meanings = dict(tables.meanings())
    head = "".join(
        f'<th scope="col"{_css(kind, place)} title="{escape(meanings[heading])}">'
        f'<button type="button">{escape(heading)}</button></th>'
        for place, (heading, kind) in enumerate(_method_first(list(zip(tables.columns(), kinds, strict=True))))
    )
    lines = "".join(
        _line(row, _method_first(cells), _method_first(keys), _method_first(kinds))
        for row, cells, keys in zip(rows, tables.cells(rows), tables.keys(rows), strict=True)
    )
    tools = (
        '<div class="tools" hidden><label>Filter <input type="search" placeholder="method or target"></label>'
        '<label><input type="checkbox"> all columns</label><span>Click a heading to sort.</span></div>'
    )
    return (
        f'<section id="table"><h2>Table</h2><div class="card filtered">{tools}<div class="scroll">'
        f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div></div></section>'
    )


def _method_first(entries: Sequence[T]) -> list[T]:
    """The method before the target, for it is what stays in sight."""
    return [entries[1], entries[0], *entries[2:]]


def _css(kind: str, place: int) -> str:
    """The class attribute of a cell; the first one of a line stays in sight."""
    names = " ".join(name for name in (kind, "" if place else "sticky") if name)
    return f' class="{names}"' if names else ""


def _line(row: Row, cells: Sequence[str], keys: Sequence[object], kinds: Sequence[str]) -> str:
    """One line of the table."""
    names = escape(f"{row['method']} {row['target']}")
    entries = []
    for place, (cell, key, kind) in enumerate(zip(cells, keys, kinds, strict=True)):
        tag = 'th scope="row"' if place == 0 else "td"
        value = key if isinstance(key, str) else f"{key:.9g}" if key == key else ""
        shown = _name(cell) if kind == "text" else _number(cell)
        entries.append(f'<{tag}{_css(kind, place)} data-v="{escape(value)}">{shown}</{tag[:2]}>')
    css_class = ' class="reference"' if row["method"] in REFERENCES else ""
    return f'<tr{css_class} data-names="{names}">{"".join(entries)}</tr>'


def _name(cell: str) -> str:
    """A name that a line may break after signs between its words."""
    return re.sub(r"([+_.,=/])", r"\1<wbr>", escape(cell))


def _number(cell: str) -> str:
    """A number, with what stands in brackets below it, so that a screen has room for all main columns."""
    return re.sub(r" ([\[(].*)$", r" <small>\1</small>", escape(cell))


def _failed(runs: Sequence[Row]) -> str:
    """How many runs failed, and why; empty when none did."""
    failed = failures(runs)
    if not failed:
        return ""
    head = "".join(f'<th scope="col" class="text">{heading}</th>' for heading in FAILURE_COLUMNS)
    lines = "".join(
        "<tr>" + "".join(f'<td class="text">{escape(str(cell))}</td>' for cell in line) + "</tr>" for line in failed
    )
    return (
        '<section id="failed"><h2>Failed runs</h2><div class="card warning"><p>Left out of all statistics.</p>'
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div></div></section>'
    )


def figures_html(shown: Sequence[Panel | LeftOut]) -> str:
    """All figures with their captions, those of a kind under one heading."""
    kinds: dict[str, list[str]] = {}
    for panel in shown:
        if isinstance(panel, Panel):
            kinds.setdefault(panel.section, []).append(_figure(panel))
    return "\n".join(
        f'<section id="{_slug(section)}"><h2>{escape(section)}</h2>{"".join(figures)}</section>'
        for section, figures in kinds.items()
    )


def _slug(section: str) -> str:
    """The id of a section."""
    return "-".join(["section", *re.findall(r"[a-z]+", section.lower())])


def _figure(panel: Panel) -> str:
    """One figure: drawn twice, for a page and for a phone, of which one is shown."""
    heading = f"<h3>{escape(panel.title)}</h3>" if panel.title else ""
    caption = f"<figcaption>{prose(panel.caption)}</figcaption>"
    if panel.draw is None:
        animation = animation_html(panel.animation) if panel.animation is not None else ""
        label = f'class="animation" role="group" aria-label="{escape(panel.alt)}"'
        return f'<figure id="{panel.key}" {label}>{heading}{animation}{caption}</figure>'
    sizes = (("fixed", PAGE),) if panel.wide else (("large", PAGE), ("small", PHONE))
    drawings = "".join(inline_svg(panel.draw(paper), f"{panel.key}-{size}", panel.alt, size) for size, paper in sizes)
    drawings = f'<div class="scroll">{drawings}</div>' if panel.wide else drawings
    return f'<figure id="{panel.key}">{heading}{drawings}{caption}</figure>'


def _left_out(shown: Sequence[Panel | LeftOut]) -> str:
    """Which figures are missing, and why; empty when none is."""
    missing = [panel for panel in shown if isinstance(panel, LeftOut)]
    if not missing:
        return ""
    lines = "".join(f"<li>{escape(panel.title)}: {prose(panel.why)}.</li>" for panel in missing)
    return f'<section id="left-out" class="missing"><h2>Left out</h2><ul>{lines}</ul></section>'


def _how(text: str) -> str:
    """How the numbers were made, and what every column means."""
    columns = "".join(f"<dt>{escape(name)}</dt><dd>{escape(meaning)}</dd>" for name, meaning in tables.meanings())
    unfold = f"<details><summary>What the columns mean</summary><dl>{columns}</dl></details>"
    return f'<section id="how"><h2>How to read this</h2><p>{escape(text)}</p>{unfold}</section>'


def _notes(notes: Sequence[str]) -> str:
    """Remarks; long ones unfold."""
    if not notes:
        return ""
    return (
        f'<section id="notes"><h2>Notes</h2><ul>{"".join(f"<li>{_note(note)}</li>" for note in notes)}</ul></section>'
    )


def _note(note: str) -> str:
    """A remark, or its beginning with the rest to unfold."""
    if len(note) <= LONG_NOTE:
        return prose(note)
    beginning = note.split(":")[0] if ":" in note[:80] else note[:60] + " ..."
    return f"<details><summary>{prose(beginning)}</summary>{prose(note)}</details>"


def _footer(files: Mapping[str, str]) -> str:
    """What lies beside the page."""
    beside = ", ".join(f'<a href="{escape(path)}">{escape(path)}</a> ({prose(what)})' for path, what in files.items())
    words = f"Beside this page: {beside}. " if beside else ""
    return f"<footer><p>{words}This page loads nothing and can be moved by itself.</p></footer>"
