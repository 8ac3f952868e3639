"""JSON in files: read strictly, and sealed with a checksum, so that a damaged file is never taken for another value."""

import hashlib
import json
import math
import stat
from pathlib import Path

from jaxrl_ft.core.files import Json, write_text

LIMIT = 2**26
"""Bytes of a sealed file at most."""
_FIELDS = {"content", "sha256"}


def write_sealed(path: Path, content: Json) -> None:
    """Write JSON with its checksum, whole or not at all.

    Args:
        path: the file, which is replaced.
        content: JSON values; tuples come back as lists.

    Raises:
        ValueError: a value has no JSON form.
    """
    write_text(path, _sealed(content).decode())


def read_sealed(path: Path) -> Json:
    """The JSON that `write_sealed` wrote; every other byte in the file is refused.

    Raises:
        ValueError: the file is missing, damaged or not sealed; the message names it.
    """
    data = read_regular(path, LIMIT)
    sealed = parse_json(path, data)
    if set(sealed) != _FIELDS:
        raise ValueError(f"{path}: has no checksum; an earlier version or another program wrote it")
    if _sealed(sealed["content"]) != data:
        raise ValueError(f"{path}: is damaged (its SHA-256 is another)")
    return sealed["content"]


def _sealed(content: Json) -> bytes:
    # The order of keys is content too: that of a table's columns.
    body = encoded(content, sort=False)
    return encoded({"content": content, "sha256": digest(body)}, sort=False)


def parse_json(path: Path, data: bytes) -> dict[str, Json]:
    """The JSON object in `data`; stricter than the standard library, since a later reader may not be as lenient.

    Raises:
        ValueError: not UTF-8, not JSON, NaN or Infinity, a number too large, a duplicate key, nested too deeply, or
            not an object; `path` is named.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: a JSON object was expected, not a {type(value).__name__}")
    return value


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError(f"a key is given twice among {', '.join(sorted(name for name, _ in pairs))}")
    return dict(pairs)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def encoded(value: Json, sort: bool = True) -> bytes:
    """Return a JSON value as bytes, equal for equal values; without sorting, also of equal order."""
    return (json.dumps(value, allow_nan=False, sort_keys=sort, indent=1) + "\n").encode("ascii")


def digest(data: bytes) -> str:
    """The SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_regular(path: Path, limit: int) -> bytes:
    """The bytes of a regular file.

    Args:
        path: of the file; links are not followed.
        limit: the most bytes it may have; a larger one is refused before it is read.

    Raises:
        ValueError: it is no regular file, is too large, or cannot be read.
    """
    regular_size(path, limit)
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error


def regular_size(path: Path, limit: int) -> int:
    """The size of a regular file in bytes.

    Raises:
        ValueError: it is no regular file, is larger than the limit, or cannot be read.
    """
    try:
        status = path.lstat()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path}: is not a regular file (links are not followed)")
    if status.st_size > limit:
        raise ValueError(f"{path}: {status.st_size} bytes are more than the {limit} allowed")
    return status.st_size
