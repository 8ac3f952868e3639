"""Members of zip files: sizes and names are checked before anything is unpacked, and nothing is written to disk."""

import io
import zipfile
import zlib

MOST_BYTES = 2**30
"""Bytes that all members of a file may have together."""
MOST_MEMBERS = 4096


def members(what: str, data: bytes) -> dict[str, bytes]:
    """The members of a zip file by name, folders apart.

    Args:
        what: the file's name, for messages.
        data: its bytes.

    Raises:
        ValueError: it is cut off or damaged, encrypted, unpacks to too much, or a name leads out of a folder.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = [info for info in archive.infolist() if not info.is_dir()]
            _check(what, listed)
            return {info.filename: _unpacked(archive, info) for info in listed}
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, KeyError, UnicodeError) as error:
        # NotImplementedError, of a compression that is not known, is a RuntimeError.
        raise ValueError(f"{what}: is cut off or damaged as a zip file ({error})") from None


def _check(what: str, listed: list[zipfile.ZipInfo]) -> None:
    total = sum(info.file_size for info in listed)
    if len(listed) > MOST_MEMBERS or total > MOST_BYTES:
        raise ValueError(
            f"{what}: unpacks to {len(listed):,} files of {total:,} bytes; at most {MOST_MEMBERS:,} of {MOST_BYTES:,} "
            "are allowed"
        )
    names = [info.filename for info in listed]
    for name in names:
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
            raise ValueError(f"{what}: the name {name!r} inside leads out of the file")
    if len(set(names)) < len(names):
        raise ValueError(f"{what}: two files inside have one name")


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as file:
        found = file.read(info.file_size + 1)
    if len(found) != info.file_size:
        raise ValueError(f"{info.filename}: has {len(found):,} bytes, and its listing says {info.file_size:,}")
    return found
