"""The flags of a command that several processes share."""

import dataclasses
import re
from typing import Annotated

import tyro

from jaxrl_ft.core import checks

_NUMBER = tyro.conf.arg(metavar="N", help_behavior_hint="")


@dataclasses.dataclass(frozen=True)
class ProcessFlags:
    """Several processes: SLURM, MPI and Kubernetes tell who each is, or the last three flags do."""

    distributed: Annotated[bool, tyro.conf.arg(help_behavior_hint="")] = False
    """this is one of several processes that share the sweep; process 0 writes the directory and the report"""
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT", help_behavior_hint="")] = None
    """the machine of process 0, and a port that is free there"""
    num_processes: Annotated[int | None, _NUMBER] = None
    """how many processes there are"""
    process_id: Annotated[int | None, _NUMBER] = None
    """which of them this is, from 0"""

    def check(self) -> None:
        """Refuses what no process could meet by.

        Raises:
            ValueError: names the field, the value and what is allowed.
        """
        for name in ("coordinator", "num_processes", "process_id"):
            if getattr(self, name) is not None and not self.distributed:
                raise ValueError(f"{name}: {getattr(self, name)!r} is not allowed without --distributed")
        port = re.fullmatch(r".+:(\d{1,5})", self.coordinator or "")
        if self.coordinator is not None and not (port and 0 < int(port[1]) < 2**16):
            raise ValueError(f"coordinator: {self.coordinator!r} is not allowed; it must be HOST:PORT")
        if self.num_processes is not None:
            checks.count("num_processes", self.num_processes)
        if self.process_id is not None:
            checks.count("process_id", self.process_id, 0, (self.num_processes or 2**31) - 1)
