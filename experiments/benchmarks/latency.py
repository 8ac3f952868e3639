"""Microseconds that one action takes: each export of a policy, the agents' own `policy(0)`, and SB3's `predict`.

    python experiments/benchmarks/latency.py [--calls 20000]

The policy has 4 observations, two hidden layers of 64 tanh units, a normaliser, and 2 actions, as one trained on
CartPole. Every way acts on the same observations, one after the other, in one thread; a number is the median of 9
rounds, with the lowest and the highest. What is not installed is left out: it needs onnxruntime, gcc, torch and
Stable-Baselines3 for all. Writes results/latency.json.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np

import jaxrl_ft as ft
from jaxrl_ft.core import machine, tree
from jaxrl_ft.deploy.formats.catalogue import FORMATS

RESULTS = pathlib.Path(__file__).parent.parent / "results"
ROUNDS, OBS = 9, 1024
LOOP = """
#include <time.h>
#include <stdio.h>
#include <stdlib.h>
#include "policy.h"
int main(int argc, char **argv) {
  static float obs[%(num)d][4];
  FILE *file = fopen("obs.bin", "rb");
  if (argc < 2 || !file || fread(obs, sizeof obs, 1, file) != 1) return 1;
  const int calls = atoi(argv[1]);
  for (int round = 0; round < %(rounds)d; ++round) {
    struct timespec a, b;
    float outputs[2];
    volatile int sum = 0;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < calls; ++i) sum += policy(obs[i %% %(num)d], outputs);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%%.6f\\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / 1e3 / calls);
  }
}
"""


def agents() -> ft.Agents:
    """One agent with the usual network and a normaliser that has seen something."""
    rng, task = np.random.default_rng(0), ft.make_task("CartPole-v1")
    shapes = jax.eval_shape(lambda: ft.PPO().init_params(jax.random.key(0), task, ft.MLP()))
    params = jax.tree.map(lambda leaf: (0.3 * rng.standard_normal(leaf.shape)).astype(np.float32), shapes)
    mean, variance = rng.normal(size=4).astype(np.float32), np.ones(4, np.float32)
    return ft.wrap(tree.map_leaves(np.asarray, params), task, obs_mean=mean, obs_variance=variance)


def timed(act: Callable[[np.ndarray], object], obs: np.ndarray, calls: int) -> list[float]:
    """Microseconds a call, of every round."""
    rounds = []
    for row in obs[:200]:
        act(row)
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for i in range(calls):
            act(obs[i % OBS])
        rounds.append((time.perf_counter() - began) / calls * 1e6)
    return rounds


def in_c(folder: pathlib.Path, obs: np.ndarray, calls: int, *flags: str) -> list[float]:
    (folder / "loop.c").write_text(LOOP % {"num": OBS, "rounds": ROUNDS})
    obs.tofile(folder / "obs.bin")
    command = ["gcc", "-std=gnu99", *flags, "loop.c", "-o", "loop", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    found = subprocess.run(["./loop", str(calls * 20)], cwd=folder, check=True, capture_output=True, text=True)
    return [float(line) for line in found.stdout.split()]


def module(path: pathlib.Path) -> object:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def ways(own: ft.Agents, folder: pathlib.Path, formats: list[str]) -> Iterator[tuple[str, Callable]]:
    """Every way to act in Python, with its name."""
    yield "NumPy", module(folder / "policy_numpy.py").Policy(folder / "policy.npz")
    yield "jax, `agents.policy(0)`", own.policy(0)
    act = module(folder / "policy_jax.py").act
    yield "jax, StableHLO", lambda obs: np.asarray(act(obs[None]))
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = str(folder / "policy.onnx")
        run = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run
        yield "onnxruntime", lambda obs: run(["action"], {"obs": obs[None]})
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)
        policy = module(folder / "policy_torch.py").load()
        with torch.inference_mode():
            yield "torch", lambda obs: policy(torch.from_numpy(obs)).numpy()
    if "sb3" in formats:
        import stable_baselines3

        model = stable_baselines3.PPO.load(folder / "policy.zip", device="cpu")
        yield "Stable-Baselines3, `predict`", lambda obs: model.predict(obs, deterministic=True)


def main(calls: int) -> None:
    own, obs = agents(), np.random.default_rng(1).normal(size=(OBS, 4)).astype(np.float32)
    formats = [name for name, row in FORMATS.items() if all(importlib.util.find_spec(one) for one in row.needs)]
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = ft.export(own, pathlib.Path(name) / "out", formats, seed=0, episodes=0)
        if shutil.which("gcc"):
            found["C, gcc -O2"] = in_c(folder, obs, calls, "-O2")
            found["C, gcc -O3 -march=native"] = in_c(folder, obs, calls, "-O3", "-march=native")
        for way, act in ways(own, folder, formats):
            found[way] = timed(act, obs, calls if way == "NumPy" else calls // 4)
    rows = {way: {"median": np.median(r), "low": min(r), "high": max(r)} for way, r in found.items()}
    for way, row in rows.items():
        print(f"{way:32} {row['median']:8.2f} us [{row['low']:.2f}, {row['high']:.2f}]")
    told = {"unit": "microseconds an action", "rounds": ROUNDS, "calls": calls, "machine": machine.hardware()}
    (RESULTS / "latency.json").write_text(json.dumps({**told, "ways": rows}, indent=1) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=20_000)
    main(parser.parse_args().calls)
