"""Files that other libraries wrote: their policies do here what they did there, and others are refused."""

from functools import cache

import numpy as np
import pytest
from helpers import foreign_files
from helpers.foreign_files import FOLDER, expected, members, with_settings, zipped
from helpers.foreign_networks import QUIET, forward, relu

import jaxrl_ft as ft
from jaxrl_ft.store import self_check
from jaxrl_ft.store.foreign import containers, identify

CARTPOLE, PENDULUM = ft.make_task("CartPole-v1"), ft.make_task("Pendulum-v1")
FILES = {
    "sb3_ppo.zip": (
        CARTPOLE,
        ft.PPO,
        "tanh",
        ["read: Stable-Baselines3 2.9.2 zip", "(assumed, the default of its ppo)"],
    ),
    "sb3_a2c.zip": (CARTPOLE, ft.A2C, "tanh", ["algorithm: a2c, told by the file"]),
    "sb3_dqn.zip": (CARTPOLE, ft.DQN, "relu", ["target network: left out"]),
    "sb3_sac.zip": (PENDULUM, ft.SAC, "relu", ["action bounds: told by the file, as the task's"]),
    "sb3_ppo_normalized.zip": (
        PENDULUM,
        ft.PPO,
        "relu",
        ["told by the file", "rewards: were normalised", "log_std: given"],
    ),
    "sbx_ppo.zip": (CARTPOLE, ft.PPO, "tanh", ["read: SBX", "critic: given"]),
    "sbx_dqn.zip": (CARTPOLE, ft.DQN, "relu", ["read: SBX"]),
    "sbx_sac.zip": (PENDULUM, ft.SAC, "relu", ["action bounds: told by the file, as the task's"]),
    "ppo.cleanrl_model": (CARTPOLE, ft.PPO, "tanh", ["read: CleanRL (PyTorch)", "critic: given"]),
    "ppo_continuous_action.cleanrl_model": (PENDULUM, ft.PPO, "tanh", ["keeps no statistics", "log_std: given"]),
    "dqn.cleanrl_model": (CARTPOLE, ft.DQN, "relu", ["assumed from the names of the layers"]),
    "sac_continuous_action.pt": (PENDULUM, ft.SAC, "relu", ["log_std: -1.5 + 3.5 tanh(x) became", "critic: given"]),
    "dqn_jax.cleanrl_model": (CARTPOLE, ft.DQN, "relu", ["assumed, as CleanRL's dqn_jax.py"]),
}


BY_DEFAULT = ("sb3_ppo.zip", "sb3_sac.zip", "sb3_ppo_normalized.zip", "sbx_ppo.zip", "dqn.cleanrl_model")
"""One of each kind; the others are slow tests."""


@cache
def imported(name):
    """The agents of a file, compared with what its library does."""
    stem = name.rsplit(".", 1)[0]
    beside = {"normalizer": FOLDER / f"{stem}.pkl"} if (FOLDER / f"{stem}.pkl").exists() else {}
    return ft.import_policy(FOLDER / name, FILES[name][0], expected=expected(stem, "obs", "actions"), **beside, **QUIET)


@pytest.mark.parametrize(
    "name", [name if name in BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in FILES]
)
def test_a_file_does_here_what_it_did_there(name):
    source, algo, activation, lines = FILES[name]
    agents = imported(name)
    assert isinstance(agents.algo, algo) and agents.network.activation == activation and agents.num_seeds == 1
    text = "\n".join(agents.report)
    assert "self-check: " in text and all(line in text for line in lines), text
    if source is PENDULUM:
        assert float(text.split("actions at most ")[1].split()[0]) < 1e-5


def test_the_self_check_says_how_far_outputs_are_apart():
    obs, actions = expected("sb3_sac", "obs", "actions")
    pair = self_check.checked((obs, actions * 0.9 + 0.1), PENDULUM)
    with pytest.raises(ValueError, match=r"actions are up to 0\.\d+ apart in 64 observations, and 0\.0001 is allowed"):
        self_check.compared(imported("sb3_sac.zip"), pair, 1e-4)
    assert self_check.compared(imported("sb3_sac.zip"), pair, 1.0).startswith("self-check: actions at most 0.")
    obs, actions = expected("sb3_ppo", "obs", "actions")
    wrong = np.concatenate([1 - actions[:3], actions[3:]])
    with pytest.raises(ValueError, match=r"expected: 3 of 64 actions are others, up to .* behind the best score"):
        ft.import_policy(FOLDER / "sb3_ppo.zip", CARTPOLE, expected=(obs, wrong), **QUIET)


def test_what_comes_with_a_policy(capsys):
    sac = imported("sb3_sac.zip")
    content = containers.parsed("it", members("sb3_sac.zip")["pytorch_variables.pth"]).tree
    np.testing.assert_array_equal(sac.params["policy"]["log_alpha"][0], content["log_ent_coef"])
    assert sac.algo.actor == ft.SoftActor(min_log_std=-20.0, max_log_std=2.0) and sac.algo.gamma == 0.99
    assert [bound.tolist() for bound in sac.statistics["action"]] == [[[-2.0]], [[2.0]]]
    ppo = imported("sb3_ppo_normalized.zip")
    moments = ppo.statistics["obs"]
    assert moments.num[0] == pytest.approx(258, abs=1) and ppo.algo.obs_clip == moments.clip[0] == 5.0
    assert moments.epsilon[0] == np.float32(1e-6) and "log_std" in ppo.params["policy"]
    assert ppo.network == ft.MLP(policy=(16, 8), value=(12,), activation="relu")
    ft.import_policy(FOLDER / "sb3_ppo.zip", CARTPOLE)
    assert (
        "sb3_ppo.zip: read: Stable-Baselines3 2.9.2 zip, policy 16x16, value 16x16 units, tanh"
        in capsys.readouterr().out
    )


def test_an_exploration_rate_and_a_log_std_come_with_their_files():
    found = {
        name: identify.found_in(FOLDER / name)[1] for name in ("sb3_dqn.zip", "ppo_continuous_action.cleanrl_model")
    }
    assert found["sb3_dqn.zip"].settings == {"gamma": 0.99, "epsilon_end": 0.05}
    np.testing.assert_array_equal(found["ppo_continuous_action.cleanrl_model"].log_std, [-0.5])


def test_critics_of_actions_in_their_own_units_give_the_same_values():
    _, found = identify.found_in(FOLDER / "sac_continuous_action.pt")
    obs, actions, *values = expected("sac_continuous_action", "obs", "actions", "value0", "value1")
    for layers, wanted in zip((found.value, found.twin), values):
        inputs = np.concatenate([obs, actions / 2.0], axis=1)
        np.testing.assert_allclose(forward(layers, inputs, relu)[:, 0], wanted, rtol=1e-5, atol=1e-5)


ZIPS = {
    "is TD3 or DDPG with the layers": lambda: (FOLDER / "sb3_td3.zip").read_bytes(),
    "gSDE (use_sde)": lambda: (FOLDER / "sb3_a2c_sde.zip").read_bytes(),
    "written by Stable-Baselines3 3.1.0; versions 1.0 to 2.x": lambda: zipped(
        members("sb3_ppo.zip") | {"_stable_baselines3_version": b"3.1.0"}
    ),
    "has no policy.pth": lambda: zipped({n: d for n, d in members("sb3_ppo.zip").items() if n != "policy.pth"}),
    "has the activation 'ELU'": lambda: with_settings(
        "sb3_ppo.zip", policy_kwargs={"activation_fn": "<class 'torch.nn.modules.activation.ELU'>"}
    ),
    "data: is no JSON": lambda: zipped(members("sb3_ppo.zip") | {"data": b"{"}),
    "policy.pth is no state dict": lambda: zipped(
        members("sb3_ppo.zip") | {"policy.pth": (FOLDER / "dqn_jax.cleanrl_model").read_bytes()}
    ),
    "is a policy of class 'builtins.exec'": lambda: foreign_files.harmful()["sbx.zip"],
    "action_map: the file has 2 actions": lambda: (FOLDER / "sb3_ppo.zip").read_bytes(),
}


@pytest.mark.parametrize("message", ZIPS)
def test_zips_that_hold_another_policy_are_refused(message, tmp_path, nothing_runs):
    (tmp_path / "policy.zip").write_bytes(ZIPS[message]())
    with pytest.raises(ValueError) as caught:
        source = ft.make_task("Acrobot-v1") if "actions" in message else CARTPOLE
        ft.import_policy(
            tmp_path / "policy.zip",
            source,
            **({"obs_map": [0, 1, 2, 3, None, None]} if "actions" in message else {}),
            **QUIET,
        )
    assert message in str(caught.value) and "\n" not in str(caught.value)
