"""PureJaxRL's PPO on CartPole-v1, driven line by line so that another process can alternate it with jaxrl_ft.

PureJaxRL is no package: its files are read from a checkout, and run on gymnax 0.0.9. Both are outside the repository:

    python3.11 -m venv PEER
    PEER/bin/python -m pip install rejax==0.1.3 gymnax==0.0.9 jax==0.10.2 jaxlib==0.10.2 six "setuptools<81"
    PEER/bin/python -m pip install distrax==0.1.9
    git clone https://github.com/luchris429/purejaxrl CHECKOUT
    git -C CHECKOUT checkout 31756b197773a52db763fdbe6d635e4b46522a73
    PEER/bin/python experiments/benchmarks/peers/purejaxrl_ppo.py CHECKOUT

rejax is there so that one environment serves both peers. Commands are those of `protocol.py`, and

    evaluate   {"last_return"}: mean return over seeds of the episodes that ended last in the last run

What is timed is PureJaxRL's own `make_train` under `jit(vmap(...))`, as its authors document it: networks, optimizer
and first environment states, then every update, without any evaluation. It runs whole updates only, so of 200,000 steps
it takes 199,680, and the steps it took are what counts. Its `wrappers.py` imports brax and navix, which PPO on CartPole
does not use; empty modules of these names are put in their place. Thread and device flags are the caller's
(`XLA_FLAGS`).
"""

import argparse
import pathlib
import sys
import types

from protocol import Program, serve


def stub_unused() -> None:
    """Put empty modules in the place of brax and navix."""
    names = ("brax", "brax.envs", "brax.envs.wrappers", "brax.envs.wrappers.training", "navix")
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["brax"].envs = sys.modules["brax.envs"]
    training = sys.modules["brax.envs.wrappers.training"]
    training.EpisodeWrapper = training.AutoResetWrapper = object


def build(options: argparse.Namespace) -> Program:
    """The training of all seeds."""
    stub_unused()
    sys.path.insert(0, str(options.checkout / "purejaxrl"))
    import ppo

    config = {
        "LR": 2.5e-3,
        "NUM_ENVS": options.envs,
        "NUM_STEPS": options.rollout,
        "TOTAL_TIMESTEPS": options.steps,
        "UPDATE_EPOCHS": 4,
        "NUM_MINIBATCHES": 4,
        "GAMMA": 0.99,
        "GAE_LAMBDA": 0.95,
        "CLIP_EPS": 0.2,
        "ENT_COEF": 0.01,
        "VF_COEF": 0.5,
        "MAX_GRAD_NORM": 0.5,
        "ACTIVATION": "tanh",
        "ENV_NAME": "CartPole-v1",
        "ANNEAL_LR": True,
        "DEBUG": False,
    }
    train = ppo.make_train(config)
    return Program(train, options.seeds, config["NUM_UPDATES"] * options.envs * options.rollout)


def main() -> None:
    parser = argparse.ArgumentParser(description="PureJaxRL PPO on CartPole-v1 by line protocol")
    parser.add_argument("checkout", type=pathlib.Path, help="folder of the checkout")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--envs", type=int, default=4)
    parser.add_argument("--rollout", type=int, default=128, help="environment steps of one rollout, per environment")
    parser.add_argument("--steps", type=int, default=200_000, help="environment steps per seed, whole updates of them")
    program = build(parser.parse_args())

    def evaluate() -> dict[str, float]:
        if program.trained is None:
            program.run()
        return {"last_return": float(program.trained["metrics"]["returned_episode_returns"][:, -1].mean())}

    serve({"compile": program.compile, "run": program.run, "evaluate": evaluate})


if __name__ == "__main__":
    main()
