"""Laws of every registered member on networks of every kind: separate and shared trunks, vectors and images."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import image_worlds
from helpers.algorithms import SMALL
from helpers.compiling import quick
from helpers.image_worlds import NETWORKS, NEW, OBS_SIZE
from helpers.trees import drawn

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays, from_json, to_json
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.methods.warm_starts import Probe
from jaxrl_ft.nets import actor_critic, forward
from jaxrl_ft.training.finetune import untrained
from jaxrl_ft.training.spec import Budget, finetune_spec, pretraining_spec

OBS = jnp.asarray(np.random.default_rng(3).normal(size=(16, OBS_SIZE)).astype(np.float32))
ALGO = ft.PPO(**SMALL["ppo"])
KEY = jax.random.key(0)
FEW = [name if name == "cnn_shared" else pytest.param(name, marks=pytest.mark.slow) for name in NEW]
"""One by default."""
KEEPS = ("keep", "net2wider", "net2deeper", "soften")
"""Warm starts after which values are the base's."""
REFUSED = {("progressive", "mlp_shared"), ("progressive", "cnn_shared")}
"""Adapters that say why they are not possible."""


@pytest.fixture(scope="module")
def worlds():
    """Both tasks, made before nothing may run."""
    return image_worlds.task(), image_worlds.task(2.0)


class Rows:
    """Experience of nothing but observations."""

    obs = OBS


def base_of(network, seed=0):
    return drawn(shapes_of(network), np.random.default_rng(seed))


@cache
def shapes_of(network):
    return jax.eval_shape(lambda: actor_critic.init(KEY, network, OBS_SIZE, 3, False))


def outputs(params, network):
    """Logits and values, which a program that has them among others calls too."""
    return actor_critic.policy_outputs(params, network, OBS), actor_critic.values(params, network, OBS)


def close(one, other, atol=1e-5):
    for ours, theirs in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=atol, rtol=1e-4)


def restarted(adapter, base):
    frozen = adapter.freeze(KEY, base)
    return adapter.merge(frozen, adapter.init(jax.random.fold_in(KEY, 1), frozen))


def fitted(adapter):
    """An adapter for tiny networks, whose heads have seven parameters."""
    return replace(adapter, dimensions=4) if isinstance(adapter, ft.RandomSubspace) else adapter


def sized(warm_start):
    """A warm start for tiny networks."""
    return replace(warm_start, width=12) if isinstance(warm_start, ft.Net2Wider) else warm_start


@pytest.mark.parametrize("name", FEW)
def test_every_adapter_starts_where_the_base_is_or_says_why_not(name):
    network = NETWORKS[name]
    rows = [row for row in ft.ADAPTERS if (row, name) not in REFUSED]

    @quick
    def begin(base):
        return {row: outputs(restarted(as_arrays(fitted(ft.ADAPTERS[row])), base), network) for row in rows}

    found = begin(base_of(network))
    for row, made in found.items():
        close(made, found["full"])
        assert made[1].shape == (16,), row


@pytest.mark.parametrize(("row", "name"), sorted(REFUSED))
def test_a_head_has_no_layers_for_a_column_unless_it_trains_in_full(row, name):
    base = shapes_of(NETWORKS[name])
    with pytest.raises(ValueError, match="critic: 'same' is not allowed; the value is a head on a shared trunk"):
        jax.eval_shape(lambda base: restarted(ft.ADAPTERS[row], base), base)
    merged = jax.eval_shape(lambda base: restarted(replace(ft.ADAPTERS[row], critic="full"), base), base)
    assert "column" in merged["policy"] and set(merged["value"]) == {"head"}


@pytest.mark.parametrize("name", FEW)
def test_every_warm_start_keeps_what_it_says(name):
    network = NETWORKS[name]

    def changed(row):
        return sized(ft.WARM_STARTS[row]).network(network)

    @quick
    def begin(base, fresh):
        found = {}
        for row in ft.WARM_STARTS:
            warm = as_arrays(sized(ft.WARM_STARTS[row])).apply(KEY, base, fresh, Probe(jnp.float32(0.5)))
            found[row] = warm, outputs(warm, changed(row))
        return found

    found = begin(base_of(network), base_of(network, 1))
    policy, value = found["keep"][1]
    for row, (warm, (logits, values)) in found.items():
        if row in KEEPS:
            close(values, value)
        if row in ("keep", "net2wider", "net2deeper", "critic_reset"):
            close(logits, policy)
        assert (np.abs(values - value).max() > 1e-3) == (row not in (*KEEPS, "policy_head_reset")), row
        if row == "net2wider":
            widths = [leaf["kernel"].shape[-1] for layer, leaf in warm["policy"].items() if "dense" in layer]
            assert set(widths) == {12} and forward.depth(warm["value"]) == len(network.widths("value"))


@pytest.mark.parametrize("name", FEW)
def test_every_intervention_acts_on_every_network(name):
    network = NETWORKS[name]
    moment = Moment(progress=jnp.float32(0.5), step=jnp.int32(3))

    @quick
    def act(base):
        found = {}
        for row, member in ft.INTERVENTIONS.items():
            if row == "continual_backprop":
                member = replace(member, maturity=0.0, replacement_rate=1.0)
            member, policy = as_arrays(member), Policy(base, {}, network)
            memory = member.init(KEY, ALGO, policy)
            memory, params, first = member.after_step(KEY, memory, ALGO, policy, Rows, moment)
            _, params, second = member.after_update(KEY, memory, ALGO, Policy(params, {}, network), Rows, moment)
            found[row] = params, [void for void in (first, second) if void is not None]
        return found

    base = base_of(network)
    for row, (params, voids) in act(base).items():
        assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, base), row
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
        for void in voids:
            for path, gone in tree.flatten(void).items():
                moved = np.asarray(tree.flatten(params)[path]) != np.asarray(tree.flatten(base)[path])
                # What a bias takes over from a unit that is renewed keeps its moments.
                assert not np.any(moved & ~gone) or row in ("soft_shrink_perturb", "continual_backprop"), (row, path)


@pytest.mark.parametrize("name", FEW)
def test_every_anchored_penalty_is_nothing_at_the_anchor(name):
    network = NETWORKS[name]
    moment = Moment(progress=jnp.float32(0.0), step=jnp.int32(0))
    rows = [row for row, member in ft.PENALTIES.items() if not member.source_steps]

    @quick
    def measure(members, terms, base, first):
        found = {}
        for row in rows:
            policy = Policy(base, {}, network)
            source = Source(policy, base if ft.PENALTIES[row].needs_init_params else first, None)
            memory = members[row].init(KEY, ALGO, policy, source)
            found[row] = terms[row].loss(memory, ALGO, policy, Rows, moment)
        return found

    members = {row: as_arrays(ft.PENALTIES[row]) for row in rows}
    terms = {row: as_arrays(ft.PENALTIES[row].term()) for row in rows}
    for row, value in measure(members, terms, base_of(network), base_of(network, 1)).items():
        assert np.isfinite(value), row
        if ft.PENALTIES[row].anchored:
            assert abs(value) < 1e-6, row


@pytest.mark.parametrize("name", FEW[1:])
def test_a_step_of_muon_is_orthogonal_for_each_kernel_as_a_matrix(name):
    base = base_of(NETWORKS[name])
    grads = base_of(NETWORKS[name], 1)
    chain = ft.Muon(learning_rate=1.0, max_grad_norm=1e9).reduced().build()

    @quick
    def step(base, grads):
        zero = jnp.float32(0.0)
        return chain.update(grads, chain.init(base), base, progress=zero, kl=zero)[0]

    for path, leaf in tree.flatten(step(base, grads)).items():
        if path.endswith("/kernel"):
            matrix = np.asarray(leaf).reshape(-1, leaf.shape[-1])
            singular = np.linalg.svd(matrix, compute_uv=False) / (0.2 * max(matrix.shape) ** 0.5)
            assert np.all((singular > 0.6) & (singular < 1.3)), path


@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_network_survives_a_file(name):
    assert from_json(to_json(NETWORKS[name])) == NETWORKS[name]


BUDGET = Budget(steps=4096, seed=1, num_evals=2, eval_episodes=2)
ALIGNED = {"realign", "realign_soften"}


def untrained_agents(network, algo=ALGO, budget=BUDGET):
    return untrained(pretraining_spec(image_worlds.task(), algo, network, ft.Adam(), 2, budget))


def refusals(name, rows, chosen):
    """The reasons by row for which rows of METHODS do not run."""
    agents, target, found = untrained_agents(NETWORKS[name]), image_worlds.task(2.0), {}
    for row in chosen:
        method = rows(row)
        method = replace(method, adapter=fitted(method.adapter))
        budget = BUDGET._replace(steps=BUDGET.steps * method.population + method.spent())
        try:
            finetune_spec(agents, target, method, budget)
        except ValueError as error:
            found[row] = str(error)
    return found


WANTED = ("realign", "imagine", "lora", "critic_resets", "progressive", "net2wider", "redo")


@pytest.mark.parametrize("name", NEW)
def test_what_makes_no_sense_is_refused_before_anything_compiles(name, rows, worlds, nothing_runs):
    found = refusals(name, rows, WANTED)
    expected = ({"realign"} if "cnn" in name else set()) | ({"progressive"} if "shared" in name else set())
    assert set(found) == expected
    assert all("a convolution reads all places of an image alike" in found[row] for row in found if row == "realign")


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_all_other_rows_run(name, rows, worlds, nothing_runs):
    found = refusals(name, rows, [row for row in ft.METHODS if ft.METHODS[row].trains])
    # The world of the test states no range of returns.
    allowed = (
        {"net2deeper", "gap_decay"}
        | (ALIGNED if "cnn" in name else set())
        | ({"progressive"} if "shared" in name else set())
    )
    assert set(found) <= allowed, found


@pytest.mark.parametrize("groups", ["value"])
def test_units_of_the_critic_alone_are_refused_on_a_shared_trunk(groups, worlds, nothing_runs):
    agents = untrained_agents(NETWORKS["mlp_shared"])
    for member in (ft.ReDo(groups=groups), ft.ContinualBackprop(groups=groups)):
        with pytest.raises(
            ValueError, match=r"method.intervention: .* the critic is a head on the policy's hidden layers"
        ):
            finetune_spec(agents, image_worlds.task(2.0), ft.Method(intervention=member), BUDGET)


@pytest.mark.parametrize("name", ["mlp_shared", "cnn_shared"])
def test_critics_that_are_networks_of_their_own_share_no_trunk(name, worlds, nothing_runs):
    with pytest.raises(
        ValueError, match=r"network\.shared_trunk: True is not allowed; SAC's critics are networks of their own"
    ):
        untrained_agents(NETWORKS[name], ft.SAC(**SMALL["sac"]))


def test_a_vector_is_no_image(source, worlds, nothing_runs):
    with pytest.raises(ValueError, match=r"network: CNN reads one image .* and the observation is obs \[4\]"):
        ft.pretrain(source, network=ft.CNN())
    small = ft.CNN(kernels=(5,))
    with pytest.raises(ValueError, match="network: kernels: 5 is not allowed; convolution 0 reads an image of 4 x 4"):
        ft.pretrain(image_worlds.task(), network=small)
