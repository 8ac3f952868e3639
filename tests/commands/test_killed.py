"""A process that is killed at any instant leaves a directory from which a run goes on to the same bits.

`JAXRL_FT_KILLS` says how many kills of each kind the slow tests make.
"""

import os
import random
from itertools import count

import pytest
from helpers.killed_runs import Runs

import jaxrl_ft as ft
from jaxrl_ft import sweep, train
from jaxrl_ft.core import bundle

KILLS = int(os.environ.get("JAXRL_FT_KILLS", "3"))
TINY = "--seeds 4 --checkpoint-every 0 --agents {}"
COMMANDS = {
    "train": (train, f"{TINY} --shift long-pole --method adamw --steps 2048"),
    "sweep": (sweep, f"{TINY} --shifts long-pole --methods adamw lora --steps 2048"),
}


def readable(folder):
    """Read every bundle that has its name; returns how many there are."""
    found = [path.parent for path in folder.rglob(bundle.MANIFEST) if not path.parent.name.startswith(".")]
    return len([bundle.read_bundle(path) for path in found])


def contents(out):
    files = [out / "runs.csv", *sorted((out / "agents").glob("*/*"))]
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


def kills(name, words, folder):
    """Directories of runs that were killed.

    Every other one is killed at an instant from the start to the end of a whole run, and the others at one from the
    first bundle to the end, a time that is short beside that of starting up.
    """
    draw, there, done = random.Random(1), 0, 0
    with Runs() as runs:
        # The second one finds its programs compiled.
        _, seconds, first = [runs(name, [*words, str(folder / time)]) for time in ("first", "second")][-1]
        for number in count():
            path, behind = folder / str(number), bool(number % 2)
            # One that ends before its instant is no kill.
            if runs(name, [*words, str(path)], draw.uniform(0.0, seconds - behind * first), behind)[0]:
                there, done = there + (readable(path) > 0), done + 1
                yield path
            if done == KILLS:
                break
    print(f"{name}: {KILLS} kills of {number + 1} runs, {there} with something finished")


@pytest.mark.slow
def test_pretraining_that_is_killed_goes_on_to_the_same_bits(agents, source, tiny, tmp_path):
    settings = {"algo": tiny.algo, "network": tiny.network, "seeds": tiny.seeds, "seed": 0, **tiny.budget}
    for path in kills("pretrain", [], tmp_path):
        assert ft.pretrain(source, **settings, checkpoint=path, checkpoint_every=0.0).digest == agents.digest


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_killed_goes_on_to_the_same_files(name, saved, undrawn, tmp_path):
    command, flags = COMMANDS[name]
    words = [*flags.format(saved).split(), "--out"]
    whole = tmp_path / "whole"
    with undrawn():
        assert command.main([*words, str(whole)]) == 0
        for out in kills(name, words, tmp_path):
            resumes = (out / "config.json").exists()
            assert command.main(["--resume", str(out)] if resumes else [*words, str(out)]) == 0
            assert contents(out) == contents(whole)
