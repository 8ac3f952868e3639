"""Files of a running sweep: its plan, what it runs with, and one for each finished cell and trial; all are sealed."""

import json
import math
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from jaxrl_ft.core import bundle, machine
from jaxrl_ft.core.files import Json
from jaxrl_ft.core.json_files import read_sealed, write_sealed
from jaxrl_ft.store import checkpoints, run_directory
from jaxrl_ft.sweeps.proposals import Proposal, Trial
from jaxrl_ft.training.agents import Agents

PLAN, CONDITIONS, CELLS = "plan.json", "conditions.json", "cells"
SEARCH, STUDY = "search", "optuna.sqlite3"
ALLOW = "--allow-changes"
"""The flag with which a sweep goes on under other conditions."""


class Finished(NamedTuple):
    """A cell that has been trained and evaluated."""

    number: int
    method: str
    target: str
    agents: Agents
    rows: list[dict[str, Json]]
    """as in `Comparison.runs`"""


def check_plan(path: Path, plan: Mapping[str, Json], field: str = "out") -> None:
    """Refuse a directory that holds another plan; write no file.

    Args:
        path: the directory.
        plan: everything that decides the numbers.
        field: what the user calls the directory.

    Raises:
        ValueError: it does; the first part that differs is named.
    """
    file = path / PLAN
    if not file.exists():
        return
    try:
        theirs = dict(read_sealed(file))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{field}: the plan cannot be read: {error}; give another directory") from None
    ours = json.loads(run_directory.as_json(plan))
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        if ours.get(name) != theirs.get(name):
            raise ValueError(f"{field}: {str(path)!r} holds another plan, which differs in {name!r}; give another one")


def write_plan(path: Path, plan: Mapping[str, Json], field: str = "out") -> None:
    """Write the plan into the directory, which must hold no other; the arguments are those of `check_plan`."""
    check_plan(path, plan, field)
    (path / CELLS).mkdir(exist_ok=True)
    write_sealed(path / PLAN, run_directory.plain(plan))


def check_conditions(path: Path, facts: Mapping[str, str], allow: bool = False) -> None:
    """Refuse to go on under other conditions than those that the directory was begun with; keep the present ones.

    Args:
        path: the directory.
        facts: what the numbers depend on beside the plan, by name: versions, devices, a digest of the agents.
        allow: go on all the same.

    Raises:
        ValueError: a fact has another value.
    """
    file = path / CONDITIONS
    try:
        theirs = dict(read_sealed(file)) if file.exists() else {}
    except (TypeError, ValueError) as error:
        raise ValueError(f"out: the conditions cannot be read: {error}; give another directory") from None
    differences = machine.differences(theirs, facts)
    if differences and not allow:
        changed = ", ".join(f"{name}: {before} then, {now} now" for name, before, now in differences)
        raise ValueError(
            f"out: {str(path)!r} was begun under other conditions ({changed}); give another directory, or {ALLOW} to "
            "mix them, of which the report tells"
        )
    write_sealed(file, {**theirs, **facts})


def mixed(cells: Iterable[Mapping[str, Json]]) -> list[str]:
    """A sentence for each fact that is not the same in all cells."""
    conditions = [cell["made_with"] for cell in cells]
    names = dict.fromkeys(name for facts in conditions for name in facts)
    sentences = []
    for name in names:
        values = [facts.get(name, "not known") for facts in conditions]
        counts = {value: values.count(value) for value in dict.fromkeys(values)}
        if len(counts) > 1:
            shares = " and ".join(f"{value} ({count} cells)" for value, count in counts.items())
            sentences.append(f"The cells were not made under the same conditions; {name}: {shares}.")
    return sentences


def keep(path: Path, cell: Finished, facts: Mapping[str, str]) -> dict[str, Json]:
    """Write a finished cell and its agents; returns the cell as the directory has it.

    Args:
        path: the directory.
        cell: the cell.
        facts: the conditions that it was made under.
    """
    stored = {
        "made_with": dict(facts),
        "number": cell.number,
        "method": cell.method,
        "target": cell.target,
        "rows": cell.rows,
        "curve": cell.agents.curve,
        "curve_steps": cell.agents.curve_steps,
        "report": list(cell.agents.report),
    }
    checkpoints.save(cell.agents, run_directory.agents_path(path, cell.method, cell.target))
    write_cell(path, cell.number, stored)
    return read_back(stored)


def whole_cells(path: Path) -> tuple[dict[int, dict[str, Json]], list[str]]:
    """The finished cells by number whose file and agents are whole, and what is wrong with the others.

    Damaged agents are moved aside, so that the cell can be written again.
    """
    found, damaged = cells(path)
    for number, cell in list(found.items()):
        agents = run_directory.agents_path(path, cell["method"], cell["target"])
        try:
            bundle.read_bundle(agents)
        except ValueError as error:
            damaged.append(str(error))
            del found[number]
            if agents.exists():
                agents.rename(agents.with_name(f".{agents.name}.damaged-{secrets.token_hex(4)}"))
    return found, damaged


def finished_cell(path: Path, cell: Mapping[str, Json]) -> Finished:
    """A cell that the directory has, with its agents."""
    number, method, target = (cell[name] for name in ("number", "method", "target"))
    agents = checkpoints.load(run_directory.agents_path(path, method, target))
    return Finished(number, method, target, agents, cell["rows"])


def write_cell(path: Path, number: int, cell: Mapping[str, Json]) -> None:
    """Write a finished cell, whole or not at all."""
    write_sealed(path / CELLS / f"{number:06d}.json", run_directory.plain({**cell, "number": number}))


def cells(path: Path) -> tuple[dict[int, dict[str, Json]], list[str]]:
    """The finished cells by number, in which a number that was not finite is NaN, and what is wrong with the others."""
    found, damaged = _readable((path / CELLS).glob("[0-9]*.json"))
    whole: dict[int, dict[str, Json]] = {}
    for file, cell in found.items():
        number = int(file.stem)
        if not isinstance(cell, dict) or cell.get("number") != number:
            damaged.append(f"{file}: is not the cell of this number")
        else:
            whole[number] = read_back(cell)
    return whole, damaged


def _readable(files: Iterable[Path]) -> tuple[dict[Path, Json], list[str]]:
    found, damaged = {}, []
    for file in sorted(files):
        try:
            found[file] = read_sealed(file)
        except ValueError as error:
            damaged.append(str(error))
    return found, damaged


def read_back(cell: dict[str, Json]) -> dict[str, Json]:
    """The cell that was written as this JSON, in which NaN is null; in place."""
    for row in cell["rows"]:
        row.update({name: math.nan for name, value in row.items() if value is None})
    return cell


def anything_finished(path: Path) -> bool:
    """Whether a cell, or a trial of a search, is finished."""
    return any([*(path / CELLS).glob("[0-9]*.json"), *(path / SEARCH).glob("*-[0-9]*.json")])


def study_path(path: Path) -> Path:
    """The SQLite file of optuna, beside the trials."""
    return path / SEARCH / STUDY


def write_trial(path: Path, trial: Trial) -> None:
    """Write a finished trial of a search, whole or not at all."""
    (path / SEARCH).mkdir(exist_ok=True)
    fields = run_directory.plain({**trial._asdict(), "proposal": trial.proposal._asdict()})
    write_sealed(path / SEARCH / f"{trial.proposal.method}-{trial.proposal.number:06d}.json", fields)


def trials(path: Path) -> tuple[list[Trial], list[str]]:
    """The finished trials, in which a score that was not finite is NaN, and what is wrong with the others."""
    read, damaged = _readable((path / SEARCH).glob("*-[0-9]*.json"))
    found = []
    for fields in read.values():
        scores = {task: math.nan if score is None else score for task, score in fields["scores"].items()}
        score = math.nan if fields["score"] is None else fields["score"]
        found.append(Trial(**{**fields, "proposal": Proposal(**fields["proposal"]), "score": score, "scores": scores}))
    return found, damaged
