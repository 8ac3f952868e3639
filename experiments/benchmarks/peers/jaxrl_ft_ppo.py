"""jaxrl_ft's PPO on CartPole-v1 by the line protocol of `protocol.py`, with as many devices as the process has cores.

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

PPO = ft.PPO(num_envs=4, num_steps=128, num_epochs=4, num_minibatches=4, ent_coef=0.01)


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
        seeds: how many are trained at once.
        steps: environment steps of one seed, rounded up to whole updates.
    """

    def __init__(self, seeds: int, steps: int) -> None:
        per_update = PPO.num_envs * PPO.num_steps
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
        task = ft.make_task("CartPole-v1")
        ft.pretrain(task, algo=PPO, seeds=self.seeds, steps=self.steps, seed=self.runs, num_evals=2, eval_episodes=1)
        self.runs += 1
        return {"seconds": time.perf_counter() - start, "env_steps": self.seeds * self.steps}


def main() -> None:
    parser = argparse.ArgumentParser(description="jaxrl_ft PPO on CartPole-v1 by line protocol")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=200_000)
    options = parser.parse_args()
    session = Session(options.seeds, options.steps)
    serve({"compile": session.compile, "run": session.run, "devices": lambda: {"devices": jax.device_count()}})


if __name__ == "__main__":
    main()
