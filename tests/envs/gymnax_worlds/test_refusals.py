"""What cannot be stepped is refused in one line, when the task is made."""

import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from helpers.own_worlds import Count, Point, PointParams

import jaxrl_ft as ft


class Limits(NamedTuple):
    max_steps_in_episode: int = 5


class Plain:
    """Works, and is spoiled below."""

    num_actions = 2
    default_params = Limits()

    def reset(self, key, params):
        return jnp.zeros(2), 0

    def step(self, key, state, action, params):
        return jnp.zeros(2), state + 1, 0.0, False, {}


class NoReset:
    num_actions = 2

    def step(self, key, state, action, params):
        return jnp.zeros(2), 0, 0.0, False


class NotAPytree:
    drag = 1.0


def spoiled(**methods):
    return type("Spoiled", (Plain,), methods)()


def step_of(*values):
    return spoiled(step=lambda self, key, state, action, params: tuple(values))


Z = np.zeros(2, np.float32)
CASES = [
    (NoReset(), {}, "env: NoReset has no reset; an id, or an environment with gymnax's reset(key, params)"),
    (5, {}, "env: int has no reset"),
    (spoiled(num_actions=None), {}, "env: the actions of Spoiled are not known, TypeError"),
    (step_of(Z, 0, 0.0), {}, "env: step of Spoiled returns 3 values; it must return (obs, state, reward"),
    (step_of(Z, 0, 0.0, False, False, {}, 1), {}, "env: step of Spoiled returns 7 values"),
    (step_of(np.zeros(3), 0, 0.0, False), {}, "env: the observation of Spoiled has other shapes after a step"),
    (step_of(Z, (0, 1), 0.0, False), {}, "env: the state of Spoiled has other shapes after a step"),
    (step_of(Z, 0, np.zeros(3), False), {}, "env: the reward of a step of Spoiled has shape [(3,)]; it must be one"),
    (step_of(Z, 0, 0.0, np.zeros(2, bool)), {}, "env: the first flag of a step of Spoiled has shape [(2,)]"),
    (step_of(Z, 0, np.nan, False), {}, "env: the reward of a step of Spoiled is not finite: nan"),
    (step_of(Z, 0, 1 + 1j, False), {}, "env: the reward of a step of Spoiled is complex64; it must be a real number"),
    (step_of(np.full(2, np.inf), 0, 0.0, False), {}, "the observation after a step of Spoiled is not"),
    (spoiled(reset=lambda self, key, params: (jnp.full(2, jnp.nan), 0)), {}, "the first observation of Spoiled is not"),
    (spoiled(reset=lambda self, key, params: jnp.zeros(2)), {}, "env: reset of Spoiled returns a"),
    (spoiled(reset=lambda self, key, params: (jnp.zeros(0), 0)), {}, "obs: Spoiled gives no number to observe"),
    (spoiled(reset=lambda self, key: (jnp.zeros(2), 0)), {}, "env: reset of Spoiled fails with TypeError"),
    (spoiled(reset=lambda self, key, params: (key, 0)), {}, "obs: obs of Spoiled has dtype key<fry>"),
    (spoiled(default_params=None), {}, "episode_limit: Spoiled has no time limit, as its params have no max_steps"),
    (spoiled(default_params=NotAPytree()), {}, "env_params: NotAPytree in the params of Spoiled is not allowed"),
    (spoiled(default_params=(np.nan, 5)), {}, "env_params.0: nan is not allowed; it must be finite"),
    (Plain(), {"env_params": Limits(0)}, "episode_limit: 0 is not allowed"),
    (Point(), {"env_params": {"drag": 1.0}}, "env: the actions of Point are not known, AttributeError: "),
    (Point(), {"env_params": PointParams(goal=jnp.zeros(3))}, "goal: "),
    (Point(), {"strides": 1.5}, "strides: 1.5 is not allowed; it must be a whole number"),
    (Point(), {"walls": 2}, "walls: 2 is not allowed; it must be True or False"),
    (Point(), {"goal": (1.0, float("inf"))}, "it must be a finite number of shape (2,)"),
    (Count(), {"shift": "long-pole"}, "shift: 'long-pole' is not allowed for Count"),
    (spoiled(action_space=lambda self, params: spaces.Dict({})), {}, "action_space: Spoiled has a Dict"),
    (spoiled(action_space=lambda self, params: spaces.Box(-jnp.inf, 1, (2,))), {}, "they must be finite"),
    (spoiled(action_space=lambda self, params: spaces.Box(0, 9, (2,), jnp.int32)), {}, "a Box of int32; it must be of"),
    (spoiled(action_space=lambda self, params: spaces.Tuple([spaces.Discrete(40)] * 3)), {}, "= 64000 joint"),
]  # fmt: skip


@pytest.mark.parametrize(("environment", "options", "message"), CASES, ids=[case[2][:50] for case in CASES])
def test_one_clear_line(environment, options, message):
    with pytest.raises(ValueError) as caught:
        ft.make_task(environment, **options)
    # Many are classes of their own with the same name.
    found = re.sub(r"~\d+", "", str(caught.value))
    assert message in found and "\n" not in found


def test_a_limit_can_be_given_to_what_has_none():
    task = ft.make_task(spoiled(default_params=None), episode_limit=3)
    assert int(task.episode_limit) == 3 and task.quantities.keys() == {"episode_limit"}


def test_a_method_that_needs_the_range_of_returns_says_so():
    task = ft.make_task(Count())
    assert task.return_range == (-np.inf, np.inf)
    agents = ft.pretrain(
        task, algo=ft.PPO(num_envs=2, num_steps=4, num_minibatches=2), seeds=1, steps=8, num_evals=2, eval_episodes=1
    )
    method = ft.Method(data=ft.Between(), control=ft.GapDecay(), optimizer=ft.OPTIMIZERS["adamw"])
    with pytest.raises(
        ValueError, match="GapDecay compares shares of the range of returns, which Count does not state"
    ):
        ft.finetune(agents, task.changed(last=2), method=method, steps=10_000)


def test_a_state_whose_types_settle_is_taken_and_one_that_grows_is_not():
    class Settles(Plain):
        def step(self, key, state, action, params):
            return jnp.zeros(2), state + 0.5, 0.0, False

    task = ft.make_task(Settles())
    shapes = jax.eval_shape(lambda key: task.reset(key)[1], jax.random.key(0))
    assert shapes.inner.dtype == np.float32 and not shapes.inner.weak_type
