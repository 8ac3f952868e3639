"""A policy that Stable-Baselines3 trained for 20,000 steps acts here as there, and is fine-tuned to a longer pole.

The library lives in an environment of its own, which the test makes unless SB3_PYTHON names an interpreter that has it.
"""

import os
import subprocess
import venv

import numpy as np
import pytest

import jaxrl_ft as ft

TRAIN = """
import sys, gymnasium, numpy as np
from stable_baselines3 import PPO

model = PPO("MlpPolicy", "CartPole-v1", seed=0, device="cpu")
model.learn(20_000)
model.save("ppo_cartpole.zip")
env, found, seen = gymnasium.make("CartPole-v1"), {}, []
for name, half_length in (("source", 0.5), ("long", 1.5)):
    env.unwrapped.length = half_length
    env.unwrapped.polemass_length = half_length * env.unwrapped.masspole
    returns = []
    for episode in range(60):
        obs, _ = env.reset(seed=episode)
        total, ended = 0.0, False
        while not ended:
            seen.append(obs)
            obs, reward, terminated, truncated, _ = env.step(int(model.predict(obs, deterministic=True)[0]))
            total, ended = total + reward, terminated or truncated
        returns.append(total)
    found[name] = np.array(returns)
draw = np.random.default_rng(0)
visited = np.array(seen)[draw.integers(len(seen), size=6000)]
wide = draw.uniform(-1, 1, size=(4000, 4)) * [4.8, 10, 0.42, 10]
obs = np.concatenate([visited, wide, [[4.8, 1e3, 0.42, 1e3], [-4.8, -1e3, -0.42, -1e3]]]).astype(np.float32)
np.savez("expected.npz", obs=obs, actions=model.predict(obs, deterministic=True)[0], **found)
"""


def interpreter(folder):
    if os.environ.get("SB3_PYTHON"):
        return os.environ["SB3_PYTHON"]
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "torch", "stable-baselines3"], check=True)
    return python


@pytest.mark.exhaustive
def test_a_policy_comes_in_acts_the_same_and_is_fine_tuned(tmp_path):
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([interpreter(tmp_path / "venv"), "-c", TRAIN], check=True, cwd=tmp_path, env=plain)
    with np.load(tmp_path / "expected.npz") as arrays:
        found = dict(arrays)
    source, target = ft.make_task("CartPole-v1"), ft.make_task("CartPole-v1", half_length=1.5)
    pair = (found["obs"], found["actions"])
    agents = ft.import_policy(tmp_path / "ppo_cartpole.zip", source, expected=pair, tolerance=1e-5)
    assert agents.report[-1] == "self-check: all 10002 actions are the same"
    for task, name in ((source, "source"), (target, "long")):
        ours, theirs = ft.evaluate(agents, task, episodes=400)[0], found[name]
        error = np.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs))
        assert abs(ours.mean() - theirs.mean()) < 4 * error + 1.0, name
    tuned = ft.finetune(agents.select([0] * 8), target, steps=20_480)
    assert tuned.status == ("ok",) * 8
    assert ft.evaluate(tuned, target, episodes=50).mean() > found["long"].mean() - 20
