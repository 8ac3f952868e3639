"""What a command line of `sweep` asks for, resolved and checked, before anything compiles or is written."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import tyro

from jaxrl_ft.commands import command_line, options, output, search_settings, short_help, user_modules
from jaxrl_ft.commands.options import listed, texts
from jaxrl_ft.commands.search_settings import SearchSettings
from jaxrl_ft.commands.shared_settings import (
    EPISODES,
    EVAL_EPISODES,
    HELD_OUT_EPISODES,
    NUM_EVALS,
    REFERENCES,
    SOURCE,
    SWITCH,
    SharedFlags,
    SharedSettings,
    bytes_of,
    first_agents,
    given_or,
    name,
    names,
    network_of,
)
from jaxrl_ft.core import checks
from jaxrl_ft.core.config import to_json
from jaxrl_ft.core.files import Json
from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.table import AnyTable
from jaxrl_ft.defaults.pretraining import Pretraining
from jaxrl_ft.envs.catalogue import held_out_tasks, make_task
from jaxrl_ft.envs.named_shifts import SHIFTS, shift_of, shifts_of
from jaxrl_ft.envs.shifts import DEFAULT_SHIFT
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods import grids
from jaxrl_ft.methods.catalogue import METHODS, RECOMMENDED
from jaxrl_ft.nets.catalogue import NETWORKS
from jaxrl_ft.rl.catalogue import ALGOS
from jaxrl_ft.rl.ppo import PPO
from jaxrl_ft.store import run_directory
from jaxrl_ft.sweeps import cells, directory
from jaxrl_ft.sweeps.cluster import LOCAL
from jaxrl_ft.sweeps.proposals import MOST_TRIALS, SEARCHES
from jaxrl_ft.training.devices import LAYOUTS
from jaxrl_ft.training.finetune import untrained
from jaxrl_ft.training.spec import Budget, Spec, pretraining_spec

PROGRAM = "python -m jaxrl_ft.sweep"
PURPOSE = (
    "Fine-tunes agents by every method to every shift, over many seeds and grids, with as few compiled programs as the "
    f"methods' structures allow, and reports it. {', '.join(REFERENCES)} always run. Values behind several --shifts, "
    f"--methods, --grid or --space add up; any other flag is given once.\n\nsearch: {', '.join(SEARCHES)}"
)
TABLES: Mapping[str, AnyTable] = {"shifts": SHIFTS, "methods": METHODS, "algo": ALGOS, "network": NETWORKS}
FIRST = {
    "task and method": ("source", "shifts", "methods", "grid", "agents", "imports", "resume"),
    "budget and output": ("seeds", "seed", "pretrain_steps", "steps", "dry_run", "out", "help_all"),
    "search": ("search", "space", "trials"),
}
"""The flags of the short help."""


@dataclasses.dataclass(frozen=True)
class SweepFlags(SharedFlags):
    """The flags of `sweep`."""

    shifts: Annotated[tuple[str, ...], names(DEFAULT_SHIFT)] = ()
    """named changes from source to target; `all` for every one"""
    methods: Annotated[tuple[str, ...], names(RECOMMENDED)] = ()
    """fine-tuning methods beside zero_shot, scratch and full; `all` for every one"""
    grid: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=V,V ...", help_behavior_hint="")] = ()
    """values of fields of the methods, such as optimizer.learning-rate=1e-4,1e-3; every combination runs"""
    algo: Annotated[str | None, name("the source's, ppo on CartPole")] = None
    """algorithm that pretrains and fine-tunes"""
    network: Annotated[str | None, name("mlp")] = None
    """kind of the networks; what the algorithm usually has of it"""
    search: Annotated[str | None, name("none")] = None
    """search the --space of each method on validation tasks, and run the best of each beside it; one of those above"""
    space: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=LOW:HIGH[:log] ...", help_behavior_hint="")] = ()
    """what --search may choose for a field of the methods: a range, or choices as FIELD=V,V"""
    trials: int = 32
    """budget of --search for each method, in trials of --steps env steps"""
    search_seeds: int = 4
    """agents of each trial of --search, and so its runs on each validation task"""
    layout: Annotated[str, tyro.conf.arg(metavar="|".join(LAYOUTS))] = "fast"
    """how runs lie on the devices; with `exact` the others of a sweep change no bit of a run, and it takes longer"""
    memory_limit: Annotated[str | None, tyro.conf.arg(metavar="BYTES", help_behavior_hint="(default: half)")] = None
    """memory for the programs of a process, such as 500M or 4G, and not half of what is free; also for pretraining"""
    allow_changes: Annotated[bool, SWITCH] = False
    """go on in --out although versions, devices or pretrained agents are not those of its cells; the report says so"""
    dry_run: Annotated[bool, SWITCH] = False
    """print what would run, what it compiles, and about how long and how much memory it takes, without training"""
    ray: Annotated[str | None, tyro.conf.arg(metavar="[HOST:PORT]", help_behavior_hint="")] = None
    """share the sweep among workers of the Ray cluster whose head is there; without an address, of the cluster that
    RAY_ADDRESS names, or of one on this machine alone"""
    cpus_per_worker: int = 1
    """CPUs of each worker of --ray, which are its devices where it has no GPU"""

    def check(self) -> None:
        """Refuse numbers outside their ranges.

        Raises:
            ValueError: names the field, the value and what is allowed.
        """
        super().check()
        checks.choice("layout", self.layout, LAYOUTS)
        checks.count("cpus_per_worker", self.cpus_per_worker)
        if self.dry_run and self.ray:
            raise ValueError("dry_run: is not allowed with --ray; it says what one process would do")
        checks.count("trials", self.trials, 1, MOST_TRIALS)
        checks.count("search_seeds", self.search_seeds, 1, 2**31 - 1)


@dataclasses.dataclass(frozen=True)
class SweepSettings(SharedSettings):
    """A sweep."""

    flags: SweepFlags
    targets: dict[str, Task]
    held_out: dict[str, list[tuple[str, Task]]]
    """tasks by target that are only ever evaluated on, each with its kind"""
    search: SearchSettings | None
    memory_limit: int | None
    """bytes"""

    @property
    def hint(self) -> str:
        """What is finished and how to go on, to be printed behind the reason of an early end."""
        saved = self.agents is None and run_directory.source_path(self.out).exists()
        if self.flags.dry_run or not (saved or directory.anything_finished(self.out) or output.anything_kept(self.out)):
            return "; nothing was finished"
        return f"; what was finished is in {self.out}, and `{self.command.resuming(self.out)}` goes on from there"

    def comparison(self) -> dict[str, Json]:
        """The arguments of `study` beside agents, targets and methods."""
        return {"budget": self.budget, "seeds": self.flags.seeds, "held_out": self.held_out}

    @property
    def network(self) -> Network:
        """The network of pretraining."""
        return network_of(self.pretraining.usual_network(self.source), self.flags.network)

    def pretraining_spec(self) -> Spec:
        """The spec of pretraining.

        Raises:
            ValueError: an argument is not allowed.
        """
        usual, budget = self.pretraining, Budget(self.pretrain_steps, self.flags.seed, NUM_EVALS, EVAL_EPISODES)
        parts = usual.algo, self.network, usual.optimizer
        return pretraining_spec(self.source, *parts, self.flags.seeds, budget)

    def plan(self) -> dict[str, Json]:
        """Everything that decides the numbers of a sweep, as JSON; not where it is written and what it may take."""
        flags = self.flags
        given = {} if self.agents is None else {"agents": self.agents.digest}
        return {
            **given,
            "source": to_json(self.source),
            "targets": {name: to_json(task) for name, task in self.targets.items()},
            "methods": {name: to_json(method) for name, method in self.methods.items()},
            "held_out": {name: [[kind, to_json(task)] for kind, task in rows] for name, rows in self.held_out.items()},
            **(self._pretraining_plan() if self.agents is None else {}),
            **({} if flags.network is None else {"network": to_json(self.network)}),
            **{name: getattr(flags, name) for name in ("seeds", "seed", "steps", "layout")},
            "num_evals": NUM_EVALS,
            "episodes": [EVAL_EPISODES, EPISODES, HELD_OUT_EPISODES],
            **({} if self.search is None else {"search": self.search.plan()}),
        }

    def _pretraining_plan(self) -> dict[str, Json]:
        """The steps of pretraining, and whichever of its parts are not those of an environment without defaults."""
        usual, plain = self.pretraining, Pretraining(PPO())
        parts = {name: (getattr(usual, name), getattr(plain, name)) for name in ("algo", "optimizer", "network")}
        differing = {name: to_json(own) for name, (own, other) in parts.items() if own != other}
        return {"pretrain_steps": self.pretrain_steps, **differing}


def resolve(argv: Sequence[str] | None = None) -> SweepSettings:
    """The settings of a command line; without one, of the program's own.

    Raises:
        ValueError: something is not allowed; in one line.
        SystemExit: help was asked for, or the parser refused a flag and has printed why.
    """
    command = command_line.command(PROGRAM, sys.argv[1:] if argv is None else argv)
    words = options.joined(_with_cluster(command.words), SweepFlags)
    flags = tyro.cli(SweepFlags, args=short_help.without(words), prog=PROGRAM)
    loaded = user_modules.load(flags.imports)
    if flags.help_all:
        tyro.cli(SweepFlags, args=["--help"], prog=PROGRAM, description=texts(TABLES, PURPOSE))
    if any(word in short_help.HELP for word in command.words):
        short_help.show(PROGRAM, listed(TABLES, PURPOSE), FIRST, SweepFlags(), {})
    flags.check()
    if flags.agents is not None and flags.source is not None:
        raise ValueError("source: is not allowed with --agents, whose source is known")
    how = "--agents" if flags.init_from is None else "--init-from"
    trained = flags.agents is not None or flags.init_from is not None
    if trained and options.given(words, "--pretrain-steps"):
        raise ValueError(f"pretrain_steps: is not allowed with {how}, whose agents are trained already")
    for field in ("algo", "network"):
        if trained and getattr(flags, field) is not None:
            raise ValueError(f"{field}: is not allowed with {how}, who have theirs")
    agents = first_agents(flags)
    id = agents.source.id if agents else given_or(flags.source, SOURCE)
    source = agents.source if agents else make_task(id)
    shifts = _shifts(flags.shifts, id)
    methods = {name: METHODS[name] for name in _chosen(flags.methods or (RECOMMENDED,), METHODS)}
    grid = _grid(flags.grid)
    chosen = grids.expanded(methods, grid)
    targets = {name: make_task(id, name) for name in shifts}
    held_out = {name: held_out_tasks(id, name) for name in shifts}
    settings = SweepSettings(
        command=dataclasses.replace(command, lacks=user_modules.unnamed(command.words, loaded, agents)),
        flags=flags,
        agents=agents,
        source=source,
        targets=targets,
        held_out=held_out,
        methods={
            **{name: METHODS[name] for name in REFERENCES},
            **chosen,
        },
        search=search_settings.resolve(flags, methods, source, targets, held_out),
        memory_limit=None if flags.memory_limit is None else bytes_of(flags.memory_limit),
        out=run_directory.check(flags.out, run_directory.SWEEP),
    )
    _check(settings)
    output.check_trackers(flags)
    command_line.check(settings.command, settings.plan())
    return settings


def _with_cluster(words: Sequence[str]) -> list[str]:
    """The words with an address behind a bare `--ray`.

    Raises:
        ValueError: a word is a flag of an earlier version.
    """
    for word in words:
        flag = word.partition("=")[0].replace("_", "-")
        if flag in command_line.GONE:
            raise ValueError(f"{flag}: is not a flag any more; --ray shares a sweep among processes and hosts")
    following = [*words[1:], "--"]
    bare = [word == "--ray" and after.startswith("-") for word, after in zip(words, following)]
    return [part for word, alone in zip(words, bare) for part in ([word, LOCAL] if alone else [word])]


def _shifts(names: Sequence[str], id: str) -> list[str]:
    """The shifts of an environment that are asked for, as the table writes them.

    Raises:
        ValueError: one of another environment, or none where there is no default.
    """
    own = shifts_of(id)
    if not names and DEFAULT_SHIFT not in own:
        raise ValueError(f"shifts: none is given; those of {id} are: {', '.join(own) or 'none'}")
    named = _chosen(names or (DEFAULT_SHIFT,), SHIFTS)
    return list(own) if "all" in names else [name for name in named if shift_of(id, name)]


def _chosen(names: Sequence[str], table: AnyTable) -> list[str]:
    """The names as the table writes them, each once; `all` for every one."""
    named = list(dict.fromkeys(table.name(name) for name in names if name != "all"))
    return list(table) if "all" in names else named


def _grid(words: Sequence[str]) -> dict[str, list[str]]:
    """The values of every field, each once, those of a field that is named twice together."""
    grid: dict[str, list[str]] = {}
    for word in words:
        field, equals, values = word.partition("=")
        found = [value for value in values.split(",") if value]
        if not equals or not found:
            raise ValueError(f"grid: {word!r} is not allowed; it must be FIELD=VALUE,VALUE with one value at least")
        name = field.replace("-", "_")
        grid[name] = list(dict.fromkeys([*grid.get(name, []), *found]))
    return grid


def _check(settings: SweepSettings) -> None:
    """Make every check of pretraining, the search and the comparison, before anything is written.

    Raises:
        ValueError: something is not allowed.
    """
    flags, agents, search = settings.flags, settings.agents, settings.search
    if agents is None:
        agents = untrained(settings.pretraining_spec())
    cells.checked(agents, settings.targets, settings.methods, **settings.comparison())
    if search is not None:
        seeds = min(search.seeds, flags.seeds)
        cells.checked(agents, search.validation, search.corners(), budget=settings.budget, seeds=seeds)
    directory.check_plan(settings.out, settings.plan())
