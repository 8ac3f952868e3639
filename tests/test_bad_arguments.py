"""Wrong values at the public door: one ValueError that names the argument, before anything compiles."""

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft import sweep, train

SOURCE = ft.make_task("CartPole-v1")
HUGE = 10**400


def pretrain(source=SOURCE, **changes):
    return lambda agents: ft.pretrain(source, **{"seeds": 2, "steps": 256, **changes})


WRONG = {
    "learning_rate": pretrain(optimizer=ft.Adam(learning_rate=HUGE)),
    "gamma": pretrain(algo=ft.PPO(gamma=HUGE)),
    "ent_coef": pretrain(algo=ft.PPO(ent_coef=1e39)),
    "env steps of one update": pretrain(algo=ft.PPO(num_envs=2**20, num_steps=2**20)),
    "seeds: 2000000000": pretrain(seeds=2_000_000_000),
    "seeds: None": pretrain(seeds=None),
    "gradient steps": pretrain(steps=2**40),
    "steps: 1000": pretrain(steps=HUGE),
    "steps: a int of thousands": pretrain(steps=10**5000),
    "steps: 256.5": pretrain(steps=256.5),
    "steps: '256'": pretrain(steps="256"),
    "num_evals": pretrain(num_evals="3"),
    "callback": pretrain(callback=3),
    "source: 'CartPole-v1'": pretrain("CartPole-v1"),
    "source: None": pretrain(None),
    "algo: 3": pretrain(algo=3),
    "network: 'mlp'": pretrain(network="mlp"),
    "algo: Method is not allowed; it must be an algorithm": pretrain(algo=ft.Method()),
    "algo: MLP": pretrain(algo=ft.MLP()),
    "network: PPO is not allowed; it must be a network": pretrain(network=ft.PPO()),
    "network: Adam": pretrain(network=ft.Adam()),
    "optimizer": pretrain(optimizer=3),
    "width": pretrain(network=ft.MLP(width="8")),
    "gravity: 1000": lambda agents: ft.make_task("CartPole-v1", gravity=HUGE),
    "gravity: {}": lambda agents: ft.make_task("CartPole-v1", gravity={}),
    "env: NoneType": lambda agents: ft.make_task(None),
    "id: ''": lambda agents: ft.make_task(""),
    "shift: 3": lambda agents: ft.make_task("CartPole-v1", shift=3),
    "shift: ''": lambda agents: ft.make_task("CartPole-v1", shift=""),
    "agents: {}": lambda agents: ft.finetune({}, SOURCE),
    "target: 'long'": lambda agents: ft.finetune(agents, "long"),
    "method: 7": lambda agents: ft.finetune(agents, SOURCE, method=7),
    "agents: None": lambda agents: ft.evaluate(None, SOURCE),
    "task: None": lambda agents: ft.evaluate(agents, None),
    "greedy": lambda agents: ft.evaluate(agents, SOURCE, greedy="no"),
    "agents: 1": lambda agents: ft.compare(1, {"a": SOURCE}, ["full"]),
    "targets: ": lambda agents: ft.compare(agents, [SOURCE], ["full"]),
    "methods: 3": lambda agents: ft.compare(agents, {"a": SOURCE}, 3),
    "grid: 4": lambda agents: ft.compare(agents, {"a": SOURCE}, ["full"], grid=4),
    "held_out: 5": lambda agents: ft.compare(agents, {"a": SOURCE}, ["full"], held_out=5),
    "paid: 6": lambda agents: ft.compare(agents, {"a": SOURCE}, ["full"], paid=6),
    "space: 7": lambda agents: ft.search(agents, {"a": SOURCE}, ["full"], 7),
    "steps: 'many'": lambda agents: ft.finetune(agents, SOURCE, "full", steps="many"),
    "agents: 2": lambda agents: ft.advise(2, SOURCE),
    "agents: 3": lambda agents: ft.save(3, "anywhere"),
    "path: 3": lambda agents: ft.load(3),
    "path: None": lambda agents: ft.load(None),
    "source: 4": lambda agents: ft.wrap({"w": np.ones(2)}, 4),
    "algo: Adam is not allowed": lambda agents: ft.wrap({"w": np.ones((4, 2))}, SOURCE, algo=ft.Adam()),
    "source: 5": lambda agents: ft.import_policy({"w": np.ones(2)}, 5),
    "policy: 6": lambda agents: ft.import_policy(6, SOURCE),
    "nowhere.zip: cannot be read": lambda agents: ft.import_policy("nowhere.zip", SOURCE),
    "these names tell no policy": lambda agents: ft.import_policy({"w": np.ones(2)}, SOURCE),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_value_is_refused_by_name_before_anything_compiles(message, agents, nothing_runs):
    with pytest.raises(ValueError) as caught:
        WRONG[message](agents)
    text = str(caught.value)
    assert message in text and "\n" not in text and len(text) < 2000


EMPTY = ("--source", "--algo", "--agents", "--init-from", "--out")


@pytest.mark.parametrize("command", [train, sweep])
@pytest.mark.parametrize("flag", EMPTY)
def test_an_empty_value_of_a_flag_is_not_its_default(flag, command, tmp_path, monkeypatch, capsys, nothing_runs):
    monkeypatch.chdir(tmp_path)
    assert command.main([flag, ""]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and "''" in err and err.count("\n") == 1


FILES = {
    ("--init-from", "nowhere.zip"): "init_from: nowhere.zip: cannot be read",
    ("--init-from", "broken.zip"): "init_from: broken.zip: is cut off or damaged as a zip file",
    ("--init-from", "broken.zip", "--agents", "x"): "init_from: is not allowed with --agents",
    ("--init-normalizer", "x"): "init_normalizer: is not allowed without --init-from",
    ("--init-from", "x", "--algo", "dqn"): "algo: is not allowed with --init-from",
}


@pytest.mark.parametrize("command", [train, sweep])
@pytest.mark.parametrize("flags", FILES, ids=" ".join)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(flags, command, tmp_path, monkeypatch, capsys, nothing_runs):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04" + bytes(40))
    assert command.main(list(flags)) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {FILES[flags]}") and err.count("\n") == 1


def test_a_path_that_is_not_utf8_is_refused_before_training(tmp_path, monkeypatch, capsys, nothing_runs):
    monkeypatch.chdir(tmp_path)
    assert train.main(["--out", "caf\udce9"]) == 2
    assert "in UTF-8" in capsys.readouterr().err
