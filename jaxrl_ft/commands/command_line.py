"""The command line that repeats a run: as a report shows it, and as `--from-run` takes it from an earlier run."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxrl_ft.analysis.marks import code
from jaxrl_ft.core import machine
from jaxrl_ft.core.files import Json
from jaxrl_ft.store import run_directory

CONFIG = "config.json"
FROM_RUN, RESUME, AGENTS, INIT_FROM = "--from-run", "--resume", "--agents", "--init-from"
GONE = ("--distributed", "--coordinator", "--num-processes", "--process-id")
"""Flags of earlier versions, which a run that is repeated may have had."""
WORKERS = ("--ray", "--cpus-per-worker")
TRACKING = ("--tracker", "--tracker-project", "--tracker-run")
PLACES = ("--out", FROM_RUN, *WORKERS, *TRACKING, *GONE)
"""Flags for where a run is written, computed and shown, which change no result."""
ALIASES = {"--finetune-steps": "--steps"}
"""Flags by other names for them."""
VARIABLES, STORES = ("JAX_", "XLA_FLAGS"), ("CACHE", "_DIR")
"""How environment variables begin that change what is computed; of these, what stands in the names of mere places."""


@dataclass(frozen=True)
class Command:
    """A command line with what its repetition needs."""

    program: str
    """`python -m ...`"""
    words: tuple[str, ...]
    """what follows the program"""
    environment: Mapping[str, str]
    """variables of JAX and XLA that were set"""
    repeated: Path | None = None
    """the directory of the run that is repeated without changes"""
    resumed: bool = False
    """whether that run goes on, in its own directory"""
    lacks: tuple[str, ...] = ()
    """modules that were imported from Python, and that the words do not import"""

    def shell(self) -> str:
        """The line for a shell."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*variables, self.program, shlex.join(self.words)]).strip()

    def description(self) -> dict[str, Json]:
        """The command line as `config.json` holds it."""
        return {"program": self.program, "command": list(self.words), "environment": dict(self.environment)}

    def resuming(self, out: Path) -> str:
        """The line for a shell that goes on with the run in `out`."""
        return f"{self.program} {RESUME} {shlex.quote(str(out))}"

    def notes(self, out: Path) -> list[str]:
        """Sentences for the report on how to repeat the run whose results are in `out`."""
        found = [f"Command: {code(self.shell())}."]
        names = {name for name, _ in _flags(self.words)}
        if self.lacks:
            found.append(
                f"The command lacks what the modules {', '.join(self.lacks)} registered, which were imported from "
                "Python; add --import for each."
            )
        if AGENTS in names:
            found.append("The command needs the agents as they were; a copy is in `agents/source`.")
        if INIT_FROM in names:
            found.append("The command needs the file as it was; the agents made of it are in `agents/source`.")
        return [*found, f"{code(f'{self.program} {FROM_RUN} {shlex.quote(str(out))}')} repeats the run."]


def command(program: str, words: Sequence[str]) -> Command:
    """The command line with `--from-run DIR` replaced by the words of that run, but for flags that are given anew.

    Saved agents that the run was given are taken from its own copy.

    Args:
        program: `python -m ...`, which must be that of the run.
        words: what follows the program.

    Raises:
        ValueError: DIR holds no run of the program.
    """
    variables = {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(VARIABLES) and not any(part in name for part in STORES)
    }
    given = _flags(words)
    if RESUME in [name for name, _ in given]:
        return _resumed(program, given, variables)
    directory = next((values[0] for name, values in given if name == FROM_RUN and values), None)
    if directory is None:
        return Command(program, tuple(words), variables)
    names = {name for name, _ in given} - {FROM_RUN, ""}
    kept = [
        word
        for name, values in _flags(_config(program, directory)["command"])
        if name not in PLACES and not any(name == new or name.startswith(f"{new}.") for new in names)
        for word in (name, *([directory] if name == AGENTS else values))
    ]
    new = [word for name, values in given if name != FROM_RUN for word in ([name] * bool(name) + values)]
    return Command(program, (*kept, *new), variables, None if names - set(PLACES) else Path(directory))


def _resumed(program: str, given: list[tuple[str, list[str]]], variables: Mapping[str, str]) -> Command:
    """The command line of a run that goes on in its own directory."""
    values = next(values for name, values in given if name == RESUME)
    others = {name: values for name, values in given if name != RESUME}
    if len(values) != 1 or others.keys() - set(WORKERS):
        raise ValueError(
            f"resume: takes one directory and no other flag but {' and '.join(WORKERS)}, as in {RESUME} DIR; a run "
            "goes on as it was begun"
        )
    directory = values[0]
    kept = [
        word
        for name, theirs in _flags(_config(program, directory, "resume")["command"])
        if name not in ("--out", FROM_RUN, *others)
        for word in ([name] * bool(name) + theirs)
    ]
    new = [word for name, theirs in others.items() for word in (name, *theirs)]
    return Command(program, (*kept, *new, "--out", directory), variables, Path(directory), resumed=True)


def check(command: Command, plan: Mapping[str, Json]) -> None:
    """Refuse to repeat a run if its command line now means something else, as after a default has changed.

    Args:
        command: the command line.
        plan: what it means here, as JSON by name.

    Raises:
        ValueError: it means something else; names the first difference.
    """
    if command.repeated is None:
        return
    field = "resume" if command.resumed else "from_run"
    recorded = _config(command.program, command.repeated, field)
    changed = machine.differences(recorded.get("versions", {}), machine.versions()) if command.resumed else []
    if changed:
        name, before, now = changed[0]
        raise ValueError(
            f"resume: {str(command.repeated)!r} was begun with {name} {before}, and this is {now}; use {FROM_RUN}"
        )
    for name, ours in json.loads(run_directory.as_json(plan)).items():
        theirs = recorded.get(name)
        if name == "methods":
            # Advice and searches add methods while they run.
            theirs = {method: (theirs or {}).get(method) for method in ours}
        if ours != theirs:
            version = recorded.get("versions", {}).get("jaxrl-ft")
            raise ValueError(
                f"{field}: {str(command.repeated)!r} cannot be repeated: its command line gives another {name!r} "
                f"here; it ran with jaxrl-ft {version}"
            )


def _config(program: str, directory: str | Path, field: str = "from_run") -> dict[str, Json]:
    """The `config.json` of a run."""
    try:
        config: dict[str, Json] = json.loads((Path(directory) / CONFIG).read_bytes())
        own = config["program"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{field}: {str(directory)!r} is not the directory of a run") from None
    if own != program:
        raise ValueError(f"{field}: {str(directory)!r} is not allowed; {own} made it, and this is {program}")
    return config


def _flags(words: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Every flag, spelt with `-`, with its values; words before the first flag are values of ``."""
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            name = name.replace("_", "-")
            found.append((ALIASES.get(name, name), [value] * bool(equals)))
        elif word.startswith("-h"):
            found.append((word, []))
        else:
            if not found:
                found.append(("", []))
            found[-1][1].append(word)
    return found
