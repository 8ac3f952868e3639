"""Tables as files: every column, every digit, and nothing that is no cell."""

import csv
import subprocess
import sys

import numpy as np
import pytest

from jaxrl_ft.core import files
from jaxrl_ft.core.files import write_csv


def test_csv_has_every_column_and_every_digit(tmp_path):
    rows = [
        {"method": "lora, full", "auc": 1 / 3, "seed": np.uint32(7)},
        {"method": 'say "hi"\nthere', "auc": np.float32(0.1), "failed": True},
        {"method": None, "auc": np.float64("nan"), "scalar": np.array(2.5)},
    ]
    write_csv(tmp_path / "a.csv", iter(rows))
    with (tmp_path / "a.csv").open(newline="") as file:
        back = list(csv.DictReader(file))
    assert list(back[0]) == ["method", "auc", "seed", "failed", "scalar"]
    assert [row["method"] for row in back] == ["lora, full", 'say "hi"\nthere', ""]
    assert float(back[0]["auc"]) == 1 / 3 and np.float32(back[1]["auc"]) == np.float32(0.1)
    assert (back[0]["seed"], back[1]["seed"], back[1]["failed"], back[2]["auc"]) == ("7", "", "True", "nan")
    assert back[2]["scalar"] == "2.5"


def test_csv_refuses_what_is_no_cell(tmp_path):
    with pytest.raises(ValueError, match=r"rows\[0\]\['a'\]: list"):
        write_csv(tmp_path / "a.csv", [{"a": [1]}])
    write_csv(tmp_path / "a.csv", [])
    assert (tmp_path / "a.csv").read_text() == ""


def test_one_process_at_a_time(tmp_path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom jaxrl_ft.core import files\n"
        "try:\n    with files.claimed(Path(sys.argv[1])):\n        print('claimed')\n"
        "except ValueError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with files.claimed(tmp_path):
        assert "is in use by another process" in subprocess.run(command, capture_output=True, text=True).stdout
    assert subprocess.run(command, capture_output=True, text=True).stdout == "claimed\n"
