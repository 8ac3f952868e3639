"""What a method pays to learn of the target before its first update."""

import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.engine import training
from jaxrl_ft.engine.training import Spec
from jaxrl_ft.methods.warm_starts import Probe


def probe(spec: Spec, base: Policy) -> Probe:
    """What the base's first episodes on the target say of its zero-shot return; leaves [R].

    Sampled episodes are cut after `probe_steps`. The return is then estimated as the mean reward times the expected
    length 1 / h of an episode, at most the task's limit, where h is the rate of natural ends: ends per step.
    """
    warm, num = spec.method.warm_start, spec.num_runs
    if not warm.probe_episodes:
        return Probe(np.ones(num, np.float32))
    outcome = training.evaluate_runs(
        spec.algo,
        base,
        tree.repeat(spec.task, num),
        training.seeds_of(spec.seed, num),
        warm.probe_episodes,
        greedy=False,
        stream=training.PROBE_STREAM,
        max_steps=warm.probe_steps,
    )
    steps, ends = outcome.episode_length.sum(axis=1), outcome.terminated.sum(axis=1)
    length = np.minimum(steps / np.maximum(ends, 1e-9), spec.task.episode_limit)
    low, high = spec.task.return_range
    share = (outcome.episode_return.sum(axis=1) / steps * length - low) / (high - low)
    return Probe(np.clip(share, 0.0, 1.0).astype(np.float32))
