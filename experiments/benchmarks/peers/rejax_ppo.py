"""rejax 0.1.3's PPO on CartPole-v1, driven line by line so that another process can alternate it with jaxrl_ft.

rejax needs gymnax 0.0.9 (it does not run on gymnax 1.x), hence an environment of its own, outside the repository:

    python3.11 -m venv PEER
    PEER/bin/python -m pip install rejax==0.1.3 gymnax==0.0.9 jax==0.10.2 jaxlib==0.10.2 six "setuptools<81"
    PEER/bin/python experiments/benchmarks/peers/rejax_ppo.py --seeds 8 --steps 40960

Commands, one a line on standard input; each answers with one line of JSON on standard output:

    compile    {"trace_s", "compile_s"}: `jit(vmap(train)).lower(keys)`, then `.compile()`
    run        {"seconds", "env_steps"}: the compiled program once, under new keys, until its result is ready
    evaluate   {"first_return", "last_return"}: mean return over seeds of the last run's policies, untrained and trained
    quit       ends; so does the end of the input

What is timed is rejax's own `PPO.train` under `jit(vmap(...))`, as its authors document it: building the networks, the
optimizers and the first environment states, then every iteration. Evaluation is left out in rejax's favour: its
`eval_callback` returns nothing, `eval_freq` is the whole training and `skip_initial_evaluation` is set. It differs from
jaxrl_ft in ways that cost it nothing: two optimizers with element-wise clipping, no learning-rate schedule, a clipped
value loss, and one value bootstrap for both kinds of episode end. Thread and device flags are the caller's
(`XLA_FLAGS`). Its networks start from LeCun-normal weights, so there is no batched QR that could deadlock.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import rejax
import rejax.evaluate


def settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="rejax PPO on CartPole-v1 by line protocol")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--envs", type=int, default=4)
    parser.add_argument("--rollout", type=int, default=128, help="environment steps of one rollout, per environment")
    parser.add_argument("--steps", type=int, default=40_960, help="environment steps per seed, rounded up to rollouts")
    return parser.parse_args()


def build(options: argparse.Namespace) -> tuple[rejax.PPO, int]:
    """The algorithm, and the environment steps per seed it will take."""
    per_update = options.envs * options.rollout
    steps = -(-options.steps // per_update) * per_update
    algo = rejax.PPO.create(
        env="CartPole-v1",
        agent_kwargs={"activation": "tanh", "hidden_layer_sizes": (64, 64)},
        num_envs=options.envs,
        num_steps=options.rollout,
        num_epochs=4,
        num_minibatches=4,
        learning_rate=2.5e-3,
        gamma=0.98,
        gae_lambda=0.9,
        clip_eps=0.2,
        vf_coef=0.5,
        ent_coef=0.0,
        max_grad_norm=0.5,
        total_timesteps=steps,
        eval_freq=steps,
        skip_initial_evaluation=True,
    )
    return algo.replace(eval_callback=lambda algo, state, key: ()), steps


class Session:
    """What the commands share: the compiled program, the keys used so far and the last trained states."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.algo, self.steps = build(options)
        self.seeds = options.seeds
        self.runs = 0
        self.program: Callable[[jax.Array], Any] | None = None
        self.keys = self.new_keys()
        self.trained: Any = None

    def new_keys(self) -> jax.Array:
        """One key per seed, others after each run."""
        return jax.random.split(jax.random.fold_in(jax.random.PRNGKey(0), self.runs), self.seeds)

    def compile(self) -> dict[str, float]:
        """Seconds to trace and to compile the whole training."""
        start = time.perf_counter()
        lowered = jax.jit(jax.vmap(lambda key: self.algo.train(key)[0])).lower(self.keys)
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

    def evaluate(self) -> dict[str, float]:
        """Mean episode return of 32 episodes per seed, before and after the last run; actions are sampled."""
        if self.trained is None:
            self.run()

        def mean_return(state: Any, key: jax.Array) -> jax.Array:
            act = self.algo.make_act(state)
            _, returns = rejax.evaluate.evaluate(act, key, self.algo.env, self.algo.env_params, 32, 500)
            return jnp.mean(returns)

        first = jax.vmap(self.algo.init_state)(self.keys)
        means = [float(jax.vmap(mean_return)(state, self.keys).mean()) for state in (first, self.trained)]
        return {"first_return": means[0], "last_return": means[1]}


def main() -> None:
    # Libraries may print while they are imported or traced; standard output is for answers alone.
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        session = Session(settings())
        commands = {"compile": session.compile, "run": session.run, "evaluate": session.evaluate}
        for line in sys.stdin:
            word = line.strip()
            if word == "quit":
                break
            answer = commands[word]() if word in commands else {"error": f"{word!r} is not one of {list(commands)}"}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
