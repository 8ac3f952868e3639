"""Modules of a user: what they register has names in the commands, and what needs them says so."""

import dataclasses
import sys

import pytest

import jaxrl_ft as ft
from jaxrl_ft import sweep, train
from jaxrl_ft.commands import settings, sweep_settings, user_modules
from jaxrl_ft.core import config

CODE = """
import jaxrl_ft as ft
from jaxrl_ft.core.config import config

@config
class Confidence(ft.L2SP):
    '''A penalty of a user.'''

ft.PENALTIES.add("confidence", Confidence(), "penalises confidence")
ft.METHODS.add("confident", ft.Method(penalty=Confidence(coef=0.5)), "trains under the penalty confidence")
ft.SHIFTS.add("light-pole", ft.Shift({"pole_mass": 0.05}), "half the mass of the pole")
"""
BROKEN = {
    "a mistake": (
        "import jaxrl_ft\nx = unknown\n",
        "fails with NameError: name 'unknown' is not defined (mine.py, line 2)",
    ),
    "a missing module": ("import no_such_thing\n", "fails with ModuleNotFoundError: No module named 'no_such_thing'"),
    "no Python": ("def (:\n", "fails with SyntaxError"),
    "an exit": ("raise SystemExit(3)\n", "fails with SystemExit: 3"),
}


@pytest.fixture
def restored(registries, monkeypatch, tmp_path):
    """The working directory is where a module lies; what it registers is forgotten after the test."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("mine", None)


@pytest.fixture
def mine(restored):
    (restored / "mine.py").write_text(CODE)
    return restored


@pytest.mark.parametrize("name", ["mine", "mine.py", "./mine.py"])
def test_what_a_module_registers_has_names(mine, name):
    found = settings.resolve(["--import", name, "--method", "confident", "--shift", "light_pole"])
    penalty = found.methods["confident"].penalty
    assert (type(penalty).__name__, penalty.coef) == ("Confidence", 0.5)
    assert found.target.describe() == "CartPole-v1 pole_mass=0.05"
    assert found.command.lacks == ()
    swept = sweep_settings.resolve(["--import", name, "--methods", "confident", "--shifts", "light-pole"])
    assert swept.methods["confident"] == found.methods["confident"] and list(swept.targets) == ["light-pole"]


def test_names_of_a_module_are_in_the_help(mine, capsys):
    assert train.main(["--import", "mine", "--help-all"]) == 0
    assert "confident              trains under the penalty confidence" in capsys.readouterr().out
    assert sweep.main(["--import", "mine", "--help"]) == 0
    assert "light-pole" in capsys.readouterr().out


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("command", [train, sweep], ids=["train", "sweep"])
def test_a_module_that_fails_is_one_line(command, kind, restored, capsys):
    code, told = BROKEN[kind]
    (restored / "mine.py").write_text(code)
    for name in ("mine", "mine.py"):
        assert command.main(["--import", name, "--out", "out"]) == 2
        line = capsys.readouterr().err
        assert line.startswith(f"error: import: {name!r} {told}") and line.count("\n") == 1
        assert "shows where" in line and not (restored / "out").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere", "is not a module that Python finds"),
        ("nowhere.py", "is not a file"),
        ("my-own.py", "is not allowed; a module's name"),
        ("types.py", "another module is called types"),
    ],
)
def test_what_is_no_module_is_refused(restored, name, told, capsys):
    (restored / "my-own.py").touch()
    (restored / "types.py").touch()
    assert train.main(["--import", name]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"error: import: {name!r} ") and told in line and line.count("\n") == 1


@pytest.fixture
def foreign(mine, agents):
    """Agents whose method holds a class of the module, saved, where the module is unknown again."""
    user_modules.load(["mine"])
    tuned = dataclasses.replace(agents, method=ft.METHODS["confident"])
    ft.save(tuned, mine / "saved")
    sys.modules.pop("mine")
    del config.CONFIGS["Confidence"]
    ft.METHODS.remove("confident")
    ft.PENALTIES.remove("confidence")
    ft.SHIFTS.remove("light-pole")
    return mine / "saved"


def test_loading_says_which_module_is_missing_and_imports_none(foreign):
    with pytest.raises(ValueError, match=r"saved: needs module mine \(class Confidence\); .* --import mine$"):
        ft.load(foreign)
    assert "mine" not in sys.modules
    with pytest.raises(ValueError, match=r"agents: .* needs module mine"):
        settings.resolve(["--agents", str(foreign), "--method", "full"])
    found = settings.resolve(["--agents", str(foreign), "--method", "full", "--import", "mine"])
    assert found.agents.method == ft.METHODS["confident"]


def test_a_class_of_a_script_cannot_be_imported_by_name():
    with pytest.raises(ValueError, match="needs class Mine, which the script or notebook that saved it defined"):
        config.from_json({"type": "__main__.Mine", "coef": 1.0})


def test_what_was_registered_from_python_is_named_as_lacking(restored):
    ft.METHODS.add("by_hand", ft.Method(), "trains")
    found = settings.resolve(["--method", "by_hand"])
    assert found.command.lacks == (__name__,)
    assert f"lacks what the modules {__name__} registered" in " ".join(found.command.notes(found.out))
