"""A command's output directory: refused before anything is written, ours to use again, strict JSON in it."""

import json
import os

import numpy as np
import pytest

from jaxrl_ft.store import run_directory


def contents(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*"))


def refuses(path, *words):
    for function in (run_directory.check, run_directory.create, run_directory.prepare):
        with pytest.raises(ValueError) as caught:
            function(path)
        assert "\n" not in str(caught.value)
        for word in ("out:", *words):
            assert word in str(caught.value)


def test_check_writes_nothing_and_create_makes_and_marks(tmp_path):
    path = run_directory.check(str(tmp_path / "deep" / "run"))
    assert contents(tmp_path) == []
    assert run_directory.create(path) == path == tmp_path / "deep" / "run"
    assert contents(path) == [run_directory.MARKER]


def test_a_directory_of_ours_is_used_again_and_keeps_its_files(tmp_path):
    path = run_directory.prepare(tmp_path / "run")
    (path / "result.csv").write_text("old")
    assert run_directory.prepare(path) == path
    assert (path / "result.csv").read_text() == "old"


def test_the_default_is_under_runs_and_always_free(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second, third = (run_directory.prepare(None) for _ in range(3))
    assert len({first, second, third}) == 3
    assert first.parent.name == second.parent.name == "runs"
    assert run_directory.check(None) not in (first, second, third)
    assert len(contents(tmp_path / "runs")) == 6


@pytest.mark.parametrize("marker", [None, "", "[]", "{}", '{"format": "another"}', "\xff"])
def test_what_no_run_made_is_refused_and_untouched(tmp_path, marker):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    if marker is not None:
        (tmp_path / "thesis" / run_directory.MARKER).write_text(marker)
    before = contents(tmp_path)
    refuses(tmp_path / "thesis", "thesis", "no earlier run")
    assert contents(tmp_path) == before


def test_files_links_and_paths_below_files_are_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    refuses(tmp_path / "file", "not a directory")
    refuses(tmp_path / "file" / "below" / "deep", f"{str(tmp_path / 'file')!r} is not a directory")
    refuses(tmp_path / "dangling", "not a directory")
    refuses(tmp_path / "dangling" / "below", "not a directory")
    refuses(tmp_path / ("x" * 300), "too long")
    refuses(str(tmp_path / "a\x00b"), "null")
    refuses("", "''")
    assert contents(tmp_path) == ["dangling", "file"]


@pytest.mark.skipif(not os.path.ismount("/proc"), reason="no such file system here")
@pytest.mark.parametrize("path", ["/proc/run", "/proc/self/deep/run", "/sys/run"])
def test_kernel_file_systems_are_refused_even_to_root(path):
    refuses(path, path)


def test_an_unwritable_parent_is_refused(tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir(mode=0o500)
    # Root may write whatever the bits say, so the answer is given here.
    monkeypatch.setattr(os, "access", lambda path, mode: os.fspath(path) != str(tmp_path / "locked"))
    refuses(tmp_path / "locked" / "deep" / "run", "locked", "not writable")
    run_directory.check(tmp_path / "open")


def test_a_directory_of_ours_that_became_unwritable_is_refused(tmp_path, monkeypatch):
    path = run_directory.prepare(tmp_path / "run")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    refuses(path, "not writable")


def test_json_has_null_for_what_is_not_finite_and_plain_values_for_numpy(tmp_path):
    value = {
        "nan": float("nan"),
        "array": np.array([[1.5, np.inf], [-np.inf, np.nan]], np.float32),
        "scalars": (np.float32(0.5), np.int64(3), np.bool_(True), np.float64("nan")),
        "text": 'é"\n',
        "none": None,
    }
    run_directory.write_json(tmp_path / "a.json", value)

    def never(text):
        raise AssertionError(text)

    back = json.loads((tmp_path / "a.json").read_text(), parse_constant=never)
    assert back == {
        "nan": None,
        "array": [[1.5, None], [None, None]],
        "scalars": [0.5, 3, True, None],
        "text": 'é"\n',
        "none": None,
    }
    assert back["scalars"][2] is True


@pytest.mark.parametrize(
    ("value", "word"), [({"a": {1: 2}}, r"value\['a'\]: key 1"), ({"a": [{1, 2}]}, r"value\['a'\]\[0\]: set")]
)
def test_json_refuses_what_it_has_no_form_for_and_keeps_the_old_file(tmp_path, value, word):
    run_directory.write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(ValueError, match=word):
        run_directory.write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": 1}
    assert contents(tmp_path) == ["a.json"]


def test_an_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch):
    run_directory.write_json(tmp_path / "a.json", {"old": 1})

    def failing(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="No space"):
        run_directory.write_json(tmp_path / "a.json", {"new": 1})
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": 1}
    assert contents(tmp_path) == ["a.json"]


def test_a_file_is_replaced_and_never_written_into(tmp_path):
    run_directory.write_json(tmp_path / "a.json", {"old": 1})
    os.link(tmp_path / "a.json", tmp_path / "reader.json")
    run_directory.write_json(tmp_path / "a.json", {"new": 1})
    assert json.loads((tmp_path / "reader.json").read_text()) == {"old": 1}
    assert json.loads((tmp_path / "a.json").read_text()) == {"new": 1}
