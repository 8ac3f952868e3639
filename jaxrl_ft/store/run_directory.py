"""Where a command writes: a directory of its own, never one that holds something else, with strict JSON."""

import datetime
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.files import Json, write_text

MARKER = "jaxrl_ft_run.json"
FORMAT = "jaxrl_ft_run"
TRAIN, SWEEP = "train", "sweep"
"""The commands that write a directory; each goes on in, or replaces, its own alone."""
DEFAULT_PARENT = "runs"
# Here the kernel answers that root may write, and then refuses to.
KERNEL_VIEWS = ("/proc", "/sys")


def source_path(out: Path) -> Path:
    """Where the pretrained agents lie."""
    return out / "agents" / "source"


def agents_path(out: Path, method: str, target: str) -> Path:
    """Where the agents of a method and a target lie; characters that a file system may refuse become underscores."""
    return out / "agents" / file_name(f"{target}+{method}")


def file_name(text: str) -> str:
    """The name of a file or a folder for a text, without what a file system may refuse."""
    return re.sub(r"[^\w.+=-]", "_", text)


def prepare(path: str | Path | None, command: str = "") -> Path:
    """The directory of a command's output, made and marked as ours: `check`, then `create`."""
    return create(check(path, command), command)


def check(path: str | Path | None, command: str = "") -> Path:
    """The directory that `create` would make; writes nothing.

    Args:
        path: where to write, or None for `runs/<time>`, the first that is free.
        command: the command that writes there, such as `sweep`; a directory of another one is refused.

    Raises:
        ValueError: the path exists, is not empty and no earlier run of the command made it, is below a file, or cannot
            be written; in one line.
    """
    if path is not None:
        checks.kind("out", path, (str, os.PathLike), "the path of a directory")
    text = None if path is None else str(path)
    if text is not None and (not text or "\0" in text or text.encode(errors="replace") != text.encode(errors="ignore")):
        raise ValueError(
            f"out: {text!r} is not allowed; it must be the path of a directory, in UTF-8 and without null bytes"
        )
    directory = Path(path) if path is not None else _free_default()
    try:
        if is_there(directory):
            _check_ours(directory, command)
        _check_writable(directory)
    except OSError as error:
        raise _refusal(directory, error.strerror or type(error).__name__) from error
    return directory


def create(path: str | Path, command: str = "") -> Path:
    """The directory, checked again, made with its parents, and marked, so that a later run may write there too.

    Args:
        path: the directory.
        command: as in `check`.

    Raises:
        ValueError: it is not ours, or cannot be made.
    """
    directory = check(path, command)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / MARKER, {"format": FORMAT, **({"command": command} if command else {})})
    except OSError as error:
        raise _refusal(directory, error.strerror or type(error).__name__) from error
    return directory


def write_json(path: str | Path, value: Json) -> None:
    """Write a value as JSON that every reader accepts; the file is replaced in one step.

    NaN and infinities become null, NumPy values plain numbers and lists, tuples lists.

    Raises:
        ValueError: a key is not a string, or a value has no JSON form.
    """
    write_text(path, as_json(value))


def as_json(value: Json) -> str:
    """The text that `write_json` writes."""
    return json.dumps(plain(value), allow_nan=False, indent=2) + "\n"


def plain(value: Json) -> Json:
    """The value as JSON has it: NaN and infinities null, NumPy values plain numbers and lists, tuples lists.

    Raises:
        ValueError: as `write_json`.
    """
    return _plain(value, "value")


def _free_default() -> Path:
    name = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    path, number = Path(DEFAULT_PARENT) / name, 1
    while os.path.lexists(path):
        number += 1
        path = path.with_name(f"{name}-{number}")
    return path


def _refusal(directory: Path, cause: str) -> ValueError:
    return ValueError(f"out: {str(directory)!r} cannot be used: {cause}")


def is_there(path: Path) -> bool:
    """Return whether a path leads to a file, a directory or a link."""
    # pathlib's answer hides a name that is too long, and a link to nothing.
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _check_ours(directory: Path, command: str) -> None:
    if not directory.is_dir():
        raise _refusal(directory, "it exists and is not a directory")
    if not os.listdir(directory):
        return
    try:
        marker = json.loads((directory / MARKER).read_bytes())
        ours, theirs = marker["format"] == FORMAT, marker.get("command", command)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        ours, theirs = False, ""
    if not ours:
        raise _refusal(directory, f"it exists and no earlier run made it (it has no {MARKER})")
    if command and theirs != command:
        raise _refusal(directory, f"it holds a run of {theirs!r}, and this is {command!r}")


def _check_writable(directory: Path) -> None:
    existing = directory.absolute()
    # The root of a drive that is not there is its own parent.
    while not is_there(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise _refusal(directory, f"{str(existing)!r} is not a directory")
    device = existing.stat().st_dev
    kernel = any(os.path.ismount(view) and os.stat(view).st_dev == device for view in KERNEL_VIEWS)
    if kernel or not os.access(existing, os.W_OK | os.X_OK):
        raise _refusal(directory, f"{str(existing)!r} is not writable")


def _plain(value: Json, where: str) -> Json:
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            raise ValueError(f"{where}: key {odd[0]!r} is not allowed; keys must be strings")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise ValueError(f"{where}: {type(value).__name__} is not allowed; it must be a JSON value or a NumPy array")
