"""Writes the files of this folder with the libraries that they are of, and what those do in a few observations.

    pip install torch==2.13.0 stable-baselines3==2.9.2 sbx-rl && python tests/store/foreign_files/make_files.py

The files are genuine but for their sizes: tiny networks, a few hundred steps, and from some of them what nothing here
reads is taken out, such as states of optimizers. `expected.npz` holds for each file `NAME/obs` and `NAME/actions`, as
the library itself predicts them.
"""

import importlib
import itertools
import json
import sys
import zipfile
from pathlib import Path

import flax
import flax.linen
import gymnasium
import jax
import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

FOLDER = Path(__file__).parent
EXPECTED: dict[str, np.ndarray] = {}
WORLDS = {"CartPole-v1": np.array([2.0, 2.0, 0.2, 2.0]), "Pendulum-v1": np.array([1.0, 1.0, 8.0])}


def observations(world, num=64):
    return (np.random.default_rng(3).normal(size=(num, len(WORLDS[world]))) * WORLDS[world]).astype(np.float32)


def keep(name, world, act):
    obs = observations(world)
    EXPECTED[f"{name}/obs"], EXPECTED[f"{name}/actions"] = obs, np.asarray(act(obs))


def stable_baselines(name, algo, world, steps=128, **settings):
    library = importlib.import_module("sbx" if name.startswith("sbx_") else "stable_baselines3")
    settings = {"policy_kwargs": {"net_arch": [16, 16]}, **settings}
    model = getattr(library, algo)("MlpPolicy", world, seed=0, device="cpu", **settings)
    model.learn(steps)
    model.save(FOLDER / f"{name}.zip")
    keep(name, world, lambda obs: model.predict(obs, deterministic=True)[0])


def smaller(name, settings=(), members=()):
    """The zip without some of its settings and members, deflated."""
    path = FOLDER / name
    with zipfile.ZipFile(path) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist() if info.filename not in members}
    kept = {key: value for key, value in json.loads(files["data"]).items() if key not in settings}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file, data in (files | {"data": json.dumps(kept).encode()}).items():
            archive.writestr(file, data)


def normalized(_):
    env = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")] * 2), clip_obs=5.0, epsilon=1e-6)
    settings = {"net_arch": {"pi": [16, 8], "vf": [12]}, "activation_fn": torch.nn.ReLU}
    model = stable_baselines3.PPO("MlpPolicy", env, n_steps=64, seed=0, policy_kwargs=settings, device="cpu")
    model.learn(256)
    model.save(FOLDER / "sb3_ppo_normalized.zip")
    env.save(FOLDER / "sb3_ppo_normalized.pkl")
    act = lambda obs: model.predict(env.normalize_obs(obs), deterministic=True)[0]  # noqa: E731
    keep("sb3_ppo_normalized", "Pendulum-v1", act)


def sequential(*sizes, activation=torch.nn.Tanh):
    layers = []
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        layers += [torch.nn.Linear(a, b)] + ([activation()] if i < len(sizes) - 2 else [])
    return torch.nn.Sequential(*layers)


def cleanrl_torch(_):
    torch.manual_seed(1)
    agent = torch.nn.Module()
    agent.critic, agent.actor_mean = sequential(3, 16, 16, 1), sequential(3, 16, 16, 1)
    agent.actor_logstd = torch.nn.Parameter(torch.full((1, 1), -0.5))
    torch.save(agent.state_dict(), FOLDER / "ppo_continuous_action.cleanrl_model")
    keep("ppo_continuous_action", "Pendulum-v1", lambda obs: agent.actor_mean(torch.tensor(obs)).detach().clamp(-2, 2))
    ppo = torch.nn.Module()
    ppo.critic, ppo.actor = sequential(4, 16, 16, 1), sequential(4, 16, 16, 2)
    torch.save(ppo.state_dict(), FOLDER / "ppo.cleanrl_model")
    keep("ppo", "CartPole-v1", lambda obs: ppo.actor(torch.tensor(obs)).argmax(1))
    q = torch.nn.Module()
    q.network = sequential(4, 16, 12, 2, activation=torch.nn.ReLU)
    torch.save(q.state_dict(), FOLDER / "dqn.cleanrl_model")
    keep("dqn", "CartPole-v1", lambda obs: q.network(torch.tensor(obs)).argmax(1))


class Squashed(torch.nn.Module):
    """The layers and buffers of an actor of sac_continuous_action.py."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = torch.nn.Linear(3, 16), torch.nn.Linear(16, 16)
        self.fc_mean, self.fc_logstd = torch.nn.Linear(16, 1), torch.nn.Linear(16, 1)
        self.register_buffer("action_scale", torch.full((1,), 2.0))
        self.register_buffer("action_bias", torch.zeros(1))

    def forward(self, x):
        hidden = self.fc2(self.fc1(x).relu()).relu()
        return self.fc_mean(hidden).tanh() * self.action_scale + self.action_bias


class Critic(torch.nn.Module):
    """The layers of a critic there."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = torch.nn.Linear(4, 16), torch.nn.Linear(16, 16), torch.nn.Linear(16, 1)

    def forward(self, x, action):
        return self.fc3(self.fc2(self.fc1(torch.cat([x, action], 1)).relu()).relu())


def cleanrl_sac(_):
    torch.manual_seed(2)
    actor, *critics = Squashed(), Critic(), Critic()
    torch.save((actor.state_dict(), *(critic.state_dict() for critic in critics)), FOLDER / "sac_continuous_action.pt")
    keep("sac_continuous_action", "Pendulum-v1", lambda obs: actor(torch.tensor(obs)).detach())
    obs, actions = (torch.tensor(EXPECTED[f"sac_continuous_action/{name}"]) for name in ("obs", "actions"))
    for i, critic in enumerate(critics):
        EXPECTED[f"sac_continuous_action/value{i}"] = critic(obs, actions).detach().numpy()[:, 0]


class FlaxQ(flax.linen.Module):
    """The layers of a Q-network of dqn_jax.py."""

    @flax.linen.compact
    def __call__(self, x):
        for width in (16, 12):
            x = flax.linen.relu(flax.linen.Dense(width)(x))
        return flax.linen.Dense(2)(x)


def cleanrl_flax(_):
    params = FlaxQ().init(jax.random.key(0), np.zeros((1, 4), np.float32))
    (FOLDER / "dqn_jax.cleanrl_model").write_bytes(flax.serialization.to_bytes(params))
    keep("dqn_jax", "CartPole-v1", lambda obs: FlaxQ().apply(params, obs).argmax(1))


def odd_tensors(_):
    """Types, views and shared numbers that a reader of the format must get right."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tensors = {
        "double": torch.linspace(0, 1, 5, dtype=torch.float64),
        "half": torch.linspace(0, 1, 5, dtype=torch.float16),
        "brain": torch.linspace(0, 1, 5, dtype=torch.bfloat16),
        "turned": base.T,
        "part": base[1:3, ::2],
        "whole": base,
        "scalar": torch.tensor(3),
        "none": torch.zeros(0, 3),
        "flags": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "nested": {"list": [torch.tensor([1, 2], dtype=torch.int16), 1.5, "text", None]},
    }
    torch.save(tensors, FOLDER / "odd_tensors.pt")
    plain = {name: value for name, value in tensors.items() if isinstance(value, torch.Tensor)}
    for name, value in plain.items():
        EXPECTED[f"odd_tensors/{name}"] = value.detach().float().numpy()
    torch.save({"w": base}, FOLDER / "before_1_6.pt", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(2, 2), FOLDER / "whole_module.pt")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), FOLDER / "torchscript.pt")


MAKERS = {
    "torch": cleanrl_torch,
    "sac": cleanrl_sac,
    "flax": cleanrl_flax,
    "odd": odd_tensors,
    "sb3_ppo": lambda name: stable_baselines(name, "PPO", "CartPole-v1", n_steps=64),
    "sb3_a2c": lambda name: stable_baselines(name, "A2C", "CartPole-v1"),
    "sb3_dqn": lambda name: stable_baselines(name, "DQN", "CartPole-v1", learning_starts=100, buffer_size=1000),
    "sb3_sac": lambda name: stable_baselines(name, "SAC", "Pendulum-v1", learning_starts=100, buffer_size=1000),
    "sb3_td3": lambda name: stable_baselines(name, "TD3", "Pendulum-v1", learning_starts=100, buffer_size=1000),
    "sb3_a2c_sde": lambda name: stable_baselines(name, "A2C", "Pendulum-v1", use_sde=True),
    "sb3_ppo_normalized": normalized,
    "sbx_ppo": lambda name: stable_baselines(name, "PPO", "CartPole-v1", n_steps=64),
    "sbx_dqn": lambda name: stable_baselines(name, "DQN", "CartPole-v1", learning_starts=100, buffer_size=1000),
    "sbx_sac": lambda name: stable_baselines(name, "SAC", "Pendulum-v1", learning_starts=100, buffer_size=1000),
}


LEFT_OUT = {
    "sb3_td3": {"members": ("actor.optimizer.pth", "critic.optimizer.pth")},
    "sb3_sac": {"members": ("actor.optimizer.pth", "critic.optimizer.pth", "ent_coef_optimizer.pth")},
    "sb3_a2c_sde": {"members": ("policy.optimizer.pth",)},
    **{name: {"settings": ("actor", "vf", "qf")} for name in ("sbx_ppo", "sbx_dqn", "sbx_sac")},
}


def main():
    for name in sys.argv[1:] or MAKERS:
        MAKERS[name](name)
        save()
        if name in LEFT_OUT:
            smaller(f"{name}.zip", **LEFT_OUT[name])


def save():
    path = FOLDER / "expected.npz"
    if path.exists():
        with np.load(path) as before:
            EXPECTED.update({name: leaf for name, leaf in before.items() if name not in EXPECTED})
    np.savez_compressed(path, **EXPECTED)


if __name__ == "__main__":
    main()
