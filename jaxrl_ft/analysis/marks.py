"""Names and sentences of users in Markdown: shown as they are, whatever characters they have.

A sentence of a report is Markdown with `code` between backticks and no other mark; a name stands in it as `code`.
"""

import re

_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_LIVE = r"[\\`<]|&(?=[#\w])|(?<=\])[(\[:]"
"""What can begin code, an element, an entity or a link."""
_MARKS = re.compile(_LIVE)
_CELL_MARKS = re.compile(rf"{_LIVE}|[|*~]|(?<!\w)_|_(?!\w)")
_ENTITIES = {"<": "&lt;", "&": "&amp;"}


def one_line(text: object) -> str:
    """The text in one line: white space becomes one space, and what cannot be printed the sign for it, U+FFFD."""
    words = " ".join(str(text).split())
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words)


def code(name: object) -> str:
    """A name as Markdown code, between as many backticks as it needs."""
    text = one_line(name)
    runs = [len(run) for run in re.findall("`+", text)]
    # The shortest fence that is no run of the name.
    fence = "`" * next(length for length in range(1, len(runs) + 2) if length not in runs)
    room = " " if not text or text[0] == "`" or text[-1] == "`" else ""
    return f"{fence}{room}{text}{room}{fence}"


def pieces(sentence: str) -> list[tuple[str, bool]]:
    """The parts of a sentence in order, each with whether it is code; code comes without its backticks."""
    found, last = [], 0
    for match in _CODE.finditer(sentence):
        inside = match[2]
        if len(inside) > 2 and inside[0] == inside[-1] == " ":
            inside = inside[1:-1]
        found += [(sentence[last : match.start()], False), (inside, True)]
        last = match.end()
    return [*found, (sentence[last:], False)]


def sentence(text: str) -> str:
    """The sentence in one line of Markdown, in which nothing is a mark but code."""
    return "".join(code(part) if is_code else _MARKS.sub(_escaped, part) for part, is_code in pieces(one_line(text)))


def unmarked(text: str) -> str:
    """The sentence without the backticks around its code."""
    return "".join(part for part, _ in pieces(text))


def cell(text: object) -> str:
    """Text for a cell of a Markdown table, which cannot end its column or its line, and in which nothing is a mark."""
    return _CELL_MARKS.sub(_escaped, one_line(text))


def _escaped(match: re.Match[str]) -> str:
    return _ENTITIES.get(match[0], f"\\{match[0]}")
