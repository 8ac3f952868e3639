"""The config of networks like given ones."""

from dataclasses import replace

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.nets import forward, parts
from jaxrl_ft.nets.cnn import CNN
from jaxrl_ft.nets.mlp import MLP


def check(wanted: Network | None) -> None:
    """Refuse what is no config of networks, or one that is not allowed; none is allowed.

    Raises:
        ValueError: it is something else.
    """
    if wanted is None:
        return
    if not isinstance(wanted, (MLP, CNN)):
        raise ValueError(f"network: {checks.shown(wanted)} is not allowed; it must be of type MLP or CNN")
    check_config(wanted, "network")


def network(given: Tree, wanted: Network | None) -> Network:
    """The config of networks like the given ones, with all of `wanted` that the weights do not tell.

    Args:
        given: networks by group, leaves [S, ...].
        wanted: as `ft.wrap` takes it, checked.

    Raises:
        ValueError: `wanted` contradicts the layers.
    """
    convolves = "conv_0" in given["policy"]
    if wanted is None:
        wanted = CNN() if convolves else MLP()
    if not isinstance(wanted, CNN if convolves else MLP):
        kind = "CNN, as params hold convolutions" if convolves else "MLP, as params hold no convolutions"
        raise ValueError(f"network: {checks.shown(wanted)} is not allowed; it must be of type {kind}")
    own = {group: layers for group, layers in given.items() if forward.depth(layers)}
    normed = {group: "norm_0" in layers for group, layers in own.items()}
    if len(set(normed.values())) > 1:
        raise ValueError("params: layer norms in one network alone are not allowed; policy and value must be alike")
    if wanted.layer_norm and not normed["policy"]:
        raise ValueError("network.layer_norm: True is not allowed; params hold no layer norms")
    found = _mlp(own, wanted) if isinstance(wanted, MLP) else _cnn(own, wanted)
    return replace(found, layer_norm=normed["policy"])


def _mlp(given: Tree, wanted: MLP) -> MLP:
    found = {group: parts.widths(layers) for group, layers in given.items()}
    for group, widths in found.items():
        _check_widths(group, widths, wanted)
    value = () if wanted.shared_trunk else found.get("value", wanted.value or found["policy"])
    return wanted.with_widths(found["policy"], value)


def _check_widths(group: str, widths: tuple[int, ...], network: MLP) -> None:
    """Refuses a field of the network that is not the default and does not say the widths of a group's hidden layers.

    Raises:
        ValueError: names the field.
    """
    own = getattr(network, group)
    fits = {
        group: own in ((), widths),
        "width": bool(own) or network.width == MLP.width or {network.width} == set(widths),
        "depth": bool(own) or network.depth in (MLP.depth, len(widths)),
    }
    for field in (field for field, fit in fits.items() if not fit):
        raise ValueError(
            f"network.{field}: {getattr(network, field)} is not allowed; the hidden layers of params.{group} have "
            f"{widths} units"
        )


def _cnn(given: Tree, wanted: CNN) -> CNN:
    found = {group: _fields(layers) for group, layers in given.items()}
    for group, fields in found.items():
        if fields != found["policy"]:
            raise ValueError(f"params.{group}: its layers must be like the policy's, {_told(found['policy'])}")
    fields, usual = found["policy"], CNN()
    for name, value in fields.items():
        given_value = getattr(wanted, name)
        alike = {value, tuple(sorted(set(value)))} if name == "kernels" else {value}
        if given_value != getattr(usual, name) and given_value not in alike:
            raise ValueError(f"network.{name}: {given_value} is not allowed; params hold {_told(fields)}")
    return replace(wanted, channels=fields["channels"], kernels=fields["kernels"], dense=fields["dense"])


def _fields(layers: Tree) -> dict[str, tuple[int, ...]]:
    shapes = [np.shape(layers[name]["kernel"])[1:] for name in forward.hidden_layers(layers)]
    convolutions, dense = ([shape for shape in shapes if (len(shape) > 2) is kind] for kind in (True, False))
    return {
        "channels": tuple(shape[-1] for shape in convolutions),
        "kernels": tuple(shape[0] for shape in convolutions),
        "dense": tuple(shape[-1] for shape in dense),
    }


def _told(fields: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in fields.items())
