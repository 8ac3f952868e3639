"""Laws of the axes that need an engine: what is kept, refused combinations, neutral members, domain randomisation."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core.config import config
from jaxrl_ft.training.spec import Budget, finetune_spec

RESTING = ft.Rates(policy_start=1.0, value_start=1.0)
"""Nothing trains, so that an optimizer's state ends as it began."""


def moments(tuned):
    """Adam's first moments, second moments and step counts, by group."""
    states = {group: state[0] for group, state in tuned.opt_state.inner.items()}
    return [{group: getattr(state, name) for group, state in states.items()} for name in ("mu", "nu", "count")]


@pytest.mark.parametrize(
    "kept", [(1.0, 1.0, 1.0), (0.0, 1.0, 1.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0)], ids=["all", "second", "nu", "none"]
)
def test_kept_parts_of_adam_are_the_old_ones_before_the_first_step_and_the_others_zero(
    kept, agents, target, tiny, same
):
    keep = ft.Keep(**dict(zip(("first_moment", "second_moment", "step_count"), kept)))
    method = ft.Method(keep=keep, optimizer=ft.Adam(rates=RESTING))
    tuned = ft.finetune(agents, target, method, seed=1, **tiny.budget)
    assert same(tuned.params, agents.params)
    for part, old, whether in zip(moments(tuned), moments(agents), kept):
        assert any(np.any(leaf) for leaf in jax.tree.leaves(old))
        assert same(part, old if whether else jax.tree.map(np.zeros_like, old))


def test_adam_that_is_kept_counts_on_and_goes_elsewhere(finetuned, agents, tiny, same):
    kept, reset = finetuned("keep_adam"), finetuned("full")
    steps = 8 * tiny.algo.num_epochs * tiny.algo.num_minibatches
    for group, count in moments(agents)[2].items():
        np.testing.assert_array_equal(moments(reset)[2][group], steps)
        np.testing.assert_array_equal(moments(kept)[2][group], count + steps)
    assert not same(kept.params, reset.params)
    np.testing.assert_array_equal(kept.curve[:, 0], reset.curve[:, 0])
    assert any("first moment kept" in line for line in kept.report)
    assert any("first moment reset" in line for line in reset.report)


@pytest.fixture(scope="module")
def stateless(finetuned, agents, source, tiny):
    """Agents without a state of an optimizer to go on from, by the reason."""
    layers = [(agents.params["policy"][n]["kernel"], agents.params["policy"][n]["bias"])
              for n in ("dense_0", "dense_1", "head")]  # fmt: skip
    wrapped = ft.wrap({"policy": layers}, source, algo=tiny.algo)
    return {"training with LoRA": finetuned("lora"), "and WiSE": finetuned("wise"), "wrapped weights": wrapped}


def test_there_is_nothing_to_keep_after_an_adapter_a_finish_or_wrapping(stateless, target, nothing_runs):
    for reason, given in stateless.items():
        with pytest.raises(ValueError, match=rf"method\.keep: there is no optimizer state to keep .*{reason}"):
            ft.finetune(given, target, "keep_adam")


def test_nothing_is_kept_of_another_optimizer_or_for_other_sizes(agents, target, nothing_runs):
    with pytest.raises(ValueError, match=r"method\.keep: the agents were trained by Adam, whose state SGD cannot"):
        ft.finetune(agents, target, ft.Method(keep=KEPT, optimizer=ft.SGD()))
    with pytest.raises(ValueError, match=r"method\.keep: the target has other observations or actions"):
        ft.finetune(agents, ft.make_task("Acrobot-v1"), "keep_adam")


WIDER = ft.Net2Wider(width=16)
KEPT = ft.Keep(second_moment=1.0)
REFUSED = [
    ({"intervention": ft.ReDo(), "adapter": ft.LoRA()}, "intervention: ReDo acts on parameters, and a LoRA adapter"),
    ({"intervention": ft.WeightClipping(), "adapter": ft.ResidualPolicy()}, "intervention: WeightClipping acts on"),
    ({"keep": KEPT, "adapter": ft.LastK()}, "keep: moments are those of every parameter, and a LastK adapter"),
    ({"keep": KEPT, "warm_start": WIDER}, "keep: moments are those of the pretrained network, which Net2Wider grows"),
    (
        {"penalty": ft.L2SP(), "warm_start": WIDER},
        "penalty: L2SP is anchored to the pretrained parameters, which Net2Wider",
    ),
    ({"penalty": ft.EWC(), "warm_start": ft.Net2Deeper()}, "penalty: EWC is anchored .* Net2Deeper grows"),
    ({"finish": ft.WiSE(), "warm_start": WIDER}, "finish: WiSE goes back to the pretrained parameters"),
    ({"finish": ft.Soup(), "control": ft.PBT()}, "control: PBT keeps the best of a population, and Soup averages one"),
    ({"penalty": ft.KL(), "control": ft.Strength()}, "control: Strength follows a probe of the target"),
    ({"control": ft.GapDecay()}, "control: GapDecay compares training tasks with validation tasks .* use data between"),
    ({"alignment": ft.Realign()}, "alignment: Realign needs a look at the target; give look.steps"),
    ({"data": ft.Between(), "control": ft.GapDecay(low=1.0, high=0.5)}, r"control\.low: 1 is not allowed"),
    ({"warm_start": ft.HeadReset(policy=False, critic=False)}, r"warm_start\.policy: False is not allowed"),
]


@pytest.mark.parametrize("parts, reason", REFUSED, ids=[reason[:40] for _, reason in REFUSED])
def test_combinations_that_make_no_sense_are_refused_with_the_reason(parts, reason, agents, target, nothing_runs):
    with pytest.raises(ValueError, match=rf"method\.{reason}"):
        ft.finetune(agents, target, ft.Method(**parts))


@config
class HeldToFirst(ft.Penalty):
    """A penalty of a user's own: the squared distance from the parameters before any training."""

    coef: float = 1.0
    """coefficient"""

    needs_init_params = True

    def init(self, key, algo, policy, source):
        return source.init_params

    def loss(self, memory, algo, policy, batch, moment):
        distances = jax.tree.map(lambda now, first: jnp.sum((now - first) ** 2), policy.params, memory)
        return self.coef * sum(jax.tree.leaves(distances))


@config
class Unsaid(HeldToFirst):
    """The same penalty, which does not say what it needs."""

    needs_init_params = False


@pytest.mark.parametrize(
    "penalty", [ft.L2Init(), ft.InFeR(), HeldToFirst(), Unsaid()], ids=["l2init", "infer", "own", "unsaid"]
)
def test_what_held_before_the_network_grew_is_refused(penalty, agents, target, nothing_runs):
    """Agents whose networks are wider than they were before any training, as after Net2Wider."""
    narrow = jax.tree.map(lambda leaf: leaf[..., :2], agents.init_params)
    grown = replace(agents, init_params=narrow)
    with pytest.raises(
        ValueError, match=r"method\.penalty: .* in which policy/dense_0/bias has shape \(2,\), not \(8,\)"
    ):
        ft.finetune(grown, target, ft.Method(penalty=penalty))


@pytest.mark.parametrize("name", ft.PENALTIES)
def test_a_penalty_that_does_not_read_the_first_parameters_is_not_refused_for_them(name, agents, target, nothing_runs):
    penalty = ft.PENALTIES[name]
    grown = replace(agents, init_params=jax.tree.map(lambda leaf: leaf[..., :2], agents.init_params))
    if penalty.needs_init_params:
        with pytest.raises(ValueError, match="before any training, in which"):
            finetune_spec(grown, target, ft.Method(penalty=penalty), Budget())
    else:
        assert finetune_spec(grown, target, ft.Method(penalty=penalty), Budget()).method.penalty == penalty


def test_a_penalty_of_a_users_own_holds_near_the_first_parameters(agents, target, tiny):
    def distance(coef):
        method = ft.Method(penalty=HeldToFirst(coef=coef))
        tuned = ft.finetune(agents, target, method, seed=1, **tiny.budget)
        moved = jax.tree.map(lambda now, first: np.sum((now - first) ** 2), tuned.params, agents.init_params)
        return sum(jax.tree.leaves(moved))

    assert distance(10.0) < 0.5 * distance(0.0)


ALLOWED = [
    {"intervention": ft.ReDo(), "adapter": ft.LastK()},
    {"keep": KEPT, "warm_start": ft.Soften()},
    {"penalty": ft.L2(), "warm_start": WIDER},
    {"penalty": ft.KL(), "warm_start": WIDER},
    {"penalty": ft.KL(), "control": ft.Strength(), "look": ft.Look(probe_episodes=1)},
    {"penalty": ft.KL(), "control": ft.Strength(), "look": ft.Look(steps=8)},
    {"control": ft.GapDecay(), "data": ft.Between()},
]


@pytest.mark.parametrize("parts", ALLOWED)
def test_their_neighbours_are_allowed(parts):
    ft.Method(**parts).check()


def test_stretches_of_a_control_must_fit_the_budget(agents, target, tiny, nothing_runs):
    method = ft.Method(control=ft.PBT(stretches=5))
    steps = 4 * tiny.algo.steps_per_update() * method.population
    with pytest.raises(ValueError, match="it makes 4 updates of each member, and the control acts between 5 stretches"):
        ft.finetune(agents, target, method, steps=steps)


@pytest.mark.parametrize("finish", [ft.WiSE(weight=1.0), ft.Soup(population=1), ft.Prune(share=0.0)], ids=repr)
def test_a_finish_that_takes_all_of_the_fine_tune_changes_no_bit(finish, finetuned, agents, target, tiny, same):
    tuned = ft.finetune(agents, target, ft.Method(finish=finish), seed=1, **tiny.budget)
    assert same(tuned.params, finetuned("full").params)
    np.testing.assert_array_equal(tuned.curve, finetuned("full").curve)


def test_wise_of_weight_zero_is_the_base_and_of_a_half_between(finetuned, agents, target, tiny, same):
    tuned = ft.finetune(agents, target, ft.Method(finish=ft.WiSE(weight=0.0)), seed=1, **tiny.budget)
    assert same(tuned.params, agents.params)
    assert np.all(tuned.curve[:, :1] == finetuned("zero_shot").curve[:, :1])
    half = jax.tree.map(lambda a, b: (a + b) / 2, agents.params, finetuned("full").params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), finetuned("wise").params, half)


def test_pruning_keeps_the_larger_entries_of_every_kernel(finetuned, agents, target, tiny, same):
    tuned = ft.finetune(agents, target, ft.Method(finish=ft.Prune(share=0.5)), seed=1, **tiny.budget)
    for group, layers in finetuned("full").params.items():
        for name, layer in layers.items():
            assert same(tuned.params[group][name]["bias"], layer["bias"])
            pruned, kernel = tuned.params[group][name]["kernel"], layer["kernel"]
            left = np.abs(pruned).reshape(4, -1) > 0
            np.testing.assert_array_equal(left.sum(axis=1), left.shape[1] // 2)
            np.testing.assert_array_equal(pruned, np.where(left.reshape(kernel.shape), kernel, 0.0))
            assert np.all(np.where(left, np.abs(kernel.reshape(4, -1)), np.inf).min(axis=1)
                          >= np.where(left, 0.0, np.abs(kernel.reshape(4, -1))).max(axis=1))  # fmt: skip


def test_a_mixture_without_a_share_is_plain_fine_tuning(finetuned, agents, target, tiny, same):
    tuned = ft.finetune(agents, target, ft.Method(data=ft.Mixture(share=0.0)), seed=1, **tiny.budget)
    assert same(tuned.params, finetuned("full").params)
    assert same(tuned.opt_state, finetuned("full").opt_state)
    np.testing.assert_array_equal(tuned.curve, finetuned("full").curve)


@pytest.mark.slow
def test_randomisation_up_to_the_source_itself_is_plain_pretraining(agents, source, target, tiny, same):
    pretrain = {"algo": tiny.algo, "network": tiny.network, "seeds": tiny.seeds, "seed": 0, **tiny.budget}
    still, wide = (ft.pretrain(source, until=other, **pretrain) for other in (source, target))
    for part in ("params", "opt_state", "curve", "curve_steps", "env_steps"):
        assert same(getattr(still, part), getattr(agents, part)), part
    assert not same(wide.params, agents.params)
    # Evaluations are on the source, whatever the training was on, and no step was taken before the first.
    np.testing.assert_array_equal(wide.curve[:, 0], agents.curve[:, 0])
    assert wide.source is source and wide.task is source
    assert any("physics drawn up to CartPole-v1 half_length=1" in line for line in wide.report)


def test_randomisation_refuses_other_sizes_and_other_environments(source, nothing_runs):
    with pytest.raises(ValueError, match=r"until: 6 observations, .* do not fit the source's 4 observations"):
        ft.pretrain(source, until=ft.make_task("Acrobot-v1"))
    with pytest.raises(ValueError, match="must be a Task"):
        ft.pretrain(source, until="CartPole-v1")


@pytest.mark.parametrize("name", ["probe_soften", "realign_soften"])
def test_what_is_paid_for_is_on_the_curve_from_the_untouched_base_on(name, finetuned):
    tuned, paid = finetuned(name), ft.METHODS[name].spent_before()
    np.testing.assert_array_equal(tuned.curve_steps, np.tile([0, paid, paid + 256, paid + 512], (4, 1)))
    np.testing.assert_array_equal(tuned.curve[:, 0], finetuned("zero_shot").curve[:, 0])
    assert any(f"target before the first update {paid:,} " in line for line in tuned.report)


def test_an_entropy_coefficient_of_the_method_is_the_algorithms_for_this_fine_tune(
    finetuned, agents, target, tiny, same
):
    bonus = ft.finetune(agents, target, ft.Method(ent_coef=0.5), seed=1, **tiny.budget)
    own = replace(agents, algo=replace(tiny.algo, ent_coef=0.5))
    assert same(bonus.params, ft.finetune(own, target, "full", seed=1, **tiny.budget).params)
    assert not same(bonus.params, finetuned("full").params)
    assert bonus.algo == tiny.algo
    none = ft.finetune(own, target, ft.Method(ent_coef=0.0), seed=1, **tiny.budget)
    assert same(none.params, finetuned("full").params)
