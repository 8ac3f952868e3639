"""The compiled parts of a training whose environments the host steps: actions, and updates on what came of them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Metrics, PyTree
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.rl.algorithm import Actor, HasStatistics, Stepwise, made_of_parts
from jaxrl_ft.rl.rollout import Age, Behaviour, Transition
from jaxrl_ft.training.collect import World, first_tasks, setting, taken
from jaxrl_ft.training.keys import CARRY, DATA, stream_key
from jaxrl_ft.training.per_run import per_run
from jaxrl_ft.training.update import Run, State, evaluated_policy, policy_of, updated


def stepwise(world: World) -> Stepwise[HasStatistics, PyTree]:
    """The algorithm as one that is made of parts."""
    return made_of_parts(world.algo)


@per_run()
def entered(world: World, policy: Policy, source: Source, obs: Float[Array, "N O"]) -> tuple[PyTree, Tree]:
    """As `jaxrl_ft.training.collect.enter`, of environments that were reset and show `obs`, without a warm-up."""
    carry = stepwise(world).first_carry(obs, (), first_tasks(world), policy)
    return carry, world.data.init(stream_key(world.seed, world.index, DATA), source)


def behaviour(warming: bool, world: World, policy: Policy, memory: Tree, index: jax.Array) -> Behaviour:
    """How the rollout of update `index` acts, or that of before the first update, whose number is negative."""
    algo = stepwise(world)
    if not warming:
        key, tasks, moment, guide = setting(world, memory, index)
        return algo.behaviour(algo.keys(key)[0], tasks, policy, moment, guide)
    num = algo.steps_before() // algo.steps_per_update()
    key = jax.random.fold_in(stream_key(world.seed, world.index, CARRY), 1)
    moment = Moment(jnp.zeros((), jnp.float32), index)
    keys = (jax.random.split(key, num)[index + num],)
    return algo.behaviour(keys, first_tasks(world), policy, moment, warming=True)


@per_run(shared=("index",))
def warming_noise(world: World, policy: Policy, memory: Tree, index: jax.Array) -> Float[Array, "T N _"]:
    """The random numbers of the actions of a rollout of before the first update."""
    return behaviour(True, world, policy, memory, index).noise


@per_run(shared=("index",))
def acting(world: World, run: Run, state: State, index: jax.Array) -> tuple[Policy, Float[Array, "T N _"]]:
    """The policy that collects in update `index`, and the random numbers of its actions."""
    policy = policy_of(run, state)
    return policy, behaviour(False, world, policy, state.memory.data, index).noise


@per_run(static=("warming",), shared=("index", "step"))
def actions(
    warming: bool,
    world: World,
    policy: Policy,
    memory: Tree,
    noise: Float[Array, "T N _"],
    obs: Float[Array, "N O"],
    age: Age,
    index: jax.Array,
    step: jax.Array,
) -> tuple[Shaped[Array, "N ..."], Float[Array, " N"] | None]:
    """The actions of one step of a rollout, and their log-probabilities where something is learned from them.

    Args:
        warming: whether the rollout is one of before the first update.
        world: what the run collects in.
        policy: the policy that acts.
        memory: what the data axis remembers.
        noise: random numbers of the rollout.
        obs: what the environments show.
        age: steps since their resets.
        index: number of the update.
        step: number of the step in the rollout.
    """
    found = behaviour(warming, world, policy, memory, index)
    action = found.act(obs, noise[step], age)
    return action, None if found.log_prob is None else found.log_prob(obs, action, age)


@per_run(shared=("index",), donate=("carry",))
def stored(world: World, carry: HasStatistics, steps: Transition, obs: Float[Array, "N O"], index: jax.Array) -> PyTree:
    """The carry after a rollout of before the first update, [T, N, ...], behind which the environments show `obs`."""
    moment = Moment(jnp.zeros((), jnp.float32), index)
    return stepwise(world).stored(_arrived(carry, obs), steps, moment)


@per_run()
def answered(run: Run, state: State) -> Policy:
    """The policy to evaluate."""
    return evaluated_policy(run, state)


@per_run(shared=("index",), donate=("state",), few_at_once=True)
def update_on(
    world: World, run: Run, state: State, steps: Transition, obs: Float[Array, "N O"], index: jax.Array
) -> tuple[State, Metrics]:
    """As `jaxrl_ft.training.update.update`, of a rollout that was stepped already.

    Args:
        world: what the run collects in.
        run: what the run was given.
        state: before the rollout.
        steps: the rollout, [T, N, ...].
        obs: what the environments show behind it.
        index: number of the update, from 0.

    Returns:
        state: after the update.
        metrics: of the update.
    """
    memory = state.memory.data
    key, tasks, moment, guide = setting(world, memory, index)
    carry = _arrived(state.carry, obs)
    algo = stepwise(world)
    found = algo.experience(algo.keys(key)[1], tasks, policy_of(run, state), carry, steps, moment, guide)
    return updated(run, state, taken(world, memory, index, found), index)


def _arrived(carry: PyTree, obs: jax.Array) -> PyTree:
    return carry._replace(obs=obs)


@per_run()
def greedy(actor: Actor, policy: Policy, obs: Float[Array, "E O"]) -> Shaped[Array, "E ..."]:
    """The greedy actions at obs [E, O]."""
    return actor.distribution(policy, obs).mode()
