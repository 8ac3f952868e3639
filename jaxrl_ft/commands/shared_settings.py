"""What `train` and `sweep` share: flags with their defaults, numbers that no flag sets, and the settings they make."""

import dataclasses
import re
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import tyro

from jaxrl_ft.commands.command_line import Command
from jaxrl_ft.commands.short_help import HelpAll
from jaxrl_ft.core import checks
from jaxrl_ft.core.files import Json
from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.defaults.pretraining import Pretraining, pretraining
from jaxrl_ft.envs.catalogue import make_task
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.method import Method
from jaxrl_ft.nets.catalogue import NETWORKS
from jaxrl_ft.store import checkpoints, run_directory, zoo
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.resume.checkpoint import EVERY, LONGEST
from jaxrl_ft.training.spec import Budget

REFERENCES = ("zero_shot", "scratch", "full")
"""The methods of every run."""
NUM_EVALS, EVAL_EPISODES = 11, 16
"""Evaluations of each learning curve, and greedy episodes of each of them."""
EPISODES, HELD_OUT_EPISODES = 64, 16
"""Greedy episodes after training on source and target, and on each held-out task."""
SOURCE = "CartPole-v1"
"""The environment to pretrain on where none is named."""
_MOST_ENTRIES = 16
"""Entries at most of an array that a flag takes."""
MODULES = tyro.conf.arg(name="import", metavar="MODULE ...", help_behavior_hint="")
SWITCH = tyro.conf.arg(help_behavior_hint="")
FILE = tyro.conf.arg(metavar="FILE", help_behavior_hint="")


def given_or(value: str | None, default: str) -> str:
    """The value of a flag, or its default where the flag was not given; an empty value is a value."""
    return default if value is None else value


def bytes_of(text: str) -> int:
    """A size such as 500M or 4G in bytes.

    Raises:
        ValueError: it is no size above 0.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if not match or not float(match[1]):
        raise ValueError(f"memory_limit: {text!r} is not allowed; it must be a size such as 500M or 4G")
    return int(float(match[1]) * 1000 ** "_KMGT".index(match[2].upper() or "_"))


def network_of(usual: Network, kind: str | None) -> Network:
    """The network of a kind: the usual one where it is of that kind, else one that normalises layers as that does.

    Raises:
        ValueError: no such kind.
    """
    chosen = usual if kind is None else NETWORKS[kind]
    if type(chosen) is type(usual):
        return usual
    return cast(Network, dataclasses.replace(cast(PyTree, chosen), layer_norm=usual.layer_norm))


def directory(default: str = "") -> Any:
    """A flag that takes a directory."""
    return tyro.conf.arg(metavar="DIR", help_behavior_hint=f"(default: {default})" if default else "")


def name(default: str) -> Any:
    """A flag that takes a name."""
    return tyro.conf.arg(metavar="NAME", help_behavior_hint=f"(default: {default})")


def names(default: str = "") -> Any:
    """A flag that takes names."""
    return tyro.conf.arg(metavar="NAME ...", help_behavior_hint=f"(default: {default})" if default else "")


@dataclasses.dataclass(frozen=True)
class SharedFlags:
    """The flags of both commands."""

    imports: Annotated[tuple[str, ...], MODULES] = ()
    """modules, or paths of .py files, that are imported first, so that what they register can be named"""
    resume: Annotated[str | None, directory()] = None
    """go on with the run in this directory where it was cut off, as it was begun; takes no other flag"""
    from_run: Annotated[str | None, directory()] = None
    """repeat the run whose results are in this directory; other flags override its own"""
    agents: Annotated[str | None, directory("pretrain")] = None
    """saved agents, the directory of an earlier run, or `zoo:NAME`, to fine-tune instead of pretraining"""
    init_from: Annotated[str | None, FILE] = None
    """policy of Stable-Baselines3, SBX, CleanRL or torch, safetensors, npz or flax, or `zoo:NAME`, to fine-tune instead
    of pretraining; its task is the source"""
    init_normalizer: Annotated[str | None, FILE] = None
    """statistics of that policy's observations: a VecNormalize file, npz, safetensors or JSON"""
    source: Annotated[str | None, name("CartPole-v1, or the agents' own")] = None
    """environment to pretrain on"""
    seeds: int = 16
    """number of agents pretrained, and of runs of each method on each target"""
    seed: int = 0
    """seed of everything random, from 0 to 2^32 - 1"""
    pretrain_steps: Annotated[int | None, tyro.conf.arg(help_behavior_hint="(default: the source's)")] = None
    """env steps of each agent on the source; 40,960 on CartPole with its default algorithm"""
    steps: int = 20_480
    """env steps of each run on its target; --finetune-steps is another name for it"""
    out: Annotated[str | None, directory("runs/<time>")] = None
    """where to write; `train` writes over an earlier run, `sweep` goes on with one that has the same plan"""
    tracker: Annotated[tuple[str, ...], names()] = ()
    """where metrics are sent too: tensorboard, wandb, mlflow"""
    tracker_project: str = "jaxrl_ft"
    """project of wandb, and experiment of mlflow"""
    tracker_run: Annotated[str | None, name("the name of --out")] = None
    """group of the runs that wandb and mlflow show"""
    checkpoint_every: float = EVERY
    """seconds between two checkpoints of what trains, from which --resume goes on"""
    verbose: Annotated[bool, SWITCH] = False
    """print every table, and what each method changed in the agents"""
    help_all: HelpAll = False
    """show every flag, and leave"""

    def check(self) -> None:
        """Refuse numbers outside their ranges.

        Raises:
            ValueError: names the field, the value and what is allowed.
        """
        checks.seed(self.seed)
        checks.number("checkpoint_every", self.checkpoint_every, 0.0, LONGEST, "s")
        for field in ("seeds", "pretrain_steps", "steps"):
            if getattr(self, field) is not None:
                checks.count(field, getattr(self, field), 1, 2**31 - 1)


@dataclasses.dataclass(frozen=True)
class SharedSettings:
    """What a command line of either command asks for, resolved and checked."""

    command: Command
    """the command line"""
    flags: Any
    """its flags without a dot, which have those of `SharedFlags`"""
    agents: Agents | None
    """the agents to fine-tune, or None to pretrain them"""
    source: Task
    """the task they are pretrained on"""
    methods: dict[str, Method]
    """all methods by name, the references first"""
    out: Path
    """the directory of results; not made yet"""

    @property
    def pretraining(self) -> Pretraining:
        """What pretraining takes by default on the source, with the algorithm that a flag names."""
        return pretraining(self.source.id, self.flags.algo)

    @property
    def pretrain_steps(self) -> int:
        """Environment steps of pretraining."""
        asked: int | None = self.flags.pretrain_steps
        return self.pretraining.steps if asked is None else asked

    @property
    def finetune_seed(self) -> int:
        """The seed of fine-tuning: half of all seeds away from that of pretraining, so that no key is used twice."""
        return seed_away(self.flags.seed, 2)

    @property
    def probe_seed(self) -> int:
        """The seed of a probe or a search before fine-tuning: a quarter of all seeds away, for the same reason."""
        return seed_away(self.flags.seed, 4)

    @property
    def budget(self) -> Budget:
        """The numbers of each fine-tune."""
        return Budget(self.flags.steps, self.finetune_seed, NUM_EVALS, EVAL_EPISODES)

    def plan(self) -> dict[str, Json]:
        """What the command line means, as JSON."""
        raise NotImplementedError


def seed_away(seed: int, parts: int) -> int:
    """The seed that is one of so many equal parts of all seeds away, so that streams of both use no key twice."""
    return (seed + checks.MAX_SEED // parts) % checks.MAX_SEED


def with_seed(rows: Sequence[Mapping[str, Json]], seed: int) -> list[dict[str, Json]]:
    """The runs of a comparison with the command's seed, and beside it that of fine-tuning, which follows from it."""
    return [{**row, "seed": seed, "finetune_seed": row["seed"]} for row in rows]


def first_agents(flags: SharedFlags) -> Agents | None:
    """The agents to fine-tune: saved ones, or those of a file of another library; None to pretrain them.

    Raises:
        ValueError: both are given, or what is given cannot be read.
    """
    if flags.init_from is None:
        if flags.init_normalizer is not None:
            raise ValueError("init_normalizer: is not allowed without --init-from, whose policy it belongs to")
        return None if flags.agents is None else load_agents(flags.agents)
    if flags.agents is not None:
        raise ValueError("init_from: is not allowed with --agents; both say what to fine-tune")
    if not flags.init_from:
        raise ValueError("init_from: '' is not allowed; it must be a file, or a directory of saved agents")
    if zoo.is_named(flags.init_from) or Path(flags.init_from).is_dir():
        return load_agents(flags.init_from)
    # Its readers take a while to import, which `--help` need not wait for.
    from jaxrl_ft.store.import_policy import import_policy

    source = make_task(given_or(flags.source, SOURCE))
    try:
        return import_policy(flags.init_from, source, normalizer=flags.init_normalizer, verbose=flags.verbose)
    except ValueError as error:
        raise ValueError(f"init_from: {error}") from None


def load_agents(path: str) -> Agents:
    """The saved agents: of a directory that `save` wrote, or the source agents of a run.

    Raises:
        ValueError: there are none, or they are damaged, or some of them failed in training.
    """
    if not path:
        raise ValueError("agents: '' is not allowed; it must be a directory")
    try:
        run = (Path(path) / run_directory.MARKER).exists()
        agents = checkpoints.load(run_directory.source_path(Path(path)) if run else path)
    except (ValueError, OSError) as error:
        raise ValueError(f"agents: {error}") from None
    failed = [f"{number} ({status})" for number, status in enumerate(agents.status) if status != "ok"]
    if failed:
        raise ValueError(f"agents: {', '.join(failed)} failed in training; they cannot be fine-tuned")
    return agents


def physics_flags(task: Task) -> Any:
    """The quantities as a dataclass of plain numbers, for the parser; its docstring explains them."""
    fields: list[tuple[str, Any, Any]] = []
    quantities = task.widened().quantities
    for flag, name in _flagged(task).items():
        leaf = np.asarray(quantities[name])
        kind = {"b": bool, "f": float}.get(leaf.dtype.kind, int)
        # seven digits give a float32 back, and are what a person would write
        entries = tuple(kind(entry) if kind is bool else kind(f"{entry:.7g}") for entry in np.ravel(leaf))
        one = leaf.ndim == 0
        type_ = kind if one else types.GenericAlias(tuple, (kind,) * len(entries))
        fields.append((flag, type_, entries[0] if one else entries))
    found = dataclasses.make_dataclass("Physics", fields, frozen=True)
    found.__doc__ = type(task.env_params).__doc__
    return found()


def changed_physics(task: Task, before: Any, after: Any) -> dict[str, Json]:
    """The quantities that the command line changes, by name, in their shapes.

    Args:
        task: whose they are.
        before: its flags.
        after: the flags as parsed.
    """
    changed, quantities = {}, task.widened().quantities
    for flag, name in _flagged(task).items():
        value, shape = getattr(after, flag), np.shape(quantities[name])
        if value != getattr(before, flag):
            changed[name] = value if len(shape) < 2 else np.reshape(value, shape).tolist()
    return changed


def brief(value: Json) -> str:
    """The value of a quantity as it stands in the name of a target."""
    return f"{value:g}" if np.ndim(value) == 0 else "(" + ", ".join(f"{entry:g}" for entry in np.ravel(value)) + ")"


def _flagged(task: Task) -> dict[str, str]:
    """The quantities that have a flag, by the name of the flag: a dot inside a name is a line in it.

    Among them are the changes that every task can have, whether this one has any or not.
    """
    names = [name for name, leaf in task.widened().quantities.items() if 0 < np.size(leaf) <= _MOST_ENTRIES]
    return {re.sub(r"\W", "_", name): name for name in names}
