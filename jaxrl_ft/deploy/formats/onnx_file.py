"""A policy as an ONNX graph with a dynamic batch, the normaliser, squashing and bounds of actions inside."""

from typing import TYPE_CHECKING

import numpy as np

from jaxrl_ft.deploy.description import (
    Activate,
    Add,
    Dense,
    Description,
    Dueling,
    Floats,
    Gather,
    Join,
    LayerNorm,
    Normalize,
    Part,
    Squash,
    Step,
    Subtract,
)
from jaxrl_ft.deploy.formats.base import Exporting

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

OPSET = 22
"""The version of the operators."""
IR_VERSION = 10
OBS, OUTPUTS, ACTION = "obs", "outputs", "action"
"""The names of the input [batch, O] and of the two outputs."""


def files(exporting: Exporting) -> dict[str, bytes]:
    """The graph."""
    return {f"{exporting.name}.onnx": model(exporting.plain, exporting.title).SerializeToString()}


def model(description: Description, title: str) -> "ModelProto":
    """The graph from `obs` [batch, O] to `action` and to `outputs` [batch, A], checked by onnx.

    Args:
        description: of the policy.
        title: goes into the graph's documentation.
    """
    import onnx
    from onnx import TensorProto, helper

    nodes = _Nodes()
    for i, step in enumerate(description.steps):
        _step(nodes, step, f"v{i + 1}", description.sizes)
    last = _value(len(description.steps))
    nodes.add("Identity", [last], OUTPUTS)
    bounds, size = description.bounds, description.num_outputs
    if bounds is None:
        nodes.add("ArgMax", [last], ACTION, axis=-1, keepdims=0)
        action = helper.make_tensor_value_info(ACTION, TensorProto.INT64, ["batch"])
    else:
        above = nodes.add("Max", [last, nodes.constant("low", bounds.low)])
        nodes.add("Min", [above, nodes.constant("high", bounds.high)], ACTION)
        action = helper.make_tensor_value_info(ACTION, TensorProto.FLOAT, ["batch", size])
    graph = helper.make_graph(
        nodes.found,
        "policy",
        [helper.make_tensor_value_info(OBS, TensorProto.FLOAT, ["batch", description.obs_size])],
        [action, helper.make_tensor_value_info(OUTPUTS, TensorProto.FLOAT, ["batch", size])],
        nodes.constants,
        doc_string=title,
    )
    found = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="jaxrl_ft"
    )
    onnx.checker.check_model(found, full_check=True)
    return found


class _Nodes:
    """Nodes and constants in the making."""

    def __init__(self) -> None:
        self.found: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, op: str, inputs: list[str], output: str = "", **attributes: int) -> str:
        """Append a node; returns the name of its output, a fresh one where none is given."""
        from onnx import helper

        output = output or f"n{len(self.found)}"
        node = helper.make_node(op, inputs, [output])
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self.found.append(node)
        return output

    def constant(self, name: str, value: Floats | float | list[int]) -> str:
        """Append a constant, of 32-bit floats or of 64-bit whole numbers; returns its name."""
        from onnx import numpy_helper

        name = f"{name}_{len(self.constants)}"
        array = np.array(value, np.int64 if isinstance(value, list) else np.float32)
        self.constants.append(numpy_helper.from_array(array, name))
        return name


def _value(number: int) -> str:
    return f"v{number}" if number else OBS


def _step(nodes: _Nodes, step: Step, out: str, sizes: tuple[int, ...]) -> None:
    x = _value(step.x)
    match step:
        case Dense():
            product = nodes.add("MatMul", [_split(nodes, x, step.places), nodes.constant("kernel", step.kernel)])
            bias = nodes.constant("bias", step.bias)
            _whole(nodes, "Add", [product, bias], step.places, out)
        case Gather():
            padded = nodes.add("Pad", [x, nodes.constant("padding", [0, 0, 0, 1])])
            nodes.add("Gather", [padded, nodes.constant("numbers", step.numbers.tolist())], out, axis=1)
        case Activate():
            _activate(nodes, step.name, x, out)
        case Normalize():
            centred = nodes.add("Sub", [x, nodes.constant("mean", step.mean)])
            scaled = nodes.add("Mul", [centred, nodes.constant("scale", step.scale)])
            nodes.add("Clip", [scaled, nodes.constant("low", -step.clip), nodes.constant("high", step.clip)], out)
        case LayerNorm():
            _layer_norm(nodes, step, x, out)
        case Add() | Subtract():
            nodes.add("Add" if isinstance(step, Add) else "Sub", [x, _value(step.y)], out)
        case Join():
            pair = [_split(nodes, one, step.places) for one in (x, _value(step.y))]
            _whole(nodes, "Concat", pair, step.places, out, axis=-1)
        case Part():
            _slice(nodes, x, step.start, step.stop, out)
        case Dueling():
            advantage = _slice(nodes, x, 0, sizes[step.x] - 1)
            mean = nodes.add("ReduceMean", [advantage, nodes.constant("axes", [-1])], keepdims=1)
            value = _slice(nodes, x, sizes[step.x] - 1, sizes[step.x])
            nodes.add("Sub", [nodes.add("Add", [value, advantage]), mean], out)
        case Squash():
            half = nodes.constant("half", 0.5)
            share = nodes.add("Add", [nodes.add("Mul", [nodes.add("Tanh", [x]), half]), half])
            scaled = nodes.add("Mul", [share, nodes.constant("range", step.high - step.low)])
            nodes.add("Add", [scaled, nodes.constant("low", step.low)], out)


def _split(nodes: _Nodes, x: str, places: int) -> str:
    """x [batch, places x n] as [batch, places, n]; as it is where there is one place."""
    return x if places == 1 else nodes.add("Reshape", [x, nodes.constant("shape", [0, places, -1])])


def _whole(nodes: _Nodes, op: str, inputs: list[str], places: int, out: str, **attributes: int) -> None:
    """Append a node, and one that makes [batch, places x n] of its output [batch, places, n]."""
    made = nodes.add(op, inputs, out if places == 1 else "", **attributes)
    if places > 1:
        nodes.add("Reshape", [made, nodes.constant("shape", [0, -1])], out)


def _activate(nodes: _Nodes, name: str, x: str, out: str) -> None:
    if name == "swish":
        nodes.add("Mul", [x, nodes.add("Sigmoid", [x])], out)
    else:
        nodes.add({"tanh": "Tanh", "relu": "Relu"}[name], [x], out)


def _slice(nodes: _Nodes, x: str, start: int, stop: int, out: str = "") -> str:
    ends = [nodes.constant(name, [number]) for name, number in (("start", start), ("stop", stop), ("axis", -1))]
    return nodes.add("Slice", [x, *ends], out)


def _layer_norm(nodes: _Nodes, step: LayerNorm, x: str, out: str) -> None:
    # Not the operator of this name, which takes the variance in another way than flax does.
    axes, x = nodes.constant("axes", [-1]), _split(nodes, x, step.places)
    mean = nodes.add("ReduceMean", [x, axes], keepdims=1)
    square = nodes.add("ReduceMean", [nodes.add("Mul", [x, x]), axes], keepdims=1)
    variance = nodes.add("Sub", [square, nodes.add("Mul", [mean, mean])])
    variance = nodes.add("Max", [variance, nodes.constant("zero", 0.0)])
    deviation = nodes.add("Sqrt", [nodes.add("Add", [variance, nodes.constant("epsilon", step.epsilon)])])
    rate = nodes.add("Div", [nodes.constant("scale", step.scale), deviation])
    scaled = nodes.add("Mul", [nodes.add("Sub", [x, mean]), rate])
    _whole(nodes, "Add", [scaled, nodes.constant("bias", step.bias)], step.places, out)
