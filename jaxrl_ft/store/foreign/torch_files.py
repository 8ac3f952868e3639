"""Files of torch.save, read without torch: a zip of raw numbers and a pickle that says which tensors they make.

The pickle is read as data (`pickles.read`). Only tensors, ordered dicts, dicts, lists, tuples, numbers and text have a
meaning; any other object is refused by its name, whatever it would do.
"""

import math

import ml_dtypes
import numpy as np

from jaxrl_ft.core.types import PyTree
from jaxrl_ft.store.foreign.pickled_arrays import MOST_NUMBERS, array, as_mapping, is_array
from jaxrl_ft.store.foreign.pickles import Inert, Made, Name, Persistent, read

_STORAGES = {
    "Float": np.float32,
    "Double": np.float64,
    "Half": np.float16,
    "BFloat16": ml_dtypes.bfloat16,
    "Long": np.int64,
    "Int": np.int32,
    "Short": np.int16,
    "Char": np.int8,
    "Byte": np.uint8,
    "Bool": np.bool_,
}
_TENSOR = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
_PARAMETER = "torch._utils._rebuild_parameter"
_DEEPEST = 32
_MOST_VALUES = 2**17


def is_torch(names: list[str]) -> bool:
    """Whether members of a zip file are those of torch.save."""
    return any(name.endswith("/data.pkl") for name in names)


def tensors(what: str, files: dict[str, bytes]) -> PyTree:
    """What torch.save was given: nested dicts and lists of arrays, numbers and text.

    Args:
        what: the file's name, for messages.
        files: the members of the zip file.

    Raises:
        ValueError: it holds anything else, such as a whole module, or is damaged.
    """
    roots = [name.removesuffix("data.pkl") for name in files if name.endswith("/data.pkl")]
    if len(roots) != 1 or any(name.startswith(f"{roots[0]}code/") for name in files):
        raise ValueError(f"{what}: is a program of TorchScript, not a state dict; save model.state_dict() with torch")
    order = files.get(f"{roots[0]}byteorder", b"little").strip()
    if order not in (b"little", b"big"):
        raise ValueError(f"{what}: has the byte order {order[:20]!r}, which is not known")
    data = {name.removeprefix(f"{roots[0]}data/"): content for name, content in files.items()}
    return _File(what, data, ">" if order == b"big" else "<").plain(read(files[f"{roots[0]}data.pkl"], what), 0)


class _File:
    """The storages of one file."""

    def __init__(self, what: str, data: dict[str, bytes], order: str) -> None:
        self._what, self._data, self._order = what, data, order
        self._values, self._numbers = 0, 0

    def _count(self, values: int, numbers: int) -> None:
        # A list may hold another many times over, and many tensors may share few numbers.
        self._values, self._numbers = self._values + values, self._numbers + numbers
        if self._values > _MOST_VALUES or self._numbers > MOST_NUMBERS:
            raise ValueError(f"{self._what}: holds more than {_MOST_VALUES:,} values or {MOST_NUMBERS:,} numbers")

    def plain(self, value: Inert, depth: int) -> PyTree:
        """The value with tensors as arrays.

        Raises:
            ValueError: it holds another object.
        """
        self._count(1, 0)
        if depth > _DEEPEST:
            raise ValueError(f"{self._what}: is nested more than {_DEEPEST} deep")
        entries = as_mapping(value)
        if entries is not None:
            return {str(key): self.plain(entry, depth + 1) for key, entry in entries.items() if not _is_object(key)}
        if isinstance(value, (list, tuple)) and not isinstance(value, (Name, Persistent)):
            return [self.plain(entry, depth + 1) for entry in value]
        if value is None or isinstance(value, (bool, int, float, str, bytes)):
            return value
        if is_array(value):
            return array(self._what, value)
        if isinstance(value, Made) and value.name == _PARAMETER:
            return self.plain(value.args[0], depth + 1)
        if isinstance(value, Made) and value.name in _TENSOR:
            return self._tensor(value.args)
        if isinstance(value, Made) and value.name == "torch.Size":
            return [self.plain(entry, depth + 1) for entry in value.args]
        raise ValueError(f"{self._what}: holds {_told(value)}, not only tensors; save model.state_dict() with torch")

    def _tensor(self, args: Inert) -> np.ndarray:
        """A tensor: entries of a storage at regular distances."""
        try:
            storage, offset, size, stride = args[:4]
            kind, numbers = self._storage(storage.identity)
            shape, strides = _whole(size), _whole(stride)
            offset = int(offset)
        except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
            raise ValueError(f"{self._what}: holds a tensor whose numbers are not all there ({error})") from None
        num, last = math.prod(shape), offset + sum((length - 1) * step for length, step in zip(shape, strides))
        bad = len(shape) != len(strides) or offset < 0 or any(part < 0 for part in (*shape, *strides))
        if bad or num > len(numbers) or (num > 0 and last >= len(numbers)):
            raise ValueError(f"{self._what}: holds a tensor {shape} that its {len(numbers)} numbers do not fill")
        self._count(0, num)
        steps = tuple(step * numbers.itemsize for step in strides)
        return np.array(np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False), kind)

    def _storage(self, identity: Inert) -> tuple[np.dtype, np.ndarray]:
        word, name, key = identity[:3]
        found = name.name.removesuffix("Storage") if isinstance(name, Name) else ""
        if word != "storage" or found not in _STORAGES:
            raise ValueError(f"of the type {_told(name)}")
        kind, data = np.dtype(_STORAGES[found]), self._data[str(key)]
        numbers = np.frombuffer(data, f"{self._order}u{kind.itemsize}", len(data) // kind.itemsize)
        return kind, numbers.astype(f"u{kind.itemsize}").view(kind)


def _whole(value: Inert) -> tuple[int, ...]:
    parts = value.args[0] if isinstance(value, Made) and value.name == "torch.Size" else value
    return tuple(int(part) for part in parts)


def _is_object(key: Inert) -> bool:
    return isinstance(key, Made)


def _told(value: Inert) -> str:
    """An object by the name of its class or function."""
    if isinstance(value, Made):
        value = value.args[0] if value.name in ("copyreg._reconstructor",) and value.args else value.function
    return f"{value.dotted[:100]!r}" if isinstance(value, Name) else f"an object of {type(value).__name__}"
