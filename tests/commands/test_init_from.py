"""`--init-from`: commands fine-tune what another library trained."""

import contextlib
import csv
import io

import pytest
from helpers.foreign_files import FOLDER

import jaxrl_ft as ft
from jaxrl_ft import train
from jaxrl_ft.commands import settings, sweep_settings


@pytest.mark.parametrize("resolve", [settings.resolve, sweep_settings.resolve])
def test_a_policy_of_another_library_is_what_is_fine_tuned(resolve, tmp_path):
    found = resolve(["--init-from", str(FOLDER / "sb3_ppo.zip"), "--out", str(tmp_path / "out"), "--seeds", "2"])
    assert found.agents.num_seeds == 1 and found.agents.network == ft.MLP(width=16)
    assert found.agents.algo == ft.PPO() and found.source == ft.make_task("CartPole-v1")
    assert found.command.notes(tmp_path)[1].startswith("The command needs the file as it was")


def test_its_task_and_its_statistics_are_flags(tmp_path):
    given = ["--init-from", str(FOLDER / "sb3_ppo_normalized.zip"), "--source", "Pendulum-v1", "--target.m", "1.5"]
    statistics = ["--init-normalizer", str(FOLDER / "sb3_ppo_normalized.pkl")]
    found = settings.resolve([*given, *statistics, "--out", str(tmp_path / "out")])
    assert found.agents.source == ft.make_task("Pendulum-v1") and found.algo.normalize_obs
    with pytest.raises(
        ValueError, match=r"init_from: .*: its policy, of 1 outputs, is not one for the discrete actions"
    ):
        settings.resolve([*given[:2], *statistics])


def test_saved_agents_are_taken_too(agents, saved):
    assert settings.resolve(["--init-from", str(saved)]).agents == agents


@pytest.mark.parametrize("flag", ["--init-from", "--agents"])
def test_agents_of_the_zoo_are_taken_by_name(flag):
    found = settings.resolve([flag, "zoo:cartpole-ppo", "--shift", "long-pole"])
    assert found.agents == ft.load("zoo:cartpole-ppo") and found.source == ft.make_task("CartPole-v1")
    with pytest.raises(ValueError, match=r"^agents: zoo: 'cartpol-ppo' is not known; did you mean 'cartpole-ppo'\?"):
        settings.resolve([flag, "zoo:cartpol-ppo"])


@pytest.mark.slow
def test_a_run_starts_from_the_file(undrawn, same, tmp_path):
    out, given = tmp_path / "run", ["--init-from", str(FOLDER / "sb3_ppo.zip"), "--seeds", "2", "--steps", "1024"]
    told = io.StringIO()
    with undrawn(), contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        status = train.main([*given, "--method", "lora", "--shift", "long-pole", "--out", str(out)])
    assert status == 0, told.getvalue()
    agents = ft.load(out / "agents" / "source")
    imported = ft.import_policy(FOLDER / "sb3_ppo.zip", ft.make_task("CartPole-v1"), verbose=False)
    assert same(agents.params, imported.params) and agents.report == imported.report
    with (out / "runs.csv").open() as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"zero_shot", "scratch", "full", "lora"}
