"""Everything between an agent and the first real update: realign, probe, start warm, imagine, remember the source."""

from typing import Any, NamedTuple

import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.methods.realignment import Experience, Realignment, retold
from jaxrl_ft.methods.warm_starts import Probe
from jaxrl_ft.training import devices, host, programs
from jaxrl_ft.training.preparation import imagine, realign
from jaxrl_ft.training.preparation.imagine import Imagined
from jaxrl_ft.training.preparation.look import ON_SOURCE, ON_TARGET, Look, experience_before, watch
from jaxrl_ft.training.preparation.probe import chance, probed_share
from jaxrl_ft.training.runs import Spec, Start
from jaxrl_ft.training.spec import same_sizes


class Prepared(NamedTuple):
    """Where training starts, and how it came to that."""

    start: Start
    source_steps: int
    """environment steps of source experience that were collected, of each run"""
    changes: list[Realignment]
    """what realignment did to each run; empty without it"""
    imagined: Imagined | None
    """what imagined training came to; None without it"""
    untold: np.ndarray
    """whether the look or probe did not tell good policies from bad, [R]; the share is then taken to be 1"""


def prepare(spec: Spec, base: Policy, fresh: Policy, init_params: Tree, old: Any) -> Prepared:
    """Where every run starts.

    Args:
        spec: the fine-tune.
        base: the agents' policy as it fits the target, leaves [R, ...].
        fresh: a network just initialised.
        init_params: the agents' parameters before any training.
        old: state of the optimizer that trained the agents, where something of it is kept.
    """
    method, aligned = spec.method, base
    changes: list[Realignment] = []
    look: Look | None = None
    share = np.zeros(spec.num_runs)
    if method.look.steps:
        look = watch(spec, _untouched(spec, base, fresh), spec.task, ON_TARGET)
        share = look.share(spec.task)
    if look and _aligns(spec):
        changes = realign.estimates(spec, experience_before(spec, base), look.experiences)
        aligned = realign.realign(base, changes)
        # What is anchored to the first parameters is anchored to them as they too would read the target.
        init_params = realign.realign(Policy(init_params, base.statistics, base.network), changes).params
        # What the look says of the return is not said of a policy that has changed since; it is trusted as far as
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
        return Prepared(start, source_steps, changes, None, untold)
    source_look: list[Experience] = []
    if method.imagination.source_share:
        source_look = watch(spec, base, spec.source, ON_SOURCE).experiences
    imagined = imagine.imagine(spec, start, look, source_look)
    start = start._replace(policy=imagined.policy, rate=imagined.rate)
    return Prepared(start, source_steps, changes, imagined, untold)


def starting(spec: Spec, base: Policy, fresh: Policy, warm: Policy, source: Source, probe: Probe, old: Any) -> Start:
    """Where training starts, of the agents' policy, a fresh one, and the one after the warm start."""
    return Start(
        policy=warm,
        init_params=fresh.params if spec.method.warm_start.from_scratch else source.init_params,
        source=source,
        share=probe.share,
        probe_steps=spec.method.spent_before() + spec.paid,
        old=old,
        base=_untouched(spec, base, fresh),
    )


def _untouched(spec: Spec, base: Policy, fresh: Policy) -> Policy:
    """Who acts while a look is paid for."""
    return fresh if spec.method.warm_start.from_scratch else base


def _aligns(spec: Spec) -> bool:
    """Whether the target's sensors and actions are compared with those that the policy reads and takes."""
    return spec.method.alignment.acts and same_sizes(spec.before, spec.task)


def _chance(spec: Spec, fresh: Policy, look: Look | None) -> np.ndarray:
    """Return on the target of a policy that knows nothing, [R]: of random actions, or of a fresh policy on the source.

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
    """Standard deviation of an action that is uniform within its bounds, [R]; infinite of discrete actions."""
    space = spec.task.action_space
    widest = (space.high - space.low) / np.sqrt(12.0) if isinstance(space, Box) else np.inf
    return np.full(spec.num_runs, widest, np.float32)


def _warm_start(spec: Spec, base: Policy, fresh: Policy, probe: Probe) -> Policy:
    num, method = spec.num_runs, spec.method
    warm = tree.repeat(as_arrays(method.warm_start), num)
    arguments = devices.put((warm, *spec.seeds, base, fresh, probe), num)
    params, statistics = devices.trim(programs.warm_start(devices.layout(), *arguments), num)
    return Policy(params, statistics, method.warm_start.network(spec.network))


def _source_data(spec: Spec, base: Policy, changes: list[Realignment]) -> tuple[Any, int]:
    """Source experience that the parts of the method ask for, and the steps of each run on earlier tasks in all.

    The policy that it is remembered by reads the target's sensors, and so the experience is told as the target would.
    """
    num_looks = _aligns(spec) + (spec.method.imagination.source_share > 0)
    steps = num_looks * spec.method.look.env_steps + _compares(spec) * spec.method.look.probe_env_steps
    if not spec.method.source_steps:
        return None, steps
    data = host.gather(spec.algo, base, spec.source, spec.seeds, spec.method.source_steps)
    collected = steps + data.obs.shape[1]
    if changes:
        told = [retold(data.obs[i], data.action[i], change) for i, change in enumerate(changes)]
        data = data._replace(obs=np.stack([row[0] for row in told]), action=np.stack([row[1] for row in told]))
    return data, collected
