"""The search that a command line of `sweep` asks for, resolved and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxrl_ft.core import checks
from jaxrl_ft.core.config import to_json
from jaxrl_ft.core.files import Json
from jaxrl_ft.envs.catalogue import validation_tasks
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods import grids, spaces
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.spaces import Dimensions, Range
from jaxrl_ft.sweeps import optuna_proposals
from jaxrl_ft.sweeps.proposals import SEARCHES

EXAMPLE = "optimizer.learning-rate=1e-4:1e-2:log"


class Flags(Protocol):
    """The flags of a search."""

    @property
    def search(self) -> str | None:
        """Its kind; None for no search."""

    @property
    def space(self) -> Sequence[str]:
        """FIELD=RANGE for each field."""

    @property
    def trials(self) -> int:
        """The budget of each method."""

    @property
    def search_seeds(self) -> int:
        """Runs of a trial on each task."""

    @property
    def grid(self) -> Sequence[str]:
        """Values that all run."""


@dataclass(frozen=True)
class SearchSettings:
    """A search, before there are agents.

    Attributes:
        kind: one of SEARCHES.
        space: ranges and choices by field, as they were given.
        dimensions: what may be chosen for each method that has a field of the space.
        trials: the budget of each method in trials of full length.
        seeds: runs of a trial on each task.
        validation: tasks by name.
        methods: those that are searched.
    """

    kind: str
    space: Mapping[str, str]
    dimensions: Mapping[str, Dimensions]
    trials: int
    seeds: int
    validation: Mapping[str, Task]
    methods: Mapping[str, Method]

    def plan(self) -> dict[str, Json]:
        """Everything that decides the result of a search, as JSON."""
        return {
            "kind": self.kind,
            "space": {name: _json(own) for name, own in self.dimensions.items()},
            "trials": self.trials,
            "seeds": self.seeds,
            "validation": {name: to_json(task) for name, task in self.validation.items()},
        }

    def corners(self) -> dict[str, Method]:
        """Methods at the ends of the space, by name, to be checked."""
        return {
            grids.named(name, self.methods[name], point, own.of): grids.changed(self.methods[name], point)
            for name, own in self.dimensions.items()
            for point in own.corners()
        }


def resolve(
    flags: Flags,
    methods: Mapping[str, Method],
    source: Task,
    targets: Mapping[str, Task],
    held_out: Mapping[str, Sequence[tuple[str, Task]]],
) -> SearchSettings | None:
    """The search that the flags ask for; None where they ask for none.

    Raises:
        ValueError: something is not allowed, or optuna is not installed; in one line.
    """
    if flags.search is None:
        if flags.space:
            raise ValueError(f"space: is not allowed without --search, which is one of {', '.join(SEARCHES)}")
        return None
    kind = checks.choice("search", flags.search, SEARCHES)
    if not flags.space:
        raise ValueError(f"search: needs --space, such as {EXAMPLE}")
    if flags.grid:
        raise ValueError("grid: is not allowed with --search; give the values to --space")
    if kind == "optuna":
        optuna_proposals.check()
    space: dict[str, str] = {}
    for field, values in map(_field, flags.space):
        if field in space:
            raise ValueError(f"space: {field!r} is given twice; give one range, or all choices together")
        space[field] = values
    dimensions = spaces.dimensions(methods, space)
    return SearchSettings(
        kind=kind,
        space=space,
        dimensions=dimensions,
        trials=flags.trials,
        seeds=flags.search_seeds,
        validation=validation_tasks(source, targets, held_out),
        methods={name: methods[name] for name in dimensions},
    )


def _field(word: str) -> tuple[str, str]:
    field, equals, values = word.partition("=")
    if not equals or not values:
        raise ValueError(f"space: {word!r} is not allowed; it must be FIELD=LOW:HIGH, FIELD=LOW:HIGH:log or FIELD=V,V")
    return field.replace("-", "_"), values


def _json(dimensions: Dimensions) -> dict[str, Json]:
    return {path: vars(one) if isinstance(one, Range) else list(one) for path, one in dimensions.of.items()}
