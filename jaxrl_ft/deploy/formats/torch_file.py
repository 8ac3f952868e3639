"""A policy as a PyTorch state dict in safetensors, and the module that reads it; torch is not needed to write them."""

from collections.abc import Sequence

import numpy as np
import safetensors.numpy

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

_ACTIVATIONS = {"tanh": "torch.tanh({})", "relu": "torch.relu({})", "swish": "nn.functional.silu({})"}
_KINDS = {"f": "", "i": ", dtype=torch.int32"}
_MODULE = '''\
"""{title}

    policy = load()
    action = policy(obs)             # obs [..., {size}] -> actions
    scores = policy.outputs(obs)     # what they are made from: {outputs}

Needs torch and safetensors. `python {name}_torch.py` writes the state dict as {name}.pt.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn


class Policy(nn.Module):
    """The policy."""

    def __init__(self):
        super().__init__()
{parts}

    def outputs(self, obs):
        """What actions are made from, [..., {num_outputs}]."""
        v0 = obs
{steps}
        return v{last}

    def forward(self, obs):
        """The greedy action."""
        return {action}


def load(path=Path(__file__).with_name("{name}.safetensors")):
    """The policy of a file."""
    policy = Policy()
    policy.load_state_dict(load_file(path))
    return policy.eval()


if __name__ == "__main__":
    torch.save(load().state_dict(), "{name}.pt")
'''


def files(exporting: Exporting) -> dict[str, bytes]:
    """The state dict, and the module with the function that loads it."""
    return {
        f"{exporting.name}.safetensors": safetensors.numpy.save(state(exporting.plain)),
        f"{exporting.name}_torch.py": module(exporting.plain, exporting.name, exporting.title).encode(),
    }


def state(description: Description) -> dict[str, np.ndarray]:
    """The arrays by the names that torch gives them; weights of layers are [out, in]."""
    found: dict[str, np.ndarray] = {}
    for i, step in enumerate(description.steps, 1):
        if isinstance(step, Dense):
            found[f"dense_{i}.weight"] = np.ascontiguousarray(step.kernel.T)
            found[f"dense_{i}.bias"] = step.bias
        else:
            found |= {f"{key}_{i}": leaf for key, leaf in arrays_of(step).items()}
    if description.bounds is not None:
        found |= {"low": description.bounds.low, "high": description.bounds.high}
    return found


def module(description: Description, name: str, title: str) -> str:
    """The text of a Python module with the class of the policy.

    Args:
        description: of the policy.
        name: of the file of arrays, without its ending.
        title: the first line of its docstring.
    """
    sizes, action = description.sizes, "self.outputs(obs).argmax(dim=-1)"
    if description.bounds is not None:
        action = "torch.minimum(torch.maximum(self.outputs(obs), self.low), self.high)"
    parts = [f"self.dense_{i} = nn.Linear({step.kernel.shape[0]}, {step.kernel.shape[1]})"
             for i, step in enumerate(description.steps, 1) if isinstance(step, Dense)]  # fmt: skip
    buffers = {key: leaf for key, leaf in state(description).items() if "." not in key}
    parts += [f'self.register_buffer("{key}", torch.zeros({leaf.size}{_KINDS[leaf.dtype.kind]}))'
              for key, leaf in buffers.items()]  # fmt: skip
    steps = [f"v{i} = {_made(step, i, sizes)}" for i, step in enumerate(description.steps, 1)]
    return _MODULE.format(
        title=title.replace('"""', "'''").replace("\\", "/"),
        size=description.obs_size,
        outputs=description.outputs.replace("_", " "),
        name=name,
        parts="\n".join(f"        {line}" for line in parts),
        steps="\n".join(f"        {line}" for line in steps),
        num_outputs=description.num_outputs,
        last=len(steps),
        action=action,
    )


def _made(step: Step, number: int, sizes: Sequence[int]) -> str:
    """The expression of a value."""
    x = f"v{step.x}"
    places = step.places if isinstance(step, (Dense, LayerNorm, Join)) else 1
    apart, whole = (f"{x}.unflatten(-1, ({places}, -1))", ".flatten(-2)") if places > 1 else (x, "")
    match step:
        case Dense():
            return f"self.dense_{number}({apart}){whole}"
        case Gather():
            return f"nn.functional.pad({x}, (0, 1))[..., self.numbers_{number}.long()]"
        case Activate():
            return _ACTIVATIONS[step.name].format(x)
        case Normalize():
            return f"torch.clamp(({x} - self.mean_{number}) * self.scale_{number}, -{step.clip!r}, {step.clip!r})"
        case LayerNorm():
            mean = f"{apart}.mean(-1, keepdim=True)"
            variance = f"torch.clamp(({apart} * {apart}).mean(-1, keepdim=True) - {mean} ** 2, min=0)"
            rate = f"self.scale_{number} / torch.sqrt({variance} + {step.epsilon!r})"
            return f"(({apart} - {mean}) * ({rate}) + self.bias_{number}){whole}"
        case Add() | Subtract():
            return f"{x} {'+' if isinstance(step, Add) else '-'} v{step.y}"
        case Join():
            other = f"v{step.y}.unflatten(-1, ({places}, -1))" if places > 1 else f"v{step.y}"
            return f"torch.cat([{apart}, {other}], dim=-1){whole}"
        case Part():
            return f"{x}[..., {step.start} : {step.stop}]"
        case Dueling():
            return f"{x}[..., -1:] + {x}[..., :-1] - {x}[..., :-1].mean(-1, keepdim=True)"
        case Squash():
            share = f"0.5 * torch.tanh({x}) + 0.5"
            return f"self.low_{number} + (self.high_{number} - self.low_{number}) * ({share})"
