"""jaxrl_ft's algorithms by the line protocol of `protocol.py`, with as many devices as the process has cores.

Settings are those of `rejax_algorithms.py`: PPO, DQN and PQN train on CartPole-v1, SAC on Pendulum-v1.

`run` is a whole call of `ft.pretrain`, which evaluates twice besides. `compile` is the first such call: what JAX
reports of tracing, lowering and compiling in it, whatever the programs are called. A program that is traced inside
another, or compiled beside another, counts once: seconds are those of the union of the intervals.
"""

import argparse
import time
from collections.abc import Iterable

import jax
from protocol import serve

import jaxrl_ft as ft

REPLAYED = {
    "num_envs": 8,
    "num_steps": 1,
    "gradient_steps": 8,
    "batch_size": 128,
    "replay_size": 20_000,
    "learning_starts": 1_000,
    "num_returns": 1,
    "tau": 0.02,
}
RELU = ft.MLP(activation="relu")
QUICK = ft.Adam(learning_rate=1e-3, max_grad_norm=10.0)
ALGORITHMS = {
    "ppo": (
        "CartPole-v1",
        {
            "algo": ft.PPO(num_envs=4, num_steps=128, num_epochs=4, num_minibatches=4, ent_coef=0.01),
            "network": ft.MLP(),
            "optimizer": ft.Adam(),
        },
    ),
    "dqn": (
        "CartPole-v1",
        {"algo": ft.DQN(**REPLAYED, exploration_share=0.1, huber=None), "network": RELU, "optimizer": QUICK},
    ),
    "pqn": (
        "CartPole-v1",
        {
            "algo": ft.PQN(num_envs=16, num_steps=16, num_epochs=2, num_minibatches=8, exploration_share=0.1),
            "network": ft.MLP(activation="relu", layer_norm=True),
            "optimizer": QUICK,
        },
    ),
    "sac": ("Pendulum-v1", {"algo": ft.SAC(**REPLAYED), "network": RELU, "optimizer": QUICK}),
}
"""Environment and settings."""


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


class Session:
    """Trainings with a new seed each.

    Args:
        algorithm: its name in ALGORITHMS.
        seeds: how many are trained at once.
        steps: environment steps of one seed, rounded up to whole updates.
    """

    def __init__(self, algorithm: str, seeds: int, steps: int) -> None:
        self.id, self.settings = ALGORITHMS[algorithm]
        per_update = self.settings["algo"].steps_per_update()
        self.seeds, self.steps, self.runs = seeds, -(-steps // per_update) * per_update, 0
        self.intervals: dict[str, list[tuple[float, float]]] = {}

    def listen(self, event: str, seconds: float, **_: object) -> None:
        """Keep one duration, which has just ended."""
        if event.startswith("/jax/core/compile/"):
            now = time.perf_counter()
            self.intervals.setdefault(event.rsplit("/", 1)[1], []).append((now - seconds, now))

    def compile(self) -> dict[str, float]:
        """Seconds of making all programs of the first training."""
        jax.monitoring.register_event_duration_secs_listener(self.listen)
        self.run()
        whole = covered(one for intervals in self.intervals.values() for one in intervals)
        compiling = covered(self.intervals["backend_compile_duration"])
        return {"trace_s": whole - compiling, "compile_s": compiling}

    def run(self) -> dict[str, float]:
        """Seconds of one training of all seeds, and the environment steps they took together."""
        start = time.perf_counter()
        budget = {"seeds": self.seeds, "steps": self.steps, "seed": self.runs, "num_evals": 2, "eval_episodes": 1}
        ft.pretrain(ft.make_task(self.id), **self.settings, **budget)
        self.runs += 1
        return {"seconds": time.perf_counter() - start, "env_steps": self.seeds * self.steps}


def main() -> None:
    parser = argparse.ArgumentParser(description="jaxrl_ft by line protocol")
    parser.add_argument("algorithm", choices=list(ALGORITHMS))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=200_000)
    options = parser.parse_args()
    session = Session(options.algorithm, options.seeds, options.steps)
    serve({"compile": session.compile, "run": session.run, "devices": lambda: {"devices": jax.device_count()}})


if __name__ == "__main__":
    main()
