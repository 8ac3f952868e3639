"""A policy as plain arrays: the steps from an observation to an action, which every file format is written from.

Values are numbered: value 0 is the observation [..., O], and value i + 1 what step i makes of earlier ones. The last
value is what the action is made from. An image [height, width, channels] is the vector of its entries in this order,
and a step with `places` does the same at each of so many places that follow one another in a vector.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.core.files import Json
from jaxrl_ft.deploy.formats import policy_numpy

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Normalize:
    """clip((x - mean) scale, -clip, clip), [..., O]."""

    op: ClassVar[str] = "normalize"
    x: int
    mean: Floats
    scale: Floats
    clip: float


@dataclass(frozen=True, eq=False)
class Dense:
    """x kernel + bias: [..., places x n] to [..., places x m] by a kernel [n, m] and a bias [m]."""

    op: ClassVar[str] = "dense"
    x: int
    kernel: Floats
    bias: Floats
    places: int = 1


@dataclass(frozen=True, eq=False)
class Activate:
    """A non-linearity: `tanh`, `relu` or `swish`."""

    op: ClassVar[str] = "activate"
    x: int
    name: str


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """(x - E x) / √(max(0, E x² - (E x)²) + epsilon) scale + bias over the entries of each place."""

    op: ClassVar[str] = "layer_norm"
    x: int
    scale: Floats
    bias: Floats
    epsilon: float
    places: int = 1


@dataclass(frozen=True, eq=False)
class Gather:
    """The entries of x with these numbers, 0 where the number is that behind the last: what a convolution sees."""

    op: ClassVar[str] = "gather"
    x: int
    numbers: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Add:
    """x + y."""

    op: ClassVar[str] = "add"
    x: int
    y: int


@dataclass(frozen=True, eq=False)
class Subtract:
    """x - y."""

    op: ClassVar[str] = "subtract"
    x: int
    y: int


@dataclass(frozen=True, eq=False)
class Join:
    """At each place x and behind it y, [..., places x (n + m)]."""

    op: ClassVar[str] = "join"
    x: int
    y: int
    places: int = 1


@dataclass(frozen=True, eq=False)
class Part:
    """The entries of x from `start` to before `stop`."""

    op: ClassVar[str] = "part"
    x: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Dueling:
    """Q = V + A - mean A of x, whose last entry is V and whose others are A (Wang et al. 2016, arXiv:1511.06581)."""

    op: ClassVar[str] = "dueling"
    x: int


@dataclass(frozen=True, eq=False)
class Squash:
    """low + (high - low) (1 + tanh x) / 2."""

    op: ClassVar[str] = "squash"
    x: int
    low: Floats
    high: Floats


Step: TypeAlias = Normalize | Dense | Activate | LayerNorm | Gather | Add | Subtract | Join | Part | Dueling | Squash


@dataclass(frozen=True, eq=False)
class Bounds:
    """The bounds [A] that continuous actions are clipped to."""

    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Description:
    """A greedy policy as plain NumPy arrays in 32 bits."""

    obs_size: int
    """the number of entries O of an observation"""
    steps: tuple[Step, ...]
    """from the observation to the outputs"""
    outputs: str
    """what the last value is: `logits`, `q_values` or `means`"""
    bounds: Bounds | None
    """clip the last value to these to have the action; None: the index of its highest entry, the first among equals"""
    temperature: float = 1.0
    """the logits of the policy that samples are `outputs` over this"""
    log_std: Floats | None = None
    """logarithm of the standard deviation [A] of a Gaussian whose spread does not depend on the observation"""

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of entries of every value, from the observation on."""
        found = [self.obs_size]
        for step in self.steps:
            match step:
                case Dense():
                    found.append(step.places * step.kernel.shape[1])
                case Gather():
                    found.append(step.numbers.size)
                case Join():
                    found.append(found[step.x] + found[step.y])
                case Part():
                    found.append(step.stop - step.start)
                case Dueling():
                    found.append(found[step.x] - 1)
                case _:
                    found.append(found[step.x])
        return tuple(found)

    @property
    def num_outputs(self) -> int:
        """The number of entries A of the last value."""
        return self.sizes[-1]

    @property
    def num_parameters(self) -> int:
        """How many numbers the steps hold, those of the normaliser and of the bounds included."""
        return sum(leaf.size for step in self.steps for leaf in arrays_of(step).values())

    @property
    def num_multiplications(self) -> int:
        """Multiply-adds of the kernels for one observation."""
        return sum(step.places * step.kernel.size for step in self.steps if isinstance(step, Dense))

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, and under `program` a JSON text that says how they are used."""
        named = {f"{i}/{key}": leaf for i, step in enumerate(self.steps) for key, leaf in arrays_of(step).items()}
        ends = {} if self.bounds is None else {"low": self.bounds.low, "high": self.bounds.high}
        spread = {} if self.log_std is None else {"log_std": self.log_std}
        program = {
            "format": policy_numpy.FORMAT,
            "version": policy_numpy.VERSION,
            "obs_size": self.obs_size,
            "outputs": self.outputs,
            "temperature": self.temperature,
            "steps": [{"op": step.op, "of": list(sources(step)), **numbers_of(step)} for step in self.steps],
        }
        return {"program": np.array(json.dumps(program)), **named, **ends, **spread}

    def policy(self, dtype: type = np.float32) -> policy_numpy.Policy:
        """The policy in NumPy, which gives actions and outputs."""
        return policy_numpy.Policy(self.arrays(), dtype)


def sources(step: Step) -> tuple[int, ...]:
    """The numbers of the values that a step reads."""
    return (step.x, step.y) if isinstance(step, (Add, Subtract, Join)) else (step.x,)


def arrays_of(step: Step) -> dict[str, np.ndarray]:
    """The arrays of a step by name."""
    return {name: value for name, value in _fields(step).items() if isinstance(value, np.ndarray)}


def numbers_of(step: Step) -> dict[str, Json]:
    """What else belongs to a step, by name."""
    return {
        name: value
        for name, value in _fields(step).items()
        if not isinstance(value, np.ndarray) and name not in ("x", "y")
    }


def _fields(step: Step) -> dict[str, Json]:
    return {field.name: getattr(step, field.name) for field in dataclasses.fields(step)}
