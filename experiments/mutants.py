"""Mutation testing: whether the tests notice that an operator, a number or a branch of a sensitive module is another.

    pip install cosmic-ray
    python experiments/mutants.py [--per-area 21] [--survivors] [--report]

cosmic-ray's operators make the mutants; each takes the module's own tests, of the default suite. Its runner would start
a process for each, half of which is the import of JAX, and has one command for all modules: here a process with the
libraries loaded forks for each mutant, in a copy of the tree. mutmut 3 wraps every function in a trampoline, which
hides signatures and sources from JAX, chex and jaxtyping.

Places in the code are drawn at random in each area, then one mutant at each place. Text, annotations, operators that no
float has, and mutants with which the package cannot be imported do not count. Rows are appended to results/mutants.csv,
and a run goes on behind the last one; `--survivors` tries those again that survived. results/mutants.json says of
survivors why no test can tell them from the code, and results/mutants.md sums up.
"""

import argparse
import ast
import hashlib
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import appending
import mutants_report
from mutants_report import RESULTS, argued, key, results

ROOT = Path(__file__).resolve().parents[1]
SEED = 0
CPU_SECONDS, SECONDS = 240, 1800
FAILED = 1
OUTCOMES = {0: "survived", FAILED: "killed", -signal.SIGXCPU: "timeout", -signal.SIGKILL: "timeout"}
"""By pytest's exit status; with another one the tests could not be imported."""
BITS = re.compile("_(LShift|RShift|BitAnd|BitOr|BitXor|Invert)$")
ADAPTERS = ("base", "low_rank", "affine", "sparse", "added_parts")
PENALTIES = ("base", "parameter_penalties", "policy_penalties", "importance")
AREAS = {
    "returns": (["rl/returns.py"], ["rl/test_returns.py", "rl/test_q_returns.py"]),
    "losses": (["rl/losses.py"], ["rl/test_losses.py"]),
    "physics": (["envs/cartpole.py"], ["envs/test_cartpole.py"]),
    "normaliser": (["rl/normalizer.py"], ["rl/test_normalizer.py"]),
    "checkpoint": (
        ["training/resume/checkpoint.py", "core/bundle.py"],
        ["training/resume/test_checkpoint.py", "core/test_bundle.py", "core/test_damaged_bundles.py"],
    ),
    "adapters": (
        [f"methods/adapters/{name}.py" for name in ADAPTERS],
        ["methods/adapters/test_adapters_closed_forms.py", "methods/adapters/test_adapters_low_rank.py",
         "methods/adapters/test_adapters.py"],
    ),
    "penalties": (
        [f"methods/penalties/{name}.py" for name in PENALTIES],
        ["methods/penalties/test_penalties_closed_forms.py", "methods/penalties/test_penalties.py"],
    ),
    "keys": (["training/keys.py"], ["training/test_keys.py"]),
}  # fmt: skip


class Mutant(NamedTuple):
    """One change that an operator of cosmic-ray makes to a file."""

    area: str
    file: str
    operator: str
    occurrence: int
    line: int

    @property
    def name(self) -> str:
        """File, line, operator and its occurrence."""
        return f"{self.file}:{self.line} {self.operator} {self.occurrence}"


def code_lines(text: str) -> set[int]:
    """The lines inside of functions and of assignments, but not of annotations and text alone."""
    inside, outside = set(), set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.Assign, ast.AnnAssign)):
            inside |= set(range(node.lineno, node.end_lineno + 1))
        notes = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for note in [*notes, *([node] if is_text else [])]:
            if note is not None and not isinstance(node, ast.AnnAssign):
                outside |= set(range(note.lineno, note.end_lineno + 1))
    return inside - outside


def possible(area: str) -> dict[tuple[str, int, int], list[Mutant]]:
    """All mutants of an area by place: file, line and column."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    found: dict[tuple[str, int, int], list[Mutant]] = {}
    for file in AREAS[area][0]:
        text = (ROOT / "jaxrl_ft" / file).read_text()
        nodes, lines = list(ast_nodes(get_ast(text))), code_lines(text)
        for name in sorted(operator_names()):
            if "Variable" in name or "Decorator" in name or BITS.search(name):
                continue
            positions = [place for node in nodes for place in get_operator(name)().mutation_positions(node)]
            for number, ((line, column), _) in enumerate(positions):
                if line in lines:
                    mutant = Mutant(area, file, name.removeprefix("core/"), number, line)
                    found.setdefault((file, line, column), []).append(mutant)
    return found


def drawn(area: str) -> Iterator[Mutant]:
    """Mutants in the order in which they are drawn, each place once before any comes again."""
    draw, places = random.Random(f"{SEED} {area}"), possible(area)
    for mutants in places.values():
        draw.shuffle(mutants)
    while places:
        order = sorted(places)
        draw.shuffle(order)
        for place in order:
            yield places[place].pop()
        places = {place: mutants for place, mutants in places.items() if mutants}


def mutated(mutant: Mutant) -> str:
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    text = (ROOT / "jaxrl_ft" / mutant.file).read_text()
    return mutate_code(text, get_operator(f"core/{mutant.operator}")(), mutant.occurrence)


def changed(mutant: Mutant) -> tuple[str, str]:
    """The lines that differ, before and after."""
    before = (ROOT / "jaxrl_ft" / mutant.file).read_text().splitlines()
    pairs = [(a.strip(), b.strip()) for a, b in zip(before, mutated(mutant).splitlines()) if a != b]
    return " / ".join(a for a, _ in pairs[:2]), " / ".join(b for _, b in pairs[:2])


def load_libraries() -> None:
    """Import what every test imports, but nothing of the package and nothing that starts a backend."""
    import flax.linen  # noqa: F401
    import jax
    import matplotlib.pyplot  # noqa: F401
    import optax  # noqa: F401
    import pytest  # noqa: F401

    assert not jax._src.xla_bridge.backends_are_initialized()
    assert not any(name.split(".")[0] == "jaxrl_ft" for name in sys.modules)


def run_tests(tree: Path, tests: list[str], log: Path) -> None:
    """Run tests in this process, which then ends with pytest's exit status."""
    os.setsid()
    os.chdir(tree)
    sys.path[:0] = [str(tree), str(tree / "tests")]
    os.environ["PYTHONPATH"] = str(tree)
    out = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    import pytest

    # Plugins that were loaded before.
    known = "ignore::pytest.PytestAssertRewriteWarning"
    os._exit(
        int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", known, *[f"tests/{test}" for test in tests]]))
    )


def tested(tree: Path, tests: list[str], log: Path) -> tuple[str, float]:
    """Run tests in a fork, in a copy of the tree; returns killed, survived, timeout or stillborn, and the seconds."""
    began, child = time.monotonic(), os.fork()
    if not child:
        try:
            run_tests(tree, tests, log)
        finally:
            os._exit(FAILED)
    while time.monotonic() - began < SECONDS:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return OUTCOMES.get(code, "stillborn"), time.monotonic() - began
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout", time.monotonic() - began


def failure(log: Path) -> str:
    """The first test that failed, as pytest names it."""
    lines = log.read_text(errors="replace").splitlines()
    return next((line.split(" ")[1] for line in lines if line.startswith(("FAILED", "ERROR"))), "")


def one(mutant: Mutant, tree: Path) -> dict[str, object]:
    file = tree / "jaxrl_ft" / mutant.file
    clean = file.read_text()
    file.write_text(mutated(mutant))
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        compiled.unlink()
    try:
        outcome, seconds = tested(tree, AREAS[mutant.area][1], tree / "log")
    finally:
        file.write_text(clean)
    before, after = changed(mutant)
    test = failure(tree / "log") if outcome == "killed" else ""
    digest = hashlib.sha256(clean.encode()).hexdigest()[:12]
    return {**mutant._asdict(), "source": digest, "outcome": outcome, "seconds": round(seconds, 1), "test": test,
            "before": before, "after": after}  # fmt: skip


@contextmanager
def copied(areas: list[str]) -> Iterator[Path]:
    """A copy of the tree, in which the tests of these areas pass."""
    load_libraries()
    tree = Path(tempfile.mkdtemp(prefix="mutants-"))
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(tree / "cache")
    try:
        for name in ("jaxrl_ft", "tests", "experiments"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, tree)
        clean = {area: tested(tree, AREAS[area][1], tree / "log") for area in areas}
        print({area: (outcome, round(seconds, 1)) for area, (outcome, seconds) in clean.items()}, flush=True)
        if any(outcome != "survived" for outcome, _ in clean.values()):
            raise SystemExit(f"the tests fail without a mutant:\n{(tree / 'log').read_text()[-2000:]}")
        sys.dont_write_bytecode = True
        yield tree
    finally:
        shutil.rmtree(tree)


def run(per_area: int, areas: list[str]) -> None:
    with copied(areas) as tree:
        queues = {area: drawn(area) for area in areas}
        for number in range(per_area):
            for area, queue in queues.items():
                next_counting(area, number, queue, tree)


def run_survivors(areas: list[str]) -> None:
    """Try again what survived and is not argued."""
    survived = [row for row in results() if row["outcome"] == "survived" and key(row) not in argued()]
    left = [row for row in survived if row["area"] in areas]
    with copied(list({row["area"]: row for row in left})) as tree:
        for row in left:
            mutant = Mutant(row["area"], row["file"], row["operator"], int(row["occurrence"]), int(row["line"]))
            added(mutant, tree)


def next_counting(area: str, number: int, queue: Iterator[Mutant], tree: Path) -> None:
    """Take mutants from the queue until one counts, or has been tried before."""
    known = {(row["file"], row["operator"], int(row["occurrence"])): row for row in results()}
    for mutant in queue:
        row = known.get((mutant.file, mutant.operator, mutant.occurrence)) or added(mutant, tree)
        if row["outcome"] != "stillborn":
            return


def added(mutant: Mutant, tree: Path) -> dict[str, object]:
    row = one(mutant, tree)
    appending.append(RESULTS / "mutants.csv", [row])
    print(row["outcome"], row["seconds"], mutant.name, "|", row["after"], flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-area", type=int, default=21)
    parser.add_argument("--areas", nargs="+", default=list(AREAS))
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("--report", action="store_true")
    settings = parser.parse_args()
    if settings.survivors:
        run_survivors(settings.areas)
    elif not settings.report:
        run(settings.per_area, settings.areas)
    print(mutants_report.written())


if __name__ == "__main__":
    main()
