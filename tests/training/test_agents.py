"""Agents: policies for deployment, selections, equality and their description."""

import copy
from dataclasses import replace

import jax
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.foreign_networks import OBS, RNG, forward, layers

import jaxrl_ft as ft
from jaxrl_ft.core import tree


def of_agent(agents, seed):
    names = ("dense_0", "dense_1", "head")
    return [tuple(agents.params["policy"][n][leaf][seed] for leaf in ("kernel", "bias")) for n in names]


def test_a_policy_is_the_greedy_action_of_the_numpy_forward_pass(agents):
    for seed in (0, 3):
        act = agents.policy(seed)
        actions = act(OBS)
        assert isinstance(actions, np.ndarray) and actions.shape == (3, 7)
        np.testing.assert_array_equal(actions, forward(of_agent(agents, seed), OBS).argmax(axis=-1))
        assert act(OBS[0, 0]).shape == () and act(OBS[0, 0].tolist()) == actions[0, 0]


@pytest.mark.parametrize("seed", [-1, 4, 1.0])
def test_there_is_no_policy_of_another_seed(seed, agents):
    with pytest.raises(ValueError, match=r"seed: .* at most 3"):
        agents.policy(seed)


@pytest.mark.parametrize("obs", [np.zeros(3), np.zeros((2, 5)), 0.0])
def test_a_policy_refuses_observations_of_another_size(obs, agents):
    with pytest.raises(ValueError, match="the last axis must be 4"):
        agents.policy(0)(obs)


def test_select_takes_agents_in_order_and_again(agents, same):
    chosen = agents.select([2, 0, 2])
    assert chosen.num_seeds == 3 and len(chosen.status) == 3
    for part in ("params", "opt_state", "curve", "env_steps", "init_params"):
        whole, taken = getattr(agents, part), getattr(chosen, part)
        for place, index in enumerate((2, 0, 2)):
            pair = [jax.tree.map(lambda leaf, i=i: leaf[i], t) for t, i in ((whole, index), (taken, place))]
            assert same(*pair)


def test_select_takes_the_agents_of_a_mask(agents):
    assert agents.select(np.array([True, False, False, True])) == agents.select([0, 3])


@pytest.mark.parametrize(
    "indices", [[4], [-1], [], [True, False], [1.0], 0, slice(0, 2), "0", [None], np.zeros(4, bool)]
)
def test_select_refuses_what_chooses_no_agents(indices, agents):
    with pytest.raises(ValueError, match=r"indices: .* whole numbers from 0 to 3, or a mask of 4 agents"):
        agents.select(indices)


def test_an_agent_has_as_many_parameters_as_its_networks(agents):
    assert agents.num_parameters == (4 * 8 + 8 + 8 * 8 + 8) * 2 + 8 * 2 + 2 + 8 + 1


@pytest.fixture(scope="module")
def strong(tiny):
    """An agent whose actions are mostly beyond the bounds of Pendulum."""
    (kernel, bias), *others = layers((3, 8, 8, 1))
    return ft.wrap({"policy": [(3 * kernel, bias), *others[:-1], (5 * others[-1][0], others[-1][1])]},
                   ft.make_task("Pendulum-v1"), algo=tiny.algo)  # fmt: skip


@quick
def after(task, key, obs, action):
    """What a step with these actions [N, 1] leaves, from states that all have one key."""
    states = jax.vmap(lambda _: task.reset(key)[1])(obs)
    return jax.vmap(lambda state, action: task.step(key, state, action)[:3])(states, action)


@pytest.mark.parametrize("max_torque", [2.0, 0.5])
def test_continuous_actions_are_those_that_the_task_makes_of_them(max_torque, strong, same):
    task = ft.make_task("Pendulum-v1", max_torque=max_torque)
    agents, obs = replace(strong, task=task), RNG.normal(size=(512, 3)).astype(np.float32)
    params = tree.take(agents.params, 0)["policy"]
    mean = forward([(params[n]["kernel"], params[n]["bias"]) for n in ("dense_0", "dense_1", "head")], obs)
    action = agents.policy(0)(obs)
    assert action.dtype == np.float32 and np.abs(action).max() == max_torque < np.abs(mean).max()
    np.testing.assert_allclose(action, np.clip(mean, -max_torque, max_torque), atol=1e-4)
    inside = np.abs(mean) < max_torque
    assert inside.any() and not inside.all()
    unclipped = np.where(inside, action, mean).astype(np.float32)
    key = jax.random.key(0)
    assert same(*(jax.device_get(after(task, key, obs, taken)) for taken in (action, unclipped)))


def test_agents_are_equal_where_everything_is(agents):
    again = copy.deepcopy(agents)
    assert again == agents and hash(again) == hash(agents) and agents != "agents"
    params = jax.tree.map(np.copy, agents.params)
    params["value"]["head"]["bias"][3, 0] = np.nextafter(params["value"]["head"]["bias"][3, 0], np.inf)
    others = [{"params": params}, {"curve": agents.curve + 1}, {"opt_state": None}, {"trainable": 1}, {"report": ()},
              {"task": ft.make_task("CartPole-v1", force=9.0)}, {"algo": replace(agents.algo, gamma=0.5)}]  # fmt: skip
    for change in others:
        assert replace(agents, **change) != agents, change


def test_agents_are_described_in_a_few_lines(agents, finetuned, strong):
    told = repr(finetuned("lora"))
    last = finetuned("lora").curve[:, -1]
    for part in (
        "4 seeds",
        "CartPole-v1 half_length=1 (pretrained on CartPole-v1)",
        "lora, 1,024",
        f"{last.mean():.4g}",
    ):
        assert part in told
    assert "scratch, 512 environment steps" in repr(agents) and "not evaluated" in repr(strong)
    own = replace(agents, method=ft.Method(adapter=ft.LastK(k=1), optimizer=ft.SGD()))
    assert "LastK and SGD" in repr(own)
    assert all(
        text.count("\n") == 3 and len(text) < 400 for text in map(repr, (agents, finetuned("lora"), strong, own))
    )
