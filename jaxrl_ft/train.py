"""The command `python -m jaxrl_ft.train`: pretrain, fine-tune, evaluate, report.

Heavy imports wait until the flags are checked, so that a mistake is answered at once.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from jaxrl_ft.commands import exit_status
from jaxrl_ft.commands.exit_status import Ending

if TYPE_CHECKING:
    from jaxrl_ft.advice.choice import Advice
    from jaxrl_ft.commands.compilation import Compilation
    from jaxrl_ft.commands.settings import Settings
    from jaxrl_ft.store.recording import Recorder
    from jaxrl_ft.sweeps.results import Comparison
    from jaxrl_ft.training.agents import Agents
    from jaxrl_ft.training.progress.display import Display
    from jaxrl_ft.training.progress.moments import Progress

PRETRAINING, ADVISED = "pretraining", "advised"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, 1 if files cannot be written, 2 for a mistake, 130 after SIGINT, 143 after SIGTERM.

    Args:
        argv: the words after the program's name; without it, those of this process.
    """
    return exit_status.run(_command, argv)


def _command(argv: Sequence[str] | None, ending: Ending) -> None:
    began = time.monotonic()
    from jaxrl_ft.commands.output import remove_results
    from jaxrl_ft.commands.settings import resolve
    from jaxrl_ft.core.files import claimed
    from jaxrl_ft.store import run_directory

    settings = resolve(argv)
    with claimed(run_directory.create(settings.out, run_directory.TRAIN)) as out:
        if not settings.command.resumed:
            remove_results(out)
        ending.hint, ending.checked = (lambda: _hint(settings)), True
        run(settings, began, ending)


def run(settings: "Settings", began: float, ending: Ending) -> None:
    """Pretrain, fine-tune and evaluate; write the results, and print a table and the findings.

    Args:
        settings: what was asked for; its directory exists.
        began: `time.monotonic()` at the start of the command.
        ending: gets the hint on what is finished.
    """
    from jaxrl_ft.commands import output
    from jaxrl_ft.commands.compilation import Compilation, rare_collections
    from jaxrl_ft.commands.settings import followed
    from jaxrl_ft.store import checkpoints, run_directory
    from jaxrl_ft.training import devices
    from jaxrl_ft.training.programs import store
    from jaxrl_ft.training.progress.display import Display, standard_error

    devices.prepare()
    store.turn_on()
    output.write_config(settings)
    with rare_collections(), Compilation().listening() as compilation:
        with Display(_stages(settings), standard_error()) as display, output.recorder(settings, file=True) as told:
            agents = settings.agents or _pretrain(settings, display, told)
            checkpoints.save(agents, run_directory.source_path(settings.out))
            advice = _advise(settings, agents) if settings.flags.advise else None
            if advice is not None:
                settings = followed(settings, advice)
                output.write_advice(settings.out, advice)
                output.write_config(settings)
            comparison = _compare(settings, agents, advice, display, told)
        for (method, target), tuned in comparison.cells.items():
            checkpoints.save(tuned, run_directory.agents_path(settings.out, method, target))
        _report(settings, comparison, advice, agents, lambda: _took(began, compilation))
        output.remove_checkpoints(settings.out)


def _hint(settings: "Settings") -> str:
    """What is finished and how to go on, to be printed behind the reason of an early end."""
    from jaxrl_ft.commands import output
    from jaxrl_ft.store import run_directory

    out = settings.out
    pretrained = settings.agents is None and run_directory.source_path(out).exists()
    if not (pretrained or output.anything_kept(out)):
        return "; nothing was finished"
    return f"; what was finished is in {out}, and `{settings.command.resuming(out)}` goes on from there"


def _stages(settings: "Settings") -> dict[str, int]:
    from jaxrl_ft.commands.settings import budget

    stages = {} if settings.agents else {PRETRAINING: budget(settings, None)}
    stages |= {name: budget(settings, method) for name, method in settings.methods.items()}
    return stages | ({ADVISED: budget(settings, settings.methods["full"])} if settings.flags.advise else {})


def _pretrain(settings: "Settings", display: "Display", recorder: "Recorder") -> "Agents":
    from jaxrl_ft.commands.output import CHECKPOINTS
    from jaxrl_ft.commands.shared_settings import EVAL_EPISODES, NUM_EVALS
    from jaxrl_ft.store import checkpoints, run_directory
    from jaxrl_ft.training.finetune import pretrain

    def callback(moment: "Progress") -> None:
        display.update(PRETRAINING, moment)
        recorder.pretraining(moment)

    path = run_directory.source_path(settings.out)
    if settings.command.resumed and path.exists():
        display.update(PRETRAINING, None)
        return checkpoints.load(path)
    agents = pretrain(
        settings.source,
        algo=settings.algo,
        network=settings.network,
        optimizer=settings.optimizer,
        seeds=settings.flags.seeds,
        steps=settings.pretrain_steps,
        seed=settings.flags.seed,
        num_evals=NUM_EVALS,
        eval_episodes=EVAL_EPISODES,
        stop_at=settings.stop_at,
        keep=settings.flags.pretrain_keep,
        patience=settings.flags.pretrain_patience,
        checkpoint=settings.out / CHECKPOINTS / PRETRAINING,
        checkpoint_every=settings.flags.checkpoint_every,
        callback=callback,
        progress=False,
    )
    display.update(PRETRAINING, None)
    return agents


def _advise(settings: "Settings", agents: "Agents") -> "Advice":
    from jaxrl_ft.advice.advise import advise

    flags = settings.flags
    return advise(
        agents,
        settings.target,
        settings.candidates,
        keep_source=flags.keep_source or 0.0,
        steps=flags.steps,
        seed=settings.probe_seed,
    )


def _compare(
    settings: "Settings", agents: "Agents", advice: "Advice | None", display: "Display", recorder: "Recorder"
) -> "Comparison":
    from jaxrl_ft.commands.output import CHECKPOINTS
    from jaxrl_ft.commands.shared_settings import (
        EPISODES,
        EVAL_EPISODES,
        HELD_OUT_EPISODES,
        NUM_EVALS,
        REFERENCES,
        with_seed,
    )
    from jaxrl_ft.sweeps.compare import compare

    def callback(method: str, target: str, moment: "Progress | None") -> None:
        display.update(ADVISED if method in advised else method, moment)
        recorder.cell(method, target, moment)

    advised = set() if advice is None else set(settings.methods) - set(REFERENCES)
    comparison = compare(
        agents,
        {settings.target_name: settings.target},
        settings.methods,
        seeds=settings.flags.seeds,
        steps=settings.flags.steps,
        seed=settings.finetune_seed,
        num_evals=NUM_EVALS,
        eval_episodes=EVAL_EPISODES,
        episodes=EPISODES,
        held_out_episodes=HELD_OUT_EPISODES,
        held_out={settings.target_name: settings.held_out},
        paid={name: int(advice.env_steps.max()) for name in advised if advice},
        checkpoint=settings.out / CHECKPOINTS / "comparison",
        checkpoint_every=settings.flags.checkpoint_every,
        callback=callback,
        progress=False,
    )
    if advice is not None and not advised:
        display.update(ADVISED, None)
    return replace(comparison, runs=with_seed(comparison.runs, settings.flags.seed))


def _report(
    settings: "Settings",
    comparison: "Comparison",
    advice: "Advice | None",
    agents: "Agents",
    took: Callable[[], str],
) -> None:
    """Write the results and the report, and print what they hold."""
    from jaxrl_ft.advice.choice import outcome
    from jaxrl_ft.commands import measurements, output
    from jaxrl_ft.training.agents import span

    name, notes = settings.target_name, []
    before = [] if settings.agents else [f"Pretraining: {'; '.join(agents.report)}."]
    kept = [] if settings.agents else [f"The pretrained policies are those at {span(agents.kept_steps)} env steps."]
    if advice is not None:
        notes = [f"Advice before training: {advice.sentence()}", outcome(advice, comparison.summary().rows)]
    output.write_results(
        settings,
        comparison,
        title=f"Fine-tuning to {name}",
        targets={name: settings.target_text},
        notes=[*notes, *before, *comparison.transfers(), took()],
        measurements=measurements.measure(comparison, settings.finetune_seed, grids=False),
    )
    heading = f"{settings.source.describe()} to {settings.target.describe()} ({settings.target_text})."
    output.print_results(settings, comparison, heading, notes, " ".join([*kept, took()]))


def _took(began: float, compilation: "Compilation") -> str:
    total, compiling = time.monotonic() - began, compilation.seconds
    share = f"{compiling:.1f} s ({compiling / total:.0%})"
    return f"Took {total:.1f} s, of which {share} tracing and compiling {compilation.summary()}."


if __name__ == "__main__":
    sys.exit(main())
