"""Files that other libraries wrote, in `tests/store/foreign_files`, and files that are made to do harm."""

import base64
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent.parent / "store" / "foreign_files"


def expected(name: str, *parts: str) -> list[np.ndarray]:
    """The entries `NAME/PART` of what the other libraries themselves put out."""
    with np.load(FOLDER / "expected.npz") as arrays:
        return [arrays[f"{name}/{part}"] for part in parts]


class Harmful:
    """Would write the file `harm` where it is loaded."""

    def __reduce__(self):
        return (exec, ("open('harm', 'w').close()",))


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def members(name: str) -> dict[str, bytes]:
    """The members of a file that is a zip."""
    with zipfile.ZipFile(FOLDER / name) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def with_settings(name: str, **changes: object) -> bytes:
    """A zip of Stable-Baselines3 with other settings."""
    files = members(name)
    settings = json.loads(files["data"]) | changes
    return zipped(files | {"data": json.dumps(settings).encode()})


def object_array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([Harmful()], dtype=object), allow_pickle=True)
    return stream.getvalue()


def harmful() -> dict[str, bytes]:
    """Files that would run a command if any pickle in them were loaded."""
    bad = pickle.dumps(Harmful())
    serialized = {":type:": "<class 'dict'>", ":serialized:": base64.b64encode(bad).decode()}
    torch = {"archive/data.pkl": bad, "archive/version": b"3\n", "archive/data/0": b"\0" * 64}
    return {
        "harm.pt": zipped(torch),
        "in_a_dict.pt": zipped(torch | {"archive/data.pkl": pickle.dumps({"actor.0.weight": Harmful()}, 2)}),
        "policy.zip": zipped(members("sb3_ppo.zip") | {"policy.pth": zipped(torch)}),
        "sbx.zip": with_settings("sbx_ppo.zip", policy=serialized),
        "harm.npz": zipped({"actor.npy": object_array()}),
        "harm.pkl": bad,
        "harm.cleanrl_model": pickle.dumps([Harmful()], 2),
    }
