"""Named arrays and JSON as bytes, for the way between processes; like a bundle, they hold nothing that can execute."""

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

_SIZE = struct.Struct("!Q")


def pack(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> bytes:
    """The bytes that `unpack` turns back into the same.

    Args:
        arrays: name to array of any shape, as a bundle stores them.
        metadata: JSON values.
    """
    head = json.dumps(metadata, allow_nan=False).encode()
    return (
        _SIZE.pack(len(head))
        + head
        + safetensors.numpy.save({name: np.asarray(array, order="C") for name, array in arrays.items()})
    )


def unpack(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays by name and the metadata.

    Raises:
        ValueError: the bytes are something else.
    """
    try:
        (size,) = _SIZE.unpack_from(data)
        metadata = json.loads(data[_SIZE.size : _SIZE.size + size])
        return safetensors.numpy.load(data[_SIZE.size + size :]), metadata
    except (struct.error, UnicodeDecodeError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise ValueError(f"packed arrays: cannot be read: {error!r}") from error
