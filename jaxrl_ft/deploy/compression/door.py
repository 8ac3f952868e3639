"""The public door of compressions: checks, the compression itself, and what was measured before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.deploy.compression import folder, packing, report
from jaxrl_ft.deploy.compression.base import Compression, Given, policy_of, with_policy
from jaxrl_ft.deploy.compression.catalogue import COMPRESSIONS
from jaxrl_ft.deploy.compression.measure import (
    Measured,
    Tasks,
    checked_tasks,
    plain,
    returns_on,
    size_of,
    statistics_of,
)
from jaxrl_ft.deploy.compression.record import Compressed
from jaxrl_ft.envs.task import Task
from jaxrl_ft.store import run_directory
from jaxrl_ft.training.agents import Agents, check_is_agents
from jaxrl_ft.training.compatibility import check_sizes

EPISODES, STEPS, SEED = 100, 20_480, 4


def compress(
    agents: Agents,
    how: str | Compression = "int8",
    *,
    task: Task | None = None,
    steps: int = STEPS,
    seed: int = SEED,
    base: Agents | None = None,
    tasks: Tasks | None = None,
    episodes: int = EPISODES,
    progress: bool = True,
) -> Compressed:
    """The policies of agents in less space, with what that costs and keeps; the given agents are untouched.

    Policies alone are compressed. Critics stay as they are in `.agents`, and are left out of files. `.agents` have the
    parameters that are read from the file, so that `ft.evaluate`, `ft.export`, `ft.finetune` and `ft.save` take them as
    any others.

    Args:
        agents: S agents.
        how: a name in `ft.COMPRESSIONS`, or a config such as `ft.Quantize(bits=4)`.
        task: where a compression that trains does so; the task that the agents were trained on last without it.
        steps: env steps that each agent takes for that, rounded up to whole updates.
        seed: of the random numbers; 0 <= seed < 2^32.
        base: the agents that these were fine-tuned from, which `delta` stores changes of.
        tasks: tasks to evaluate on by name, a task or a sequence of tasks each. Without it the source, the target where
            the agents were fine-tuned to one, and held-out tasks around it.
        episodes: greedy episodes of each agent on each task, before and after; 0 evaluates nothing.
        progress: show a bar while it trains.

    Raises:
        ValueError: an argument is not allowed, or the compression cannot take these agents; raised before anything
            compiles.
    """
    checks.kind("how", how, (str, Compression), "a name, or a compression such as ft.COMPRESSIONS has")
    name = COMPRESSIONS.name(how) if isinstance(how, str) else COMPRESSIONS.nearest_name(how)
    return _each(agents, {name: how}, task, steps, seed, base, tasks, episodes, progress)[0]


def chosen(how: str | Compression) -> Compression:
    """The compression of a name, or the compression itself.

    Raises:
        ValueError: there is none of this name, or a field of it is not allowed.
    """
    found = COMPRESSIONS[how] if isinstance(how, str) else how
    check_config(found, "compression", Compression)
    return found


def checked(
    agents: Agents,
    hows: Mapping[str, str | Compression],
    task: Task | None,
    steps: int,
    seed: int,
    base: Agents | None,
    progress: bool,
) -> Given:
    """What compressions work on, after every check.

    Raises:
        ValueError: as in `compress`.
    """
    check_is_agents(agents)
    if task is not None:
        check_sizes(agents, task)
    if base is not None:
        checks.kind("base", base, Agents, "Agents, as ft.pretrain returns")
    checks.switch("progress", progress)
    broken = np.flatnonzero(~tree.finite_runs((agents.params, agents.statistics), agents.num_seeds))
    if broken.size:
        named = ", ".join(map(str, broken))
        raise ValueError(f"agents: not finite: {named} of {agents.num_seeds}; agents.select(...) takes the others")
    given = Given(
        agents, agents.task if task is None else task, checks.count("steps", steps), checks.seed(seed), base, progress
    )
    for how in hows.values():
        chosen(how).refuse(given)
    return given


def measured_before(agents: Agents, tasks: Tasks, episodes: int) -> Measured:
    """What policies take and return as they are."""
    size = size_of(agents, plain(policy_of(agents)), plain(statistics_of(agents)), episodes > 0)
    return Measured(size, returns_on(agents, tasks, episodes))


def compressed(name: str, how: Compression, given: Given, before: Measured, tasks: Tasks, episodes: int) -> Compressed:
    """Compressed policies of agents that were measured before.

    Args:
        name: of the compression.
        how: the compression.
        given: what it works on.
        before: what the policies took and returned.
        tasks: to evaluate on.
        episodes: on each.
    """
    prepared = how.prepare(given)
    packed = {path: how.pack(path, leaf, given) for path, leaf in policy_of(prepared).items()}
    bases = {} if given.base is None else policy_of(given.base)
    policy: dict[str, np.ndarray] = {path: packing.unpack(part, bases.get(path)) for path, part in packed.items()}
    statistics = plain(statistics_of(prepared))
    spent = int((prepared.env_steps - given.agents.env_steps).max())
    line = f"policy: compressed by {name}" + (f", after {spent:,} env steps" if spent else "")
    agents = replace(
        prepared,
        params=with_policy(prepared.params, policy),
        opt_state=None,
        report=(*prepared.report, line),
    )
    after = Measured(size_of(agents, packed, statistics, episodes > 0), returns_on(agents, tasks, episodes))
    digest = given.base.digest if how.needs_base and given.base is not None else None
    return Compressed(agents, name, how, packed, statistics, before, after, spent, digest)


def compress_all(
    agents: Agents,
    hows: Sequence[str],
    *,
    task: Task | None = None,
    steps: int = STEPS,
    seed: int = SEED,
    base: Agents | None = None,
    tasks: Tasks | None = None,
    episodes: int = EPISODES,
    progress: bool = True,
) -> list[Compressed]:
    """`compress` by several compressions, with one measurement before.

    Args:
        agents: S agents.
        hows: names in `ft.COMPRESSIONS`.
        task: as in `compress`.
        steps: as in `compress`, of each.
        seed: as in `compress`.
        base: as in `compress`.
        tasks: as in `compress`.
        episodes: as in `compress`.
        progress: as in `compress`.

    Raises:
        ValueError: as `compress`; all are checked before the first one begins.
    """
    named = {COMPRESSIONS.name(how): COMPRESSIONS[how] for how in hows}
    if not named:
        raise ValueError(f"with: needs at least one of: {', '.join(COMPRESSIONS)}")
    return _each(agents, named, task, steps, seed, base, tasks, episodes, progress)


def _each(
    agents: Agents,
    hows: Mapping[str, str | Compression],
    task: Task | None,
    steps: int,
    seed: int,
    base: Agents | None,
    tasks: Tasks | None,
    episodes: int,
    progress: bool,
) -> list[Compressed]:
    """Compressions by name of the same agents, all checked before the first one begins, with one measurement before."""
    given = checked(agents, hows, task, steps, seed, base, progress)
    played, number = checked_tasks(agents, tasks), checks.count("episodes", episodes, 0)
    before = measured_before(agents, played, number)
    return [compressed(name, chosen(how), given, before, played, number) for name, how in hows.items()]


def write(
    agents: Agents,
    out: str | Path,
    hows: Sequence[str],
    *,
    steps: int = STEPS,
    seed: int = SEED,
    base: Agents | None = None,
    episodes: int = EPISODES,
) -> tuple[Path, str]:
    """Compress by several compressions into a folder; returns it and the table.

    Args:
        agents: S agents.
        out: the folder; a new or an empty one, or one of an earlier compress.
        hows: names in `ft.COMPRESSIONS`.
        steps: as in `compress`.
        seed: as in `compress`.
        base: as in `compress`.
        episodes: as in `compress`.

    Raises:
        ValueError: as `compress_all`, or the folder cannot be used; nothing is written then.
    """
    run_directory.check(out, folder.COMMAND)
    found = compress_all(agents, hows, steps=steps, seed=seed, base=base, episodes=episodes)
    return folder.write(out, found), report.table(found)
