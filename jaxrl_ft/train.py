"""The command `python -m jaxrl_ft.train`: pretrain, fine-tune, evaluate, report.

Heavy imports wait until the flags are checked, so that a mistake is answered at once.
"""

import shlex
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxrl_ft.commands.progress import Compilation, Display
    from jaxrl_ft.commands.settings import Settings
    from jaxrl_ft.engine.agents import Agents
    from jaxrl_ft.engine.comparison import Comparison

PRETRAINING = "pretraining"
SUCCESS, FAILURE, MISTAKE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 when the output cannot be written, 2 for a mistake in the flags, 130 after Ctrl-C.

    Args:
        argv: the words after the program's name; without it, those of this process.
    """
    began, hint = time.monotonic(), ""
    try:
        from jaxrl_ft.commands.settings import resolve
        from jaxrl_ft.store import run_directory

        settings = resolve(argv)
        run_directory.create(settings.out)
        hint = f"; what was finished is in {settings.out}"
        run(settings, began)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else MISTAKE
    except ValueError as error:
        if hint:
            raise
        return say(f"error: {error}", MISTAKE)
    except OSError as error:
        return say(f"error: {error}{hint}", FAILURE)
    except KeyboardInterrupt:
        return say(f"interrupted{hint}", INTERRUPTED)
    return SUCCESS


def run(settings: "Settings", began: float) -> None:
    """Nothing; the run directory is then full, and the tables are printed.

    Args:
        settings: what was asked for; its directory exists.
        began: `time.monotonic()` at the start of the command.
    """
    from rich.console import Console

    from jaxrl_ft.commands import output
    from jaxrl_ft.commands.progress import Compilation, Display
    from jaxrl_ft.engine import placement
    from jaxrl_ft.store import checkpoints

    placement.prepare()
    output.write_config(settings)
    with Compilation().listening() as compilation, Display(_stages(settings), Console(stderr=True)) as display:
        agents = settings.agents or _pretrain(settings, display)
        checkpoints.save(agents, output.agents_path(settings.out, "source"))
        comparison = _compare(settings, agents, display)
    output.write_comparison(settings, comparison)
    _report(settings, agents, comparison, _took(began, compilation))
    print(_took(began, compilation))


def _stages(settings: "Settings") -> dict[str, int]:
    from jaxrl_ft.commands.settings import budget

    stages = {} if settings.agents else {PRETRAINING: budget(settings, None)}
    return stages | {name: budget(settings, method) for name, method in settings.methods.items()}


def _pretrain(settings: "Settings", display: "Display") -> "Agents":
    from jaxrl_ft.commands.settings import EVAL_EPISODES, NUM_EVALS
    from jaxrl_ft.engine.learning import pretrain

    agents = pretrain(
        settings.source,
        algo=settings.algo,
        network=settings.network,
        optimizer=settings.optimizer,
        seeds=settings.flags.seeds,
        steps=settings.flags.pretrain_steps,
        seed=settings.flags.seed,
        num_evals=NUM_EVALS,
        eval_episodes=EVAL_EPISODES,
        watch=lambda moment: display.tell(PRETRAINING, moment),
    )
    display.tell(PRETRAINING, None)
    return agents


def _compare(settings: "Settings", agents: "Agents", display: "Display") -> "Comparison":
    from jaxrl_ft.commands.settings import EPISODES, EVAL_EPISODES, NUM_EVALS
    from jaxrl_ft.engine.comparison import compare

    return compare(
        agents,
        {settings.target_name: settings.target},
        settings.methods,
        seeds=settings.flags.seeds,
        steps=settings.flags.finetune_steps,
        seed=settings.finetune_seed,
        num_evals=NUM_EVALS,
        eval_episodes=EVAL_EPISODES,
        episodes=EPISODES,
        held_out={settings.target_name: settings.held_out},
        watch=lambda method, _, moment: display.tell(method, moment),
    )


def _report(settings: "Settings", agents: "Agents", comparison: "Comparison", took: str) -> None:
    """Writes figures and report, and prints what they hold."""
    from rich.console import Console

    from jaxrl_ft.analysis.summary import summarise
    from jaxrl_ft.commands import output

    rows = summarise(comparison.runs, comparison.curves, comparison.curve_steps)
    reports = {method: cell.report for (method, _), cell in comparison.cells.items()}
    notes = [f"`{method}`: {'; '.join(lines)}." for method, lines in reports.items()]
    words = shlex.join(["python", "-m", "jaxrl_ft.train", *settings.command])
    figures = output.write_report(settings, agents, comparison, rows, [*notes, took, f"Command: `{words}`."])
    console = Console(width=None if sys.stdout.isatty() else output.WIDTH)
    print(f"\n{settings.source.describe()} to {settings.target.describe()} ({settings.target_text}).")
    print("Interquartile means over runs, with 95% intervals.\n")
    output.print_tables(console, rows)
    for method, lines in reports.items():
        print("\n  ".join([f"{method}:", *lines]))
    print(f"\nReport: {settings.out / 'report.html'}, {settings.out / 'report.md'}")
    print(f"Figures: {', '.join(str(settings.out / path) for path in figures)}")
    print(f"Agents: {settings.out / 'agents'}; raw numbers: {settings.out / 'runs.csv'}")


def _took(began: float, compilation: "Compilation") -> str:
    total, compiling = time.monotonic() - began, compilation.seconds
    share = f"{compiling:.1f} s ({compiling / total:.0%})"
    return f"Took {total:.1f} s, of which {share} tracing and compiling {compilation.told()}."


def say(text: str, status: int) -> int:
    """The status; the text is then on stderr, in one line."""
    print(" ".join(text.split()), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
