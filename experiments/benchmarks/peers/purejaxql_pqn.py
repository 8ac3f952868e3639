"""PQN on MinAtar by its authors' own code, for the curve at the same steps; see `minatar.py`.

purejaxql is read from a checkout, and run on gymnax 0.0.9. Both are outside the repository:

    python3.11 -m venv PEER
    PEER/bin/python -m pip install gymnax==0.0.9 jax==0.10.2 jaxlib==0.10.2 flax optax hydra-core omegaconf wandb pyyaml
    git clone https://github.com/mttga/purejaxql CHECKOUT
    git -C CHECKOUT checkout 47af6d7b35c89ddfe633aaf7341bdb8964cb7cce
    PEER/bin/python experiments/benchmarks/peers/purejaxql_pqn.py CHECKOUT GAME --steps STEPS --decay STEPS --seed SEED

Every number is that of config/alg/pqn_minatar.yaml, but for the steps, over which schedules fall (`--decay`; the
authors' is 10,000,000), and the greedy evaluations along the way: ten over the budget, each of the episodes that end
within 1,000 steps of 32 environments. Short episodes weigh more in these; the last policy therefore also plays 100
whole episodes, as agents of jaxrl_ft do. Adds a run to results/minatar_peer.json. Seconds are those of the compiled
program, evaluations included.
"""

import argparse
import json
import pathlib
import sys
import time

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import yaml

RESULTS = pathlib.Path(__file__).parent.parent.parent / "results" / "minatar_peer.json"
EPISODES, TEST_ENVS, TESTS = 100, 32, 10


def whole_episodes(act, game: str, seed: int) -> np.ndarray:
    """Returns of the first episode of each of many environments, greedy."""
    env, params = gymnax.make(game)
    keys = jax.random.split(jax.random.PRNGKey(seed), EPISODES)
    obs, state = jax.vmap(env.reset, in_axes=(0, None))(keys, params)

    def step(carry, key):
        obs, state, total, over = carry
        keys = jax.random.split(key, EPISODES)
        obs, state, reward, done, _ = jax.vmap(env.step, in_axes=(0, 0, 0, None))(keys, state, act(obs), params)
        return (obs, state, total + jnp.where(over, 0.0, reward), over | done), None

    first = obs, state, jnp.zeros(EPISODES), jnp.zeros(EPISODES, bool)
    steps = jax.random.split(jax.random.PRNGKey(seed + 1), params.max_steps_in_episode)
    (_, _, total, over), _ = jax.lax.scan(step, first, steps)
    assert bool(over.all())
    return np.asarray(total)


def trained(options: argparse.Namespace) -> dict:
    """One run."""
    folder = options.checkout / "purejaxql"
    sys.path.insert(0, str(folder))
    import pqn_minatar

    config = yaml.safe_load((folder / "config" / "alg" / "pqn_minatar.yaml").read_text())
    config |= {name: float(config[name]) for name in ("TOTAL_TIMESTEPS", "TOTAL_TIMESTEPS_DECAY")}
    config |= {"TOTAL_TIMESTEPS": options.steps, "TOTAL_TIMESTEPS_DECAY": options.decay, "ENV_NAME": options.game}
    config |= {"WANDB_MODE": "disabled", "TEST_NUM_ENVS": TEST_ENVS, "TEST_INTERVAL": 1 / TESTS}
    train = pqn_minatar.make_train(config)
    # The function reads the first of its key's two numbers, as it would of one of many seeds under vmap.
    run = jax.jit(train).lower(jax.random.PRNGKey(options.seed)).compile()
    wall, cpu = time.perf_counter(), time.process_time()
    out = jax.block_until_ready(run(jax.random.PRNGKey(options.seed)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    metrics, state = out["metrics"], out["runner_state"][0]
    network = pqn_minatar.QNetwork(gymnax.make(options.game)[0].num_actions, config["NORM_TYPE"])
    held = {"params": state.params, "batch_stats": state.batch_stats}
    returns = whole_episodes(lambda obs: network.apply(held, obs, train=False).argmax(-1), options.game, options.seed)
    every = int(config["NUM_UPDATES"] * config["TEST_INTERVAL"])
    tested = np.asarray(metrics["test/returned_episode_returns"])[every - 1 :: every]
    return {
        "game": options.game,
        "seed": options.seed,
        "decay": options.decay,
        "steps": np.asarray(metrics["env_step"])[every - 1 :: every].tolist(),
        "returns": np.round(tested.astype(float), 2).tolist(),
        "last_return": round(float(returns.mean()), 2),
        "seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=pathlib.Path)
    parser.add_argument("game")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--decay", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=0)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    found.append(trained(parser.parse_args()))
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(found[-1])


if __name__ == "__main__":
    main()
