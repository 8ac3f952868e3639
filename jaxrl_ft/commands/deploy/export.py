"""`python -m jaxrl_ft.deploy export`."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from jaxrl_ft.commands.exit_status import Ending

FORMATS = "numpy|onnx|stablehlo|torch|sb3|c"
USUAL_SEED, USUAL_EPISODES = "best", 100


@dataclass(frozen=True)
class Export:
    """Writes the policy of a run to files that need no jaxrl_ft, with a model card."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """directory of a run of train or sweep, or of saved agents; or `zoo:NAME` for an agent of the package"""
    out: Annotated[str, tyro.conf.arg(metavar="PATH", aliases=["-o"])]
    """the folder to write; a new or an empty one, or one of an earlier export"""
    to: Annotated[tuple[str, ...], tyro.conf.arg(metavar=f"{FORMATS} ...")] = ("numpy",)
    """formats, one or several"""
    method: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """of a run, the method whose agents are taken, or `source` for the pretrained ones. Without it, the one that ran
    beside zero_shot, scratch and full"""
    target: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """of a run with several targets, which one"""
    seed: Annotated[str, tyro.conf.arg(metavar="best|N")] = USUAL_SEED
    """which agent, from 0; `best` is the one whose last evaluation returned most"""
    name: Annotated[str, tyro.conf.arg(metavar="NAME")] = "policy"
    """what the files are called, without an ending, and the function in C"""
    episodes: Annotated[int, tyro.conf.arg(metavar="N")] = USUAL_EPISODES
    """fresh greedy episodes on each task for the card; 0 for none"""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(metavar="MODULE", name="import")] = ()
    """modules of yours, by name or as .py files, whose environments and methods the agents need"""

    def act(self, ending: Ending) -> None:
        """Export, and print what was written.

        Raises:
            ValueError: a flag is not allowed.
        """
        from jaxrl_ft.commands import user_modules
        from jaxrl_ft.deploy.export import export
        from jaxrl_ft.store import runs
        from jaxrl_ft.training import devices

        devices.prepare()
        user_modules.load(self.imports)
        found = runs.find(self.run, self.method, self.target)
        seed = int(self.seed) if self.seed.isdecimal() else self.seed
        path = export(
            found.agents,
            self.out,
            self.to,
            seed=seed,
            name=self.name,
            episodes=self.episodes,
            parent=found.parent,
        )
        print(f"{found.path} is in {path}: {', '.join(sorted(p.name for p in path.iterdir() if p.is_file()))}")
