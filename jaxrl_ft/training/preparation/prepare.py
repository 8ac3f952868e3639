"""Everything between an agent and its first real update: realign, probe, start warm, imagine, remember the source."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.methods.alignment import Experience, Realignment
from jaxrl_ft.methods.alignment.realignment import retold
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.methods.warm_starts import Probe, WarmStart
from jaxrl_ft.training.compatibility import same_sizes
from jaxrl_ft.training.initial_state import Start, fresh_policy
from jaxrl_ft.training.keys import WARM_START, Seeds
from jaxrl_ft.training.per_run import per_run
from jaxrl_ft.training.preparation import imagine, realign
from jaxrl_ft.training.preparation.carry import carry
from jaxrl_ft.training.preparation.experience import source_rows
from jaxrl_ft.training.preparation.imagine import Imagined
from jaxrl_ft.training.preparation.look import ON_SOURCE, ON_TARGET, Look, experience_before, look_at
from jaxrl_ft.training.preparation.probe import chance, probed_share
from jaxrl_ft.training.spec import Spec


class Prepared(NamedTuple):
    """A fine-tune before its first update."""

    spec: Spec
    base: Policy
    """the agents' policy as it fits the target"""
    fresh: Policy
    """networks just initialised"""
    start: Start
    """where training starts"""
    source_steps: int
    """environment steps of source experience that were collected, of each run"""
    changes: list[Realignment]
    """what realignment did to each run; empty without it"""
    imagined: Imagined | None
    """what imagined training came to; None without it"""
    untold: np.ndarray
    """whether the look or probe saw no episode end and one reward alone, [R]; the share is then taken to be 1"""


def networks(spec: Spec) -> tuple[Policy, Tree, Policy]:
    """Return the networks that a fine-tune may start from, leaves [R, ...].

    Returns:
        base: the agents' policy; what does not fit the target's sizes is freshly initialised.
        init_params: the agents' parameters before any training, likewise.
        fresh: networks just initialised.
    """
    agents = spec.base_agents
    fresh = fresh_policy(spec.algo, spec.network, spec.task, spec.seeds)
    before = carry(replace(agents, params=agents.init_params), spec.task, fresh)
    return carry(agents, spec.task, fresh), before.params, fresh


def prepare(spec: Spec) -> Prepared:
    """Return where every run starts, after all that the method does before its first update."""
    base, init_params, fresh = networks(spec)
    old = spec.base_agents.opt_state if spec.method.keeps else None
    method, aligned = spec.method, base
    changes: list[Realignment] = []
    look: Look | None = None
    share = np.zeros(spec.num_runs)
    if method.look.steps:
        look = look_at(spec, _untouched(spec, base, fresh), spec.task, ON_TARGET)
        share = look.share(spec.task)
    if look and _aligns(spec):
        changes = realign.estimates(spec, experience_before(spec, base), look.experiences)
        aligned = realign.realign(base, changes)
        # What is anchored to the first parameters is anchored to them as they too would read the target.
        init_params = realign.realign(Policy(init_params, base.statistics, base.network), changes).params
        # The look measured the return of the policy before it was realigned; the new one is trusted as far as
        # the reading is.
        share = np.array([change.trust if change.changes else told for change, told in zip(changes, share)])
    if method.look.probe_episodes:
        share = probed_share(spec, aligned, _chance(spec, fresh, look))
    untold = np.isnan(share)
    probe = Probe(np.where(untold, 1.0, share).astype(np.float32), _widest(spec))
    data, source_steps = _source_data(spec, base, changes)
    remembered = Source(aligned, init_params, data)
    start = starting(spec, base, fresh, _warm_start(spec, aligned, fresh, probe), remembered, probe, old)
    if look is None or not method.imagination.acts:
        return Prepared(spec, base, fresh, start, source_steps, changes, None, untold)
    source_look: list[Experience] = []
    if method.imagination.source_share:
        source_look = look_at(spec, base, spec.source, ON_SOURCE).experiences
    imagined = imagine.imagine(spec, start, look, source_look)
    start = start._replace(policy=imagined.policy, rate=imagined.rate)
    return Prepared(spec, base, fresh, start, source_steps, changes, imagined, untold)


def starting(spec: Spec, base: Policy, fresh: Policy, warm: Policy, source: Source, probe: Probe, old: PyTree) -> Start:
    """Where training starts, of the agents' policy, a fresh one, and the one after the warm start."""
    return Start(
        policy=warm,
        init_params=fresh.params if spec.method.warm_start.from_scratch else source.init_params,
        source=source,
        share=probe.share,
        probe_steps=spec.steps_before,
        old=old,
        base=_untouched(spec, base, fresh),
    )


def _untouched(spec: Spec, base: Policy, fresh: Policy) -> Policy:
    """Who acts while a look is paid for."""
    return fresh if spec.method.warm_start.from_scratch else base


def _aligns(spec: Spec) -> bool:
    """Whether the target's sensors and actions are compared with those that the policy reads and takes."""
    known = "obs_entries" not in spec.network.lacks and same_sizes(spec.before, spec.task)
    return spec.method.alignment.acts and known


def _chance(spec: Spec, fresh: Policy, look: Look | None) -> np.ndarray:
    """Return on the target of a policy without skill, [R]: of random actions, or of a fresh policy on the source.

    Where the source has other sizes it is the lowest return there is.
    """
    if look is not None:
        return look.chance(spec.task)
    if _compares(spec):
        return chance(spec, fresh)
    return np.full(spec.num_runs, spec.task.return_range[0], np.float64)


def _compares(spec: Spec) -> bool:
    """Whether a probe is compared with a fresh policy on the source."""
    method = spec.method
    return method.look.probe_episodes > 0 and not method.look.steps and same_sizes(spec.source, spec.task)


def _widest(spec: Spec) -> np.ndarray:
    """Standard deviation of actions that are uniform within their bounds, [R, A]; [R], infinite, of discrete ones."""
    space = spec.task.action_space
    widest = np.asarray((space.high - space.low) / np.sqrt(12.0) if isinstance(space, Box) else np.inf, np.float32)
    return np.broadcast_to(widest, (spec.num_runs, *widest.shape))


def _warm_start(spec: Spec, base: Policy, fresh: Policy, probe: Probe) -> Policy:
    warm = tree.repeat(as_arrays(spec.method.warm_start), spec.num_runs)
    params, statistics = warm_start(warm, spec.seeds, base, fresh, probe)
    return Policy(params, statistics, spec.method.warm_start.network(spec.network))


@per_run(brief=True)
def warm_start(warm: WarmStart, seeds: Seeds, base: Policy, fresh: Policy, probe: Probe) -> tuple[Tree, Tree]:
    """The parameters and statistics that training starts from."""
    params = warm.apply(seeds.key(WARM_START), base.params, fresh.params, probe)
    return params, warm.statistics(base.statistics, fresh.statistics)


def _retold(rows: PyTree, change: Realignment) -> PyTree:
    """Rows of the source in the target's terms; those of some algorithms hold the observation that follows too."""
    obs, action = retold(rows.obs, rows.action, change)
    rest = {"next_obs": retold(rows.next_obs, rows.action, change)[0]} if "next_obs" in rows._fields else {}
    return rows._replace(obs=obs, action=action, **rest)


def _source_data(spec: Spec, base: Policy, changes: list[Realignment]) -> tuple[PyTree, int]:
    """Source experience that the parts of the method ask for, and the steps of each run on earlier tasks in all.

    The policy reads the target's sensors, so the experience is translated to these.
    """
    num_looks = _aligns(spec) + (spec.method.imagination.source_share > 0)
    steps = num_looks * spec.method.look.env_steps + _compares(spec) * spec.method.look.probe_env_steps
    if not spec.method.source_steps:
        return None, steps
    data = source_rows(spec.algo, base, spec.source, spec.seeds, spec.method.source_steps)
    collected = steps + data.obs.shape[1]
    if changes:
        told = [_retold(tree.take(data, i), change) for i, change in enumerate(changes)]
        data = tree.stack(told)
    return data, collected
