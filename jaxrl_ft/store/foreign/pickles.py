"""Pickles read as data: every class and function is a name, every call a record of it, and nothing is imported or run.

A pickle is a program for a small stack machine. `read` follows it with `pickletools.genops`, which only splits the
bytes into instructions, and puts an inert record where the standard library would import or call something.
"""

import pickletools
import warnings
from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeAlias

from jaxrl_ft.core.types import PyTree

MOST_STEPS = 2_000_000
"""Instructions that a pickle may have."""
_KEYS = (str, int, float, bool, bytes, type(None))

Inert: TypeAlias = PyTree
"""Numbers, text, bytes, None, lists, tuples, dicts and sets of these, and `Name`, `Made` and `Persistent`."""


class Name(NamedTuple):
    """A class or function, by name alone."""

    module: str
    name: str

    @property
    def dotted(self) -> str:
        """The module and the name."""
        return f"{self.module}.{self.name}"


class Persistent(NamedTuple):
    """What lies elsewhere in the file, by its identity."""

    identity: Inert


class Made:
    """An object that a call would have made, with what would then have been put into it."""

    def __init__(self, function: Inert, args: Inert) -> None:
        self.function, self.args = function, args
        self.state: Inert = None
        """what its attributes would have been set to"""
        self.items: list[Inert] = []
        """what would have been appended"""
        self.entries: list[tuple[Inert, Inert]] = []
        """keys and values that would have been set"""

    @property
    def name(self) -> str:
        """The dotted name of its class or function; an empty text where that is no name."""
        return self.function.dotted if isinstance(self.function, Name) else ""


class _Mark:
    """The beginning of a run of entries on the stack."""


def read(data: bytes, what: str) -> Inert:
    """The content of one pickle as inert values; bytes behind its end are ignored.

    Args:
        data: the bytes.
        what: what they are, for messages.

    Raises:
        ValueError: not a whole pickle, or with instructions that no plain data needs.
    """
    try:
        with warnings.catch_warnings():
            # Python 2 wrote text with escapes that Python 3 warns of.
            warnings.simplefilter("ignore", DeprecationWarning)
            return _followed(data)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, UnicodeError, MemoryError) as error:
        cause = str(error) or type(error).__name__
        raise ValueError(f"{what}: is no whole pickle that can be read without running it ({cause[:200]})") from None


def _followed(data: bytes) -> Inert:
    machine = _Machine()
    for count, (opcode, arg, _) in enumerate(pickletools.genops(data)):
        if count >= MOST_STEPS:
            raise ValueError(f"more than {MOST_STEPS:,} instructions")
        if opcode.name == "STOP":
            return machine.pop()
        machine.step(opcode.name, arg)
    raise ValueError("it has no end")


class _Machine:
    """The stack and the memo."""

    def __init__(self) -> None:
        self._stack: list[Inert] = []
        self._memo: dict[int, Inert] = {}

    def step(self, name: str, arg: Inert) -> None:
        """Follow one instruction.

        Raises:
            ValueError: it is not one that plain data needs.
        """
        if name in _VALUES:
            self._stack.append(arg)
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name in _STEPS:
            _STEPS[name](self, arg)
        elif name not in _IGNORED:
            raise ValueError(f"instruction {name} is not allowed")

    def pop(self) -> Inert:
        """Take the topmost value off the stack."""
        value = self._stack.pop()
        if value is _Mark:
            raise ValueError("a mark where a value belongs")
        return value

    def marked(self) -> list[Inert]:
        """Take all values above the last mark, and the mark, off the stack."""
        start = len(self._stack) - 1
        while start >= 0 and self._stack[start] is not _Mark:
            start -= 1
        if start < 0:
            raise ValueError("no mark where one belongs")
        values = self._stack[start + 1 :]
        del self._stack[start:]
        return values

    def push(self, value: Inert) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def pops(self, num: int) -> list[Inert]:
        """Take so many values off the stack, the lowest first."""
        return [self.pop() for _ in range(num)][::-1]

    def collect(self, values: list[Inert]) -> None:
        """Append values to the list, set or object on top of the stack."""
        top = self._stack[-1]
        if isinstance(top, Made):
            top.items += values
        elif isinstance(top, list):
            top += values
        else:
            raise ValueError(f"items for a {type(top).__name__}")

    def enter(self, values: list[Inert]) -> None:
        """Set pairs of keys and values in the dict or object on top of the stack."""
        top, pairs = self._stack[-1], list(zip(values[::2], values[1::2], strict=True))
        if isinstance(top, Made):
            top.entries += pairs
        elif isinstance(top, dict):
            top.update((_key(key), value) for key, value in pairs)
        else:
            raise ValueError(f"entries for a {type(top).__name__}")

    def build(self) -> None:
        """Note the state of the object below."""
        state, top = self.pop(), self._stack[-1]
        if not isinstance(top, Made):
            raise ValueError(f"a state for a {type(top).__name__}")
        top.state = state

    def remember(self, place: int | None) -> None:
        """Note the topmost value in the memo."""
        top = self._stack[-1]
        if top is _Mark:
            raise ValueError("a mark where a value belongs")
        self._memo[len(self._memo) if place is None else int(place)] = top

    def recall(self, place: int) -> None:
        """Put a value of the memo on the stack."""
        self._stack.append(self._memo[int(place)])

    def drop(self) -> None:
        """Take whatever is topmost off the stack."""
        self._stack.pop()

    def repeat(self) -> None:
        """Put the topmost value on the stack once more."""
        self._stack.append(self._stack[-1])


def _key(key: Inert) -> Hashable:
    """The key of an entry; one of a kind that hashing would have to follow inwards is itself no data, and has none."""
    flat = isinstance(key, _KEYS) or (isinstance(key, tuple) and all(isinstance(part, _KEYS) for part in key))
    return key if flat or isinstance(key, Made) else Made(None, (key,))


def _stack_global(machine: _Machine) -> Name:
    module, name = machine.pops(2)
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("a name that is no text")
    return Name(module, name)


def _new(machine: _Machine, named: bool) -> Made:
    function, args, *keywords = machine.pops(3 if named else 2)
    return Made(function, (*args, *keywords) if isinstance(args, tuple) else args)


def _instance(machine: _Machine, name: Inert) -> Made:
    args = machine.marked()
    return Made(Name(*str(name).split(" ", 1)), tuple(args)) if name else Made(args[0], tuple(args[1:]))


_IGNORED = ("PROTO", "FRAME")
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_EMPTY: dict[str, Callable[[], Inert]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    # A set of lists could not be hashed; a list will do.
    "EMPTY_SET": list,
    "MARK": lambda: _Mark,
}


def _drop_marked(machine: _Machine) -> None:
    machine.marked()


def _dict(machine: _Machine) -> None:
    values = machine.marked()
    machine.push({})
    machine.enter(values)


_STEPS: dict[str, Callable[[_Machine, Inert], None]] = {
    "POP": lambda m, _: m.drop(),
    "POP_MARK": lambda m, _: _drop_marked(m),
    "DUP": lambda m, _: m.repeat(),
    "TUPLE": lambda m, _: m.push(tuple(m.marked())),
    "TUPLE1": lambda m, _: m.push(tuple(m.pops(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.pops(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.pops(3))),
    "LIST": lambda m, _: m.push(m.marked()),
    "FROZENSET": lambda m, _: m.push(m.marked()),
    "DICT": lambda m, _: _dict(m),
    "APPEND": lambda m, _: m.collect([m.pop()]),
    "APPENDS": lambda m, _: m.collect(m.marked()),
    "ADDITEMS": lambda m, _: m.collect(m.marked()),
    "SETITEM": lambda m, _: m.enter(m.pops(2)),
    "SETITEMS": lambda m, _: m.enter(m.marked()),
    "GLOBAL": lambda m, name: m.push(Name(*str(name).split(" ", 1))),
    "STACK_GLOBAL": lambda m, _: m.push(_stack_global(m)),
    "REDUCE": lambda m, _: m.push(Made(*m.pops(2))),
    "NEWOBJ": lambda m, _: m.push(_new(m, named=False)),
    "NEWOBJ_EX": lambda m, _: m.push(_new(m, named=True)),
    "INST": lambda m, name: m.push(_instance(m, name)),
    "OBJ": lambda m, _: m.push(_instance(m, "")),
    "BUILD": lambda m, _: m.build(),
    "PERSID": lambda m, name: m.push(Persistent(name)),
    "BINPERSID": lambda m, _: m.push(Persistent(m.pop())),
    "MEMOIZE": lambda m, _: m.remember(None),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda m, place: m.remember(place)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, place: m.recall(place)),
}
