"""How far a gradient step of PPO is from the time that its own products and nonlinearities need.

    python experiments/benchmarks/roofline.py

Settings are those of `throughput.py`: 8 seeds x 4 environments x 128 steps, 4 minibatches, 2x64 tanh, entropy 0.01.
A gradient step is timed as the difference between whole trainings of 4 epochs and of 1, over the number of steps
between them, so that rollouts and evaluations fall out; a rollout with all else of an update is what is left. Beside it
stand the operations alone, compiled by themselves for one device, with its runs side by side: the matrix products of
both networks forward and backward, and the four tanh layers, each with a sum of what it gives. The best of five of each
counts. Writes results/roofline.json and results/roofline.md.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

import jaxrl_ft as ft

RESULTS = Path(__file__).parents[1] / "results"
SEEDS, STEPS, EPOCHS, ROUNDS, REPEATS = 8, 102_400, 4, 5, 500
OBS, WIDTH, ROWS, OUTPUTS = 4, 64, 128, (2, 1)


def training(epochs: int) -> float:
    """Seconds of one training of all seeds, the best of several."""
    algo = ft.PPO(num_envs=4, num_steps=128, num_epochs=epochs, num_minibatches=4, ent_coef=0.01)
    settings = {"algo": algo, "seeds": SEEDS, "steps": STEPS, "num_evals": 2, "progress": False}

    def run(seed: int) -> float:
        began = time.perf_counter()
        ft.pretrain(ft.make_task("CartPole-v1"), seed=seed, **settings)
        return time.perf_counter() - began

    run(0)
    return min(run(1 + number) for number in range(ROUNDS))


def microseconds(operation: Callable[..., jax.Array], *args: jax.Array) -> float:
    """Time of an operation on one device, the best of several; its first argument changes from turn to turn."""

    def turn(_: jax.Array, first: jax.Array) -> jax.Array:
        # Whoever computes it once for all turns would need the sum, which is of the turn.
        return first + 1e-20 * jnp.sum(operation(first, *args[1:]))

    looped = jax.jit(lambda first: jax.lax.fori_loop(0, REPEATS, turn, first))
    looped(args[0]).block_until_ready()
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        looped(args[0]).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return min(seconds) / REPEATS * 1e6


def products(runs: int) -> float:
    """Microseconds of the matrix products of a gradient step of so many runs, forward and backward."""
    total = 0.0
    for layers in ((OBS, WIDTH, WIDTH, outputs) for outputs in OUTPUTS):
        for number, (before, after) in enumerate(itertools.pairwise(layers)):
            x, weight = jnp.ones((runs, ROWS, before)), jnp.ones((runs, before, after))
            gradient = jnp.ones((runs, ROWS, after))
            total += microseconds(jnp.matmul, x, weight)
            total += microseconds(lambda x, g: jnp.matmul(x.swapaxes(1, 2), g), x, gradient)
            if number:
                total += microseconds(lambda g, w: jnp.matmul(g, w.swapaxes(1, 2)), gradient, weight)
    return total


def table(found: dict) -> str:
    step, runs = found["gradient_step_us"], found["runs_on_a_device"]
    rows = {
        "a gradient step": step,
        "its matrix products alone": found["products_us"],
        "its tanh alone": found["tanh_us"],
        "what is left: losses, optimizer, gathers, copies": step - found["products_us"] - found["tanh_us"],
        "a rollout of 128 steps and all else of an update, 16 gradient steps apart": found["rollout_us"],
    }
    lines = [f"| of {runs} runs on each core | us | share of a gradient step |", "| :--- | ---: | ---: |"]
    lines += [f"| {name} | {time:,.0f} | {time / step:.0%} |" for name, time in rows.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    whole, one = training(EPOCHS), training(1)
    updates = STEPS // 512
    step = (whole - one) / (updates * (EPOCHS - 1) * 4) * 1e6
    rest = (whole - updates * EPOCHS * 4 * step * 1e-6) / updates * 1e6
    runs = -(-SEEDS // jax.device_count())
    found = {
        "gradient_step_us": step,
        "products_us": products(runs),
        "tanh_us": 4 * microseconds(jnp.tanh, jnp.ones((runs, ROWS, WIDTH))),
        "rollout_us": rest,
        "runs_on_a_device": runs,
        "machine": {"cores": os.cpu_count(), "jax": jax.__version__},
    }
    (RESULTS / "roofline.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "roofline.md").write_text(table(found))
    print(table(found))


if __name__ == "__main__":
    main()
