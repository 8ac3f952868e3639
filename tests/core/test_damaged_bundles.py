"""Every damage to a bundle, by accident or on purpose, is an error that names the file."""

import hashlib
import json
import os
import pickle

import numpy as np
import pytest
import safetensors.numpy
from helpers.bundles import NAMES, flipped, forge, refuses, small

from jaxrl_ft.core import bundle, json_files


@pytest.mark.parametrize("flips", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_every_random_bit_flip_is_seen(flips, tmp_path):
    path, generator = small(tmp_path / "b"), np.random.default_rng(1)
    for number in range(flips):
        file = path / NAMES[number % 3]
        with flipped(file, generator):
            refuses(path, file.name)
    bundle.read_bundle(path)


@pytest.mark.parametrize("name", NAMES)
def test_every_truncation_and_any_surplus_is_seen(tmp_path, name):
    file = small(tmp_path / "b") / name
    clean = file.read_bytes()
    for sixteenth in range(16):
        file.write_bytes(clean[: len(clean) * sixteenth // 16])
        refuses(tmp_path / "b", name)
    file.write_bytes(clean + b"\n")
    refuses(tmp_path / "b", name)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_a_link_a_directory_or_a_pipe_is_refused(tmp_path, name):
    file = small(tmp_path / "b") / name
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    refuses(tmp_path / "b", name, "missing")
    file.symlink_to(elsewhere)
    refuses(tmp_path / "b", name, "regular")
    file.unlink()
    file.mkdir()
    refuses(tmp_path / "b", name, "regular")
    file.rmdir()
    os.mkfifo(file)
    refuses(tmp_path / "b", name, "regular")


def test_an_extra_file_is_refused_by_name(tmp_path):
    (small(tmp_path / "b") / "policy.py").write_text("raise SystemExit")
    refuses(tmp_path / "b", "policy.py")


def test_what_is_no_directory_is_refused(tmp_path):
    (tmp_path / "agents.pkl").write_bytes(pickle.dumps([1]))
    refuses(tmp_path / "agents.pkl", "agents.pkl")
    refuses(tmp_path / "nowhere", "nowhere", "No such file")
    refuses(tmp_path / ("x" * 300), "too long")
    (tmp_path / "empty").mkdir()
    refuses(tmp_path / "empty", bundle.ARRAYS, "missing")


@pytest.mark.parametrize("name", NAMES)
def test_a_renamed_pickle_never_runs(tmp_path, name):
    witness = tmp_path / "witness"

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(witness),)

    path = small(tmp_path / "b")
    (path / name).write_bytes(pickle.dumps(Bomb()))
    refuses(path, name)
    if name != bundle.MANIFEST:
        forge(path)
        refuses(path, name, "not valid")
    assert not witness.exists()


@pytest.mark.parametrize(
    "text",
    ['{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', '{"a": 1, "a": 2}', "[1]", "{", '{"a": "\xff"}', "[" * 100_000,
     '{"a": ' + "1" * 5000 + "}"],
    ids=["nan", "infinity", "overflow", "duplicate", "list", "cut", "latin-1", "deep", "digits"],
)  # fmt: skip
def test_json_that_agrees_with_its_hash_is_still_read_strictly(tmp_path, text):
    path = small(tmp_path / "b")
    forge(path, files={bundle.METADATA: text.encode("latin-1")})
    refuses(path, bundle.METADATA)
    (path / bundle.MANIFEST).write_bytes(text.encode("latin-1"))
    refuses(path, bundle.MANIFEST)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"version": 3}, "version 3"),
        ({"version": 0}, "version 0"),
        ({"version": True}, "version True"),
        ({"format": "other"}, "format"),
        ({"surplus": 1}, "names"),
        ({"files": {"../../etc/passwd": {"size": 1, "sha256": ""}}}, "names"),
        ({"arrays": []}, "arrays"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(tmp_path, changes, word):
    path = small(tmp_path / "b")
    manifest = json.loads((path / bundle.MANIFEST).read_bytes()) | changes
    del manifest["sha256"]
    body = json_files.encoded(manifest)
    (path / bundle.MANIFEST).write_bytes(json_files.encoded({**manifest, "sha256": hashlib.sha256(body).hexdigest()}))
    refuses(path, bundle.MANIFEST, word)


W, B = {"dtype": "float32", "shape": [6]}, {"dtype": "bool", "shape": [2]}


@pytest.mark.parametrize(
    "listed",
    [{"w": W}, {"w": W, "b": B, "c": B}, {"w": W, "c": B}, {"w": {"dtype": "float32", "shape": [2, 3]}, "b": B},
     {"w": {"dtype": "int32", "shape": [6]}, "b": B}, {"w": None, "b": B}],
)  # fmt: skip
def test_arrays_other_than_the_manifest_says_are_refused(tmp_path, listed):
    path = small(tmp_path / "b")
    forge(path, arrays={"w": W, "b": B})
    bundle.read_bundle(path)
    forge(path, arrays=listed)
    refuses(path, bundle.ARRAYS)


def safetensors_bytes(header, payload):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + payload


@pytest.mark.parametrize(
    "data",
    [
        safetensors_bytes({"b": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}, b"\x01\x02"),
        safetensors_bytes({"b": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2]}}, b"\x01\x02"),
        safetensors_bytes({"b": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, b"\x01\x02"),
        (2**63).to_bytes(8, "little") + b"{}",
        b"",
    ],
    ids=["boolean of 2", "shape beyond data", "unknown dtype", "endless header", "nothing"],
)
def test_hostile_arrays_are_refused(tmp_path, data):
    path = small(tmp_path / "b")
    forge(path, files={bundle.ARRAYS: data}, arrays={"b": B})
    refuses(path, bundle.ARRAYS)


def test_a_dtype_that_is_never_written_is_not_read_either(tmp_path):
    path = small(tmp_path / "b")
    data = safetensors_bytes({"b": {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]}}, bytes(8))
    forge(path, files={bundle.ARRAYS: data}, arrays={"b": {"dtype": "complex64", "shape": [1]}})
    refuses(path, bundle.ARRAYS, "complex64")


def test_metadata_inside_the_arrays_file_is_no_array(tmp_path):
    path = small(tmp_path / "b")
    data = safetensors.numpy.save({"b": np.array([True, False])}, {"w": "text"})
    forge(path, files={bundle.ARRAYS: data}, arrays={"b": B})
    assert set(bundle.read_bundle(path)[0]) == {"b"}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_over_its_limit_is_refused_unread(tmp_path, name):
    path = small(tmp_path / "b")
    os.truncate(path / name, bundle.LIMITS[name] + 1)
    refuses(path, name, "more than")


def test_a_file_of_another_size_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = small(tmp_path / "b")
    with (path / bundle.ARRAYS).open("r+b") as file:
        file.truncate(2**33)
    real = type(path).open

    def opened(self, *args):
        assert self.name != bundle.ARRAYS
        return real(self, *args)

    monkeypatch.setattr(type(path), "open", opened)
    refuses(path, bundle.ARRAYS, "8589934592 bytes where the manifest says")
