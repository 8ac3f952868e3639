"""The command `python -m jaxrl_ft.sweep`: methods x shifts x seeds x grids, or a search, resumable, with a report.

Heavy imports wait until the flags are checked, so that a mistake is answered at once.
"""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from jaxrl_ft.commands import exit_status
from jaxrl_ft.commands.exit_status import Ending

if TYPE_CHECKING:
    from jaxrl_ft.commands.sweep_settings import SweepSettings
    from jaxrl_ft.sweeps.cluster import Cluster
    from jaxrl_ft.sweeps.compare import Study
    from jaxrl_ft.sweeps.plan import Plan
    from jaxrl_ft.sweeps.trials import Quest
    from jaxrl_ft.training.agents import Agents


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, 1 if files cannot be written, 2 for a mistake, 130 after SIGINT, 143 after SIGTERM.

    Args:
        argv: the words after the program's name; without it, those of this process.
    """
    return exit_status.run(_command, argv)


def _command(argv: Sequence[str] | None, ending: Ending) -> None:
    began = time.monotonic()
    from jaxrl_ft.commands.sweep_settings import resolve
    from jaxrl_ft.training import devices

    settings = resolve(argv)
    ending.hint = lambda: settings.hint
    with devices.laid_out(settings.flags.layout):
        if settings.flags.dry_run:
            _dry_run(settings)
        else:
            _run(settings, began, ending)


def _dry_run(settings: "SweepSettings") -> None:
    from jaxrl_ft.commands import search_run, sweep_output
    from jaxrl_ft.sweeps import cost
    from jaxrl_ft.training import devices
    from jaxrl_ft.training.finetune import untrained
    from jaxrl_ft.training.programs import store

    devices.prepare()
    store.turn_on()
    if settings.agents is None:
        _pretrained_at_a_time(settings)
    agents = settings.agents or untrained(settings.pretraining_spec())
    search = _search(settings, agents)
    if search is not None:
        settings = replace(settings, methods=settings.methods | {f"{name}+?": m for name, m in search.methods.items()})
    study = _study(settings, agents)
    study = study.limited(most_runs(settings, study.plan))
    sweep_output.print_plan(study, cost.estimate(study.plan))
    if search is not None:
        print(search_run.describe(search))


def _run(settings: "SweepSettings", began: float, ending: Ending) -> None:
    from jaxrl_ft.commands import user_modules
    from jaxrl_ft.sweeps import cluster
    from jaxrl_ft.training import devices
    from jaxrl_ft.training.programs import store

    devices.prepare()
    store.turn_on()
    flags = settings.flags
    modules = user_modules.named(flags.imports)
    with cluster.joined(
        flags.ray, cpus=flags.cpus_per_worker, layout=flags.layout, modules=modules, tell=_log
    ) as workers:
        _sweep(settings, workers, began, ending)


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _sweep(settings: "SweepSettings", workers: "Cluster | None", began: float, ending: Ending) -> None:
    from jaxrl_ft.commands import output, search_run, sweep_output
    from jaxrl_ft.commands.compilation import Compilation, rare_collections
    from jaxrl_ft.core.files import claimed
    from jaxrl_ft.store import run_directory
    from jaxrl_ft.sweeps import directory

    # On workers a run's error is a BatchError; a ValueError there is a worker that differs from this process.
    running = ending.running if workers is None else nullcontext
    place = run_directory.create(settings.out, run_directory.SWEEP)
    with claimed(place) as out, rare_collections(), Compilation().listening() as compilation:
        directory.write_plan(out, settings.plan())
        facts, allow = _facts(workers), settings.flags.allow_changes
        directory.check_conditions(out, facts, allow)
        output.write_config(settings)
        agents = _agents(settings, workers, running)
        facts["agents"] = agents.digest
        directory.check_conditions(out, facts, allow)
        search = _search(settings, agents, workers)
        with running():
            found, notes = search_run.Outcome({}, ()) if search is None else search_run.run(search, out, workers)
        settings = replace(settings, methods=settings.methods | found)
        study, finished = _study(settings, agents), sweep_output.whole_cells(out)
        most = most_runs(settings, study.plan, workers) if len(finished) < len(study.plan.specs) else 0
        study = study.limited(most)
        sweep_output.log_start(study, len(finished), workers)
        with running(), output.recorder(settings, file=False) as told:
            saving = (out / output.CHECKPOINTS / "batches", settings.flags.checkpoint_every)
            callback = told.cell if told.records else None
            for cell in study.spread(workers, list(finished), callback, diverged=True, saving=saving):
                sweep_output.keep(settings, study, finished, cell, facts)
        seconds = time.monotonic() - began
        spent = f"of which {compilation.seconds:.1f} s tracing and compiling {compilation.summary()}"
        took = f"The runs took {seconds:.1f} s, {spent if workers is None else f'on {workers.workers} workers of Ray'}."
        with ending.running():
            sweep_output.write_report(settings, finished, took, notes)
            output.remove_checkpoints(out)
        print(f"Took {time.monotonic() - began:.1f} s in all.")


def _facts(workers: "Cluster | None") -> dict[str, str]:
    """What the numbers depend on beside the plan: the versions, and the devices of a process that trains."""
    from jaxrl_ft.core import machine
    from jaxrl_ft.training import devices

    mesh = devices.mesh().devices
    number = mesh.size if workers is None else workers.setup.devices
    return {**machine.versions(), "devices": f"{number} x {mesh.flat[0].device_kind}"}


def _agents(
    settings: "SweepSettings", workers: "Cluster | None", running: Callable[[], AbstractContextManager[None]]
) -> "Agents":
    """The agents to fine-tune: given, pretrained by an earlier call on this directory, or pretrained now."""
    from jaxrl_ft.commands.output import CHECKPOINTS
    from jaxrl_ft.store import checkpoints, run_directory
    from jaxrl_ft.sweeps.plan import pretrain

    path = run_directory.source_path(settings.out)
    if settings.agents is not None:
        checkpoints.save(settings.agents, path)
        return settings.agents
    if not path.exists():
        # A worker may be on another machine.
        saving = None if workers else (settings.out / CHECKPOINTS / "batches", settings.flags.checkpoint_every)
        most, spec = _pretrained_at_a_time(settings, workers), replace(settings.pretraining_spec(), num_evals=2)
        train = partial(pretrain, spec, settings.source, most, saving)
        # On a worker, whose devices are those that the runs go on with.
        with running():
            agents = train() if workers is None else workers.call(train)
        for number, status in enumerate(agents.status):
            if status != "ok":
                _log(f"pretraining: agent {number} stopped: {status}")
        checkpoints.save(agents, path)
    return checkpoints.load(path)


def _pretrained_at_a_time(settings: "SweepSettings", workers: "Cluster | None" = None) -> int:
    """How many agents pretrain side by side: as many as keep to a limit of memory, or 0 for all where there is none.

    Raises:
        ValueError: not even one keeps to it.
    """
    from jaxrl_ft.sweeps import cost

    if settings.memory_limit is None:
        return 0
    arguments = settings.pretraining_spec(), settings.memory_limit
    return cost.most_pretrained(*arguments) if workers is None else workers.call(cost.most_pretrained, *arguments)


def _study(settings: "SweepSettings", agents: "Agents") -> "Study":
    """The comparison, in batches of what suits the devices."""
    from jaxrl_ft.commands.shared_settings import EPISODES, HELD_OUT_EPISODES
    from jaxrl_ft.sweeps.compare import study

    return study(
        agents,
        settings.targets,
        settings.methods,
        **settings.comparison(),
        episodes=EPISODES,
        held_out_episodes=HELD_OUT_EPISODES,
    )


def _search(settings: "SweepSettings", agents: "Agents", workers: "Cluster | None" = None) -> "Quest | None":
    """The search, in batches that keep to the memory limit; None where none is asked for.

    Raises:
        ValueError: one run takes more.
    """
    from jaxrl_ft.commands import search_run

    if settings.search is None:
        return None
    found = search_run.planned(settings, settings.search, agents)
    return found.limited(most_runs(settings, found.plan(), workers))


def most_runs(settings: "SweepSettings", plan: "Plan", workers: "Cluster | None" = None) -> int:
    """How many runs of a plan's batches keep to the memory limit that there is.

    Raises:
        ValueError: one run takes more.
    """
    from jaxrl_ft.sweeps import cost

    most = cost.most_on(workers, plan, settings.memory_limit or 0)
    if not most:
        raise ValueError(
            f"memory_limit: {settings.flags.memory_limit} is not allowed; one run takes "
            f"{cost.memory_of_a_run(plan) / 1e6:,.1f} MB of memory"
        )
    return most


if __name__ == "__main__":
    sys.exit(main())
