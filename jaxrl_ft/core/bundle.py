"""Bundles: named arrays and JSON metadata in a directory that holds nothing that can execute.

A bundle is a directory of exactly three files: `arrays.safetensors`, `metadata.json` and `manifest.json`. The manifest
gives the format version, size and SHA-256 of the other two, dtype and shape of every array, the versions of the
libraries that wrote it, and a SHA-256 of itself. Equal content gives equal bytes.
"""

import errno
import hashlib
import importlib.metadata
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy

from jaxrl_ft.core.files import Json, sync_directory
from jaxrl_ft.core.json_files import digest, encoded, parse_json, read_regular, regular_size

FORMAT = "jaxrl_ft_bundle"
VERSION = 2
ARRAYS, METADATA, MANIFEST = "arrays.safetensors", "metadata.json", "manifest.json"
LIMITS = {ARRAYS: 2**34, METADATA: 2**26, MANIFEST: 2**24}
DTYPES = ("bool", "float16", "float32", "float64", *(f"{s}int{bits}" for s in ("", "u") for bits in (8, 16, 32, 64)))
LIBRARIES = ("jaxrl-ft", "numpy", "safetensors", "jax", "jaxlib", "flax", "optax", "gymnax")
MANIFEST_FIELDS = frozenset(["format", "version", "files", "arrays", "libraries", "sha256"])
Arrays = dict[str, np.ndarray]


def write_bundle(path: str | Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Json]) -> None:
    """Write a complete bundle of these arrays and this metadata to `path`.

    The files are written to a sibling directory, synced to disk and renamed into place. A bundle that was at `path`
    is moved aside first and removed last: whatever interrupts this, one of the two is whole, at `path` or beside it.

    Args:
        path: the directory to make; its parents are made too. Only another bundle is ever replaced.
        arrays: name to array of any shape; booleans, integers and floats of up to 64 bits. Other byte orders become
            the machine's own.
        metadata: JSON values; tuples come back as lists.

    Raises:
        ValueError: an array or a value cannot be stored, or `path` is taken or cannot be made.
        OSError: the disk is full or fails; the error names `path`, where what was there still is.
    """
    target = Path(os.path.abspath(path))
    contents = _contents(_storable(arrays), dict(metadata))
    _check_replaceable(target)
    temporary = target.with_name(f".{target.name}.new-{secrets.token_hex(4)}")
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise ValueError(f"{target}: cannot be written: {error.strerror}") from error
    try:
        for name, data in contents.items():
            _write_synced(temporary / name, data)
        sync_directory(temporary)
        replaced = _swap(temporary, target)
    except BaseException as error:
        remove_bundle(temporary)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    sync_directory(target.parent)
    for old in replaced:
        remove_bundle(old)


def read_bundle(path: str | Path) -> tuple[Arrays, dict[str, Json]]:
    """The arrays by name and the metadata of a bundle, after every check.

    Order of checks: the three files and their kinds, the manifest against itself, sizes, SHA-256 of each file, and only
    then the contents against the manifest. The bytes that were hashed are the bytes that are parsed.

    Raises:
        ValueError: not a bundle, of a newer version, or damaged in any way; the message names the file and the cause.
    """
    directory = Path(path)
    _check_listing(directory)
    manifest = _read_manifest(directory / MANIFEST)
    contents = {name: _read_checked(directory / name, manifest["files"][name]) for name in (ARRAYS, METADATA)}
    arrays = _parse_arrays(directory / ARRAYS, contents[ARRAYS], manifest["arrays"])
    return arrays, parse_json(directory / METADATA, contents[METADATA])


def arrays_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of arrays by name: equal for equal names, shapes, types and bits alone."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        leaf = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {leaf.shape} {leaf.dtype} ".encode())
        found.update(leaf.tobytes())
    return found.hexdigest()


def _storable(arrays: Mapping[str, np.ndarray]) -> Arrays:
    result = {}
    for name, value in arrays.items():
        if not isinstance(name, str) or not name.isprintable() or name in ("", "__metadata__"):
            raise ValueError(f"arrays: name {name!r} is not allowed; it must be printable, and not '__metadata__'")
        array = np.asarray(value)
        if array.dtype.name not in DTYPES:
            raise ValueError(f"arrays[{name!r}]: dtype {array.dtype} is not allowed; one of: {', '.join(DTYPES)}")
        result[name] = np.asarray(array, order="C")
    return result


def _contents(arrays: Arrays, metadata: dict[str, Json]) -> dict[str, bytes]:
    try:
        _check_metadata(metadata, "metadata")
    except RecursionError as error:
        raise ValueError("metadata: is nested too deeply, or holds itself") from error
    files = {ARRAYS: safetensors.numpy.save(arrays), METADATA: encoded(metadata)}
    body = {
        "format": FORMAT,
        "version": VERSION,
        "files": {name: {"size": len(data), "sha256": digest(data)} for name, data in files.items()},
        "arrays": {name: _specification(array) for name, array in arrays.items()},
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    files[MANIFEST] = encoded({**body, "sha256": digest(encoded(body))})
    for name, data in files.items():
        if len(data) > LIMITS[name]:
            raise ValueError(f"{name}: {len(data)} bytes are not allowed; at most {LIMITS[name]}")
    return files


def _specification(array: np.ndarray) -> dict[str, Json]:
    return {"dtype": array.dtype.name, "shape": list(array.shape)}


def _check_metadata(value: Json, where: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{where}: key {key!r} is not allowed; keys must be strings")
            _check_metadata(item, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_metadata(item, f"{where}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where}: {value!r} is not allowed; JSON has finite numbers only")
    elif value is not None and not isinstance(value, (bool, int, float, str)):
        raise ValueError(f"{where}: {type(value).__name__} is not allowed; it must be a JSON value")


def version(library: str) -> str | None:
    """Return the version of an installed library; None without one, as of a checkout that is on the path alone."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _check_replaceable(target: Path) -> None:
    if not os.path.lexists(target):
        return
    try:
        if target.is_symlink():
            raise ValueError(f"{target}: is a link")
        _check_listing(target)
        _parse_manifest(target / MANIFEST, read_regular(target / MANIFEST, LIMITS[MANIFEST]))
    except ValueError as error:
        raise ValueError(f"{target}: exists and is not a bundle, so it is not replaced ({error})") from error


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _swap(temporary: Path, target: Path) -> list[Path]:
    """Rename a new bundle to its place; returns where the replaced ones lie now."""
    replaced: list[Path] = []
    while True:
        old = target.with_name(f".{target.name}.old-{secrets.token_hex(4)}")
        try:
            target.rename(old)
            replaced.append(old)
        except FileNotFoundError:
            pass
        try:
            temporary.rename(target)
            return replaced
        except BaseException as error:
            # Another process may have put its own bundle there in between; the last one stays.
            if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                continue
            if replaced:
                replaced.pop().rename(target)
            raise


def remove_bundle(directory: Path) -> None:
    """Remove a bundle, whole or damaged; anything else in the directory stays, and is an OSError."""
    # Named files only, never a tree: nothing that someone else put there can be lost.
    if directory.exists():
        for name in LIMITS:
            (directory / name).unlink(missing_ok=True)
        directory.rmdir()


def _check_listing(directory: Path) -> None:
    try:
        present = set(os.listdir(directory))
    except OSError as error:
        raise ValueError(f"{directory}: is not a bundle: {error.strerror}") from error
    for name in sorted(set(LIMITS) - present):
        raise ValueError(f"{directory / name}: is missing, so this is not a complete bundle")
    for name in sorted(present - set(LIMITS)):
        raise ValueError(f"{directory / name}: is not part of a bundle and should not be there")


def _parse_manifest(path: Path, data: bytes) -> dict[str, Json]:
    manifest = parse_json(path, data)
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{path}: format is {manifest.get('format')!r}, not {FORMAT!r}")
    version = manifest.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise ValueError(f"{path}: version {version!r} cannot be read; the newest known here is {VERSION}")
    return manifest


def _read_manifest(path: Path) -> dict[str, Json]:
    data = read_regular(path, LIMITS[path.name])
    manifest = _parse_manifest(path, data)
    body = {key: value for key, value in manifest.items() if key != "sha256"}
    if encoded({**body, "sha256": digest(encoded(body))}) != data:
        raise ValueError(f"{path}: is damaged (its SHA-256 is another)")
    for field, names in ((manifest, MANIFEST_FIELDS), (manifest.get("files"), {ARRAYS, METADATA})):
        if not isinstance(field, dict) or set(field) != set(names):
            raise ValueError(f"{path}: names other than {', '.join(sorted(names))} are listed, or one of these is not")
    if not isinstance(manifest["arrays"], dict):
        raise ValueError(f"{path}: arrays must be a JSON object")
    return manifest


def _read_checked(path: Path, expected: Json) -> bytes:
    size = expected.get("size") if isinstance(expected, dict) else None
    found = regular_size(path, LIMITS[path.name])
    if type(size) is not int or size != found:
        raise ValueError(f"{path}: is damaged ({found} bytes where the manifest says {size})")
    data = read_regular(path, LIMITS[path.name])
    if expected != {"size": len(data), "sha256": digest(data)}:
        raise ValueError(f"{path}: is damaged (its SHA-256 is another)")
    return data


def _parse_arrays(path: Path, data: bytes, expected: dict[str, Json]) -> Arrays:
    try:
        arrays = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: not valid safetensors: {error!r}") from error
    for name in sorted(set(arrays) ^ set(expected)):
        raise ValueError(f"{path}: array {name!r} is {'not in the manifest' if name in arrays else 'missing'}")
    for name, array in arrays.items():
        if _specification(array) != expected[name] or array.dtype.name not in DTYPES:
            raise ValueError(f"{path}: array {name!r} is {_specification(array)}; the manifest says {expected[name]}")
        if array.dtype == np.bool_ and array.view(np.uint8).max(initial=0) > 1:
            raise ValueError(f"{path}: array {name!r} is of booleans, but holds bytes other than 0 and 1")
    return arrays
