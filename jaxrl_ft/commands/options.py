"""The flags of `train`: names choose configs from the tables, and every field of these is then a dotted flag."""

import dataclasses
import re
import shutil
import textwrap
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import tyro

from jaxrl_ft.commands import short_help
from jaxrl_ft.commands.command_line import ALIASES
from jaxrl_ft.commands.shared_settings import REFERENCES, SharedFlags, name, names
from jaxrl_ft.core import checks
from jaxrl_ft.core.config import map_fields
from jaxrl_ft.core.table import AnyTable
from jaxrl_ft.envs.catalogue import PHYSICS_IDS, TASK_IDS
from jaxrl_ft.envs.named_shifts import SHIFTS
from jaxrl_ft.envs.shifts import DEFAULT_SHIFT
from jaxrl_ft.methods.catalogue import AXES, METHODS, RECOMMENDED
from jaxrl_ft.methods.method import Method
from jaxrl_ft.nets.catalogue import NETWORKS
from jaxrl_ft.rl.catalogue import ALGOS
from jaxrl_ft.training.evaluation.stopping import KEPT, PATIENCE, check_kept

PROGRAM = "python -m jaxrl_ft.train"
OF_PRETRAINING = (
    *("--algo", "--network", "--optimizer."),
    *("--pretrain-steps", "--pretrain-stop-at", "--pretrain-patience", "--pretrain-keep"),
)
"""How the flags of pretraining begin."""


PURPOSE = (
    "Pretrains agents on a source task, fine-tunes them to a target task, and reports what it brought and cost. "
    f"{', '.join(REFERENCES)} always run; without --method, {RECOMMENDED} runs beside them. Names behind several "
    "--method add up; any other flag is given once."
)
TABLES: Mapping[str, AnyTable] = {"shift": SHIFTS, "method": METHODS, "algo": ALGOS, "network": NETWORKS, **AXES}
"""What the flags of names take."""
FIRST = {
    "task and method": ("source", "shift", "method", "advise", "agents", "imports", "resume"),
    "budget and output": ("seeds", "seed", "pretrain_steps", "steps", "out", "help_all"),
    "parts of the method": (
        *AXES,
        "method.optimizer.learning-rate",
    ),
    "pretraining": (
        *("algo.num-envs", "algo.num-steps", "network.width", "network.activation"),
        "optimizer.learning-rate",
    ),
}
"""The flags of the short help."""


@dataclasses.dataclass(frozen=True)
class Flags(SharedFlags):
    """The flags without a dot."""

    shift: Annotated[str | None, name(DEFAULT_SHIFT)] = None
    """named change from source to target; without it, on another source than CartPole, `--target` flags change that"""
    method: Annotated[tuple[str, ...], names()] = ()
    """fine-tuning methods beside zero_shot, scratch and full; with --advise, those to choose from"""
    advise: bool = False
    """probe the agents on the target, and fine-tune with the method that the leaderboard then advises"""
    keep_source: float | None = None
    """with --advise, the share of the source return that the method must be expected to keep, 0 to 1"""
    algo: Annotated[str | None, name("the source's, ppo on CartPole")] = None
    """algorithm"""
    network: Annotated[str | None, name("mlp")] = None
    """kind of the networks; what the algorithm usually has of it"""
    pretrain_stop_at: float | Literal["highest", "never"] = "highest"
    """greedy return at which an agent's pretraining ends; `highest` is the highest that the source allows. Fine-tuning
    has none: all methods are compared over the whole budget"""
    pretrain_patience: int = PATIENCE
    """evaluations in a row that must reach it"""
    pretrain_keep: Annotated[str, tyro.conf.arg(metavar="|".join(KEPT))] = "last"
    """which policy pretraining returns: the last, or the best of those that it evaluated"""
    optimizer: Annotated[str | None, name("adam, and the method's own")] = None
    """optimizer of pretraining, and of the method"""
    penalty: Annotated[str | None, name("the method's own")] = None
    """what holds the method near the source policy"""
    adapter: Annotated[str | None, name("the method's own")] = None
    """what the method trains"""
    look: Annotated[str | None, name("the method's own")] = None
    """what the method pays for on the target before anything else"""
    warm_start: Annotated[str | None, name("the method's own")] = None
    """where the method starts"""
    alignment: Annotated[str | None, name("the method's own")] = None
    """how the method reads sensors and actions"""
    imagination: Annotated[str | None, name("the method's own")] = None
    """how the method trains in a model of the target"""
    intervention: Annotated[str | None, name("the method's own")] = None
    """what is done between gradient steps"""
    data: Annotated[str | None, name("the method's own")] = None
    """where the method's experience comes from"""
    control: Annotated[str | None, name("the method's own")] = None
    """what changes the method's numbers by what is measured"""
    finish: Annotated[str | None, name("the method's own")] = None
    """what is done after training"""

    def check(self) -> None:
        """Refuse numbers outside their ranges.

        Raises:
            ValueError: names the field, the value and what is allowed.
        """
        super().check()
        check_kept(self.pretrain_keep, "pretrain_keep")
        checks.count("pretrain_patience", self.pretrain_patience)
        if self.keep_source is not None:
            checks.number("keep_source", self.keep_source, 0.0, 1.0)
            if not self.advise:
                raise ValueError(f"keep_source: {self.keep_source!r} is not allowed without --advise")


def joined(argv: Sequence[str], flags: type[Any]) -> tuple[str, ...]:
    """The command line with every flag once; the values of a flag that is repeated are put together.

    Args:
        argv: the words.
        flags: the class of the flags without a dot; those whose default is a tuple take several values.

    Raises:
        ValueError: a flag with one value is given twice; a switch and its `--no-` are one flag.
    """
    several = {_written(flags, field.name) for field in dataclasses.fields(flags) if field.default == ()}
    found: dict[str, list[str]] = {"": []}
    flag = ""
    for word in argv:
        written, equals, value = word.partition("=")
        if not word.startswith("--") and word != "-h":
            found[flag].append(word)
            continue
        flag = re.sub(r"(^--|\.)no-", r"\1", written.replace("_", "-"))
        if flag in ALIASES:
            flag = written = ALIASES[flag]
            word = f"{written}{equals}{value}"
        if flag not in found:
            found[flag] = [written, value] if equals and flag in several else [word]
        elif flag in several:
            found[flag] += [value] if equals else []
        else:
            raise ValueError(f"{flag.strip('-').replace('-', '_')}: is given twice; it takes one value")
    return tuple(word for words in found.values() for word in words)


def _written(flags: type[Any], field: str) -> str:
    """A field's flag on the command line."""
    found = getattr(typing.get_type_hints(flags, include_extras=True)[field], "__metadata__", ())
    return f"--{next((arg.name for arg in found if getattr(arg, 'name', None)), field).replace('_', '-')}"


def first_pass(argv: Sequence[str]) -> tuple[Flags, list[str]]:
    """The flags without a dot, and what is left of the command line.

    Raises:
        SystemExit: a value is of the wrong type; the parser has printed why.
        ValueError: a number is out of range.
    """
    flags, rest = tyro.cli(Flags, args=short_help.without(argv), prog=PROGRAM, return_unknown_args=True)
    flags.check()
    return flags, list(rest)


def second_pass(argv: Sequence[str], defaults: Mapping[str, Any], help_all: bool = False) -> dict[str, Any]:
    """The configs by name with the dotted flags of the command line applied; `--help` prints and leaves.

    Args:
        argv: the whole command line, without --help-all.
        defaults: configs by the name that their flags begin with.
        help_all: print every flag and leave.

    Raises:
        SystemExit: help was asked for, a flag is not known, or a value is of the wrong type.
    """
    if not help_all and any(word in short_help.HELP for word in argv):
        short_help.show(PROGRAM, listed(TABLES), FIRST, Flags(), defaults)
    fields = [
        (f"{name}_config", Annotated[type(default), tyro.conf.arg(name=name)], dataclasses.field(default=default))
        for name, default in defaults.items()
    ]
    options: Any = dataclasses.make_dataclass("Options", fields, bases=(Flags,), frozen=True)
    args = ["--help"] if help_all else argv
    parsed = tyro.cli(options, args=args, prog=PROGRAM, description=texts(TABLES), config=(tyro.conf.AvoidSubcommands,))
    return {name: getattr(parsed, f"{name}_config") for name in defaults}


def listed(tables: Mapping[str, AnyTable], purpose: str = PURPOSE) -> str:
    """The names that each flag takes, a line for each flag and indented ones behind it, for the help."""
    lists = {"source": (*PHYSICS_IDS, "and every id that gymnax registers"), **tables}
    wrapped = textwrap.TextWrapper(shutil.get_terminal_size().columns, subsequent_indent="  ", break_on_hyphens=False)
    found = [wrapped.fill(f"{flag.replace('_', '-')}: {', '.join(table)}") for flag, table in lists.items()]
    return "\n\n".join([purpose, "\n".join(found)])


def texts(tables: Mapping[str, AnyTable], purpose: str = PURPOSE) -> str:
    """The names that each flag takes and what they stand for, a line each, for the help."""
    parts = [purpose, f"source: {', '.join(TASK_IDS)}"]
    for flag, table in tables.items():
        rows = [f"  {name:<22} {table.text(name)}" for name in table]
        parts.append("\n".join([f"{flag.replace('_', '-')}:", *rows]))
    return "\n\n".join(parts)


def given(rest: Sequence[str], beginning: str) -> bool:
    """Whether a flag that begins like this is on the command line."""
    return any(word.replace("_", "-").startswith(beginning) for word in rest)


def chosen_methods(flags: Flags, rest: Sequence[str]) -> dict[str, Method]:
    """The methods asked for by name, or the recommended one, with the named axes replaced.

    Raises:
        ValueError: an unknown name, or several methods where one is to be changed.
    """
    names = list(dict.fromkeys(METHODS.name(name) for name in flags.method)) or [RECOMMENDED]
    axes = {axis: table.name(getattr(flags, axis)) for axis, table in AXES.items() if getattr(flags, axis) is not None}
    if len(names) > 1 and (axes or given(rest, "--method.")):
        what = next(iter(axes), "method.*").replace("_", "-")
        raise ValueError(f"{what}: changes one method, but --method names {len(names)}: {', '.join(names)}")
    if not axes:
        return {name: METHODS[name] for name in names}
    method = METHODS[names[0]]
    parts: dict[str, Any] = {axis: AXES[axis][name] for axis, name in axes.items()}
    found = [name for axis, name in axes.items() if parts[axis] != getattr(method, axis)]
    return {"+".join([names[0], *found]): dataclasses.replace(method, **parts)}


def to_choose_from(flags: Flags, rest: Sequence[str]) -> tuple[str, ...] | None:
    """The methods that advice is to choose from, by name; None for all.

    Raises:
        ValueError: an unknown name, or a flag that changes a method.
    """
    # --optimizer is that of pretraining too, and so stays.
    axes = [axis for axis in AXES if axis != "optimizer" and getattr(flags, axis) is not None]
    axes += ["method.*"] * given(rest, "--method.")
    if axes:
        what = axes[0].replace("_", "-")
        raise ValueError(f"{what}: is not allowed with --advise, which chooses among methods as they are")
    return tuple(dict.fromkeys(METHODS.name(name) for name in flags.method)) or None


def renamed(name: str, default: Any, changed: Any) -> str:
    """The name of a config with the fields that dotted flags changed, such as `lora+rank=8`."""
    before, after = fields(default), fields(changed)
    return "+".join([name, *(f"{path.split('.')[-1]}={_text(after[path])}" for path in differing(before, after))])


def fields(config: Any) -> dict[str, Any]:
    """Every field of a config and of those inside it, by dotted path."""
    found: dict[str, Any] = {}
    map_fields(config, found.setdefault)
    return found


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names in `after` whose values differ from those in `before`."""
    return [name for name, value in after.items() if value != before.get(name)]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
