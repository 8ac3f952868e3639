"""Tests of robustness at their full counts: processes that are killed, and hostile arguments.

    python experiments/robustness.py [--kills 34] [--examples 2000] [--parts NAME ...] [--report]

Each part is a slow test of the suite, with more kills or examples than it has by default. A part that passed is
appended to results/robustness.csv, and a run goes on behind the last one. results/robustness.md is the table of all.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import appending

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"


class Part(NamedTuple):
    """One test: what it repeats, how often by default where that is scaled, and what it shows."""

    test: str
    what: str
    shows: str
    usual: int = 0


KILLED, FUZZED = "commands/test_killed.py::test_", "robustness/test_fuzzed_"
READ = "every bundle in the directory reads, and the run goes on to equal bytes"
REFUSED = "one line that names it and an exit status, or a training at its door; no traceback, none computes for 30 s"
COMMAND = f"{KILLED}a_command_that_is_killed_goes_on_to_the_same_files"
PARTS = {
    "kill pretrain": Part(f"{KILLED}pretraining_that_is_killed_goes_on_to_the_same_bits", "kills of `pretrain`", READ),
    "kill train": Part(f"{COMMAND}[train]", "kills of `train`", READ),
    "kill sweep": Part(f"{COMMAND}[sweep]", "kills of `sweep`", READ),
    "fuzz commands": Part(
        f"{FUZZED}commands.py::test_a_command_line_is_refused_in_one_line_or_trains[300]", "command lines", REFUSED, 300
    ),
    "fuzz arguments": Part(
        f"{FUZZED}arguments.py::test_an_argument_is_refused_by_name_or_taken[1000]",
        "arguments of public functions",
        REFUSED,
        1000,
    ),
    "fuzz configs": Part(
        f"{FUZZED}configs.py::test_a_field_is_refused_by_name_or_trains[1000]", "fields of configs", REFUSED, 1000
    ),
}


def run(name: str, count: int) -> dict[str, object]:
    """Run a part; returns its row.

    Raises:
        SystemExit: the test fails.
    """
    part = PARTS[name]
    scale = {"JAXRL_FT_EXAMPLES": str(count / part.usual)} if part.usual else {"JAXRL_FT_KILLS": str(count)}
    words = [sys.executable, "-m", "pytest", "-s", "-m", "slow", "-p", "no:cacheprovider", f"tests/{part.test}"]
    began = time.monotonic()
    done = subprocess.run(words, cwd=ROOT, env=os.environ | scale, capture_output=True, text=True)
    if done.returncode or "1 passed" not in done.stdout:
        raise SystemExit(f"{name}:\n{done.stdout[-8000:]}\n{done.stderr[-3000:]}")
    told = [line for line in done.stdout.splitlines() if " kills of " in line]
    return {"part": name, "count": count, "seconds": round(time.monotonic() - began), "told": "".join(told)}


def report() -> str:
    lines = ["| what | number | after each |", "| :--- | ---: | :--- |"]
    for row in appending.read(RESULTS / "robustness.csv"):
        part = PARTS[row["part"]]
        lines += [f"| {part.what} | {int(row['count']):,} | {part.shows} |"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=34)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--report", action="store_true")
    settings = parser.parse_args()
    known = {row["part"] for row in appending.read(RESULTS / "robustness.csv")}
    for name in [] if settings.report else [name for name in settings.parts if name not in known]:
        row = run(name, settings.examples if PARTS[name].usual else settings.kills)
        appending.append(RESULTS / "robustness.csv", [row])
        print(row, flush=True)
    (RESULTS / "robustness.md").write_text(report())
    print(report())


if __name__ == "__main__":
    main()
