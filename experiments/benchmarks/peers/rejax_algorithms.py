"""rejax 0.1.3's PPO, DQN, PQN and SAC, driven line by line so that another process can alternate them with jaxrl_ft's.

rejax needs gymnax 0.0.9 (it does not run on gymnax 1.x), hence an environment of its own, outside the repository:

    python3.11 -m venv PEER
    PEER/bin/python -m pip install rejax==0.1.3 gymnax==0.0.9 jax==0.10.2 jaxlib==0.10.2 six "setuptools<81"
    PEER/bin/python experiments/benchmarks/peers/rejax_algorithms.py ppo --seeds 8 --steps 40960

Commands are those of `protocol.py`, and

    evaluate   {"first_return", "last_return"}: mean return over seeds of the last run's policies, untrained and trained

PPO, DQN and PQN train on CartPole-v1, SAC on Pendulum-v1. What is timed is rejax's own `train` under
`jit(vmap(...))`, as its authors document it: building the networks, the optimizers and the first environment states,
then every iteration. Evaluation is left out in rejax's favour: its `eval_callback` returns nothing, `eval_freq` is the
whole training and `skip_initial_evaluation` is set. Its PPO differs from jaxrl_ft's in ways that cost it nothing: two
optimizers with element-wise clipping, no learning-rate schedule, a clipped value loss, and one value bootstrap for both
kinds of episode end. Thread and device flags are the caller's (`XLA_FLAGS`). Its networks start from LeCun-normal
weights, so there is no batched QR that could deadlock.
"""

import argparse
import copy
from typing import Any

import jax
import jax.numpy as jnp
import rejax
import rejax.evaluate
from protocol import Program, serve

REPLAYED = {
    "num_envs": 8,
    "num_epochs": 8,
    "batch_size": 128,
    "buffer_size": 20_000,
    "fill_buffer": 1_000,
    "gamma": 0.99,
    "polyak": 0.98,
    "learning_rate": 1e-3,
    "max_grad_norm": 10.0,
}
LAYERS = (64, 64)
ALGORITHMS = {
    "ppo": (
        rejax.PPO,
        {
            "env": "CartPole-v1",
            "agent_kwargs": {"activation": "tanh", "hidden_layer_sizes": LAYERS},
            "num_envs": 4,
            "num_steps": 128,
            "num_epochs": 4,
            "num_minibatches": 4,
            "learning_rate": 2.5e-3,
            "gamma": 0.99,
            "gae_lambda": 0.95,
            "clip_eps": 0.2,
            "vf_coef": 0.5,
            "ent_coef": 0.01,
            "max_grad_norm": 0.5,
        },
    ),
    "dqn": (rejax.DQN, {**REPLAYED, "env": "CartPole-v1", "agent_kwargs": {"activation": "relu"}}),
    "pqn": (
        rejax.PQN,
        {
            "env": "CartPole-v1",
            "num_envs": 16,
            "num_steps": 16,
            "num_epochs": 2,
            "num_minibatches": 8,
            "td_lambda": 0.85,
            "learning_rate": 1e-3,
            "max_grad_norm": 10.0,
        },
    ),
    "sac": (rejax.SAC, {**REPLAYED, "env": "Pendulum-v1", "agent_kwargs": {"activation": "relu"}}),
}
"""Class and settings; the networks of all have two layers of 64 units, those of PQN layer norm and relu."""


def settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="rejax by line protocol")
    parser.add_argument("algorithm", choices=list(ALGORITHMS))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=40_960, help="environment steps per seed, rounded up to rollouts")
    return parser.parse_args()


def build(options: argparse.Namespace) -> tuple[Any, int]:
    """The algorithm, and the environment steps per seed it will take."""
    kind, numbers = ALGORITHMS[options.algorithm]
    per_update = numbers["num_envs"] * numbers.get("num_steps", 1)
    steps = -(-options.steps // per_update) * per_update
    algo = kind.create(**copy.deepcopy(numbers), total_timesteps=steps, eval_freq=steps, skip_initial_evaluation=True)
    return algo.replace(eval_callback=lambda algo, state, key: ()), steps


class Session(Program):
    """The compiled program, the keys used so far and the last trained states."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.algo, steps = build(options)
        super().__init__(lambda key: self.algo.train(key)[0], options.seeds, steps)

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
    session = Session(settings())
    serve({"compile": session.compile, "run": session.run, "evaluate": session.evaluate})


if __name__ == "__main__":
    main()
