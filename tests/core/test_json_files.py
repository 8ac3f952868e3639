"""Sealed JSON files: they come back whole, and every other byte is seen."""

import json

import pytest

from jaxrl_ft.core import json_files

CONTENT = {"text": 'é "\n', "numbers": [1, -2.5, 5e-324, 2**70], "none": None, "deep": {"a": {}}}


def test_content_comes_back_and_tuples_as_lists(tmp_path):
    path = tmp_path / "file.json"
    json_files.write_sealed(path, CONTENT)
    back = json_files.read_sealed(path)
    assert back == CONTENT and list(back) == list(CONTENT)
    json_files.write_sealed(path, (1, 2))
    assert json_files.read_sealed(path) == [1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["file.json"]


def test_every_bit_flip_and_every_truncation_is_refused_by_name(tmp_path):
    path = tmp_path / "file.json"
    json_files.write_sealed(path, {"auc": 491.5, "rows": [1]})
    data = path.read_bytes()
    damaged = [data[:length] for length in range(len(data))] + [data + b"\n", data * 2]
    for place in range(len(data)):
        damaged += [data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :] for bit in range(8)]
    for other in damaged:
        path.write_bytes(other)
        with pytest.raises(ValueError, match=r"file\.json"):
            json_files.read_sealed(path)


def test_json_without_a_checksum_is_refused(tmp_path):
    path = tmp_path / "file.json"
    path.write_text(json.dumps(CONTENT))
    with pytest.raises(ValueError, match="no checksum"):
        json_files.read_sealed(path)


def test_a_link_a_directory_and_a_missing_file_are_refused(tmp_path):
    json_files.write_sealed(tmp_path / "file", 1)
    (tmp_path / "link").symlink_to("file")
    for name, why in (("link", "regular"), ("", "regular"), ("none", "No such file")):
        with pytest.raises(ValueError, match=why):
            json_files.read_sealed(tmp_path / name)


def test_what_has_no_json_form_is_refused_and_the_old_file_stays(tmp_path):
    json_files.write_sealed(tmp_path / "file", 1)
    with pytest.raises(ValueError):
        json_files.write_sealed(tmp_path / "file", float("nan"))
    assert json_files.read_sealed(tmp_path / "file") == 1
