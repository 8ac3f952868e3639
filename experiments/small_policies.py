"""How small a CartPole policy can be and still solve CartPole.

    python experiments/small_policies.py [--seeds 32] [--steps 40960]

Agents pretrain until they are perfect at two evaluations in a row (`ft.pretrain(..., stop_at=500)`). Their policies are
then compressed by every row of `ft.COMPRESSIONS` that changes them; those that train do so on CartPole for `--steps`
env steps of each agent. Every policy plays 100 fresh greedy episodes before and after. A second table is of the same
agents after fine-tuning to long-pole by LoRA, whose changes alone are stored besides. Writes results/compression.json,
.csv, .md and .png, and the same with the ending _tuned.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
from thresholds import THRESHOLDS

import jaxrl_ft as ft
from jaxrl_ft.analysis.report.tables import markdown_table
from jaxrl_ft.core import machine
from jaxrl_ft.core.files import write_csv, write_text
from jaxrl_ft.deploy.compression import report
from jaxrl_ft.deploy.compression.door import compress_all
from jaxrl_ft.deploy.compression.figure import draw_compressions
from jaxrl_ft.store import run_directory

RESULTS = Path(__file__).parent / "results"
SOURCE, SHIFT = "CartPole-v1", "long-pole"
TUNED = ("int8", "int4", "student", "linear", "delta")


def written(name: str, found: list[ft.Compressed], title: str) -> None:
    """Write what was found, with how many seeds are at the threshold before and after."""
    headings, lines = report.cells(found)
    policies = [found[0].before, *(one.after for one in found)]
    task = report.main_task(list(found[0].before.returns))
    solved = [int((now.returns[task] >= THRESHOLDS[SOURCE]).sum()) for now in policies]
    headings = [*headings, f"seeds at {THRESHOLDS[SOURCE]:g}"]
    # Times are of a machine that does other things too; they are in the JSON file.
    place = headings.index("microseconds")
    headings, *lines = [row[:place] + row[place + 1 :] for row in (headings, *lines)]
    lines = [[*line, f"{number} of {found[0].agents.num_seeds}"] for line, number in zip(lines, solved)]
    write_text(RESULTS / f"{name}.md", markdown_table(headings, lines, plain=True))
    write_csv(RESULTS / f"{name}.csv", report.raw(found))
    facts = {key: {**value, "solved": number} for (key, value), number in zip(report.facts(found).items(), solved)}
    told = {"seeds": found[0].agents.num_seeds, "threshold": THRESHOLDS[SOURCE], "policies": facts}
    run_directory.write_json(RESULTS / f"{name}.json", {**told, "machine": machine.hardware()})
    figure = draw_compressions(report.panels(found), title)
    figure.savefig(RESULTS / f"{name}.png")
    print(report.table(found), flush=True)


def main(seeds: int, steps: int) -> None:
    source, target = ft.make_task(SOURCE), ft.make_task(SOURCE, SHIFT)
    agents = ft.pretrain(source, seeds=seeds, stop_at=500.0, progress=False)
    print(f"pretrained: {np.sort(agents.env_steps).tolist()} env steps", flush=True)
    each = partial(compress_all, steps=steps, progress=False)
    names = [name for name, row in ft.COMPRESSIONS.items() if not row.needs_base and name != "float32"]
    written("compression", each(agents, names), f"Compressed policies on {SOURCE}, {seeds} seeds")
    tuned = ft.finetune(agents, target, "lora", progress=False)
    title = f"Compressed policies after LoRA on {SHIFT}, {seeds} seeds"
    written("compression_tuned", each(tuned, TUNED, base=agents), title)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--steps", type=int, default=40_960)
    given = parser.parse_args()
    main(given.seeds, given.steps)
