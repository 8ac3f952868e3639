"""The `.npz` file and its loader are the policy, and need NumPy alone."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from helpers.exported import assert_same, kind

import jaxrl_ft as ft


def exported(tmp_path, name):
    agents, _, _, _ = kind(name)
    return ft.export(agents, tmp_path / name, "numpy", seed=1, episodes=0)


def loaded(path):
    spec = importlib.util.spec_from_file_location("policy_numpy_there", path / "policy_numpy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["ppo", "sac", "a2c"])
def test_the_file_gives_the_policys_actions(tmp_path, name):
    path = exported(tmp_path, name)
    policy = loaded(path).Policy(path / "policy.npz")
    obs = kind(name)[2]
    assert_same(name, policy(obs), policy.outputs(obs))
    one, many = policy(obs[7]), policy(obs[:8])
    assert one.shape == many.shape[1:]
    np.testing.assert_allclose(one, many[7], atol=1e-5)
    np.testing.assert_array_equal(policy(obs[:8].reshape(2, 4, -1)).reshape(many.shape), many)


def test_a_wrong_size_and_a_wrong_file_are_refused(tmp_path):
    path = exported(tmp_path, "ppo")
    module = loaded(path)
    with pytest.raises(ValueError, match=r"^obs: shape \(3,\) is not allowed; the last axis must be 4"):
        module.Policy(path / "policy.npz")(np.zeros(3))
    np.savez(tmp_path / "other.npz", program=np.array('{"format": "other", "version": 1}'))
    with pytest.raises(ValueError, match="is no policy"):
        module.Policy(tmp_path / "other.npz")
    np.savez(tmp_path / "harm.npz", program=np.array([object()]))
    with pytest.raises(ValueError, match="allow_pickle"):
        module.Policy(tmp_path / "harm.npz")


@pytest.mark.slow
def test_numpy_is_all_that_it_needs(tmp_path):
    path = exported(tmp_path, "ppo")
    np.save(tmp_path / "obs.npy", kind("ppo")[2])
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "numpy"], check=True)
    code = "import numpy as np; from policy_numpy import Policy; np.save('act.npy', Policy()(np.load('../obs.npy')))"
    subprocess.run([python, "-c", code], check=True, cwd=path, env={})
    assert_same("ppo", np.load(path / "act.npy"))
    missing = subprocess.run([python, "-c", "import jax"], capture_output=True, text=True)
    assert "No module named 'jax'" in missing.stderr
