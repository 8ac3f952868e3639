"""The command: its flags, its refusals, what it shows and what it leaves behind."""

import contextlib
import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft import train
from jaxrl_ft.analysis.report.text_tables import BRIEF, TABLES, WIDTH
from jaxrl_ft.analysis.statistics.transfer import area_under_curve
from jaxrl_ft.commands.settings import resolve
from jaxrl_ft.core import bundle
from jaxrl_ft.core.config import from_json

ROOT = Path(__file__).resolve().parents[2]
RECOMMENDED = ft.RECOMMENDED
TINY = [
    *("--algo.num-envs", "4", "--algo.num-steps", "16", "--algo.num-epochs", "2", "--algo.num-minibatches", "2"),
    *("--network.width", "8", "--seeds", "4", "--pretrain-steps", "256"),
]
SHORT = ["--finetune-steps", "1024"]
PNG = b"\x89PNG\r\n\x1a\n"


def run(*argv):
    """Exit status, stdout and stderr of the command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = train.main(list(argv))
    return status, out.getvalue(), err.getvalue()


def runs_of(out):
    """The rows of a directory's runs, without empty cells."""
    with (out / "runs.csv").open() as file:
        return [{name: cell for name, cell in row.items() if cell} for row in csv.DictReader(file)]


def process(code, cwd, *argv):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [sys.executable, *code, *argv]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a tiny run, with what it printed."""
    out = tmp_path_factory.mktemp("command") / "run"
    status, stdout, stderr = run(*TINY, *SHORT, "--out", str(out), "--shift", "weak_motor", "--algo.gamma", "0.97")
    assert status == 0, stderr
    return out, stdout, stderr


MISTAKES = [
    ("--source CartPole-v2", "id: 'CartPole-v2'", "'CartPole-v1'"),
    ("--shift long-pol", "shift: 'long-pol'", "did you mean 'long-pole'"),
    ("--shift long-pole --source Pendulum-v1", "shift: 'long-pole'", "CartPole"),
    ("--source Pendulum-v1", "shift: Pendulum-v1 has sticky-actions", "--target.max-speed"),
    ("--method lor", "method: 'lor'", "did you mean 'lora'"),
    ("--method lora soften --method.adapter.rank 2", "method.*", "lora, soften"),
    ("--method lora soften --penalty l2", "penalty", "lora, soften"),
    ("--algo pp0", "algo: 'pp0'", "'ppo'"),
    ("--optimizer adamm", "optimizer: 'adamm'", "did you mean 'adam"),
    ("--penalty l2ps", "penalty: 'l2ps'", "'l2sp'"),
    ("--adapter loraa", "adapter: 'loraa'", "'lora'"),
    ("--warm-start softenn", "warm start: 'softenn'", "'soften'"),
    ("--target.half-length 99", "target.half_length: 99.0", "[0.01, 10] m"),
    ("--source MountainCar-v0 --target.goal-position 5", "target.goal_position: 5", "at most max_position (0.6)"),
    ("--source MountainCar-v0 --target.force 1e-4", "target.physics: force=0.0001", "to the goal in 200 steps"),
    ("--source Acrobot-v1 --target.link-com-pos-1 2", "target.link_com_pos_1: 2", "at most link_length_1 (1)"),
    ("--target.tau nan", "target.tau: nan", "[0.0001, 0.2] s"),
    ("--seed -1", "seed: -1", "at most 4294967295"),
    ("--seed 4294967296", "seed: 4294967296", "at most 4294967295"),
    ("--seeds 4 --seeds=8", "seeds: is given twice", "it takes one value"),
    ("--algo.num-envs 4 --algo.num_envs 8", "algo.num_envs: is given twice", "it takes one value"),
    ("--advise --no-advise", "advise: is given twice", "it takes one value"),
    ("--seeds 0", "seeds: 0", "at least 1"),
    ("--pretrain-steps -5", "pretrain_steps: -5", "at least 1"),
    ("--pretrain-stop-at 501", "pretrain_stop_at: 501.0", "[0, 500]"),
    ("--pretrain-keep bets", "pretrain_keep: 'bets'", "did you mean 'best'"),
    ("--finetune-steps 0", "steps: 0", "at least 1"),
    ("--finetune-steps 9 --steps 9", "steps: is given twice", "it takes one value"),
    ("--finetune-steps 512", "steps: 512", "exceed the 512"),
    ("--algo.num-minibatches 3", "algo.num_minibatches: 3", "does not divide"),
    ("--algo.gamma nan", "algo.gamma: nan", "[0, 1]"),
    ("--network.width 0", "network.width: 0", "at least 1"),
    ("--optimizer.learning-rate inf", "optimizer.learning_rate: inf", "[0, 100]"),
    ("--method lora --method.adapter.rank -1", "method.adapter.rank: -1", "at least"),
    ("--adapter partial --method.adapter.pattern nowhere", "method.adapter.pattern: 'nowhere'", "matches no parameter"),
    ("--adapter partial --method.adapter.pattern (", "method.adapter.pattern: '('", "not a regular expression"),
    ("--method net2deeper --method.warm-start.layer dense", "method.warm_start.layer: 'dense'", "'residual'"),
    (
        "--source MountainCar-v0 --method between --target.max-position 1.5 --target.goal-position 1.2",
        "target: MountainCar-v0",
        "goal_position=1.2",
    ),
    ("--agents nowhere", "agents: nowhere", "not a bundle"),
    ("--agents nowhere --pretrain-steps 512", "pretrain-steps", "not allowed with --agents"),
    ("--agents nowhere --pretrain-stop-at never", "pretrain-stop-at", "not allowed with --agents"),
    ("--agents nowhere --algo.gamma 0.9", "algo", "not allowed with --agents"),
    ("--intervention red", "intervention: 'red'", "did you mean 'redo'"),
    ("--data mixtur", "data: 'mixtur'", "did you mean 'mixture'"),
    ("--control gap-deca", "control: 'gap-deca'", "did you mean 'gap_decay'"),
    ("--finish soop", "finish: 'soop'", "did you mean 'soup'"),
    ("--method norm", r"method.adapter.pattern: '/norm_\\d+/' matches no parameter", "paths: policy/dense_0/bias"),
    ("--method lora --method.adapter.rank 65", "method.adapter.rank: 65 is above", "at most"),
    (
        "--method net2wider --method.warm-start.width 8",
        "method.warm_start.width: 8 is below the pretrained network's 64",
        "64",
    ),
    ("--method l2sp --method.penalty.coef -1", "method.penalty.coef: -1.0 is not allowed", "[0, inf)"),
    ("--method kl --method.penalty.coef nan", "method.penalty.coef: nan is not allowed", "[0, inf)"),
    ("--method muon --method.optimizer.learning-rate inf", "method.optimizer.learning_rate: inf", "[0, 100]"),
    ("--method full --intervention redo --adapter lora", "method.intervention: ReDo acts on parameters", "LoRA"),
    ("--method full --control strength --penalty kl", "method.control: Strength follows a probe", "probe_episodes"),
    ("--method keep_adam --adapter lora", "method.keep: moments are those of every parameter", "use full"),
    ("--method full --control pbt --finish soup", "method.control: PBT keeps the best of a population", "use one of"),
    ("--method pbt --finetune-steps 512", "steps: 512", "5 stretches"),
    ("--method mixture --method.data.share 1.5", "method.data.share: 1.5 is not allowed", "[0, 1]"),
]


@pytest.mark.parametrize(("line", "what", "allowed"), MISTAKES, ids=[line for line, _, _ in MISTAKES])
def test_mistakes_are_answered_in_one_line_before_anything_happens(
    line, what, allowed, tmp_path, monkeypatch, compilations
):
    monkeypatch.chdir(tmp_path)
    status, stdout, stderr = run(*line.split())
    assert (status, stdout, stderr.count("\n")) == (2, "", 1)
    assert stderr.startswith(f"error: {what}")
    assert allowed in stderr
    assert list(tmp_path.iterdir()) == []
    assert compilations.names == []


@pytest.mark.parametrize(
    "line", ["--no-such-flag 3", "--seeds many", "--algo.gama 1", "--network.activation x", "stray"]
)
def test_the_parser_refuses_what_it_cannot_read(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, stdout, stderr = run(*line.split())
    assert (status, stdout) == (2, "")
    assert line.split()[0].removeprefix("--") in stderr
    assert stderr.count("\n") < 16
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


def test_a_real_process_exits_with_2_and_one_line(tmp_path):
    done = process(["-m", "jaxrl_ft.train"], tmp_path, "--shift", "long-pol")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["mine", "mine/thesis.txt/run"])
def test_what_others_put_there_is_not_written_over(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    status, stdout, stderr = run("--out", out)
    assert (status, stdout, stderr.count("\n")) == (2, "", 1), stderr
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["mine", "mine/thesis.txt"]
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"


def test_agents_that_are_damaged_or_of_another_environment_are_refused(agents, tmp_path):
    ft.save(agents, tmp_path / "saved")
    status, _, stderr = run("--agents", str(tmp_path / "saved"), "--source", "Acrobot-v1", "--target.dt", "0.1")
    assert (status, stderr.count("\n")) == (2, 1)
    assert "target: Acrobot-v1 dt=0.1 is not allowed; the source is CartPole-v1" in stderr
    arrays = tmp_path / "saved" / bundle.ARRAYS
    arrays.write_bytes(arrays.read_bytes()[:-1])
    status, _, stderr = run("--agents", str(tmp_path / "saved"))
    assert (status, stderr.count("\n")) == (2, 1)
    assert "is damaged" in stderr


def test_a_run_leaves_everything_that_it_says(finished):
    out, stdout, stderr = finished
    names = sorted(["full", RECOMMENDED, "scratch", "zero_shot"])
    assert sorted(path.name for path in out.iterdir()) == [
        "agents", "config.json", "curves", "figures", "jaxrl_ft_run.json", "lock", "metrics.jsonl", "report.html",
        "report.md", "runs.csv", "table.tex",
    ]  # fmt: skip
    assert sorted(path.name for path in (out / "agents").iterdir()) == sorted(
        ["source", *(f"weak-motor+{name}" for name in names)]
    )
    for name in ("learning_curves", "source_target"):
        data = (out / "figures" / f"{name}.png").read_bytes()
        assert data.startswith(PNG) and len(data) > 10_000
    report = (out / "report.md").read_text()
    stopped = "Pretraining: pretrained from nothing", "at a greedy return of 500 twice in a row: 0 of 4 seeds"
    figures = "figures/learning_curves.png", "figures/source_target.png"
    for words in (*names, *figures, *stopped, "a fifth of the force", "Took"):
        assert words in report
    page = (out / "report.html").read_text()
    for words in (*names, "a fifth of the force", "Learning curves", 'href="runs.csv"', "Before: pretrained"):
        assert words in page
    assert page.count('class="scene"') == 2
    for heading in BRIEF:
        assert set(heading.split()) <= set(stdout.split())
    for text in (report, page):
        assert "policy kept: the last, taken at" in text
    assert "The pretrained policies are those at" in stdout
    assert "worth it" in stdout and "On the source" in stdout and str(out / "report.html") in stdout
    assert "probed zero-shot return" in report and "probed zero-shot return" not in stdout
    # the bars of a terminal are those of the stages and one for all
    assert len(stdout.splitlines()) + len(names) + 2 <= 40
    assert max(map(len, stdout.partition("\nReport: ")[0].splitlines())) <= WIDTH
    stages = ["pretraining", "zero_shot", "scratch", "full", RECOMMENDED]
    assert list(dict.fromkeys(line.split(":")[0] for line in stderr.splitlines())) == stages
    assert "pretraining: compiling" in stderr and "env steps (" in stderr and "\x1b" not in stderr


def test_raw_numbers_agree_with_each_other_and_with_the_agents(finished):
    out = finished[0]
    rows, (arrays, metadata) = runs_of(out), bundle.read_bundle(out / "curves")
    assert len(rows) == len(metadata["rows"]) == 16 == len(arrays["curves"])
    areas = [float(row["auc"]) for row in rows]
    np.testing.assert_allclose(areas, area_under_curve(arrays["curves"], arrays["curve_steps"]))
    for row, key in zip(rows, metadata["rows"]):
        assert [key[name] for name in ("method", "target", "run")] == [row["method"], "weak-motor", int(row["run"])]
    tuned = ft.load(out / "agents" / f"weak-motor+{RECOMMENDED}")
    own = [area for area, row in zip(areas, rows) if row["method"] == RECOMMENDED]
    np.testing.assert_allclose(own, area_under_curve(tuned.curve, tuned.curve_steps))
    assert tuned.method == ft.METHODS[RECOMMENDED] and tuned.env_steps.tolist() == [256 + 1024] * 4


def test_fine_tuning_shares_no_key_with_pretraining(finished, same):
    out = finished[0]
    assert {(int(row["seed"]), int(row["finetune_seed"])) for row in runs_of(out)} == {(0, 2**31)}
    source, scratch = (ft.load(out / "agents" / name) for name in ("source", "weak-motor+scratch"))
    assert not same(source.init_params, scratch.init_params)
    assert resolve(["--seed", str(2**32 - 1)]).finetune_seed == 2**31 - 1


def test_the_saved_config_is_the_config(finished, tiny):
    out = finished[0]
    config = json.loads((out / "config.json").read_text())
    assert from_json(config["algo"]) == ft.PPO(**(vars(tiny.algo) | {"gamma": 0.97}))
    assert from_json(config["network"]) == tiny.network
    assert from_json(config["optimizer"]) == ft.Adam()
    assert {name: from_json(method) for name, method in config["methods"].items()} == {
        name: ft.METHODS[name] for name in ("zero_shot", "scratch", "full", RECOMMENDED)
    }
    assert from_json(config["target"]).checked().describe() == "CartPole-v1 force=2"
    assert [entry["kind"] for entry in config["held_out"]].count("interpolation") == 3
    assert config["command"][: len(TINY)] == TINY and config["flags"]["seeds"] == 4
    assert {"python", "jax", "jaxrl-ft"} <= set(config["versions"]) and config["hardware"]["devices"]
    again = resolve(config["command"])
    assert again.methods == resolve([*TINY, *SHORT]).methods
    told = re.search(r"Command: `(.*)`\.", (out / "report.md").read_text())[1]
    assert resolve(shlex.split(told.partition("python -m jaxrl_ft.train ")[2])).plan() == again.plan()
    assert resolve(["--from-run", str(out)]).plan() == again.plan()


def test_agents_of_an_earlier_run_are_used_instead_of_pretraining(finished, undrawn, same, tmp_path):
    out = finished[0]
    argv = ["--agents", str(out), *SHORT, "--seeds", "4", "--shift", "weak-motor", "--method", "full"]
    with undrawn():
        status, stdout, stderr = run(*argv, "--out", str(tmp_path / "next"), "--verbose")
    assert status == 0, stderr
    assert "pretraining" not in stderr
    assert set(" ".join(chain(*TABLES)).split()) <= set(stdout.split())
    assert "\nfull on weak-motor:\n  method: " in stdout and "number that is not finite: 0 of 4 runs" in stdout
    first, second = (ft.load(path / "agents" / "source") for path in (out, tmp_path / "next"))
    assert same(first.params, second.params)
    before, after = (runs_of(path) for path in (out, tmp_path / "next"))
    assert [row for row in before if row["method"] != RECOMMENDED] == after


def test_a_full_disk_ends_in_one_line(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jaxrl_ft.commands.output.write_config", fail)
    status, _, stderr = run("--out", str(tmp_path / "run"))
    assert (status, stderr.count("\n")) == (1, 1)
    assert "No space left on device" in stderr
