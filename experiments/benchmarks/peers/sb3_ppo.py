"""One fine-tune by Stable-Baselines3's PPO with the settings of benchmarks/sweep_speed.py; prints its time as JSON.

Stable-Baselines3 needs an environment of its own, outside the repository:

    python3.11 -m venv PEER
    PEER/bin/python -m pip install torch==2.13.0
    PEER/bin/python -m pip install stable-baselines3 gymnasium
    PEER/bin/python experiments/benchmarks/peers/sb3_ppo.py

What is timed is `learn` of a policy in memory on CartPole with a half-length of 1 m, with evaluations before, between
and after stretches of it. The 8 environments are stepped in one process (`DummyVecEnv`), which is its fastest for an
environment this small. What differs is in its favour: the policy is a fresh one, whose first episodes are short.
"""

import argparse
import importlib.metadata
import json
import time

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy


def long_pole() -> gymnasium.Env:
    """CartPole-v1 with a pole twice as long, and what derives from it."""
    env = gymnasium.make("CartPole-v1")
    inner = env.unwrapped
    inner.length = 1.0
    inner.polemass_length = inner.masspole * inner.length
    return env


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--evals", type=int, default=11)
    parser.add_argument("--episodes", type=int, default=16)
    options = parser.parse_args()
    env, other = make_vec_env(long_pole, n_envs=8, seed=0), make_vec_env(long_pole, n_envs=8, seed=1)
    model = PPO(
        "MlpPolicy", env, learning_rate=2.5e-3, n_steps=64, batch_size=128, n_epochs=10, gamma=0.98, gae_lambda=0.9,
        policy_kwargs={"net_arch": [64, 64]}, device="cpu", seed=0,
    )  # fmt: skip
    began = time.perf_counter()
    returns = [evaluate_policy(model, other, options.episodes)[0]]
    for _ in range(options.evals - 1):
        model.learn(options.steps // (options.evals - 1), reset_num_timesteps=False)
        returns.append(evaluate_policy(model, other, options.episodes)[0])
    seconds = time.perf_counter() - began
    names = ("stable-baselines3", "torch", "gymnasium")
    print(
        json.dumps(
            {
                "seconds": seconds,
                "env_steps": model.num_timesteps,
                "returns": [float(np.round(value, 1)) for value in returns],
                "threads": torch.get_num_threads(),
                "versions": {name: importlib.metadata.version(name) for name in names},
            }
        )
    )


if __name__ == "__main__":
    main()
