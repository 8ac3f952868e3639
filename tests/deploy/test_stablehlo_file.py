"""The exported program is the policy, for batches of any size."""

import importlib.util

import numpy as np
import pytest
from helpers.exported import assert_same, kind

import jaxrl_ft as ft


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_the_program_gives_the_policys_actions(tmp_path, name):
    agents, _, obs, _ = kind(name)
    path = ft.export(agents, tmp_path / "out", "stablehlo", seed=1, episodes=0)
    spec = importlib.util.spec_from_file_location("policy_jax_there", path / "policy_jax.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PROGRAM.platforms == ("cpu", "cuda", "tpu")
    assert_same(name, np.asarray(module.act(obs)))
    assert np.asarray(module.act(obs[:1])).shape[0] == 1
