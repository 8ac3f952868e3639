"""What a GPU would be asked to do: the operations of the training programs lowered for CUDA, which needs no GPU.

    python experiments/benchmarks/gpu_operations.py

A short `ft.pretrain` with the default algorithm, network and optimizer notes its programs. Each is lowered for CUDA,
and the operations of its StableHLO are counted: once a call, and once a turn of every loop inside. Constants, reshapes,
calls and returns do not count, nor does what is inside a reduction, a sort or a scatter. Of a conditional the longest
branch counts. XLA does not run, and it fuses operations: kernels that are launched are fewer, but for a sort or a large
reduction, which may take several each. Writes experiments/results/gpu_operations.json.
"""

import argparse
import collections
import json
from pathlib import Path
from typing import Any
from unittest import mock

import jax

import jaxrl_ft as ft
from jaxrl_ft.training.devices import Layout
from jaxrl_ft.training.per_run import Program

RESULTS = Path(__file__).parents[1] / "results"
SEEDS = 16
TRAINING = ("stretch",)
"""The programs that run at every update, those of them that there are."""
FREE = {"constant", "reshape", "return", "optimization_barrier", "tuple", "get_tuple_element"}
"""Operations that move and compute no numbers."""


class Body:
    """What runs once a call of a program, or once a turn of a loop."""

    def __init__(self, turns: int | None = 1) -> None:
        self.turns = turns
        """turns of the loop each time that it is reached; None where they are not constant"""
        self.operations: collections.Counter[str] = collections.Counter()
        """how often each operation runs, without those of the loops inside"""
        self.loops: list[Body] = []

    def described(self) -> dict[str, Any]:
        """The body as JSON holds it."""
        return {
            "turns": self.turns,
            "operations": self.operations.total(),
            "matrix_products": self.operations["dot_general"],
            "sorts": self.operations["sort"],
            "custom_calls": self.operations["custom_call"],
            "loops": [loop.described() for loop in self.loops],
        }


def counted(module: Any) -> Body:
    """What one call of a lowered program runs."""
    functions = {one.attributes["sym_name"].value: one for one in module.body.operations if one.regions}
    body = Body()
    _count(functions, functions["main"].regions, body)
    return body


def _count(functions: dict[str, Any], regions: Any, body: Body) -> None:
    """Add what is in regions, each of which runs once."""
    for one in (one.operation for region in regions for block in region.blocks for one in block.operations):
        dialect, name = one.name.split(".", 1)
        if name == "call":
            _count(functions, functions[one.attributes["callee"].value].regions, body)
        elif dialect == "sdy":
            _count(functions, one.regions, body)
        elif name == "while":
            body.loops.append(Body(turns(one)))
            _count(functions, one.regions, body.loops[-1])
        elif name in ("case", "if"):
            branches = [Body() for _ in one.regions]
            for region, branch in zip(one.regions, branches):
                _count(functions, [region], branch)
            longest = max(branches, key=lambda branch: branch.operations.total())
            body.operations.update([name, *longest.operations.elements()])
            body.loops += longest.loops
        elif name not in FREE:
            body.operations[name] += 1


def turns(loop: Any) -> int | None:
    """How often a loop turns that counts in ones from a constant up to a constant, as `lax.scan` does, or None."""
    condition, body = (region.blocks[0] for region in loop.regions)
    compared = last_of(condition).operands[0]
    if made_by(compared) != "stablehlo.compare" or "LT" not in str(compared.owner.attributes["comparison_direction"]):
        return None
    number, end = compared.owner.operands
    places = [place for place, argument in enumerate(condition.arguments) if argument == number]
    if not places:
        return None
    added = last_of(body).operands[places[0]]
    if made_by(added) != "stablehlo.add" or added.owner.operands[0] != body.arguments[places[0]]:
        return None
    first, last, step = constant(loop.operands[places[0]]), constant(end), constant(added.owner.operands[1])
    return None if first is None or last is None or step != 1 else last - first


def last_of(block: Any) -> Any:
    """The operation that ends a block."""
    return block.operations[len(block.operations) - 1]


def made_by(value: Any) -> str:
    """The name of the operation whose result a value is; empty for the argument of a block."""
    return getattr(value.owner, "name", "")


def constant(value: Any) -> int | None:
    """The whole number that a scalar of a module is, None where it is no constant."""
    return int(next(iter(value.owner.attributes["value"]))) if made_by(value) == "stablehlo.constant" else None


def lowered() -> dict[str, Any]:
    """The modules of the programs of a short call of the default training, by name, lowered for CUDA."""
    found: dict[str, Any] = {}
    placed = Program.placed

    def note(program: Program, *args: Any) -> Any:
        if program.__name__ not in found:
            traced = program.trace(*args)
            found[program.__name__] = traced.lower(lowering_platforms=("cuda",)).compiler_ir("stablehlo")
        return placed(program, *args)

    # Only the cores of a CPU compute many runs in turns.
    with mock.patch.object(Layout, "turns", return_value=1), mock.patch.object(Program, "placed", note):
        ft.pretrain(ft.make_task("CartPole-v1"), seeds=SEEDS, steps=256, num_evals=2, eval_episodes=2)
    return found


def rows(body: dict[str, Any], name: str, algo: ft.PPO, inside: str = "") -> list[dict[str, Any]]:
    """A row for the body and each loop in it, with a name for what one turn does."""
    steps = {algo.num_steps: "env step", algo.num_epochs * algo.num_minibatches: "gradient step", None: "update"}
    found = [{"program": name, "each": inside or "call", **{key: body[key] for key in body if key != "loops"}}]
    for loop in body["loops"]:
        what = steps.get(loop["turns"], "turn")
        if what == inside or (what == "env step" and not loop["matrix_products"]):
            what = "turn"
        found += rows(loop, name, algo, what)
    return found


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    algo = ft.PPO()
    bodies = {name: counted(module).described() for name, module in lowered().items()}
    results = {
        "sizes": {name: getattr(algo, name) for name in ("num_envs", "num_steps", "num_epochs", "num_minibatches")},
        "jax": jax.__version__,
        "training": [row for name in TRAINING if name in bodies for row in rows(bodies[name], name, algo)],
        "programs": bodies,
    }
    (RESULTS / "gpu_operations.json").write_text(json.dumps(results, indent=1) + "\n")
    for row in results["training"]:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
