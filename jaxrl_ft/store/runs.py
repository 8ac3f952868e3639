"""Agents from the directory of a run, or from one that `save` wrote."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.store import checkpoints, run_directory, zoo
from jaxrl_ft.training.agents import Agents

SOURCE = "source"
"""In the place of a method: the pretrained agents."""
BESIDE = ("zero_shot", "scratch", "full")
"""Methods that every run has beside the one that was asked for."""


@dataclass(frozen=True, eq=False)
class Found:
    """Agents of a run."""

    agents: Agents
    """the agents"""
    parent: Agents | None
    """the agents that they were fine-tuned from, where these lie beside them"""
    path: Path
    """where they lie"""


def find(path: str | Path, method: str | None = None, target: str | None = None, field: str = "run") -> Found:
    """The agents of a method and a target among those of a run; or those that `save` wrote, which have neither.

    Args:
        path: the directory of a run of `train` or `sweep`, or of saved agents; or `zoo:NAME` for one of the zoo.
        method: the method, or `source` for the pretrained agents. Without it, the one method that runs beside
            zero_shot, scratch and full.
        target: the name of the target. Without it, the only one.
        field: what the user calls the path.

    Raises:
        ValueError: the directory holds no agents, none of that method and target, or several; names those that there
            are.
    """
    directory = Path(path)
    try:
        if not (directory / run_directory.MARKER).exists():
            return _saved(directory, method, target)
        source = run_directory.source_path(directory)
        if method == SOURCE:
            return Found(checkpoints.load(source), None, source)
        place = _chosen(source.parent, method, target)
        return Found(checkpoints.load(place), checkpoints.load(source), place)
    except OSError as error:
        raise ValueError(f"{field}: {str(directory)!r} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


def side_by_side(path: str | Path, method: str | None = None, target: str | None = None) -> dict[str, Agents]:
    """The agents of a method and a target, and before them those to compare them with: `base` and `scratch`.

    Of a run, agent i of each belongs to run i. Saved agents, and the pretrained ones of a run, stand alone.

    Args:
        path: as in `find`.
        method: as in `find`.
        target: as in `find`.

    Raises:
        ValueError: as `find`.
    """
    found = find(path, method, target)
    if found.parent is None:
        return {SOURCE if method == SOURCE else found.path.name: found.agents}
    of_target, _, name = found.path.name.rpartition("+")
    shown = {"base": found.parent.select(np.arange(found.agents.num_seeds) % found.parent.num_seeds)}
    beside = found.path.with_name(f"{of_target}+scratch")
    if of_target and beside.is_dir() and beside != found.path:
        shown["scratch"] = checkpoints.load(beside)
    return {**shown, name: found.agents}


def _saved(directory: Path, method: str | None, target: str | None) -> Found:
    if method is not None or target is not None:
        raise ValueError(f"{str(directory)!r} is not the directory of a run, which alone has methods and targets")
    parent = zoo.parent_of(directory)
    return Found(checkpoints.load(directory), None if parent is None else checkpoints.load(parent), directory)


def _chosen(folder: Path, method: str | None, target: str | None) -> Path:
    """The directory of the agents of a method and a target.

    Raises:
        ValueError: there is none, or there are several.
    """
    names = sorted(place.name for place in folder.glob("*+*") if place.is_dir())
    if not names:
        raise ValueError(
            f"{str(folder.parent)!r} holds no fine-tuned agents; --method {SOURCE} takes the pretrained ones"
        )
    fitting = [name for name in names if _fits(name, folder, method, target)]
    if method is None and len(fitting) > 1:
        others = [name for name in fitting if not name.endswith(tuple(f"+{one}" for one in BESIDE))]
        fitting = others or fitting
    if len(fitting) == 1:
        return folder / fitting[0]
    asked = " and ".join(f"{what} {value!r}" for what, value in (("method", method), ("target", target)) if value)
    if fitting:
        raise ValueError(
            f"{str(folder.parent)!r} holds agents of several{f' with {asked}' if asked else ''}; choose with --method "
            f"and --target among target+method: {', '.join(fitting)}"
        )
    wanted = f"{target or ''}+{method or ''}"
    raise ValueError(
        f"{str(folder.parent)!r} holds no agents of {asked}{checks.nearest(wanted, names)} (target+method: "
        f"{', '.join(names)})"
    )


def _fits(name: str, folder: Path, method: str | None, target: str | None) -> bool:
    if method is not None and target is not None:
        return name == run_directory.agents_path(folder.parent, method, target).name
    # A name is spelt as `agents_path` spells it; what the other half is called does not matter.
    if method is not None:
        return name.endswith(run_directory.agents_path(folder.parent, method, "").name)
    return target is None or name.startswith(run_directory.agents_path(folder.parent, "", target).name)
