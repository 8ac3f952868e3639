"""Layers of a network that was trained elsewhere, read and checked."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree

_DENSE, _CONVOLUTION = 2, 4
"""Axes of a kernel [in, out], and of one [height, width, in, out]."""

Layers = Sequence[tuple[PyTree, PyTree]] | Mapping[PyTree, PyTree]


class _Entries(NamedTuple):
    """What was given of one network, from the input on."""

    layers: list[tuple[PyTree, PyTree]]
    """kernel and bias of each layer, convolutions first"""
    norms: list[tuple[PyTree, PyTree]]
    """scale and bias of each layer norm"""
    log_std: PyTree = None


def network(
    group: str, layers: Layers, obs_size: int | None, outputs: int | None, on_trunk: bool = False
) -> tuple[Tree, PyTree]:
    """The tree of one network with leaves [S, ...], and its `log_std` where the layers hold one, else None.

    Args:
        group: `policy` or `value`, for messages.
        layers: as `ft.wrap` takes them.
        obs_size: size of what the first layer reads, where that is dense; None for whatever it reads.
        outputs: size of the output; None for whatever the last layer puts out.
        on_trunk: whether it is a head on a shared trunk, which has no hidden layers.

    Raises:
        ValueError: a layer is missing, not finite, or of a size that does not fit its neighbours; what comes behind a
            convolution is not compared with it.
    """
    entries = _entries(group, layers)
    num_hidden = len(entries.layers) - 1
    if on_trunk and num_hidden:
        raise ValueError(
            f"params.{group}: {num_hidden + 1} layers are not allowed; with network.shared_trunk it must be one, the "
            "head on the policy's last hidden layer"
        )
    if num_hidden < 1 and not on_trunk:
        hint = " (network.shared_trunk takes a head alone)" if group == "value" and num_hidden == 0 else ""
        raise ValueError(
            f"params.{group}: {num_hidden + 1} layers are not allowed; at least one hidden layer and an output are "
            f"needed{hint}"
        )
    if len(entries.norms) not in (0, num_hidden):
        raise ValueError(
            f"params.{group}: {len(entries.norms)} layer norms are not allowed; it must be one after each of the "
            f"{num_hidden} hidden layers, or none"
        )
    read = [_pair(group, f"layer {i}", _rank(k), kernel=k, bias=bias) for i, (k, bias) in enumerate(entries.layers)]
    norms = [_pair(group, f"norm {i}", 1, scale=scale, bias=bias) for i, (scale, bias) in enumerate(entries.norms)]
    convolutions = [layer["kernel"].ndim > _DENSE + 1 for layer in read]
    if not any(convolutions):
        _check_sizes(group, read, obs_size, outputs)
    _check_convolutions(group, read, convolutions)
    for i, norm in enumerate(norms):
        _check_norm(group, i, norm, read[i]["bias"].shape[1:])
    kinds = ("conv" if convolution else "dense" for convolution in convolutions)
    hidden = {f"{kind}_{i}": layer for i, (kind, layer) in enumerate(zip(kinds, read[:-1]))}
    return {**hidden, **{f"norm_{i}": norm for i, norm in enumerate(norms)}, "head": read[-1]}, entries.log_std


def _rank(kernel: PyTree) -> int:
    """Axes of a kernel, those of agents apart: more than three are those of a convolution."""
    return _CONVOLUTION if np.ndim(kernel) >= _CONVOLUTION else _DENSE


def _check_convolutions(group: str, layers: list[dict[str, np.ndarray]], convolutions: list[bool]) -> None:
    """Refuses convolutions behind a dense layer or as the output, and kernels that are not square.

    Raises:
        ValueError: names the layer.
    """
    if convolutions != sorted(convolutions, reverse=True) or convolutions[-1]:
        raise ValueError(f"params.{group}: convolutions must come before dense layers, of which the last is the output")
    for i in (i for i, convolution in enumerate(convolutions) if convolution):
        shape = layers[i]["kernel"].shape[1:]
        if shape[0] != shape[1]:
            raise ValueError(
                f"params.{group}: layer {i} has kernel {shape}; it must be [height, width, in, out] with equal sides, "
                "and torch keeps [out, in, height, width], of which np.moveaxis(kernel, (-2, -1, -3, -4), (-4, -3, -2, "
                "-1)) is it"
            )


def _pair(group: str, what: str, rank: int, **leaves: PyTree) -> dict[str, np.ndarray]:
    """A layer's two leaves as arrays: the first of so many axes, the bias of one, each after one of agents."""
    ranks = (rank, 1)
    return {
        name: array(f"params.{group}: {name} of {what}", leaf, rank)
        for (name, leaf), rank in zip(leaves.items(), ranks)
    }


def _check_norm(group: str, i: int, norm: dict[str, np.ndarray], shape: tuple[int, ...]) -> None:
    for name, leaf in norm.items():
        if leaf.shape[1:] != shape:
            raise ValueError(f"params.{group}: {name} of norm {i} has shape {leaf.shape[1:]}; it must be {shape}")


def array(what: str, value: PyTree, rank: int) -> np.ndarray:
    """The value as finite float32 numbers with a leading axis of agents before so many others.

    Raises:
        ValueError: it is something else.
    """
    try:
        with np.errstate(over="ignore"):
            leaf = np.asarray(value, np.float32)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{what} is no array of numbers ({error})") from None
    if leaf.ndim not in (rank, rank + 1):
        raise ValueError(f"{what} has {leaf.ndim} axes; it must have {rank}, or one more for the agents before them")
    if not np.isfinite(leaf).all():
        raise ValueError(f"{what} holds NaN or infinite numbers")
    return leaf if leaf.ndim > rank else leaf[None]


def _check_sizes(group: str, dense: list[dict[str, np.ndarray]], obs_size: int | None, outputs: int | None) -> None:
    """Refuses kernels that do not follow on one another from the observation to the outputs, and biases beside them.

    Raises:
        ValueError: the first layer that does not fit is named; or all would fit if they were transposed.
    """
    shapes = [layer["kernel"].shape[1:] for layer in dense]
    obs_size, outputs = obs_size or shapes[0][0], outputs or shapes[-1][1]
    if not _follow(shapes, obs_size, outputs) and _follow([shape[::-1] for shape in shapes], obs_size, outputs):
        raise ValueError(
            f"params.{group}: the kernels are [out, in], as torch keeps them; give each as [in, out], which is "
            "np.swapaxes(kernel, -1, -2)"
        )
    size = obs_size
    for i, layer in enumerate(dense):
        expected, bias = outputs if i == len(dense) - 1 else shapes[i][1], layer["bias"].shape[1:]
        if shapes[i] != (size, expected) or bias != (expected,):
            raise ValueError(
                f"params.{group}: layer {i} has kernel {shapes[i]} and bias {bias}; "
                f"it must have kernel {(size, expected)} and bias {(expected,)}"
            )
        size = expected


def _follow(shapes: list[tuple[int, ...]], obs_size: int, outputs: int) -> bool:
    """Whether kernels [in, out] of these shapes follow on one another from the observation to the outputs."""
    ends = shapes[0][0] == obs_size and shapes[-1][1] == outputs
    return ends and all(before[1] == after[0] for before, after in itertools.pairwise(shapes))


def _entries(group: str, layers: Layers) -> _Entries:
    if not isinstance(layers, Mapping):
        pairs = list(layers)
        if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
            raise ValueError(f"params.{group}: a sequence of layers must hold (kernel, bias) pairs")
        return _Entries([(kernel, bias) for kernel, bias in pairs], [])
    inner = dict(layers.get("params", layers))
    log_std = inner.pop("log_std", None)
    kinds: dict[str, dict[PyTree, tuple[PyTree, PyTree]]] = {"kernel": {}, "scale": {}}
    for name, entry in inner.items():
        kind = next((kind for kind in kinds if isinstance(entry, Mapping) and set(entry) == {kind, "bias"}), None)
        if kind is None:
            raise ValueError(
                f"params.{group}: {name!r} must hold exactly a kernel and a bias, or a scale and a bias of a layer norm"
            )
        kinds[kind][name] = (entry[kind], entry["bias"])
    # Convolutions come first; flax numbers them and dense layers apart.
    first = {name: pair for name, pair in kinds["kernel"].items() if _rank(pair[0]) == _CONVOLUTION}
    rest = {name: pair for name, pair in kinds["kernel"].items() if name not in first}
    named = [[found[name] for name in _ordered(group, found)] for found in (first, rest, kinds["scale"])]
    return _Entries([*named[0], *named[1]], named[2], log_std)


def _ordered(group: str, names: Mapping[PyTree, PyTree]) -> list[PyTree]:
    """The names in the order of the numbers in them, the one without a number last.

    Raises:
        ValueError: two have the same numbers, or none: JAX sorts the entries of a dict by name, and so their order
            gives no order.
    """
    numbers = {name: tuple(map(int, re.findall(r"\d+", str(name)))) for name in names}
    if len(set(numbers.values())) < len(numbers):
        raise ValueError(
            f"params.{group}: the names {', '.join(map(str, names))} hold no distinct numbers, so the order of the "
            "layers is unknown; give a sequence of (kernel, bias) pairs, the output layer last"
        )
    return sorted(names, key=lambda name: (not numbers[name], numbers[name]))
