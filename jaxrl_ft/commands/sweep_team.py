"""How the processes of `sweep --distributed` come together, share the work, and end."""

import hashlib
import os
import sys
import threading
from typing import Any, NoReturn

from jaxrl_ft.commands import sweep_output
from jaxrl_ft.commands.exit_status import FAILURE, say
from jaxrl_ft.commands.process_flags import ProcessFlags
from jaxrl_ft.commands.sweep_settings import SweepSettings
from jaxrl_ft.core import machine
from jaxrl_ft.store import checkpoints, packing, run_directory
from jaxrl_ft.sweeps import processes, sharing
from jaxrl_ft.sweeps.compare import Finished, Study
from jaxrl_ft.sweeps.processes import Team
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.devices import mesh

_ENDING = threading.Lock()
_SOON = 10.0


def gathered(settings: SweepSettings) -> Team:
    """The processes of the sweep, which agree on what they do; this one alone without `--distributed`.

    Raises:
        ValueError: not all came, or they disagree.
    """
    flags = settings.flags.processes
    if not flags.distributed:
        return Team()
    _tell_waiting(flags)
    return processes.start(flags.coordinator, flags.num_processes, flags.process_id, lambda: _facts(settings))


def _tell_waiting(flags: ProcessFlags) -> None:
    where = f" at {flags.coordinator}" if flags.coordinator else ""
    print(f"waiting for the other processes{where}", file=sys.stderr, flush=True)


def _facts(settings: SweepSettings) -> dict[str, Any]:
    """What must be the same on all processes for their numbers to be those of one."""
    devices = mesh().devices
    plan = {
        f"the plan's {name}": hashlib.sha256(run_directory.as_json(part).encode()).hexdigest()[:12]
        for name, part in settings.plan().items()
    }
    versions = {name: version for name, version in machine.versions().items() if name in machine.LIBRARIES}
    return {**versions, "devices": f"{devices.size} {devices.flat[0].device_kind}", **plan}


def lead(
    settings: SweepSettings, team: Team, agents: Agents, most: int, study: Study, finished: dict[int, Any]
) -> None:
    """Nothing; every cell of the study is then among the finished ones, and in the directory.

    Args:
        settings: of the sweep.
        team: of process 0.
        agents: to fine-tune.
        most: runs of a batch; with the agents, what the others make the same study from.
        study: what to run.
        finished: cells by number.
    """
    keeper = sweep_output.Keeper(settings, study, finished)
    skip = list(finished)
    dealer = sharing.Dealer(sharing.shares(study.plan, skip), team.count)
    leader = sharing.Lead(team, dealer, lambda cell, body: keeper.keep(cell, *packing.unpack(body)), _stop(settings))
    if team.links:
        leader.begin({"most": most, "finished": skip}, packing.pack(*checkpoints.parts(agents)))
    for cell in study.cells(skip, diverged=True, chosen=leader.batches()):
        keeper.keep(sweep_output.as_stored(cell), *checkpoints.parts(cell.agents))
    leader.wait()


class Helper:
    """A process other than the first.

    Args:
        settings: of the sweep.
        team: of this process.
    """

    def __init__(self, settings: SweepSettings, team: Team) -> None:
        self._help = sharing.Help(team, _stop(settings))

    def begun(self) -> tuple[Agents, int, list[int]]:
        """The agents to fine-tune, how many runs a batch has, and the numbers of the cells that are finished."""
        words, body = self._help.begun()
        return checkpoints.restored(*packing.unpack(body), "process 0"), words["most"], words["finished"]

    def run(self, study: Study, skip: list[int]) -> None:
        """Nothing, once nothing is left to do; what this process finished is then with process 0."""
        for cell in study.cells(skip, diverged=True, chosen=self._help.batches()):
            self._send(cell)

    def _send(self, cell: Finished) -> None:
        words = run_directory.plain(sweep_output.as_stored(cell))
        self._help.finished(words, packing.pack(*checkpoints.parts(cell.agents)))


def _stop(settings: SweepSettings) -> sharing.Told:
    def stop(text: str) -> NoReturn:
        # The main thread may be deep in a compiler. Whatever is being written can be cut off at any moment.
        with _ENDING:
            say(f"error: {text}{settings.hint}", FAILURE)
            os._exit(FAILURE)

    return stop


def end_early(team: Team, text: str) -> None:
    """Nothing; the other processes then know why this one ends, and no other thread of this one speaks any more."""
    if team.links:
        # Who holds it ends the process at once.
        _ENDING.acquire(timeout=_SOON)
        sharing.tell_the_end(team, text)
