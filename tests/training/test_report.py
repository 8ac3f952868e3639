"""Every leaf of an agent has exactly one fate in the transfer report, and the true one."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from helpers.compiling import quick

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.alignment import Realignment
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.methods.warm_starts import Probe
from jaxrl_ft.training.evaluation.faults import Fault
from jaxrl_ft.training.initial_state import Start
from jaxrl_ft.training.loop import Result
from jaxrl_ft.training.preparation.imagine import Imagined
from jaxrl_ft.training.preparation.prepare import Prepared
from jaxrl_ft.training.report import transfer, untouched
from jaxrl_ft.training.spec import Budget, finetune_spec

PARTS = ("dense_0", "dense_1", "head")
DEFAULTS = {"realigned": [], "imagined": None, "untold": np.array([False])}
NONE = Realignment(np.arange(4), np.zeros(4), np.ones(4), np.arange(2), False)


@quick
def moved(warm_start, adapter, base, fresh):
    """The parameters that training starts from, the delta before it, and the parameters once that moved by one half."""
    begun = warm_start.apply(jax.random.key(0), base, fresh, Probe(0.25))
    frozen = adapter.freeze(jax.random.key(1), begun)
    delta = adapter.init(jax.random.key(2), frozen)
    # from no zero, for the product of two factors is zero where one is
    return begun, delta, adapter.merge(frozen, jax.tree.map(lambda leaf: leaf + 0.5, delta))


def told(agents, fresh, target, method, rests=(), fault=0, **changes):
    """The report of a fine-tune of the first agent in which whatever trains moved by one half, and its leaves.

    That the paths of `rests` did not is told to the report alone.
    """
    agents = agents.select([0])
    spec = finetune_spec(agents, target, method, Budget(4096, 1, 3, 4))
    one = tree.take(agents.params, 0)
    begun, delta, ended = jax.device_get(moved(*as_arrays((method.warm_start, method.adapter)), one, fresh))
    start, params, new = (tree.stack([part]) for part in (begun, ended, fresh))
    policy = Policy(agents.params, {}, agents.network)
    began = Start(
        Policy(start, {}, agents.network), new, Source(policy, new), np.float32([0.25]), method.spent_before()
    )
    steps = np.array([[0, 4096]])
    size = tree.size(delta)
    result = Result(
        policy=Policy(params, {}, agents.network),
        opt_state=None,
        curve=np.zeros((1, 2)),
        curve_steps=steps,
        delta={path: path not in rests for path in tree.flatten(delta)},
        delta_size=size,
        fault=Fault(np.array([fault]), np.array([4])),
        lost=int(fault > 0),
        finite={},
        updates=np.array([64]),
        stopped=np.array([False]),
        kept_steps=steps[:, -1],
    )
    parts = [changes.pop(name, default) for name, default in DEFAULTS.items()]
    spec = replace(spec, agents=replace(agents, **changes))
    after = Prepared(spec, policy, Policy(new, {}, agents.network), began, 77, *parts)
    return transfer(after, result), tree.flatten(ended)


@pytest.fixture(scope="module")
def fresh(random_params, source, tiny):
    return random_params(source, tiny.network, 5)


def fates(report, leaves):
    """The fate of every leaf by path; fails where one has two or none."""
    names = {"actor": "policy", "critic": "value"}
    found = {}
    for line in report:
        match = re.fullmatch(r"(actor|critic): (.*): (.*)", line)
        if match is None:
            continue
        group, fate, which = names[match[1]], match[2], match[3]
        inside = [path for path in leaves if path.startswith(f"{group}/")]
        count = re.fullmatch(r"all (\d+) leaves", which)
        paths = inside if count else which.split(", ")
        assert count is None or int(count[1]) == len(inside)
        for path in paths:
            assert path not in found
            found[path] = fate
    assert found.keys() == leaves.keys()
    return found


def fate_of(method, agents, fresh, target):
    method = ft.METHODS[method] if isinstance(method, str) else method
    if isinstance(method.warm_start, ft.Net2Wider):
        method = replace(method, warm_start=replace(method.warm_start, width=12))
    return fates(*told(agents, fresh, target, method))


def of(parts, leaves=("kernel", "bias"), groups=("policy", "value")):
    return {f"{group}/{part}/{leaf}" for group in groups for part in parts for leaf in leaves}


ALL = of(PARTS)
HEADS, KERNELS = of(["head"]), of(PARTS, ["kernel"])
RANKS = {
    "kept, rank 4": KERNELS - HEADS,
    "kept, rank 2": of(["head"], ["kernel"], ["policy"]),
    "kept, rank 1": of(["head"], ["kernel"], ["value"]),
}
"""What factors of rank 4 can change in a 4-8-8-2 actor and a 4-8-8-1 critic."""
EXPECTED = {
    "full": {"kept, trains": ALL},
    "scratch": {"reset, trains": ALL},
    "head": {"kept, trains": HEADS, "kept, frozen": ALL - HEADS},
    "lora": {**RANKS, "kept, frozen": ALL - KERNELS},
    "dora": {**RANKS, "kept, frozen": ALL - KERNELS},
    "sparse": {"kept, some entries train": KERNELS, "kept, frozen": ALL - KERNELS},
    "input_affine": {"kept, through InputAffine": of(["dense_0"]), "kept, frozen": ALL - of(["dense_0"])},
    "output_affine": {"kept, through OutputAffine": HEADS, "kept, frozen": ALL - HEADS},
    "ia3": {"kept, through IA3": of(PARTS[1:], ["kernel"]), "kept, frozen": ALL - of(PARTS[1:], ["kernel"])},
    "random_subspace": {"kept, through RandomSubspace": ALL},
    "residual": {"kept, frozen": ALL, "added, trains": of([f"residual/{part}" for part in PARTS])},
    "plasticity": {
        "kept, frozen": ALL,
        "added, trains": of([f"residual/{part}" for part in PARTS]),
        "added, frozen": of([f"offset/{part}" for part in PARTS]),
    },
    "critic_reset": {
        "kept, trains": of(PARTS, groups=["policy"]),
        "reset, trains": of(PARTS, groups=["value"]),
    },
    "head_reset": {"kept, trains": ALL - HEADS, "reset, trains": HEADS},
    "soften": {
        "kept, trains": ALL - of(["head"], groups=["policy"]),
        "changed before training, trains": of(["head"], groups=["policy"]),
    },
    "shrink_perturb": {"changed before training, trains": ALL},
    "net2wider": {"grown, trains": ALL - of(["head"], ["bias"]), "kept, trains": of(["head"], ["bias"])},
    "net2deeper": {
        "kept, trains": ALL,
        "grown, trains": of(["bottleneck_1/down", "bottleneck_1/up"]),
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_fates_of_leaves(name, agents, fresh, target):
    found = fate_of(name, agents, fresh, target)
    assert found == {path: fate for fate, paths in EXPECTED[name].items() for path in paths}


# The tiny network has no norms.
@pytest.mark.parametrize("name", [name for name in ft.ADAPTERS if name != "norm"])
def test_every_adapter_s_leaves_have_one_fate_and_frozen_ones_are_those_that_stayed(name, agents, fresh, target):
    method = ft.Method(adapter=ft.ADAPTERS[name])
    found = fate_of(method, agents, fresh, target)
    _, ended = told(agents, fresh, target, method)
    begun = tree.flatten(tree.take(agents.params, 0))
    for path, fate in found.items():
        assert fate.startswith("kept" if path in begun else "added")
        if path in begun:
            assert fate.endswith("frozen") == np.array_equal(begun[path], ended[path]), path


def test_a_critic_that_trains_in_full_is_told_apart(agents, fresh, target):
    found = fate_of(ft.Method(adapter=ft.Sparse(critic="full")), agents, fresh, target)
    assert all(found[path] == "kept, trains" for path in of(PARTS, groups=["value"]))
    assert found["policy/head/kernel"] == "kept, some entries train"


def text(report):
    return "\n".join(report)


def test_what_is_counted(agents, fresh, target):
    report, ended = told(agents, fresh, target, ft.METHODS["head"])
    trains = sum(leaf.size for path, leaf in ended.items() if "/head/" in path)
    total = sum(leaf.size for leaf in ended.values())
    assert f"trains {trains:,} numbers for {total:,} parameters ({trains / total:.1%})" in report
    assert "source experience for this method 77 |" in text(report) and "target in all 4,096" in text(report)
    assert f"env steps of each agent: before the target {agents.env_steps[0]:,} |" in text(report)
    assert "ended by a number that is not finite: 0 of 1 runs" in report
    assert "normaliser: none" in report and "replay: none" in report


def test_a_share_is_told_only_where_something_measured_it(agents, fresh, target):
    probed = ft.Method(look=ft.Look(probe_episodes=4))
    for method, there in ((ft.Method(), False), (probed, True), (ft.Method(look=ft.Look(steps=16)), True)):
        report, _ = told(agents, fresh, target, method)
        line = "probed zero-shot return, from 0 for random actions to 1 for the best possible: median 0.25"
        assert (line in text(report)) == there and "taken to be 1" not in text(report)
    report, _ = told(agents, fresh, target, probed, untold=np.array([True]))
    assert "taken to be 1 in the 1 that saw no episode end and one reward alone" in text(report)


def test_realignment_and_imagination_are_told(agents, fresh, target):
    other = NONE._replace(order=np.array([1, 0, 2, 3]), scale=np.full(4, 2.0))
    signs = Realignment(np.arange(4), np.ones(4), np.array([1, 1, -1, -1]), np.array([1, 1]), True, left_alone="a tie")
    used = np.array([False, True])
    imagined = Imagined(None, np.array([0.5, 0.99]), used, used, np.array([np.nan, 480.0]), np.ones(2), {1: "x"})
    method = replace(ft.METHODS["imagine"], adapter=ft.Full())
    untried = NONE._replace(untried=("orders of 9 sensors",))
    report, _ = told(agents, fresh, target, method, realigned=[untried, other, signs], imagined=imagined)
    line = next(line for line in report if line.startswith("realigned"))
    assert "reordered in 1, sensors reversed in 1, sensors rescaled in 1, sensors shifted in 1, actions" in line
    assert "actions changed in 0 of 3 runs; left alone: a tie in 1; not tried: orders of 9 sensors" in line
    line = next(line for line in report if line.startswith("imagined"))
    assert "in 1 of 2 runs" in line and "74.5%" in line and "50.0%" in line and "98%" in line
    assert any(line.startswith("model refused in 1 of 2 runs: the look saw no episode end") for line in report)
    assert not any(line.startswith(("imagined", "realigned")) for line in told(agents, fresh, target, ft.Method())[0])


def test_only_the_axes_that_differ_are_named(agents, fresh, target):
    method = ft.Method(penalty=ft.KL(), look=ft.LOOKS["probe"], warm_start=ft.Soften(), data=ft.DATA["mixture"])
    first = told(agents, fresh, target, method)[0][0]
    assert first == "method: look probe, warm start soften, adapter full, penalty kl, optimizer adam, data mixture"


def test_zero_shot_tells_that_nothing_trained(agents, target):
    spec = finetune_spec(agents, target, ft.METHODS["zero_shot"], Budget(4096, 1, 3, 4))
    lines = untouched(spec)
    assert lines[0] == "actor and critic: the agents' own, untouched" and target.describe() in lines[1]


def test_what_did_not_move_rests_whatever_it_may_do(agents, fresh, target):
    resting = {path for path in ALL if path.startswith("policy/")}
    found = fates(*told(agents, fresh, target, ft.Method(), rests=resting))
    assert found == {path: f"kept, {'rests (unchanged in all runs)' if path in resting else 'trains'}" for path in ALL}
    factors = {f"{parent}/lora_{name}" for parent in ("policy/head", "value/head") for name in ("a", "b")}
    found = fates(*told(agents, fresh, target, ft.METHODS["lora"], rests=factors))
    for path in KERNELS & HEADS:
        rank = {"policy": 2, "value": 1}[path.split("/")[0]]
        assert found[path] == f"kept, rank {rank}, rests (unchanged in all runs)"
    assert {found[path] for path in KERNELS - HEADS} == {"kept, rank 4"}


def test_a_run_that_stopped_is_named_with_what_was_not_finite(agents, fresh, target):
    line = "ended by a number that is not finite: 1 of 1 runs (0: non-finite action in update 5)"
    assert line in told(agents, fresh, target, ft.Method(), fault=2)[0]
    assert "rows of experience" not in text(told(agents, fresh, target, ft.Method())[0])


def test_the_factor_of_the_learning_rate_is_told_where_there_is_one(agents, fresh, target):
    optimizer = ft.Adam(desired_kl=0.01)
    lines = [told(agents, fresh, target, method)[0] for method in (ft.Method(optimizer=optimizer), ft.Method())]
    assert "factor of the learning rate reset" in text(lines[0]) and "factor of" not in text(lines[1])
