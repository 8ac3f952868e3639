"""A policy of Stable-Baselines3 comes in, is fine-tuned to a longer pole, and leaves as SB3 zip, ONNX, NumPy, C, torch.

    python experiments/benchmarks/round_trip.py

Stable-Baselines3's PPO trains for 20,000 steps in Gymnasium's CartPole-v1. `ft.import_policy` reads its zip,
`ft.finetune` adapts it to a pole of half-length 1.5 (`full` and the recommended method, 8 seeds each), and `ft.export`
writes the best seed. At every door the actions on 10,000 observations are compared, and each policy plays 100 episodes
in Gymnasium's own CartPole with the changed pole. Needs Stable-Baselines3, onnxruntime and gcc. Writes
results/round_trip.json.
"""

import argparse
import ctypes
import importlib.util
import json
import pathlib
import subprocess
import tempfile
from collections.abc import Callable

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import jaxrl_ft as ft
from jaxrl_ft.analysis.statistics import aggregate, intervals
from jaxrl_ft.core import machine
from jaxrl_ft.deploy import parity
from jaxrl_ft.deploy.describe import describe

RESULTS = pathlib.Path(__file__).parent.parent / "results"
HALF_LENGTH, NUM_OBS, EPISODES, SEEDS = 1.5, 10_000, 100, 8
FORMATS = ("sb3", "onnx", "numpy", "c", "torch")
CALLER = """
#include "policy.h"
void run(int num, const float *obs, float *outputs, int *action) {
  for (int i = 0; i < num; ++i) action[i] = policy(obs + i * 4, outputs + i * 2);
}
"""
Act = Callable[[np.ndarray], np.ndarray]
"""Actions [N] at observations [N, 4]."""


def make(half_length: float = HALF_LENGTH) -> gymnasium.Env:
    """Gymnasium's CartPole with a pole of this half-length, in metres."""
    env = gymnasium.make("CartPole-v1")
    env.unwrapped.length = half_length
    env.unwrapped.polemass_length = half_length * env.unwrapped.masspole
    return env


def returns_there(act: Act, half_length: float = HALF_LENGTH, episodes: int = EPISODES) -> np.ndarray:
    """Undiscounted returns [E] of a policy in Gymnasium, an environment for each episode."""
    envs = SyncVectorEnv([lambda: make(half_length)] * episodes, autoreset_mode=AutoresetMode.SAME_STEP)
    obs, _ = envs.reset(seed=12_345)
    returns, alive = np.zeros(episodes), np.ones(episodes, bool)
    while alive.any():
        obs, reward, terminated, truncated, _ = envs.step(np.asarray(act(obs.astype(np.float32)), np.int64))
        returns += np.where(alive, reward, 0.0)
        alive &= ~(terminated | truncated)
    envs.close()
    return returns


def in_c(folder: pathlib.Path) -> Act:
    (folder / "all.c").write_text(CALLER)
    command = ["gcc", "-std=c99", "-O2", "-shared", "-fPIC", "all.c", "-o", "all.so", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "all.so"))

    def act(obs: np.ndarray) -> np.ndarray:
        obs, outputs = np.ascontiguousarray(obs, np.float32), np.zeros((len(obs), 2), np.float32)
        action = np.zeros(len(obs), np.int32)
        library.run(len(obs), *(array.ctypes.data_as(ctypes.c_void_p) for array in (obs, outputs, action)))
        return action

    return act


def module(path: pathlib.Path) -> object:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def doors(folder: pathlib.Path) -> dict[str, Act]:
    """The exported policy by its format, each read by its own library."""
    import onnxruntime
    import stable_baselines3
    import torch

    zipped = stable_baselines3.PPO.load(folder / "policy.zip", device="cpu")
    session = onnxruntime.InferenceSession(str(folder / "policy.onnx"), providers=["CPUExecutionProvider"])
    loaded = module(folder / "policy_torch.py").load()

    def in_torch(obs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return loaded(torch.from_numpy(obs)).numpy()

    return {
        "sb3": lambda obs: zipped.predict(obs, deterministic=True)[0],
        "onnx": lambda obs: session.run(["action"], {"obs": obs})[0],
        "numpy": module(folder / "policy_numpy.py").Policy(folder / "policy.npz"),
        "c": in_c(folder),
        "torch": in_torch,
    }


def trained(path: pathlib.Path, steps: int = 20_000) -> Act:
    """The policy of Stable-Baselines3, saved as a zip at this path."""
    import stable_baselines3

    model = stable_baselines3.PPO("MlpPolicy", "CartPole-v1", seed=0, device="cpu")
    model.learn(steps)
    model.save(path)
    return lambda obs: model.predict(obs, deterministic=True)[0]


def observations(act: Act) -> np.ndarray:
    """Observations [NUM_OBS, 4]: half along the policy's episodes, half from the whole range and far outside of it."""
    rng, seen = np.random.default_rng(0), []
    returns_there(lambda obs: act(seen.append(obs) or obs), episodes=20)
    visited = np.concatenate(seen)
    near = visited[rng.integers(len(visited), size=NUM_OBS // 2)]
    wide = rng.uniform(-1, 1, size=(NUM_OBS - len(near), 4)) * [4.8, 10.0, 0.42, 10.0]
    return np.concatenate([near, wide]).astype(np.float32)


def interval(returns: np.ndarray) -> dict[str, float]:
    found = intervals.stratified_bootstrap(returns, aggregate.mean)
    return {"mean": float(returns.mean()), "low": float(found.low), "high": float(found.high)}


def left(tuned: ft.Agents, folder: pathlib.Path, obs: np.ndarray) -> dict:
    """What the best of the fine-tuned agents does at each door, beside what it does here."""
    best = int(np.argmax(tuned.curve[:, -1]))
    ft.export(tuned, folder, FORMATS, seed=best, episodes=0)
    description, ours = describe(tuned, best), tuned.policy(best)(obs)
    here = ft.evaluate(tuned, tuned.task, episodes=EPISODES)
    found = {}
    for name, act in doors(folder).items():
        actions = np.asarray(act(obs))
        outputs = description.policy().outputs(obs)
        apart = parity.actions_apart(description, obs, outputs, actions.astype(ours.dtype), ours)
        found[name] = {
            "actions that differ": int(np.count_nonzero(actions != ours)),
            "further apart than a tie": int(np.count_nonzero(apart)),
            "return in gymnasium": interval(returns_there(act)),
        }
    return {
        "seed": best,
        "return here, this seed": interval(here[best]),
        "return here, all seeds": interval(here),
        "return in gymnasium by gymnasium_returns": interval(
            ft.gymnasium_returns(tuned.select([best]), make(), episodes=EPISODES)[0]
        ),
        "doors": found,
    }


def measured(folder: pathlib.Path, methods: tuple[str, ...] = ("full", ft.RECOMMENDED)) -> dict:
    """The whole round trip, in this folder."""
    theirs = trained(folder / "ppo_cartpole.zip")
    obs = observations(theirs)
    source, target = ft.make_task("CartPole-v1"), ft.make_task("CartPole-v1", half_length=HALF_LENGTH)
    agents = ft.import_policy(folder / "ppo_cartpole.zip", source, expected=(obs, theirs(obs)), tolerance=1e-5)
    came = {
        "self-check": agents.report[-1],
        "actions that differ": int(np.count_nonzero(agents.policy(0)(obs) != theirs(obs))),
    }
    for place, task, half_length in (("source", source, 0.5), ("target", target, HALF_LENGTH)):
        came[f"{place}: return there"] = interval(returns_there(theirs, half_length))
        came[f"{place}: return here"] = interval(ft.evaluate(agents, task, episodes=EPISODES)[0])
    found = {"in": came}
    for method in methods:
        tuned = ft.finetune(agents.select([0] * SEEDS), target, method, steps=20_480, progress=False)
        found[method] = left(tuned, folder / method, obs)
    return found


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    import stable_baselines3

    with tempfile.TemporaryDirectory() as name:
        found = measured(pathlib.Path(name))
    told = {
        "steps there": 20_000,
        "steps here": 20_480,
        "seeds": SEEDS,
        "observations": NUM_OBS,
        "episodes": EPISODES,
        "half_length": HALF_LENGTH,
        "versions": {"stable_baselines3": stable_baselines3.__version__, "gymnasium": gymnasium.__version__},
        "machine": machine.hardware(),
    }
    text = json.dumps({**told, **found}, indent=1)
    print(text)
    (RESULTS / "round_trip.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
