"""What PPO refuses before anything compiles: impossible fields and networks, and what is no algorithm."""

import re

import pytest
from helpers.rl_probes import probe

import jaxrl_ft as ft
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.training import initial_state

TASK = probe()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"num_minibatches": 3},
            "algo.num_minibatches: 3 does not divide the batch of 8 environments x 32 steps = 256",
        ),
        (
            {"num_envs": 1, "num_steps": 8, "num_minibatches": 8},
            "algo.num_minibatches: 8 is not allowed; it makes minibatches of 1 row of a batch of 8",
        ),
        ({"num_envs": 1, "num_steps": 1, "num_minibatches": 1}, "algo.num_minibatches: 1 is not allowed"),
        ({"num_minibatches": 1024}, "algo.num_minibatches: 1024 does not divide"),
        ({"num_envs": 0}, "algo.num_envs: 0 is not allowed; it must be a whole number of at least 1"),
        ({"num_steps": -4}, "algo.num_steps: -4 is not allowed"),
        ({"num_epochs": 1.5}, "algo.num_epochs: 1.5 is not allowed"),
        ({"num_minibatches": True}, "algo.num_minibatches: True is not allowed"),
        ({"gamma": 1.01}, "algo.gamma: 1.01 is not allowed; it must be in [0, 1]"),
        ({"gamma": float("nan")}, "algo.gamma: nan is not allowed"),
        ({"gae_lambda": -0.1}, "algo.gae_lambda: -0.1 is not allowed"),
        ({"clip_eps": -0.2}, "algo.clip_eps: -0.2 is not allowed"),
        ({"value_clip_eps": float("inf")}, "algo.value_clip_eps: inf is not allowed"),
        ({"ent_coef": "0.1"}, "algo.ent_coef: '0.1' is not allowed"),
        ({"vf_coef": None}, "algo.vf_coef: None is not allowed"),
        ({"normalize_obs": 2}, "algo.normalize_obs: 2 is not allowed; it must be True or False"),
    ],
)
def test_bad_fields_are_refused_before_anything_compiles(fields, message, monkeypatch):
    monkeypatch.setattr(initial_state, "fresh", lambda *args: pytest.fail("a program was reached"))
    with pytest.raises(ValueError, match=re.escape(message)):
        ft.pretrain(TASK, algo=ft.PPO(**fields))


def test_minibatches_of_one_row_are_allowed_where_advantages_stay_as_they_are():
    check_config(ft.PPO(num_envs=1, num_steps=8, num_minibatches=8, normalize_advantage=False), "algo")
    check_config(ft.PPO(num_envs=1, num_steps=8, num_minibatches=4), "algo")


@pytest.mark.parametrize("fields", [{"width": 0}, {"depth": -1}, {"width": 8.0}, {"activation": "tan"}])
def test_bad_networks_are_refused_before_anything_compiles(fields, monkeypatch):
    monkeypatch.setattr(initial_state, "fresh", lambda *args: pytest.fail("a program was reached"))
    with pytest.raises(ValueError, match=f"network.{next(iter(fields))}: "):
        ft.pretrain(TASK, network=ft.MLP(**fields))


def test_what_is_no_algorithm_is_refused():
    with pytest.raises(ValueError, match="algo: 'pp0' is not known; did you mean 'ppo'"):
        ft.pretrain(TASK, algo="pp0")
