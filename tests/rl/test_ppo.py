"""PPO's loss and ten full updates against a NumPy reference in float64, its experience against closed forms."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ppo_reference
from helpers.compiling import quick
from helpers.ppo_reference import double_sum
from helpers.rl_probes import probe
from jax.test_util import check_vjp

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.rl.ppo import Batch, Carry
from jaxrl_ft.training import collect, initial_state, update

NETWORK = ft.MLP(width=8)
ALGO = ft.PPO(num_envs=4, num_steps=16, num_epochs=2, num_minibatches=2, gamma=0.9, gae_lambda=0.8)
NO_CARRY = Carry(None, None, None, None, {})
VARIANTS = {
    "plain": ALGO,
    "all terms": dataclasses.replace(
        ALGO,
        normalize_advantage=False,
        normalize_obs=True,
        normalize_reward=True,
        ent_coef=0.03,
        vf_coef=0.7,
        value_clip_eps=0.02,
        clip_eps=0.01,
    ),
}
ADAM = ft.Adam(learning_rate=1e-2, max_grad_norm=2.5)
TASK = probe(length=6, each=0.5, by_action=0.5, by_both=1.0, last=1.0, random_signal=1.0, natural=0.0)
NUM_UPDATES = 10


@functools.cache
def first_params():
    # The draws of this generator compile in a fraction of the time.
    key = jax.random.key(3, impl="unsafe_rbg")
    params = jax.device_get(quick(lambda key: ALGO.init_params(key, TASK, NETWORK))(key))
    params["policy"]["head"]["kernel"] = 30.0 * params["policy"]["head"]["kernel"]
    return params


def one_update(run, state, index, task):
    """What an update collects, and the state after it."""
    shared = {name: getattr(run, name) for name in ("algo", "network", "seed", "index", "num_updates")}
    world = collect.World(**shared, data=ft.DATA["target"], source=task, task=task, guide=None)
    policy, statistics = update.policy_of(run, state), state.carry.statistics
    carry, _, rows, metrics = collect.collect(world, policy, state.carry, {}, index)
    state, _ = update.learn(run, state._replace(carry=carry), statistics, rows, index)
    return (carry, rows.data, rows.indices, metrics), state


@quick
def first_state(run, source):
    tasks = collect.environments(TASK, run.algo.num_envs)
    carry = run.algo.init_carry(jax.random.key(8), tasks, source.policy)
    return initial_state.first_state.one(run, carry, {}, run.penalty, source, None, None)[1]


@functools.cache
def program_of(name):
    """A run as the engine takes it, its first state, and the program of an update: `(collected, state)`."""
    algo = VARIANTS[name]
    run = update.Run(
        algo=as_arrays(algo),
        adapter=ft.Full(),
        penalty=ft.PENALTIES["none"],
        optimizer=as_arrays(ADAM),
        intervention=ft.INTERVENTIONS["none"],
        network=NETWORK,
        base=first_params(),
        statistics=jax.device_get(quick(algo.init_statistics)(TASK)),
        seed=np.uint32(7),
        index=np.uint32(0),
        num_updates=np.int32(NUM_UPDATES),
    )

    source = Source(Policy(run.base, run.statistics, NETWORK), run.base)
    return run, jax.device_get(first_state(run, source)), quick(one_update)


@functools.cache
def recorded(name):
    """States before and after each of ten updates, and what each collected: carry, data, indices and metrics."""
    run, state, program = program_of(name)
    states, experience = [state], []
    for i in range(NUM_UPDATES):
        collected, state = jax.device_get(program(run, state, np.int32(i), TASK))
        experience.append(collected)
        states.append(state)
    return states, experience


def doubles(params):
    return jax.tree.map(lambda leaf: np.asarray(leaf, float), params)


def as_dict(data):
    return {name: np.asarray(leaf, int if name == "action" else float) for name, leaf in data._asdict().items()}


def seen(batch, state):
    """The batch with its observations as the networks see them, by the statistics of the collection."""
    moments = state.carry.statistics.get("obs")
    if moments is None:
        return batch
    mean, variance = (np.asarray(x, float) for x in moments[:2])
    return {**batch, "obs": np.clip((batch["obs"] - mean) / np.sqrt(variance + 1e-8), -10, 10)}


def take(batch, rows):
    return {name: leaf[rows] for name, leaf in batch.items()}


@pytest.mark.parametrize("name", VARIANTS)
def test_ten_updates_equal_the_reference(name):
    algo, (states, experience) = VARIANTS[name], recorded(name)
    reference = ppo_reference.Reference(doubles(states[0].delta))
    for i, (_, data, indices, _) in enumerate(experience):
        batch = seen(as_dict(data), states[i])
        for rows in indices:
            reference.step(take(batch, rows), algo, ADAM, ADAM.learning_rate * (1 - i / NUM_UPDATES))
        ours, theirs = tree.flatten(states[i + 1].delta), tree.flatten(reference.params)
        for path, leaf in theirs.items():
            np.testing.assert_allclose(ours[path], leaf, atol=1e-5, rtol=0, err_msg=f"{path} after update {i}")
    moved = tree.flatten(jax.tree.map(lambda a, b: np.abs(a - b).max(), states[0].delta, states[-1].delta))
    assert min(moved.values()) > 1e-3
    assert reference.count == 40
    assert name != "plain" or 0 < reference.clipped < 40


@quick
def loss_and_grads(algo, params, data):
    loss = lambda params: algo.loss(Policy(params, {}, NETWORK), NO_CARRY, data)  # noqa: E731
    return jax.value_and_grad(loss, has_aux=True)(params)


@pytest.mark.parametrize("value_clip_eps", [None, 0.02])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_loss_and_every_term_equal_the_reference(value_clip_eps, normalize):
    states, experience = recorded("all terms")
    data = experience[2][1]
    for ent_coef, vf_coef, clip_eps in ((0.0, 0.3, 0.05), (0.2, 0.0, 0.01), (0.1, 1.0, 10.0)):
        algo = ft.PPO(
            value_clip_eps=value_clip_eps, normalize_advantage=normalize, ent_coef=ent_coef, vf_coef=vf_coef,
            clip_eps=clip_eps,
        )  # fmt: skip
        (total, metrics), grads = loss_and_grads(as_arrays(algo), states[5].delta, data)
        expected, terms, gradient = ppo_reference.loss(doubles(states[5].delta), as_dict(data), algo)
        assert float(total) == pytest.approx(expected, abs=1e-5)
        assert float(metrics["loss/policy"]) == pytest.approx(terms["policy"], abs=1e-5)
        assert float(metrics["loss/value"]) == pytest.approx(terms["value"], rel=1e-5)
        assert float(metrics["policy/entropy"]) == pytest.approx(terms["entropy"], rel=1e-5)
        for path, leaf in tree.flatten(gradient).items():
            np.testing.assert_allclose(tree.flatten(grads)[path], leaf, atol=1e-5, err_msg=path)


def test_the_whole_loss_has_the_gradient_of_finite_differences():
    states, experience = recorded("all terms")
    data, params = Batch(*as_dict(experience[2][1]).values()), doubles(states[5].delta)

    def pullback(params):
        (value, _), grads = loss_and_grads(VARIANTS["all terms"], params, data)
        return value, lambda slope: (jax.tree.map(lambda leaf: slope * leaf, jax.device_get(grads)),)

    with jax.enable_x64(True):
        check_vjp(lambda params: pullback(params)[0], pullback, (params,), atol=1e-8, rtol=1e-6)


def test_policy_and_critic_share_nothing():
    states, experience = recorded("plain")
    data = jax.tree.map(jnp.asarray, experience[0][1])
    owners = {"loss/policy": "policy", "policy/entropy": "policy", "loss/value": "value"}

    @quick
    @jax.jacrev
    def jacobian(params):
        metrics = ALGO.loss(Policy(params, {}, NETWORK), NO_CARRY, data)[1]
        return {name: metrics[name] for name in owners}

    for name, grads in jacobian(states[3].delta).items():
        for group, leaves in grads.items():
            largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(leaves))
            assert (largest > 1e-6) == (group == owners[name]), (name, group)
            assert largest > 1e-6 or largest == 0.0


def test_experience_is_what_the_policy_did():
    """Log-probabilities and values are the collecting policy's, whatever the batch they were computed in."""
    states, experience = recorded("plain")
    for i in (0, 4, 9):
        data, params = experience[i][1], doubles(states[i].delta)
        logits, _ = ppo_reference.forward(params["policy"], data.obs)
        taken = logits[np.arange(64), data.action] - np.log(np.exp(logits).sum(axis=1))
        np.testing.assert_allclose(data.log_prob, taken, atol=1e-5)
        value, _ = ppo_reference.forward(params["value"], data.obs)
        np.testing.assert_allclose(data.value, value[:, 0], atol=1e-5)
        np.testing.assert_allclose(data.target_value, data.advantage + data.value, rtol=1e-6, atol=1e-6)
        assert set(np.unique(data.action)) == {0, 1}


def test_observations_go_on_where_the_last_update_stopped():
    """Each environment counts 0, 1, ..., 5 and starts again, over the borders of the updates."""
    _, experience = recorded("plain")
    obs = np.concatenate([data.obs.reshape(16, 4, 2) for _, data, _, _ in experience])
    np.testing.assert_allclose(obs[..., 1] * 6, np.broadcast_to(np.arange(160)[:, None] % 6, (160, 4)), atol=1e-5)
    signals = obs[:156, :, 0].reshape(26, 6, 4)
    assert np.all(signals == signals[:, :1])
    assert set(np.unique(signals)) == {-1.0, 1.0}
    assert abs(signals[:, 0].mean()) < 4 / np.sqrt(26 * 4)


@pytest.mark.parametrize(("name", "natural"), [("plain", 0.0), ("plain", 1.0), ("all terms", 0.0)])
def test_advantages_bootstrap_from_the_state_before_the_reset(name, natural):
    """The successor of a last step is (signal, 6 / 6), which no environment starts from."""
    run, _, program = program_of(name)
    state = recorded(name)[0][4]
    task = dataclasses.replace(TASK, env_params=dataclasses.replace(TASK.env_params, natural=np.float32(natural)))
    carry, data, _, _ = jax.device_get(program(run, state, np.int32(4), task)[0])
    reward, last, obs = outcomes(data)
    if "reward" in carry.statistics:
        reward = reward / np.sqrt(float(carry.statistics["reward"].variance) + 1e-8)
    after = obs + np.array([0, 1 / 6])
    sights = [seen({"obs": x}, state)["obs"] for x in (obs, after)]
    value, next_value = (ppo_reference.forward(doubles(state.delta)["value"], x)[0][..., 0] for x in sights)
    terminated = last & (natural > 0)
    for env in range(4):
        columns = (x[:, env] for x in (reward, value, next_value, terminated, last))
        expected = double_sum(*columns, gamma=0.9, gae_lambda=0.8)
        np.testing.assert_allclose(data.advantage.reshape(16, 4)[:, env], expected, atol=2e-5)


def outcomes(data):
    """Rewards and last steps [T, N] by the definition of the task, and observations [T, N, 2]."""
    obs, sign = data.obs.reshape(-1, 4, 2).astype(float), 2.0 * data.action.reshape(-1, 4) - 1
    last = np.round(obs[..., 1] * 6) == 5
    return 0.5 + 0.5 * sign + sign * obs[..., 0] + last, last, obs


def test_finished_episodes_are_counted_once_over_the_borders_of_updates():
    _, experience = recorded("plain")
    sums = {name: sum(metrics[f"rollout/{name}"] for *_, metrics in experience) for name in experience[0][3]
            for name in [name.removeprefix("rollout/")]}  # fmt: skip
    reward = np.concatenate([outcomes(data)[0] for _, data, _, _ in experience])[:156]
    assert sums["num"] == 26 * 4
    assert sums["episode_length"] == 156 * 4
    assert float(sums["episode_return"]) == pytest.approx(reward.sum(), rel=1e-5)


def test_every_epoch_is_a_permutation_and_no_two_are_alike():
    _, experience = recorded("plain")
    orders = np.concatenate([indices.reshape(2, 64) for _, _, indices, _ in experience])
    assert experience[0][2].shape == (4, 32)
    np.testing.assert_array_equal(np.sort(orders), np.broadcast_to(np.arange(64), orders.shape))
    assert len({tuple(order) for order in orders}) == 20
    assert abs(np.mean([np.corrcoef(order, np.arange(64))[0, 1] for order in orders])) < 4 / np.sqrt(64 * 20)


def test_the_same_key_collects_the_same_and_another_another():
    run, state, program = program_of("plain")
    first, again, other = (jax.device_get(program(run, state, np.int32(i), TASK))[0] for i in (3, 3, 4))
    chex.assert_trees_all_equal(first, again)
    assert np.any(first[1].action != other[1].action)
    assert np.any(first[2] != other[2])
    elsewhere = jax.device_get(program(dataclasses.replace(run, index=np.uint32(1)), state, np.int32(3), TASK))[0]
    assert np.any(first[1].action != elsewhere[1].action)


def test_actions_are_drawn_from_the_policy():
    """Over ten rollouts the counts of action 1 agree with the probabilities the policy gave it."""
    _, experience = recorded("plain")
    data = [data for _, data, _, _ in experience]
    action = np.concatenate([d.action for d in data])
    taken = np.exp(np.concatenate([d.log_prob for d in data]).astype(float))
    p = np.where(action == 1, taken, 1 - taken)
    assert abs(action.sum() - p.sum()) < 4 * np.sqrt(np.sum(p * (1 - p)))


def test_no_key_is_used_twice():
    run, state, _ = program_of("plain")
    with jax.debug_key_reuse(True):
        jax.make_jaxpr(jax.jit(one_update))(run, state, np.int32(0), TASK)
        with pytest.raises(jax.errors.KeyReuseError):
            jax.make_jaxpr(jax.jit(lambda key: jax.random.normal(key) + jax.random.uniform(key)))(jax.random.key(0))
