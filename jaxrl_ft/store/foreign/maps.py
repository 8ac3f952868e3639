"""Other observations and actions than the file's: rows and columns of kernels by sensor and by action.

What is new starts without an effect, so that the policy does what it did: a new sensor is multiplied by zero, a new
continuous action is 0 (squashed, the middle of its bounds), and a new discrete action stays behind the others.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.envs.task import Task

Given: TypeAlias = Mapping[str | int, int | None] | Sequence[str | int | None]
"""What `obs_map=` and `action_map=` take."""
# A new discrete action is as good as the mean of the known ones, which is at most the best, and this much less.
BEHIND = 10.0


class Map(NamedTuple):
    """For each entry here the place of the file's, or -1 where it is new; and the size of the file's."""

    places: np.ndarray
    size: int

    @property
    def new(self) -> np.ndarray:
        """Which entries are new."""
        return self.places < 0

    @property
    def left_out(self) -> list[int]:
        """The file's entries that have no place here."""
        return sorted(set(range(self.size)) - set(self.places.tolist()))


def sensors(task: Task) -> list[str]:
    """The name of each entry of an observation, such as `position` or `velocity[1]`."""
    names: list[str] = []
    for part, shape in task.obs_shapes.items():
        size = int(np.prod(shape))
        names += [part] if size == 1 else [f"{part}[{i}]" for i in range(size)]
    return names


def made(field: str, given: Given | None, names: Sequence[str], size: int, what: str) -> Map:
    """The map that is given, or that of equal sizes.

    Args:
        field: `obs_map` or `action_map`, for messages.
        given: names of the file's entries in its order; or for each entry here the place of the file's, or None for a
            new one; or these by the name or place of the entry here.
        names: of the entries here.
        size: how many the file has.
        what: what the entries are, in words.

    Raises:
        ValueError: sizes differ and no map is given, or it names what is not there.
    """
    if given is None:
        if size != len(names):
            raise ValueError(
                f"{field}: the file has {size} {what}, and the task {len(names)}; say which is which, as in "
                f"{field}={[min(i, size - 1) if i < size else None for i in range(len(names))]!r}"
            )
        return Map(np.arange(size), size)
    if isinstance(given, Mapping):
        pairs = {_place(field, key, names): value for key, value in given.items()}
        values: list[str | int | None] = [pairs.get(i) for i in range(len(names))]
    else:
        checks.kind(field, given, (list, tuple), "a list, or a dict by the task's own names")
        values = list(given)
    if values and all(isinstance(value, str) for value in values):
        values = _by_name(field, [str(value) for value in values], names, size)
    if len(values) != len(names):
        raise ValueError(f"{field}: {len(values)} entries are not allowed; the task has {len(names)} {what}")
    places = [-1 if value is None else checks.count(field, value, 0, size - 1) for value in values]
    if all(place < 0 for place in places):
        raise ValueError(f"{field}: nothing of the file is used; one of its {size} {what} at least must be")
    return Map(np.array(places), size)


def _by_name(field: str, theirs: Sequence[str], ours: Sequence[str], size: int) -> list[str | int | None]:
    if len(theirs) != size or len(set(theirs)) < size:
        raise ValueError(
            f"{field}: {len(set(theirs))} names are not allowed; one for each of the file's {size} is needed"
        )
    return [theirs.index(name) if name in theirs else None for name in ours]


def _place(field: str, key: str | int, names: Sequence[str]) -> int:
    if isinstance(key, str):
        if key not in names:
            raise checks.unknown(field, key, names)
        return names.index(key)
    return checks.count(field, key, 0, len(names) - 1)


def with_inputs(network: Tree, inputs: Map, first: str = "dense_0") -> Tree:
    """A network [S, ...] that reads the mapped entries first, and what the file reads behind its own as it did.

    A head on a shared trunk, and convolutions, read no entry by its place and stay as they are.
    """
    if first not in network:
        return network
    kernel = network[first]["kernel"]
    taken = np.where(inputs.new[:, None], 0.0, kernel[:, np.maximum(inputs.places, 0)])
    return {**network, first: {**network[first], "kernel": np.concatenate([taken, kernel[:, inputs.size :]], axis=1)}}


def with_last_inputs(network: Tree, inputs: Map, first: str = "dense_0") -> Tree:
    """The same for the entries that are read last: the actions of a critic."""
    kernel = network[first]["kernel"]
    start = kernel.shape[1] - inputs.size
    taken = np.where(inputs.new[:, None], 0.0, kernel[:, start + np.maximum(inputs.places, 0)])
    return {**network, first: {**network[first], "kernel": np.concatenate([kernel[:, :start], taken], axis=1)}}


def with_outputs(network: Tree, outputs: Map, behind: float | None) -> Tree:
    """A network [S, ...] with the mapped outputs.

    Args:
        network: its tree.
        outputs: the map.
        behind: how far a new discrete action is behind the mean of the known ones; None for continuous actions, which
            are 0. There may be several outputs for each action, one block behind another.
    """
    kernel, bias = network["head"]["kernel"], network["head"]["bias"]
    blocks = range(0, kernel.shape[-1], outputs.size)
    found = [_outputs(part[..., i : i + outputs.size], outputs, behind) for part in (kernel, bias) for i in blocks]
    kernels, biases = found[: len(blocks)], found[len(blocks) :]
    if behind is not None:
        biases = [np.where(outputs.new, part - behind, part) for part in biases]
    head = {"kernel": np.concatenate(kernels, axis=-1), "bias": np.concatenate(biases, axis=-1)}
    return {**network, "head": {name: part.astype(np.float32) for name, part in head.items()}}


def _outputs(part: np.ndarray, outputs: Map, behind: float | None) -> np.ndarray:
    known = part[..., np.unique(outputs.places[~outputs.new])]
    new = np.zeros(part.shape[:-1]) if behind is None else known.mean(axis=-1)
    return np.where(outputs.new, new[..., None], part[..., np.maximum(outputs.places, 0)])


def told(field: str, found: Map, names: Sequence[str], effect: str) -> list[str]:
    """The map in words: what is new here, and what of the file is left out."""
    new = [name for name, is_new in zip(names, found.new) if is_new]
    lines = [f"{field}: new are {', '.join(new)}; {effect}"] if new else []
    left = ", ".join(map(str, found.left_out))
    return [*lines, f"{field}: the file's {left} left out"] if left else lines
