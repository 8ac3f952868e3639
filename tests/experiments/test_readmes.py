"""The READMEs say what the results say, name what exists, and their code and the examples run."""

import importlib
import re
import runpy
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.foreign_files import FOLDER

import jaxrl_ft as ft
from jaxrl_ft import sweep, train
from jaxrl_ft.commands import settings, sweep_settings
from jaxrl_ft.commands.deploy import main as deploy

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "experiments" / "examples").glob("*.py"))
LONG = ("point_mass", "compare", "own_method", "advise")
PAGES = [ROOT / "README.md", ROOT / "experiments" / "README.md", *sorted((ROOT / "jaxrl_ft").glob("*/README.md"))]


def name(path):
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def readme():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "experiments"))
        yield importlib.import_module("readme")


def test_every_page_is_checked(readme):
    assert set(readme.PAGES) == set(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_nothing_is_wrong_with_a_page(page, readme):
    assert list(readme.wrong(page)) == []


def test_every_block_stands_on_some_page(readme):
    text = "".join(page.read_text() for page in PAGES)
    assert set(re.findall(r"<!-- begin (\w+) -->", text)) == set(readme.BLOCKS)


def test_what_is_wrong_is_found(readme, tmp_path, monkeypatch):
    page = tmp_path / "README.md"
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    monkeypatch.setattr(readme, "FRONT", page)
    monkeypatch.setitem(readme.BLOCKS, "given", lambda: "new")
    lines = ["<!-- begin given -->", "old", "<!-- end given -->", "`rl/gone.py` `ft.gone` [x](gone.md)", *[""] * 200]
    page.write_text("\n".join(lines) + "\n```\npython -m jaxrl_ft.gone\n```\n")
    said = "\n".join(readme.wrong(page))
    assert "not what the results say" in said and "207 lines, 200 at most" in said
    assert all(f"names {gone}, which" in said for gone in ("rl/gone.py", "jaxrl_ft.gone", "gone.md"))


@pytest.fixture
def small(registries, tiny, monkeypatch, tmp_path):
    """Runs the calls of the public API at tiny size, in an empty folder."""
    real = {
        call: getattr(ft, call)
        for call in ("pretrain", "finetune", "finetune_gymnasium", "compare", "evaluate", "search")
    }
    sizes = {"num_evals": 3, "eval_episodes": 4}
    evaluated = {"episodes": 4, "held_out_episodes": 2}

    def finetune(agents, target, method=None, **given):
        method = ft.METHODS[method or ft.RECOMMENDED] if not isinstance(method, ft.Method) else method
        if method.imagination.steps:
            method = replace(method, imagination=replace(method.imagination, steps=640, rounds=2))
        return real["finetune"](agents, target, method, **{**given, **sizes, "steps": 512 + method.spent()})

    world = {"algo": tiny.algo, "network": tiny.network, "seeds": tiny.seeds, "steps": 512}
    calls = {
        "finetune": finetune,
        "pretrain": lambda *parts, **given: real["pretrain"](*parts, **{**given, **world, **sizes}),
        "evaluate": lambda *parts, **given: real["evaluate"](*parts, **{**given, "episodes": 4}),
        "compare": lambda *parts, **given: real["compare"](
            *parts, **{**given, **sizes, **evaluated, "seeds": 4, "steps": 512}
        ),
        "finetune_gymnasium": lambda *parts, **given: real["finetune_gymnasium"](
            *parts, **{**given, **sizes, "steps": 512}
        ),
        "search": lambda *parts, **given: real["search"](
            *parts, **{**given, **sizes, "trials": 2, "seeds": 2, "steps": 512}
        ),
    }
    for call, smaller in calls.items():
        monkeypatch.setattr(ft, call, smaller)
    monkeypatch.chdir(tmp_path)
    shutil.copy(FOLDER / "sb3_ppo.zip", tmp_path / "ppo_cartpole.zip")


def blocks(page, language):
    fences = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [text for kind, text in fences if kind == language]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_the_code_of_a_page_runs(page, small, undrawn):
    with undrawn():
        exec("\n".join(blocks(page, "python")), {"__name__": "__main__"})


@pytest.mark.parametrize(
    "example",
    [pytest.param(path, marks=pytest.mark.slow) if path.stem in LONG else path for path in EXAMPLES],
    ids=name,
)
def test_an_example_runs(example, small, undrawn, capsys):
    with undrawn():
        runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out


COMMANDS = {"train": settings.resolve, "sweep": sweep_settings.resolve}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_commands_of_a_page_are_allowed(page, small):
    text = "\n".join(blocks(page, "")).replace("\\\n", " ")
    for command, words in re.findall(r"python -m jaxrl_ft\.(train|sweep)\b([^&;\n]*)", text):
        COMMANDS[command](shlex.split(words))


@pytest.fixture(scope="module")
def flags():
    """The text in which every flag of the commands, and of the scripts in experiments/, stands."""
    import contextlib
    import io

    scripts = "".join(path.read_text() for path in (ROOT / "experiments").glob("*.py"))
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        for algo in ft.ALGOS:
            train.main(["--algo", algo, "--help-all"])
        sweep.main(["--help-all"])
        for name in deploy.SUBCOMMANDS:
            deploy.main([name, "--help"])
    return shown.getvalue() + scripts


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_flags_that_a_page_names_exist(page, flags):
    for span in re.findall(r"`((?:--|python )[^`\n]*)`", page.read_text()):
        for flag in re.findall(r"--[\w.-]+", span):
            assert flag in flags, flag
