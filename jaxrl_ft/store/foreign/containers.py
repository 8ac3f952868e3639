"""Files of weights: what kind of file it is, told from its content, and its arrays by name.

Nothing in a file is run. Sizes are checked before anything is unpacked, and arrays hold plain numbers only.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgpack
import numpy as np
import safetensors.numpy

from jaxrl_ft.core.json_files import read_regular
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.store.foreign import pickles, torch_files, zips
from jaxrl_ft.store.foreign.pickled_arrays import filled, objects

READ = (
    "Stable-Baselines3 and SBX zips, torch state dicts (torch.save, torch 1.6 or newer), safetensors, npz, flax msgpack"
)
"""What can be read, in words."""
_MOST_BYTES = 2**30
_OLD_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_SIGNATURES = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras writes; save the arrays with np.savez",
    b"\x1f\x8b": "a gzip file; unpack it first",
    b"BZh": "a bzip2 file; unpack it first",
    b"\xfd7zXZ": "an xz file; unpack it first",
    b"7z\xbc\xaf": "a 7-zip file; unpack it first",
    b"\x93NUMPY": "one array of NumPy; a network has several, so save them with np.savez",
}


class Content(NamedTuple):
    """What a file holds."""

    kind: str
    """in words, such as `safetensors`"""
    tree: PyTree
    """nested dicts and lists of arrays, numbers and text; of a zip of Stable-Baselines3 its members, in bytes"""


def read(path: Path) -> Content:
    """The content of a file of weights.

    Raises:
        ValueError: it cannot be read; the message says what was found in it.
    """
    return parsed(str(path), read_file(path))


def read_file(path: Path) -> bytes:
    """The bytes of a file of weights.

    Raises:
        ValueError: there is no such file, or it is too large.
    """
    try:
        if path.is_dir():
            raise ValueError(f"{path}: is a directory; ft.load reads saved agents, and --agents takes them")
        # Download caches are made of links, so these are followed; messages name what was given.
        found = path.resolve()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return read_regular(found, _MOST_BYTES)
    except ValueError as error:
        raise ValueError(str(error).replace(str(found), str(path), 1)) from None


def parsed(what: str, data: bytes) -> Content:
    """The content of the bytes of a file of weights.

    Args:
        what: the file's name, for messages.
        data: its bytes.

    Raises:
        ValueError: they cannot be read; the message says what was found.
    """
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _of_zip(what, data)
    if len(data) > 9 and data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8:
        return Content("safetensors", _safetensors(what, data))
    for signature, words in _SIGNATURES.items():
        if data.startswith(signature):
            raise ValueError(f"{what}: is {words}")
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise ValueError(f"{what}: {_pickle_told(what, data)}")
    if data[:1] and (0x81 <= data[0] <= 0x8F or data[0] in (0xDE, 0xDF)):
        return Content("flax msgpack", _msgpack(what, data))
    begins = f"begins with the bytes {data[:8].hex(' ')}" if data else "is empty"
    raise ValueError(f"{what}: is of no kind that is known ({begins}); read are {READ}")


def _of_zip(what: str, data: bytes) -> Content:
    files = zips.members(what, data)
    names = sorted(files)
    if "data" in files and any(name in files for name in ("policy.pth", "_stable_baselines3_version")):
        return Content("Stable-Baselines3 zip", files)
    if torch_files.is_torch(names):
        return Content("torch file", torch_files.tensors(what, files))
    if names and all(name.endswith(".npy") for name in names):
        return Content("npz", nested({n.removesuffix(".npy"): _npy(what, n, files[n]) for n in names}))
    shown = ", ".join(names[:5]) or "nothing"
    raise ValueError(
        f"{what}: is a zip file of {len(names)} files ({shown}), of no kind that is known; read are {READ}"
    )


def _npy(what: str, name: str, data: bytes) -> np.ndarray:
    try:
        # NumPy's default refuses arrays of objects, which are pickles.
        found: np.ndarray = np.lib.format.read_array(io.BytesIO(data))
    except (
        ValueError,
        EOFError,
        SyntaxError,
        TypeError,
        OSError,
        MemoryError,
        RecursionError,
        OverflowError,
    ) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{what}: {name!r} is no array of plain numbers ({cause[:120]})") from None
    return _plain(what, name, found)


def _safetensors(what: str, data: bytes) -> PyTree:
    try:
        found = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{what}: is damaged as a safetensors file ({str(error)[:120]})") from None
    return nested({name: _plain(what, name, leaf) for name, leaf in found.items()})


def _plain(what: str, name: str, leaf: np.ndarray) -> np.ndarray:
    if leaf.dtype.kind not in "bifu" and leaf.dtype.name != "bfloat16":
        raise ValueError(f"{what}: {name!r} is of type {leaf.dtype}; arrays must hold plain numbers")
    return leaf


def _msgpack(what: str, data: bytes) -> PyTree:
    """The tree that flax.serialization wrote, with its arrays."""
    try:
        found = msgpack.unpackb(data, ext_hook=_extension, raw=False, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError, KeyError, OverflowError) as error:
        raise ValueError(f"{what}: is damaged as a msgpack file ({str(error)[:120] or type(error).__name__})") from None
    return _joined(what, found)


def _extension(code: int, data: bytes) -> np.ndarray:
    # 1 is an array, 3 a NumPy number, 2 a complex one, as flax.serialization has them.
    if code not in (1, 3):
        raise ValueError(f"an entry of kind {code}, which no network needs")
    shape, name, content = msgpack.unpackb(data, raw=False)
    # Reading bfloat16 by name needs ml_dtypes, which JAX registers with NumPy.
    kind = np.dtype(str(name))
    if kind.kind not in "bifu" and kind.name != "bfloat16":
        raise ValueError(f"an array of type {kind}")
    return filled(content, kind, tuple(int(size) for size in shape))


def _joined(what: str, value: PyTree) -> PyTree:
    """The tree with arrays that flax cut in chunks put together again, and keys as text."""
    if isinstance(value, dict) and "__msgpack_chunked_array__" in value:
        shape, chunks = (list(value.get(name, {}).values()) for name in ("shape", "chunks"))
        if not chunks or not all(isinstance(chunk, np.ndarray) for chunk in chunks):
            raise ValueError(f"{what}: holds an array in chunks, but not the chunks")
        whole = np.concatenate([np.ravel(chunk) for chunk in chunks])
        return filled(whole.tobytes(), whole.dtype, tuple(int(size) for size in shape))
    if isinstance(value, dict):
        return {str(key): _joined(what, entry) for key, entry in value.items()}
    return [_joined(what, entry) for entry in value] if isinstance(value, list) else value


def _pickle_told(what: str, data: bytes) -> str:
    if data[2:].startswith(_OLD_TORCH):
        return (
            "is a torch file of before torch 1.6; write it anew with torch: "
            "torch.save(torch.load(PATH, weights_only=True), PATH)"
        )
    try:
        names = [made.name for made in objects(pickles.read(data, what)) if made.name]
    except ValueError:
        names = []
    of = f" of {names[0]}" if names else ""
    return f"is a pickle{of}, and a pickle runs code when it is loaded, so none is; read are {READ}"


def nested(arrays: Mapping[str, PyTree]) -> PyTree:
    """Arrays by names such as `policy/dense_0/kernel` as nested dicts; names without `/` stay as they are."""
    found: dict[str, PyTree] = {}
    for name, leaf in arrays.items():
        *folders, last = name.split("/")
        node = found
        for folder in folders:
            node = node.setdefault(folder, {})
            if not isinstance(node, dict):
                raise ValueError(f"{name!r} is below an array")
        node[last] = leaf
    return found


def plain_json(what: str, data: bytes) -> dict[str, PyTree]:
    """A JSON object; numbers beyond those of JSON, which Python writes, are let through.

    Raises:
        ValueError: it is something else.
    """
    try:
        found = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what}: is no JSON ({str(error)[:120]})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{what}: is no JSON object")
    return found
