"""The table of mutants.py: how many mutants the tests notice in each area, and why no test can notice the others.

python experiments/mutants_report.py
"""

import argparse
import json
from pathlib import Path

import appending

RESULTS = Path(__file__).parent / "results"


def results() -> list[dict[str, str]]:
    """The last row of each mutant, with what came of it the first time."""
    found: dict[str, dict[str, str]] = {}
    for row in appending.read(RESULTS / "mutants.csv"):
        first = found.get(key(row), row)
        found[key(row)] = {**row, "first": first.get("first", first["outcome"])}
    return list(found.values())


def key(row: dict[str, str]) -> str:
    return f"{row['file']}:{row['line']} {row['operator']} {row['occurrence']}"


def argued() -> dict[str, str]:
    """Why no test can tell a survivor from the code, by its key."""
    path = RESULTS / "mutants.json"
    return json.loads(path.read_text()) if path.exists() else {}


def table(rows: list[dict[str, str]]) -> list[str]:
    lines = [
        "| area | mutants | killed at first | killed | survived | of these equal to the code | killed of the others |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for area in [*dict.fromkeys(row["area"] for row in rows), "all"]:
        of = [row for row in rows if area in (row["area"], "all")]
        first = sum(row["first"] != "survived" for row in of)
        left = [row for row in of if row["outcome"] == "survived"]
        equal, killed = sum(key(row) in argued() for row in left), len(of) - len(left)
        share = f"{killed / (len(of) - equal):.1%}"
        lines += [f"| {area} | {len(of)} | {first} | {killed} | {len(left)} | {equal} | {share} |"]
    return lines


def survivors(rows: list[dict[str, str]]) -> list[str]:
    lines = ["| survivor | is | why no test tells them apart |", "| :--- | :--- | :--- |"]
    for row in (row for row in rows if row["outcome"] == "survived"):
        after = row["after"].replace("|", "\\|")
        lines += [f"| {key(row)} | `{after}` | {argued().get(key(row), 'not argued')} |"]
    return lines


def written() -> str:
    """Write the tables; returns them."""
    rows = [row for row in results() if row["outcome"] != "stillborn"]
    text = "\n".join(table(rows)) + "\n"
    (RESULTS / "mutants.md").write_text(text)
    listed = "\n".join(survivors(rows)) + "\n"
    (RESULTS / "mutants_survivors.md").write_text(listed)
    return f"{text}\n{listed}"


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(written())
