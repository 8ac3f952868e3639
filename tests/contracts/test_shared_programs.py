"""Contracts of compilation: methods of one static structure run one training program between them."""

import jax
import pytest

import jaxrl_ft as ft

CLAIMS = [
    "scratch full soften probe_soften critic_reset head_reset shrink_perturb realign entropy_bonus adamw adam_ns "
    "adam_rel keep_adam kl_rate target_kl discriminative critic_warmup wise",
    "jump_start jump_start_curriculum",
    "l2sp l2 l2init ewc mas",
    "l1 l1sp",
    "kl kl_reverse",
    "lora rslora",
    "gradual_unfreezing lp_ft",
    "nadam nadamw",
]
"""Methods that differ in floats, in where they start, in what a penalty remembers or in what is done on the host."""
QUICK = "full soften keep_adam adamw target_kl wise discriminative"


def program(method):
    """What the training program depends on beside sizes and floats."""
    parts = (method.adapter, method.penalty.term(), method.training_optimizer(), method.intervention)
    return jax.tree.structure((parts, method.data)), method.data.guided, method.population


def groups():
    """The rows of each training program that several share; growth changes sizes, and imagination trains elsewhere."""
    found = {}
    for name, method in ft.METHODS.items():
        if method.trains and not method.warm_start.grows and not method.imagination.steps:
            found.setdefault(program(method), []).append(name)
    return [" ".join(names) for names in found.values() if len(names) > 1]


@pytest.mark.parametrize("names", CLAIMS)
def test_methods_that_differ_in_no_structure_have_one(names):
    assert len({program(ft.METHODS[name]) for name in names.split()}) == 1


def test_methods_of_several_structures_have_several():
    names = "full head lora dora l1 l2 kl cloning nadam muon redo weight_clipping replay pbt soup lp_ft"
    assert len({program(ft.METHODS[name]) for name in names.split()}) == len(names.split())


@pytest.mark.parametrize("names", [QUICK, *(pytest.param(names, marks=pytest.mark.slow) for names in groups())])
def test_methods_of_one_structure_compile_one_training_program(names, agents, target, tiny, enough, rows, compilations):
    # Six runs are a width that no other test has, so that the first method compiles and no other may.
    given = agents.select([0, 1, 2, 3, 0, 1])
    compilations.reset()
    for seed, name in enumerate(names.split()):
        method = rows(name)
        tuned = ft.finetune(given, target, method, seed=seed, **{**tiny.budget, "steps": enough(method)})
        assert set(tuned.status) == {"ok"}
        assert compilations.names.count("stretch") <= 1, name
