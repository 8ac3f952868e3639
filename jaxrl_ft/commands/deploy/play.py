"""`python -m jaxrl_ft.deploy play`."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from jaxrl_ft.commands.exit_status import Ending

USUAL_SEED, USUAL_STEPS = 2, 500


@dataclass(frozen=True)
class Play:
    """Writes a film of one episode: the base, scratch and the fine-tuned agents of a run beside each other."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """directory of a run of train or sweep, or of saved agents; or `zoo:NAME` for an agent of the package"""
    out: Annotated[str, tyro.conf.arg(metavar="FILE", aliases=["-o"])] = "play.gif"
    """the file: .gif, .html (a page that loads nothing) or .mp4 (which needs ffmpeg)"""
    task: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SHIFT|NAME=VALUE ...")] = ()
    """where they act: a shift such as long-pole, quantities such as half_length=1.5, both, or `source`. Without it, the
    task that they were fine-tuned on"""
    method: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """of a run, the method whose agents are shown, or `source` for the pretrained ones alone. Without it, the one that
    ran beside zero_shot, scratch and full"""
    target: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """of a run with several targets, which one"""
    agent: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """which run of the method, from 0; the first that did not fail without it"""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = USUAL_SEED
    """of the start and the noise, the same for all"""
    fps: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """steps in a second; as the environment has them without it"""
    max_steps: Annotated[int, tyro.conf.arg(metavar="N")] = USUAL_STEPS
    """steps after which an episode is cut off"""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(metavar="MODULE", name="import")] = ()
    """modules of yours, by name or as .py files, whose environments and methods the agents need"""

    def act(self, ending: Ending) -> None:
        """Play, and print where the film is.

        Raises:
            ValueError: a flag is not allowed.
        """
        import os

        # What a user's environment draws with pyplot must open no window.
        os.environ.setdefault("MPLBACKEND", "agg")
        from jaxrl_ft.commands import user_modules
        from jaxrl_ft.commands.deploy.tasks import changed_task
        from jaxrl_ft.deploy.play import play
        from jaxrl_ft.store import runs
        from jaxrl_ft.training import devices

        devices.prepare()
        user_modules.load(self.imports)
        shown = runs.side_by_side(self.run, self.method, self.target)
        last = list(shown.values())[-1]
        task = changed_task("task", self.task, last.source, last.task)
        path = play(shown, self.out, task, agent=self.agent, seed=self.seed, fps=self.fps, max_steps=self.max_steps)
        print(f"{', '.join(shown)} on {task.describe()}: {path}")
