"""The line protocol by which `throughput.py` alternates programs; needs JAX alone.

Commands, one a line on standard input; each answers with one line of JSON on standard output:

    compile    {"trace_s", "compile_s"}: what the program needs once, before its first training
    run        {"seconds", "env_steps"}: one training of all seeds from new keys, until its result is ready
    ready      {}: all is imported
    quit       ends; so does the end of the input

A peer may have other commands.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import jax


class Program:
    """A training of all seeds under `jit(vmap(...))` as one compiled program.

    Args:
        train: what trains one seed, given its key.
        seeds: how many are trained at once.
        steps: environment steps of one seed.
    """

    def __init__(self, train: Callable[[Any], Any], seeds: int, steps: int) -> None:
        self.train, self.seeds, self.steps, self.runs = train, seeds, steps, 0
        self.program: Callable[[Any], Any] | None = None
        self.keys, self.trained = self.new_keys(), None

    def new_keys(self) -> Any:
        """One key per seed, others after each run."""
        return jax.random.split(jax.random.fold_in(jax.random.PRNGKey(0), self.runs), self.seeds)

    def compile(self) -> dict[str, float]:
        """Seconds to trace and to compile the whole training."""
        start = time.perf_counter()
        lowered = jax.jit(jax.vmap(self.train)).lower(self.keys)
        traced = time.perf_counter()
        self.program = lowered.compile()
        return {"trace_s": traced - start, "compile_s": time.perf_counter() - traced}

    def run(self) -> dict[str, float]:
        """Seconds of one training of all seeds, and the environment steps they took together."""
        if self.program is None:
            self.compile()
        self.runs += 1
        self.keys = jax.block_until_ready(self.new_keys())
        start = time.perf_counter()
        self.trained = jax.block_until_ready(self.program(self.keys))
        return {"seconds": time.perf_counter() - start, "env_steps": self.seeds * self.steps}


def serve(commands: dict[str, Callable[[], dict]]) -> None:
    """Answer commands until the input ends."""
    commands = {"ready": dict, **commands}
    # Libraries may print while they are traced; standard output is for answers alone.
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        for line in sys.stdin:
            word = line.strip()
            if word == "quit":
                break
            answer = commands[word]() if word in commands else {"error": f"{word!r} is not one of {list(commands)}"}
            print(json.dumps(answer), file=answers, flush=True)
