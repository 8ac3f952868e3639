"""Bundles come back as they were written, replace nothing else, and every damage is an error that names the file."""

import hashlib
import json
import os
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from jaxrl_ft.store import bundle

KINDS = ("bool", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64")
NAMES = (bundle.ARRAYS, bundle.MANIFEST, bundle.METADATA)


def some_arrays():
    generator = np.random.default_rng(0)
    arrays = {f"params.{kind}": generator.integers(0, 2, (3, 4)).astype(kind) for kind in KINDS}
    extremes = np.array([np.nan, np.inf, -np.inf, -0.0, np.finfo(np.float32).tiny], np.float32)
    return arrays | {
        "zero-d": np.float32(2.5),
        "empty": np.zeros((0, 3), np.int32),
        "extremes": extremes,
        "strided": np.arange(24.0).reshape(4, 6)[::2, ::-3],
        "fortran": np.asfortranarray(np.arange(6, dtype=np.uint32).reshape(2, 3)),
        "../../name": np.zeros(1, np.float32),
    }


def small(path):
    bundle.write_bundle(path, {"w": np.arange(6, dtype=np.float32), "b": np.array([True, False])}, {"name": "lora"})
    return path


def forge(path, **changes):
    """A bundle whose manifest agrees with whatever was put in its files: an attacker's, not an accident's."""
    for name, data in changes.pop("files", {}).items():
        (path / name).write_bytes(data)
    manifest = json.loads((path / bundle.MANIFEST).read_bytes())
    for name in (bundle.ARRAYS, bundle.METADATA):
        data = (path / name).read_bytes()
        manifest["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest |= changes
    del manifest["sha256"]

    def encode(value):
        return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode()

    (path / bundle.MANIFEST).write_bytes(encode({**manifest, "sha256": hashlib.sha256(encode(manifest)).hexdigest()}))


def refuses(path, *words):
    with pytest.raises(ValueError) as caught:
        bundle.read_bundle(path)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_everything_comes_back(tmp_path):
    metadata = {"text": 'é "\n', "deep": {"a": [1, -2.5, None, True, 2**70]}, "odd": "\ud800", "tiny": 5e-324}
    arrays = some_arrays()
    bundle.write_bundle(tmp_path / "deep" / "b", arrays, metadata)
    back, described = bundle.read_bundle(str(tmp_path / "deep" / "b"))
    assert described == metadata and set(back) == set(arrays)
    for name, array in arrays.items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
        assert back[name].tobytes() == np.asarray(array).tobytes()
        assert back[name].flags.writeable
    assert sorted(os.listdir(tmp_path / "deep")) == ["b"]
    assert sorted(os.listdir(tmp_path / "deep" / "b")) == sorted(NAMES)


def test_byte_order_keeps_values_and_nothing_is_a_bundle_too(tmp_path):
    bundle.write_bundle(tmp_path / "b", {"x": np.array([1.5, -2.0], ">f4")}, {"pair": (1, 2)})
    arrays, metadata = bundle.read_bundle(tmp_path / "b")
    np.testing.assert_array_equal(arrays["x"], np.array([1.5, -2.0], np.float32))
    assert metadata == {"pair": [1, 2]}
    bundle.write_bundle(tmp_path / "none", {}, {})
    assert bundle.read_bundle(tmp_path / "none") == ({}, {})


def test_equal_content_gives_equal_bytes(tmp_path):
    arrays = some_arrays()
    bundle.write_bundle(tmp_path / "a", arrays, {"x": 1, "y": 2})
    bundle.write_bundle(tmp_path / "b", dict(reversed(arrays.items())), {"y": 2, "x": 1})
    for name in NAMES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_300_random_bit_flips_are_all_seen(tmp_path):
    path, generator = small(tmp_path / "b"), np.random.default_rng(1)
    for flip in range(300):
        file = path / NAMES[flip % 3]
        clean = file.read_bytes()
        damaged = bytearray(clean)
        damaged[generator.integers(len(clean))] ^= 1 << int(generator.integers(8))
        file.write_bytes(damaged)
        refuses(path, file.name)
        file.write_bytes(clean)
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
        ({"version": 2}, "version 2"),
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
    body = bundle._encode(manifest)
    (path / bundle.MANIFEST).write_bytes(bundle._encode({**manifest, "sha256": hashlib.sha256(body).hexdigest()}))
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


@pytest.mark.parametrize(
    ("arrays", "metadata", "words"),
    [
        ({"x": np.array([object()])}, {}, "arrays.*'x'.*object.*float32"),
        ({"x": np.array(["text"])}, {}, "arrays.*'x'.*U4"),
        ({"x": np.zeros(1, complex)}, {}, "complex128"),
        ({"x": np.zeros(1, [("a", "f4")])}, {}, "arrays.*'x'"),
        ({1: np.zeros(1)}, {}, "name 1 "),
        ({"": np.zeros(1)}, {}, "name ''"),
        ({"a\x00b": np.zeros(1)}, {}, "printable"),
        ({"__metadata__": np.zeros(1)}, {}, "__metadata__"),
        ({}, {"a": [1.0, float("nan")]}, re.escape("metadata['a'][1]: nan")),
        ({}, {"a": {1: 2}}, re.escape("metadata['a']: key 1")),
        ({}, {"a": np.float32(1)}, "float32"),
        ({}, {"a": {1, 2}}, "set"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_is_written(tmp_path, arrays, metadata, words):
    with pytest.raises(ValueError, match=words):
        bundle.write_bundle(tmp_path / "deep" / "b", arrays, metadata)
    assert os.listdir(tmp_path) == []


def test_metadata_that_holds_itself_is_refused(tmp_path):
    loop: dict = {}
    loop["loop"] = loop
    with pytest.raises(ValueError, match="deeply"):
        bundle.write_bundle(tmp_path / "b", {}, loop)


def test_a_bundle_is_replaced_whole_even_a_damaged_one(tmp_path):
    path = small(tmp_path / "b")
    (path / bundle.ARRAYS).write_bytes(b"")
    bundle.write_bundle(path, {"new": np.ones(2)}, {})
    assert set(bundle.read_bundle(path)[0]) == {"new"}
    assert os.listdir(tmp_path) == ["b"]


def test_nothing_but_a_bundle_is_replaced(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("mine")
    (small(tmp_path / "mixed") / "thesis.tex").write_text("mine")
    (small(tmp_path / "foreign") / bundle.MANIFEST).write_text('{"format": "another", "version": 1}')
    small(tmp_path / "b")
    (tmp_path / "link").symlink_to("b")
    (tmp_path / "dangling").symlink_to("nowhere")
    before = sorted(str(file) for file in tmp_path.rglob("*"))
    for name in ("file", "folder", "mixed", "foreign", "link", "dangling", "file/below", ".", "x" * 300, "a\x00b"):
        with pytest.raises(ValueError):
            bundle.write_bundle(tmp_path / name, {}, {})
    assert sorted(str(file) for file in tmp_path.rglob("*")) == before
    bundle.read_bundle(tmp_path / "b")


@pytest.mark.parametrize("calls", [0, 1, 2, 3])
def test_a_failure_while_writing_leaves_the_old_bundle_and_no_rest(tmp_path, monkeypatch, calls):
    path = small(tmp_path / "b")
    real, seen = os.fsync, []

    def failing(descriptor):
        seen.append(descriptor)
        if len(seen) > calls:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="No space"):
        bundle.write_bundle(path, {"new": np.ones(2)}, {})
    assert os.listdir(tmp_path) == ["b"]
    assert set(bundle.read_bundle(path)[0]) == {"w", "b"}


def test_a_failing_rename_puts_the_old_bundle_back(tmp_path, monkeypatch):
    path = small(tmp_path / "b")
    real = type(path).rename

    def failing(self, to):
        if ".new-" in self.name:
            raise OSError(5, "Input/output error")
        return real(self, to)

    monkeypatch.setattr(type(path), "rename", failing)
    with pytest.raises(OSError, match="Input/output"):
        bundle.write_bundle(path, {"new": np.ones(2)}, {})
    assert os.listdir(tmp_path) == ["b"]
    assert set(bundle.read_bundle(path)[0]) == {"w", "b"}


def test_reading_and_writing_need_no_jax_and_no_pickle():
    code = "import sys, jaxrl_ft.store.bundle, jaxrl_ft.store.run_directory; print('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
