"""`python -m jaxrl_ft.deploy compress`."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from jaxrl_ft.commands.exit_status import Ending

USUAL_STEPS, USUAL_EPISODES, USUAL_SEED = 20_480, 100, 4


@dataclass(frozen=True)
class Compress:
    """Writes the policies of a run in less space, with what that costs and keeps, before and after."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """directory of a run of train or sweep, or of saved agents"""
    out: Annotated[str, tyro.conf.arg(metavar="PATH", aliases=["-o"])]
    """the folder to write; a new or an empty one, or one of an earlier compress"""
    hows: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...", name="with")] = ("int8",)
    """compressions, one or several: int8, int8-channel, int8-aware, int4, int4-aware, prune-50, prune-90,
    prune-90-global, prune-90-tuned, prune-90-gradual, prune-90-inputs, units-50, units-50-tuned, low-rank, student,
    linear, delta, float32"""
    method: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """of a run, the method whose agents are taken, or `source` for the pretrained ones. Without it, the one that ran
    beside zero_shot, scratch and full"""
    target: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """of a run with several targets, which one"""
    steps: Annotated[int, tyro.conf.arg(metavar="N")] = USUAL_STEPS
    """env steps of each agent for a compression that trains"""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = USUAL_SEED
    """seed of the training"""
    episodes: Annotated[int, tyro.conf.arg(metavar="N")] = USUAL_EPISODES
    """greedy episodes of each agent on each task, before and after; 0 for none"""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(metavar="MODULE", name="import")] = ()
    """modules of yours, by name or as .py files, whose environments and methods the agents need"""

    def act(self, ending: Ending) -> None:
        """Compress, and print what it costs and keeps.

        Raises:
            ValueError: a flag is not allowed.
        """
        from jaxrl_ft.commands import user_modules
        from jaxrl_ft.deploy.compression import door
        from jaxrl_ft.store import runs
        from jaxrl_ft.training import devices

        devices.prepare()
        user_modules.load(self.imports)
        found = runs.find(self.run, self.method, self.target)
        path, table = door.write(
            found.agents,
            self.out,
            self.hows,
            steps=self.steps,
            seed=self.seed,
            base=found.parent,
            episodes=self.episodes,
        )
        print(f"{table}\n\n{found.path} is in {path}: {', '.join(sorted(p.name for p in path.iterdir()))}")
