"""The short help of a command: some thirty flags in groups; `--help-all` shows every flag."""

import ast
import dataclasses
import inspect
import itertools
import textwrap
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NoReturn

import tyro

HELP = ("-h", "--help")
Groups = Mapping[str, Sequence[str]]
"""Flags without the dashes by the heading above them; those with a dot are fields of configs."""
HelpAll = Annotated[bool, tyro.conf.arg(help_behavior_hint=""), tyro.conf.FlagCreatePairsOff]
MORE = "Give --help-all for every flag, and for what each of these names stands for."


def without(words: Sequence[str]) -> list[str]:
    """The command line without the words that ask for help."""
    return [word for word in words if word not in HELP]


def show(program: str, description: str, groups: Groups, flags: Any, configs: Mapping[str, Any]) -> NoReturn:
    """Print the flags of the groups, with texts and defaults, and leave.

    Args:
        program: how the command is called.
        description: what stands above the flags.
        groups: which flags.
        flags: the flags without a dot, with their defaults.
        configs: configs by the name that their flags begin with; flags of others are left out.

    Raises:
        SystemExit: always; its code is 0.
    """
    fields: list[Any] = []
    for heading, names in groups.items():
        shown = [_field(name, flags, configs) for name in names if "." not in name or name.split(".")[0] in configs]
        group = dataclasses.make_dataclass(heading.replace(" ", "_"), shown, frozen=True)
        part: Any = Annotated[group, tyro.conf.arg(name=heading, help=""), tyro.conf.OmitArgPrefixes]
        fields.append((group.__name__, part, dataclasses.field(default_factory=group)))
    every = dataclasses.make_dataclass("First", fields, frozen=True)
    tyro.cli(every, args=["--help"], prog=program, description=f"{description}\n\n{MORE}")
    raise SystemExit(0)


def _field(name: str, flags: Any, configs: Mapping[str, Any]) -> tuple[str, Any, Any]:
    """Name, annotation and default of a flag, for `make_dataclass`."""
    first, *path = name.replace("-", "_").split(".")
    owner = configs[first] if path else flags
    for part in path[:-1]:
        owner = getattr(owner, part)
    field = path[-1] if path else first
    hint = typing.get_type_hints(type(owner), include_extras=True)[field]
    argument = tyro.conf.arg(help=_texts(type(owner))[field], name=name if path else None)
    return "_".join([first, *path]), Annotated[hint, argument], dataclasses.field(default=getattr(owner, field))


def _texts(cls: type) -> dict[str, str]:
    """The docstring of each field of a dataclass, inherited fields included."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        for field, below in itertools.pairwise(getattr(definition, "body", [])):
            text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, str):
                found[field.target.id] = " ".join(text.split())
    return found
