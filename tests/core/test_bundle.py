"""Bundles come back as they were written and replace nothing else."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from helpers.bundles import NAMES, small

from jaxrl_ft.core import bundle

KINDS = ("bool", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64")


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


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_could_not_be_read_again_is_not_written(tmp_path, monkeypatch, name):
    monkeypatch.setitem(bundle.LIMITS, name, 10)
    with pytest.raises(ValueError, match=rf"{name}: \d+ bytes are not allowed; at most 10"):
        bundle.write_bundle(tmp_path / "b", {"x": np.zeros(9)}, {"a": "long enough"})
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
    with pytest.raises(OSError, match="No space") as caught:
        bundle.write_bundle(path, {"new": np.ones(2)}, {})
    assert caught.value.filename == str(path)
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
    code = "import sys, jaxrl_ft.core.bundle, jaxrl_ft.store.run_directory; print('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_of_two_savers_on_one_path_the_last_one_stays_and_both_return(tmp_path, monkeypatch):
    path, others = small(tmp_path / "b"), [small(tmp_path / name) for name in ("first", "second")]
    real = type(path).rename

    def racing(self, to):
        # Another saver comes in each time that the old bundle has been moved aside, twice.
        if ".new-" in self.name and others:
            real(others.pop(), path)
        return real(self, to)

    monkeypatch.setattr(type(path), "rename", racing)
    bundle.write_bundle(path, {"new": np.ones(2)}, {})
    assert not others and set(bundle.read_bundle(path)[0]) == {"new"}
    assert sorted(os.listdir(tmp_path)) == ["b"]


def test_a_digest_is_of_names_shapes_types_and_bits():
    arrays = {"a": np.arange(4.0), "b": np.ones((2, 2), np.float32)}
    same = {"b": arrays["b"].copy(), "a": arrays["a"].copy()}
    assert bundle.arrays_digest(arrays) == bundle.arrays_digest(same)
    others = [
        {**arrays, "a": arrays["a"].reshape(2, 2)},
        {**arrays, "a": arrays["a"].astype(np.float32)},
        {**arrays, "a": -arrays["a"]},
        {"c": arrays["a"], "b": arrays["b"]},
    ]
    assert len({bundle.arrays_digest(one) for one in [arrays, *others]}) == 5
