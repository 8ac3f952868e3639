"""One of eight runs meets a number that is not finite: it is named and stops, and no other run notices."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from helpers.algorithms import SMALL
from helpers.compiling import quick

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.rl.rollout import SEEN, Transition, first_not_finite
from jaxrl_ft.training import devices, loop, stretch
from jaxrl_ft.training.engines.compiled import COMPILED
from jaxrl_ft.training.evaluation import faults, status
from jaxrl_ft.training.evaluation.faults import QUANTITIES, Fault
from jaxrl_ft.training.initial_state import Start, fresh_policy
from jaxrl_ft.training.preparation import imagine
from jaxrl_ft.training.spec import Budget, training_spec

RUNS, BROKEN, UPDATES = 8, 5, 6
ALGO = ft.PPO(num_envs=2, num_steps=8, num_epochs=1, num_minibatches=1, normalize_obs=True, normalize_reward=True)
METHOD = ft.Method(penalty=ft.L2SP(coef=1.0), keep=ft.Keep(first_moment=1.0))


@struct.dataclass
class Breaks:
    """Times in an episode at which something becomes NaN, and a factor of actions."""

    obs: float = -1.0
    reward: float = -1.0
    max_steps_in_episode: int = 100


class Line:
    """A point on a line; its actions move it."""

    default_params = Breaks()

    def reset(self, key, params):
        place = jax.random.uniform(key, (1,), minval=-1.0, maxval=1.0)
        return place, (place, 0)

    def step(self, key, state, action, params):
        place, time = state[0] + 0.1 * action, state[1] + 1
        obs = jnp.where(time == params.obs, jnp.nan, place)
        return obs, (place, time), jnp.where(time == params.reward, jnp.nan, -(place[0] ** 2)), False

    def action_space(self, params):
        return spaces.Box(-1.0, 1.0, (1,))


class Setting(NamedTuple):
    spec: object
    start: Start
    task: ft.Task


@pytest.fixture(scope="module")
def setting():
    task = ft.make_task(Line())
    spec = training_spec(ALGO, ft.MLP(width=4, depth=1), METHOD, task, task, RUNS, Budget(UPDATES * 16, 1, 4, 2))
    policy = fresh_policy(ALGO, spec.network, task, spec.seeds)
    old = jax.tree.map(
        np.asarray, tree.repeat(METHOD.training_optimizer().build().init(tree.take(policy.params, 0)), RUNS)
    )
    share = np.ones(RUNS, np.float32)
    start = Start(policy, policy.params, Source(policy, policy.params), share, old=old, tasks=tree.repeat(task, RUNS))
    return Setting(spec, start, task)


def spoiled(part, value=np.nan, only=lambda path: True):
    """The leaves [R, ...] of a tree with this value in their first entry of the broken run."""

    def change(path, leaf):
        leaf = np.array(leaf)
        if np.issubdtype(leaf.dtype, np.floating) and only(jax.tree_util.keystr(path)):
            leaf.reshape(RUNS, -1)[BROKEN, 0] = value
        return leaf

    return jax.tree_util.tree_map_with_path(change, part)


def other_world(setting, **changes):
    """The start in which the broken run has another world."""
    tasks = [setting.task] * RUNS
    tasks[BROKEN] = ft.make_task(Line(), env_params=Breaks(**changes))
    return setting.start._replace(tasks=tree.stack(tasks))


def begins(setting, **changes):
    """The start with another policy."""
    return setting.start._replace(policy=setting.start.policy._replace(**changes))


def anchored(setting, value):
    """The start in which the penalty remembers other parameters."""
    source = setting.start.source
    policy = source.policy._replace(params=spoiled(source.policy.params, value))
    return setting.start._replace(source=source._replace(policy=policy))


def log_std(path):
    return "log_std" in path


SITES = {
    "a reward": (lambda s: other_world(s, reward=20.0), "reward", 2),
    "an observation": (lambda s: other_world(s, obs=20.0), "observation", 2),
    # The logarithm is finite, and the standard deviation is not.
    "an action": (lambda s: begins(s, params=spoiled(s.start.policy.params, 1e3, log_std)), "action", 0),
    "a gradient": (lambda s: anchored(s, 1e30), "gradient", 0),
    "a step": (lambda s: s.start._replace(rate=spoiled(np.ones(RUNS, np.float32), np.inf)), "parameters", 0),
    "a parameter": (lambda s: begins(s, params=spoiled(s.start.policy.params)), "parameters", -1),
    "the optimizer's state": (
        lambda s: s.start._replace(old=spoiled(s.start.old, only=lambda path: "mu" in path)),
        "optimizer state",
        -1,
    ),
    "the normaliser": (lambda s: begins(s, statistics=spoiled(s.start.policy.statistics)), "statistics", -1),
    "a penalty's memory": (lambda s: anchored(s, np.nan), "memory", -1),
}


@pytest.fixture(scope="module")
def clean(setting):
    return loop.train(setting.spec, setting.start)


@pytest.mark.parametrize("site", SITES)
def test_a_run_is_named_and_stops_and_no_other_notices(site, setting, clean, same, monkeypatch):
    change, quantity, update = SITES[site]
    moments, pace = [], stretch.Pace()
    pace.updates = 2
    monkeypatch.setattr(loop, "Pace", lambda: pace)
    monkeypatch.setattr(pace, "took", lambda *_: None)
    found = loop.train(setting.spec, change(setting), moments.append)
    text = f"non-finite {quantity}" + (f" in update {update + 1}" if update >= 0 else "")
    assert status.of_training(found) == tuple(text if run == BROKEN else "ok" for run in range(RUNS))
    named = next(moment for moment in moments if moment.not_finite)
    assert dict(named.not_finite) == {BROKEN: text}
    assert named.updates <= max(update, 0) + pace.updates
    # What a file of metrics holds depends on no clock.
    assert all((moment.returns is not None) == bool(moment.metrics or not moment.updates) for moment in moments[1:])
    others = np.arange(RUNS) != BROKEN
    for name in ("policy", "opt_state", "curve", "curve_steps", "kept_steps", "updates"):
        assert same(*(tree.take(getattr(one, name), others) for one in (found, clean))), name
    spent = max(update, 0) * ALGO.steps_per_update()
    assert found.curve_steps[BROKEN, -1] == found.kept_steps[BROKEN] == spent
    assert found.updates[BROKEN] == max(update, 0)


@pytest.mark.parametrize("site", [site for site, (_, _, update) in SITES.items() if update >= 0])
def test_the_state_before_the_update_is_kept(site, setting, same):
    """It is that of a training that ended there; the share of its budget, which the optimizer's state says, is not."""
    change, _, update = SITES[site]
    found = loop.train(setting.spec, change(setting))
    parts = found.policy.params, found.policy.statistics, found.opt_state
    assert tree.finite_runs(parts, RUNS).all()
    if not update:
        begun = change(setting).policy
        assert same(*(tree.take((one.params, one.statistics), BROKEN) for one in (found.policy, begun)))
    else:
        before = loop.train(replace(setting.spec, num_updates=update), change(setting))
        assert not any(np.isnan(leaf[BROKEN]).any() for leaf in jax.tree.leaves(before.policy.params))
        moments = [one.policy.statistics["reward"].num[BROKEN] for one in (found, before)]
        assert moments == [update * ALGO.steps_per_update()] * 2


@pytest.mark.slow
def test_rows_of_an_algorithms_replay_are_looked_at_when_they_are_drawn(source, same, monkeypatch):
    algo = replace(ft.DQN(), **SMALL["dqn"])
    steps = 6 * algo.steps_per_update() + algo.steps_before()
    settings = {"algo": algo, "network": ft.MLP(width=8), "seeds": RUNS, "steps": steps, "num_evals": 2}
    clean, begin = ft.pretrain(source, **settings), COMPILED.begin

    def begun(runs):
        world, run, state, answer = begin(runs)
        stored = state.carry.replay
        rows = devices.put(np.where(np.arange(RUNS)[:, None, None] == BROKEN, np.nan, np.asarray(stored.rows)), RUNS)
        carry = state.carry._replace(replay=stored._replace(rows=rows))
        return world, run, state._replace(carry=carry), answer

    monkeypatch.setattr(COMPILED, "begin", begun)
    found = ft.pretrain(source, **settings, callback=lambda moment: None)
    assert found.status[BROKEN] == "non-finite experience in update 1"
    others = np.arange(RUNS) != BROKEN
    assert found.select(others).digest == clean.select(others).digest


def not_finite(leaf):
    """The leaf with NaN for every real number."""
    return np.full_like(leaf, np.nan) if np.issubdtype(np.asarray(leaf).dtype, np.floating) else leaf


@pytest.mark.slow
def test_a_model_that_is_not_finite_is_forgotten_by_its_run_alone(agents, target, rows, enough, finetuned, monkeypatch):
    method, clean = rows("imagine"), finetuned("imagine")
    made, calls = imagine.imagined_task, []

    def spoiled_task(*args):
        calls.append(args)
        task = made(*args)
        if len(calls) != 2:
            return task
        return replace(task, env_params=jax.tree.map(not_finite, task.env_params))

    monkeypatch.setattr(imagine, "imagined_task", spoiled_task)
    found = ft.finetune(agents, target, method, seed=1, steps=enough(method), num_evals=3, eval_episodes=4)
    (line,) = (line for line in found.report if line.startswith("imagined training forgotten"))
    assert line.endswith("in 1 of 4 runs (1: non-finite observation in update 1)")
    assert found.status == ("ok",) * 4
    others = [0, 2, 3]
    assert found.select(others).digest == clean.select(others).digest


def test_what_was_first_in_time_is_named():
    rows = Transition(*(np.zeros((4, 2, 2)), np.zeros((4, 2)), np.zeros((4, 2)), None, None, np.zeros((4, 2, 2))))
    name = quick(lambda steps: first_not_finite(steps))
    assert name(rows) == 0
    for broken, expected in (
        ({"reward": 2}, "reward"),
        ({"next_obs": 2, "reward": 2}, "observation"),
        ({"action": 2, "next_obs": 2, "reward": 2, "obs": 3}, "action"),
        ({"reward": 1, "action": 2}, "reward"),
        ({"obs": 0, "action": 0}, "observation"),
    ):
        steps = rows._replace(**{field: np.array(getattr(rows, field)) for field in broken})
        for field, time in broken.items():
            getattr(steps, field)[time].reshape(-1)[-1] = np.inf
        assert SEEN[int(name(steps)) - 1] == expected, broken


def test_the_first_in_the_order_in_which_they_are_made_is_named():
    sound = dict.fromkeys(QUANTITIES, jnp.asarray(True))
    assert faults.first(sound) == faults.first({}) == 0
    for place, name in enumerate(QUANTITIES):
        broken = {other: jnp.asarray(QUANTITIES.index(other) < place) for other in sound}
        assert QUANTITIES[int(faults.first(broken)) - 1] == name


def test_a_population_goes_on_with_its_best_member_and_an_average_does_not():
    quantity, update = np.array([3, 0, 2, 0, 4, 5, 0]), np.array([7, -1, 9, -1, 2, 0, -1])
    methods = ft.Method(finish=ft.Soup(population=3)), ft.Method(control=ft.PBT(population=3))
    for method, expected in zip(methods, ([4, 5], [2, 0])):
        spec = training_spec(ALGO, ft.MLP(), method, *[ft.make_task("CartPole-v1")] * 2, 2, Budget(9999))
        found = faults.of_runs([spec], Fault(quantity, update))
        assert found.quantity.tolist() == expected, method
    lost = faults.of_runs([spec], Fault(quantity + 1, update + 1))
    assert lost.quantity.tolist() == [3, 6] and lost.update.tolist() == [10, 1]
