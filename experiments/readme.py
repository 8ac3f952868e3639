"""Writes the generated parts of all READMEs anew: the blocks between `<!-- begin NAME -->` and `<!-- end NAME -->`.

    python experiments/readme.py [--check]

With `--check` nothing is written. The exit status is then 1 where a README is not what the results say, names a file or
a module that does not exist, or where the first page has more than 200 lines; what is wrong is printed.
"""

import argparse
import importlib
import pathlib
import re
import sys
from collections.abc import Iterator

from readme_blocks import BLOCKS

ROOT = pathlib.Path(__file__).parent.parent
FRONT = ROOT / "README.md"
PAGES = [FRONT, *sorted((ROOT / "jaxrl_ft").glob("*/README.md")), ROOT / "experiments" / "README.md"]
MOST_LINES = 200
MADE_BY_RUNS = ("runs", "report", "search")
"""Folders that exist only after a run."""


def filled(text: str) -> str:
    """The page with every block written anew.

    Raises:
        KeyError: a block that is not known.
    """
    pattern = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}{BLOCKS[match[2]]()}\n{match[3]}", text)


def exists(name: str, page: pathlib.Path) -> bool:
    """Whether a file or folder of this name is beside the page, in the package or in the repository."""
    return any((place / name).exists() for place in (page.parent, ROOT / "jaxrl_ft", ROOT))


def importable(name: str) -> bool:
    """Whether a dotted name is a module of the package, or something in one."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def names(text: str) -> Iterator[tuple[str, bool]]:
    """Every path, and every name of the package, that a page shows; and whether it is a path."""
    spans = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for span in re.findall(r"`([^`\n]+)`", spans):
        if re.fullmatch(r"[\w.-]+(/[\w.-]*)+", span) and span.split("/")[0] not in MADE_BY_RUNS:
            yield span, True
        elif re.fullmatch(r"(jaxrl_ft|ft)(\.\w+)+", span):
            yield re.sub(r"^ft\b", "jaxrl_ft", span), False
    for link in re.findall(r"\]\(([^)#:]+)\)", spans):
        yield link, True
    for file in re.findall(r"(?<![\w/.])[\w/]+\.py\b", text):
        yield file, True
    for module in re.findall(r"python -m (jaxrl_ft[\w.]*)", text):
        yield module, False


def wrong(page: pathlib.Path) -> Iterator[str]:
    """What is wrong with a page."""
    text, name = page.read_text(), page.relative_to(ROOT)
    if filled(text) != text:
        yield f"{name} is not what the results say; run python experiments/readme.py"
    for shown, is_path in dict.fromkeys(names(text)):
        if not (exists(shown, page) if is_path else importable(shown)):
            yield f"{name} names {shown}, which does not exist"
    if page == FRONT and len(text.splitlines()) > MOST_LINES:
        yield f"{name} has {len(text.splitlines())} lines, {MOST_LINES} at most"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, and tell which blocks would change")
    if parser.parse_args().check:
        found = [one for page in PAGES for one in wrong(page)]
        print("\n".join(found) or "The READMEs say what the results say.")
        return int(bool(found))
    for page in PAGES:
        page.write_text(filled(page.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
