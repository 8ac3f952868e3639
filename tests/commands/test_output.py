"""A command's directory belongs to one run at a time, and to its newest one alone."""

import jaxrl_ft as ft
from jaxrl_ft import train
from jaxrl_ft.commands import output
from jaxrl_ft.core.files import claimed
from jaxrl_ft.store import run_directory


def test_a_directory_of_a_sweep_or_of_a_run_that_goes_on_is_refused(tmp_path, capsys, nothing_runs):
    run_directory.create(tmp_path / "sweep", run_directory.SWEEP)
    run_directory.create(tmp_path / "busy", run_directory.TRAIN)
    with claimed(tmp_path / "busy"):
        for name, why in (("sweep", "a run of 'sweep', and this is 'train'"), ("busy", "in use by another process")):
            assert train.main(["--out", str(tmp_path / name)]) == 2
            err = capsys.readouterr().err
            assert why in err and err.count("\n") == 1


def test_a_new_run_removes_what_an_earlier_one_left_and_nothing_else(agents, tmp_path):
    out = run_directory.create(tmp_path / "run", run_directory.TRAIN)
    kept = {"notes.txt", run_directory.MARKER, "figures", "figures/mine.txt", "agents"}
    for name in ("config.json", "runs.csv", "report.html", "notes.txt", "figures/curve.png", "figures/mine.txt"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("old")
    ft.save(agents, run_directory.agents_path(out, "lora", "long-pole"))
    output.remove_results(out)
    assert {str(path.relative_to(out)) for path in out.rglob("*")} == kept
