"""What a method pays to learn of the target before its first update."""

import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.engine import training
from jaxrl_ft.engine.episodes import possible_share
from jaxrl_ft.engine.group import Spec
from jaxrl_ft.methods.warm_starts import Probe


def probe(spec: Spec, base: Policy) -> Probe:
    """What the base's first episodes on the target say of its zero-shot return; leaves [R]."""
    warm, num = spec.method.warm_start, spec.num_runs
    outcome = training.evaluate_runs(
        spec.algo,
        base,
        tree.repeat(spec.task, num),
        spec.seeds,
        warm.probe_episodes,
        greedy=False,
        stream=training.PROBE_STREAM,
        max_steps=warm.probe_steps,
    )
    return Probe(possible_share(outcome, spec.task).astype(np.float32))
