"""Laws of a sweep's directory: one plan, one process, and cells that are whole or absent."""

import math

import numpy as np
import pytest

from jaxrl_ft.store import run_directory
from jaxrl_ft.sweeps import directory
from jaxrl_ft.sweeps.proposals import Proposal, Trial

PLAN = {"methods": {"full": {"rate": 1e-3}}, "seeds": 4}


@pytest.fixture
def out(tmp_path):
    path = run_directory.create(tmp_path / "sweep")
    directory.write_plan(path, PLAN)
    return path


def test_the_same_plan_may_go_on_and_another_is_refused_by_the_part_that_differs(out):
    directory.check_plan(out, {**PLAN})
    before = (out / directory.PLAN).read_bytes()
    for other, part in (({**PLAN, "seeds": 5}, "seeds"), ({**PLAN, "steps": 1}, "steps"), ({"seeds": 4}, "methods")):
        with pytest.raises(ValueError, match=f"holds another plan, which differs in '{part}'"):
            directory.write_plan(out, other)
    assert (out / directory.PLAN).read_bytes() == before


def test_a_plan_that_cannot_be_read_is_told(out):
    (out / directory.PLAN).write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        directory.check_plan(out, PLAN)


def test_cells_come_back_with_what_was_not_finite_as_nan(out):
    rows = [{"method": "full", "auc": math.nan, "run": 0, "status": "non-finite"}]
    directory.write_cell(out, 12, {"rows": rows, "curve": np.array([[1.0, np.inf]])})
    (out / directory.CELLS / ".000013.json.tmp").write_text("{")
    found, damaged = directory.cells(out)
    assert list(found) == [12] and damaged == []
    assert math.isnan(found[12]["rows"][0]["auc"]) and found[12]["rows"][0]["run"] == 0


def test_trials_come_back_with_what_was_not_finite_as_nan(out):
    point = {"optimizer.learning_rate": 0.0021, "adapter.rank": 2, "optimizer.nesterov": True}
    good = Trial(Proposal("lora", 0, 0, 512, point), 1.5, {"a": 1.0, "b": 2.0}, 8, 0, 4096)
    bad = Trial(Proposal("lora", 1, 0, 512, point), math.nan, {"a": math.nan, "b": 2.0}, 8, 2, 4096)
    assert directory.trials(out) == ([], [])
    for trial in (bad, good):
        directory.write_trial(out, trial)
    found, damaged = directory.trials(out)
    assert damaged == []
    assert found[0] == good and found[1].proposal == bad.proposal
    assert math.isnan(found[1].score) and math.isnan(found[1].scores["a"]) and found[1].scores["b"] == 2.0


def test_a_damaged_cell_or_trial_is_named_and_the_others_are_read(out):
    for number in range(4):
        directory.write_cell(out, number, {"rows": [{"auc": 1.5}]})
    folder = out / directory.CELLS
    (folder / "000000.json").write_bytes((folder / "000000.json").read_bytes().replace(b"1.5", b"9.5"))
    (folder / "000001.json").write_text("null")
    (folder / "000005.json").write_bytes((folder / "000002.json").read_bytes())
    found, damaged = directory.cells(out)
    assert sorted(found) == [2, 3]
    assert [line.partition(".json")[0][-6:] for line in damaged] == ["000000", "000001", "000005"]
    directory.write_trial(out, Trial(Proposal("lora", 0, 0, 512, {}), 1.5, {"a": 1.0}, 8, 0, 4096))
    (file,) = (out / directory.SEARCH).glob("*.json")
    file.write_bytes(file.read_bytes().replace(b"4096", b"4097"))
    assert [len(part) for part in directory.trials(out)] == [0, 1]


def test_other_conditions_are_refused_by_name_or_allowed_and_then_kept(out):
    facts = {"jax": "0.10.1", "devices": "2 x cpu"}
    directory.check_conditions(out, facts)
    directory.check_conditions(out, {**facts, "agents": "abc"})
    for name in ("jax", "devices", "agents"):
        with pytest.raises(ValueError, match=f"{name}: .* then, other now.*--allow-changes"):
            directory.check_conditions(out, {**facts, name: "other"})
    directory.check_conditions(out, {**facts, "jax": "0.10.2"}, allow=True)
    with pytest.raises(ValueError, match=r"jax: 0\.10\.2 then, 0\.10\.1 now"):
        directory.check_conditions(out, facts)


def test_cells_of_several_conditions_are_told_with_their_numbers():
    cells = [{"made_with": {"jax": version, "numpy": "2"}} for version in ("a", "a", "b")]
    assert directory.mixed(cells[:2]) == []
    (sentence,) = directory.mixed(cells)
    assert "jax: a (2 cells) and b (1 cells)" in sentence
