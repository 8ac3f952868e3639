"""State dicts for torch and zips for Stable-Baselines3 are the policies; run where these are installed."""

import ast
import importlib.util
import zipfile
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from helpers.exported import KINDS, assert_same, kind, random_agents

import jaxrl_ft as ft
from jaxrl_ft.deploy import parity
from jaxrl_ft.deploy.describe import describe, host
from jaxrl_ft.deploy.description import Dense, Normalize
from jaxrl_ft.deploy.formats import sb3_file, torch_file
from jaxrl_ft.rl import actor_critic

LOADED_BY = {
    "ppo": "PPO",
    "ppo_normalized": "PPO",
    "reinforce": "SAC",
    "dqn": "DQN",
    "dqn_dueling": "DQN",
    "sac": "SAC",
    "sac_discrete": "PPO",
}
"""Kinds whose networks are layers alone, and the class of Stable-Baselines3 that loads them."""


@pytest.mark.parametrize("name", KINDS)
def test_a_state_dict_is_written_without_torch(name):
    description = kind(name)[1]
    found, text = torch_file.state(description), torch_file.module(description, "policy", "a title")
    step = next(i for i, step in enumerate(description.steps) if isinstance(step, Dense))
    weight = safetensors.numpy.load(safetensors.numpy.save(found))[f"dense_{step + 1}.weight"]
    np.testing.assert_array_equal(weight, description.steps[step].kernel.T)
    named = {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}
    buffers = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    assert {key.split(".")[0] for key in found} <= named | set(buffers)


def test_layers_of_a_chain_give_the_outputs():
    for name in ("ppo_normalized", "dqn_dueling"):
        _, description, obs, _ = kind(name)
        chain = sb3_file.read(description)
        if chain.normalizer is not None:
            z = np.abs((obs.astype(float) - chain.normalizer.mean) * chain.normalizer.scale)
            obs = obs[(z < chain.normalizer.clip).all(axis=-1)]
        x = obs
        for kernel, bias in chain.layers:
            x = np.maximum(x @ kernel + bias, 0) if kernel is not chain.layers[-1][0] else x @ kernel + bias
        assert len(obs) > 4000 and parity.apart(description, obs, x, description.policy().outputs(obs)).max() <= 1


def test_what_stable_baselines3_cannot_hold_is_refused():
    with pytest.raises(
        ValueError, match=r"^to: sb3 takes networks of dense layers alone, and this one has `layer_norm`"
    ):
        sb3_file.read(kind("a2c")[1])
    agents = random_agents(ft.make_task("Pendulum-v1"), ft.SAC(), ft.MLP(width=4))
    weaker = replace(agents, task=agents.task.changed(max_torque=0.5))
    with pytest.raises(ValueError, match=r"^to: sb3 squashes actions into the bounds of the task, which are \[-0.5\]"):
        sb3_file.read(describe(weaker, 0))


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_the_module_of_torch_gives_the_policys_actions(tmp_path, name):
    torch = pytest.importorskip("torch")
    agents, _, obs, expected = kind(name)
    path = ft.export(agents, tmp_path / "out", "torch", seed=1, episodes=0)
    spec = importlib.util.spec_from_file_location("policy_torch_there", path / "policy_torch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    policy = module.load()
    with torch.no_grad():
        action, outputs = policy(torch.from_numpy(obs)).numpy(), policy.outputs(torch.from_numpy(obs)).numpy()
    assert_same(name, action.astype(expected.dtype), outputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOADED_BY)
@pytest.mark.filterwarnings("ignore")
def test_the_zip_predicts_the_policys_actions(tmp_path, name):
    sb3 = pytest.importorskip("stable_baselines3")
    agents, description, obs, expected = kind(name)
    path = ft.export(agents, tmp_path / "out", "sb3", seed=1, episodes=0)
    assert zipfile.is_zipfile(path / "policy.zip")
    model = getattr(sb3, LOADED_BY[name]).load(path / "policy.zip")
    if isinstance(first := description.steps[0], Normalize):
        inside = (np.abs((obs.astype(float) - first.mean) * first.scale) < first.clip).all(axis=-1)
        obs, expected = obs[inside], expected[inside]
        assert len(obs) > 4000
    actions = np.asarray(model.predict(obs, deterministic=True)[0])
    outputs = description.policy().outputs(obs)
    assert not parity.actions_apart(description, obs, outputs, actions, expected).any()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_critics_come_with_it(tmp_path):
    sb3 = pytest.importorskip("stable_baselines3")
    torch = pytest.importorskip("torch")
    agents, description, obs, _ = kind("ppo_normalized")
    model = sb3.PPO.load(ft.export(agents, tmp_path / "out", "sb3", seed=1, episodes=0) / "policy.zip")
    near = obs[: len(obs) // 4]
    found = model.policy.predict_values(torch.from_numpy(near)).detach().numpy()[:, 0]
    policy = jax.tree.map(jnp.asarray, host(agents, 1))
    np.testing.assert_allclose(found, actor_critic.values(policy, jnp.asarray(near)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.policy.log_std.detach().numpy(), description.log_std)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_critic_of_a_shared_trunk_has_layers_of_its_own_there(tmp_path):
    sb3 = pytest.importorskip("stable_baselines3")
    torch = pytest.importorskip("torch")
    agents = random_agents(ft.make_task("CartPole-v1"), ft.PPO(normalize_obs=True), ft.MLP(width=4, shared_trunk=True))
    model = sb3.PPO.load(ft.export(agents, tmp_path / "out", "sb3", seed=1, episodes=0) / "policy.zip")
    obs = agents.statistics["obs"].mean[1] + np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    found = model.policy.predict_values(torch.from_numpy(obs)).detach().numpy()[:, 0]
    policy = jax.tree.map(jnp.asarray, host(agents, 1))
    np.testing.assert_allclose(found, actor_critic.values(policy, jnp.asarray(obs)), rtol=1e-4, atol=1e-4)
