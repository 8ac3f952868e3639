"""Files that are written whole or not at all, and tables as CSV; plain NumPy."""

import csv
import io
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import filelock
import numpy as np

LOCK = "lock"
Json: TypeAlias = Any
"""Content of a JSON file: numbers, text, booleans, None, and lists and dicts of these."""


@contextmanager
def claimed(directory: Path, field: str = "out") -> Iterator[Path]:
    """The directory, for as long as the context lasts in this process alone; it must exist.

    Args:
        directory: to claim; the file `lock` in it stays behind.
        field: what the user calls it.

    Raises:
        ValueError: another process has it.
    """
    lock = filelock.FileLock(directory / LOCK, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise ValueError(f"{field}: {str(directory)!r} is in use by another process") from error
    try:
        yield directory
    finally:
        lock.release()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, whose file is renamed to `path` when the context ends without an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a file whole or not at all: to a temporary file first, which is then renamed."""
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all, as `write_text` does."""
    with replacing(path) as temporary, temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Write the entries of a directory to disk."""
    if os.name == "nt":
        return  # Windows opens no directory
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_csv(path: str | Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write one line per row under a header of all columns, in order of first appearance.

    A missing value or None is an empty cell; floats are written with as many digits as give back the same value.

    Raises:
        ValueError: a cell holds anything but a number, a boolean, text or None.
    """
    rows = list(rows)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([columns] if columns else [])
    for index, row in enumerate(rows):
        writer.writerow([_cell(row.get(name), f"rows[{index}][{name!r}]") for name in columns])
    write_text(path, stream.getvalue())


def _cell(value: object, where: str) -> str:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if value is not None and not isinstance(value, (bool, int, float, str, np.generic)):
        raise ValueError(f"{where}: {type(value).__name__} is not allowed; it must be a number, a boolean or text")
    return "" if value is None else str(value)
