"""A policy as one C99 header: its weights, and one function that allocates nothing."""

import re
from collections.abc import Sequence

import numpy as np

from jaxrl_ft.deploy.description import (
    Activate,
    Add,
    Dense,
    Description,
    Dueling,
    Gather,
    Join,
    LayerNorm,
    Normalize,
    Part,
    Squash,
    Step,
    Subtract,
    arrays_of,
)
from jaxrl_ft.deploy.formats.base import Exporting

PER_LINE = 10
_ACTIVATIONS = {
    "tanh": "{1}_tanh({0})",
    "relu": "({0} > 0.0f || {0} != {0}) ? {0} : 0.0f",
    "swish": "{0} / (1.0f + expf(-{0}))",
}
_HEAD = """\
/* {title}

   {signature};

   obs[{obs_size}] holds an observation. {returns}
   C99; needs math.h alone, allocates nothing, and may be called from several threads at once. */
#ifndef {guard}
#define {guard}

#include <math.h>

"""
# Half the time of a policy is spent in tanhf, which no compiler makes vectors of. Exact to 2e-7: Lambert's continued
# fraction of t = tanh(x / 2) to the seventh power, and tanh x = 2 t / (1 + t t).
_TANH = """
static inline float {0}_tanh(float x) {{
  const float y = 0.5f * (x < -9.0f ? -9.0f : x > 9.0f ? 9.0f : x), s = y * y;
  const float t = y * (135135.0f + s * (17325.0f + s * (378.0f + s))) /
                  (135135.0f + s * (62370.0f + s * (3150.0f + s * 28.0f)));
  return 2.0f * t / (1.0f + t * t);
}}
"""
_CHOOSES = (
    "outputs[{0}] receives the {1} of the actions;\n   the index of the highest is returned, the first among equals."
)
_WRITES = "action[{0}] receives the action within its bounds."
_CLIP = """\
  for (int j = 0; j < {size}; ++j) {{
    const float x = {value}[j];
    {out}[j] = x < {low}[j] ? {low}[j] : x > {high}[j] ? {high}[j] : x;
  }}
"""
_ARGMAX = """\
  int best = 0;
  for (int j = 0; j < {size}; ++j) {{
    outputs[j] = {value}[j];
    if ({value}[j] > {value}[best]) best = j;
  }}
  return best;
"""


def header(description: Description, name: str, title: str) -> str:
    """The text of the header.

    Args:
        description: of the policy.
        name: of the function, an identifier of C; other names in the header begin with it.
        title: the first line of the comment.

    Raises:
        ValueError: the name is no identifier.
    """
    if not re.fullmatch(r"[a-zA-Z]\w*", name, re.ASCII):
        raise ValueError(f"name: {name!r} is not allowed; it must be an identifier of C, as in policy")
    size, bounds = description.num_outputs, description.bounds
    receiver = "outputs" if bounds is None else "action"
    signature = f"{'int' if bounds is None else 'void'} {name}(const float obs[{description.obs_size}], "
    signature += f"float {receiver}[{size}])"
    returns = _WRITES.format(size) if bounds else _CHOOSES.format(size, description.outputs.replace("_", " "))
    guard = f"{name.upper()}_POLICY_H"
    found = _HEAD.format(
        title=_comment(title), signature=signature, obs_size=description.obs_size, returns=returns, guard=guard
    )
    for i, step in enumerate(description.steps):
        found += "".join(_array(f"{name}_{key}_{i + 1}", leaf) for key, leaf in arrays_of(step).items())
    if bounds:
        found += _array(f"{name}_low", bounds.low) + _array(f"{name}_high", bounds.high)
    body = _body(description, name)
    found += _TANH.format(name) if f"{name}_tanh(" in body else ""
    found += f"\nstatic inline {signature} {{\n{body}"
    last = _value(len(description.steps))
    if bounds:
        found += _CLIP.format(size=size, value=last, out=receiver, low=f"{name}_low", high=f"{name}_high")
    else:
        found += _ARGMAX.format(size=size, value=last)
    return f"{found}}}\n\n#endif\n"


def _comment(text: str) -> str:
    return text.replace("*/", "* /").replace("\n", " ")


def _body(description: Description, name: str) -> str:
    sizes, lines = description.sizes, []
    for i, step in enumerate(description.steps):
        lines.append(f"  float {_value(i + 1)}[{sizes[i + 1]}];")
        lines += [f"  {line}" for line in _step(step, i + 1, sizes, f"{name}_{{}}_{i + 1}")]
    return "\n".join([*lines, ""])


def _value(number: int) -> str:
    return f"v{number}" if number else "obs"


def _step(step: Step, number: int, sizes: Sequence[int], named: str) -> list[str]:
    """The lines that compute a value.

    Args:
        step: what is done.
        number: of the value.
        sizes: of all values.
        named: the name of an array of the step, with a hole for its own.
    """
    x, out, size = _value(step.x), _value(number), sizes[number]
    match step:
        case Dense():
            return _dense(x, out, (step.places, *step.kernel.shape), named)
        case LayerNorm():
            return _layer_norm(x, out, (step.places, step.bias.size), named, step.epsilon)
        case Gather():
            seen = f"{named.format('numbers')}[j]"
            return _each(out, size, f"{seen} < {sizes[step.x]} ? {x}[{seen}] : 0.0f")
        case Dueling():
            return _dueling(x, out, size)
        case Normalize():
            clip = _number(min(step.clip, float(np.finfo(np.float32).max)))
            mean, scale = named.format("mean"), named.format("scale")
            inside = [f"const float z = ({x}[j] - {mean}[j]) * {scale}[j];"]
            return _each(out, size, f"z < -{clip} ? -{clip} : z > {clip} ? {clip} : z", inside)
        case Activate():
            return _each(out, size, _ACTIVATIONS[step.name].format(f"{x}[j]", named.split("_{}")[0]))
        case Add() | Subtract():
            return _each(out, size, f"{x}[j] {'+' if isinstance(step, Add) else '-'} {_value(step.y)}[j]")
        case Join():
            first, other = sizes[step.x] // step.places, sizes[step.y] // step.places
            lines = [
                *_each(out, first, f"{x}[p * {first} + j]", at=f"p * {first + other} + j"),
                *_each(out, other, f"{_value(step.y)}[p * {other} + j]", at=f"p * {first + other} + {first} + j"),
            ]
            return _at_places(step.places, lines)
        case Part():
            return _each(out, size, f"{x}[{step.start} + j]")
        case Squash():
            low, high, tanh = named.format("low"), named.format("high"), f"{named.split('_{}')[0]}_tanh"
            return _each(out, size, f"{low}[j] + ({high}[j] - {low}[j]) * (0.5f + 0.5f * {tanh}({x}[j]))")


def _each(out: str, size: int, value: str, before: Sequence[str] = (), at: str = "j") -> list[str]:
    """The lines for j = 0, 1, ..., size - 1."""
    lines = [*before, f"{out}[{at}] = {value};"]
    if len(lines) == 1:
        return [f"for (int j = 0; j < {size}; ++j) {lines[0]}"]
    return [f"for (int j = 0; j < {size}; ++j) {{", *(f"  {line}" for line in lines), "}"]


def _at_places(places: int, lines: Sequence[str]) -> list[str]:
    """The lines for p = 0, 1, ..., places - 1."""
    return [f"for (int p = 0; p < {places}; ++p) {{", *(f"  {line}" for line in lines), "}"]


def _dense(x: str, out: str, shape: tuple[int, ...], named: str) -> list[str]:
    # Sums run along the rows of the kernel, so that compilers make vectors of them without being allowed to reorder.
    places, inputs, outputs = shape
    entry, place = ("", "") if places == 1 else (f"p * {inputs} + ", f"p * {outputs} + ")
    kernel = f"{named.format('kernel')}[i * {outputs} + j]"
    lines = [
        *_each(out, outputs, f"{named.format('bias')}[j]", at=f"{place}j"),
        f"for (int i = 0; i < {inputs}; ++i) {{",
        f"  const float x = {x}[{entry}i];",
        f"  for (int j = 0; j < {outputs}; ++j) {out}[{place}j] += x * {kernel};",
        "}",
    ]
    return lines if places == 1 else _at_places(places, lines)


def _layer_norm(x: str, out: str, shape: tuple[int, int], named: str, epsilon: float) -> list[str]:
    scale, bias, (places, size) = named.format("scale"), named.format("bias"), shape
    entry = f"p * {size} + j"
    one = f"{x}[{entry}]"
    lines = [
        "float sum = 0.0f, squares = 0.0f;",
        f"for (int j = 0; j < {size}; ++j) {{ sum += {one}; squares += {one} * {one}; }}",
        f"const float mean = sum / {size}.0f;",
        f"const float variance = squares / {size}.0f - mean * mean;",
        f"const float rate = 1.0f / sqrtf((variance < 0.0f ? 0.0f : variance) + {_number(epsilon)});",
        *_each(out, size, f"({one} - mean) * (rate * {scale}[j]) + {bias}[j]", at=entry),
    ]
    return _at_places(places, lines)


def _dueling(x: str, out: str, size: int) -> list[str]:
    return [
        "{",
        "  float sum = 0.0f;",
        f"  for (int j = 0; j < {size}; ++j) sum += {x}[j];",
        f"  for (int j = 0; j < {size}; ++j) {out}[j] = {x}[{size}] + {x}[j] - sum / {size}.0f;",
        "}",
    ]


def _array(name: str, leaf: np.ndarray) -> str:
    whole = leaf.dtype.kind == "i"
    numbers = [str(number) if whole else _number(number) for number in np.ravel(leaf).tolist()]
    lines = [", ".join(numbers[i : i + PER_LINE]) for i in range(0, len(numbers), PER_LINE)]
    kind = "int" if whole else "float"
    return f"static const {kind} {name}[{len(numbers)}] = {{\n  " + ",\n  ".join(lines) + "};\n"


def _number(value: float) -> str:
    """A number with as many digits as give back the same 32 bits."""
    return f"{np.float32(value)!s}f"


def files(exporting: Exporting) -> dict[str, bytes]:
    """The header."""
    text = header(exporting.plain, exporting.name, exporting.title)
    return {f"{exporting.name}.h": text.encode("ascii", "replace")}
