"""A process that is killed at any instant leaves a directory from which a run goes on to the same bits.

`JAXRL_FT_KILLS` says how many kills of each kind the slow tests make.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import jaxrl_ft as ft
from jaxrl_ft import sweep, train
from jaxrl_ft.core import bundle

KILLS = int(os.environ.get("JAXRL_FT_KILLS", "3"))
TINY = "--seeds 4 --checkpoint-every 0 --agents {}"
COMMANDS = {
    "train": (train, f"{TINY} --shift long-pole --method adamw --steps 2048"),
    "sweep": (sweep, f"{TINY} --shifts long-pole --methods adamw lora --steps 2048"),
}
LIBRARY = """
import sys
import jaxrl_ft as ft
algo = ft.PPO(num_envs=4, num_steps=16, num_epochs=2, num_minibatches=2)
ft.pretrain(ft.make_task("CartPole-v1"), algo=algo, network=ft.MLP(width=8), seeds=4, seed=0, steps=512, num_evals=3,
            eval_episodes=4, checkpoint=sys.argv[1], checkpoint_every=0.0)
"""


def killed(words, seconds):
    """Run a process and kill it so many seconds after it began; returns whether it was still running."""
    paths = os.pathsep.join([str(Path(ft.__file__).parent.parent), *sys.path])
    environment = os.environ | {"PYTHONPATH": paths, "JAXRL_FT_STORED_PROGRAMS": "1"}
    process = subprocess.Popen(
        [sys.executable, *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    return process.wait() != 0


def readable(folder):
    """Read every bundle that has its name; returns how many there are."""
    found = [path.parent for path in folder.rglob(bundle.MANIFEST) if not path.parent.name.startswith(".")]
    return len([bundle.read_bundle(path) for path in found])


def contents(out):
    files = [out / "runs.csv", *sorted((out / "agents").glob("*/*"))]
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


def pretrained(source, tiny, path):
    settings = {"algo": tiny.algo, "network": tiny.network, "seeds": tiny.seeds, "seed": 0, **tiny.budget}
    return ft.pretrain(source, **settings, checkpoint=path, checkpoint_every=0.0)


def seconds_of(call):
    """What a whole process takes; the second one finds its programs compiled."""
    call()
    began = time.monotonic()
    call()
    return time.monotonic() - began


@pytest.mark.slow
def test_pretraining_that_is_killed_goes_on_to_the_same_bits(agents, source, tiny, tmp_path):
    seconds = seconds_of(lambda: killed(["-c", LIBRARY, str(tmp_path / "whole")], 600))
    draw, there = random.Random(0), 0
    for number in range(KILLS):
        path = tmp_path / str(number)
        killed(["-c", LIBRARY, str(path)], draw.uniform(0.5, 1.0) * seconds)
        there += readable(path) > 0
        assert pretrained(source, tiny, path).digest == agents.digest
    print(f"pretrain: {KILLS} kills, {there} of them behind a checkpoint")


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_killed_goes_on_to_the_same_files(name, saved, undrawn, tmp_path):
    command, flags = COMMANDS[name]
    words = ["-m", f"jaxrl_ft.{name}", *flags.format(saved).split(), "--out"]
    whole = tmp_path / "whole"
    with undrawn():
        assert command.main([*words[2:], str(whole)]) == 0
        seconds = seconds_of(lambda: killed([*words, str(tmp_path / "timed" / str(time.monotonic()))], 600))
        draw, there = random.Random(1), 0
        for number in range(KILLS):
            out = tmp_path / str(number)
            killed([*words, str(out)], draw.uniform(0.2, 1.0) * seconds)
            there += readable(out) > 0
            resumes = (out / "config.json").exists()
            assert command.main(["--resume", str(out)] if resumes else [*words[2:], str(out)]) == 0
            assert contents(out) == contents(whole)
    print(f"{name}: {KILLS} kills, {there} of them with something finished")
