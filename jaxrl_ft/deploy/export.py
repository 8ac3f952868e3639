"""The public door of exports: checks, files, and the card beside them."""

from collections.abc import Sequence
from pathlib import Path

from jaxrl_ft.core import checks
from jaxrl_ft.core.files import write_bytes, write_text
from jaxrl_ft.deploy import card
from jaxrl_ft.deploy.describe import BEST, chosen, describe
from jaxrl_ft.deploy.formats.base import Exporting
from jaxrl_ft.deploy.formats.catalogue import FORMATS
from jaxrl_ft.store import run_directory
from jaxrl_ft.training.agents import Agents, check_is_agents

COMMAND = "export"
EPISODES = 100
"""Fresh greedy episodes of the card on each task."""


def export(
    agents: Agents,
    out: str | Path,
    to: str | Sequence[str] = "numpy",
    *,
    seed: int | str = BEST,
    name: str = "policy",
    episodes: int = EPISODES,
    parent: Agents | None = None,
) -> Path:
    """Write the greedy policy of one seed to files that need no jaxrl_ft, and a model card beside them.

    The policy that is written has adapters merged and the normaliser, squashing and bounds of actions inside. It was
    compared with `agents.policy(seed)` before anything is written.

    Args:
        agents: S agents.
        out: the folder; a new or an empty one, or one of an earlier export.
        to: one format or several: `numpy`, `onnx`, `stablehlo`, `torch`, `sb3`, `c`.
        seed: which of the S agents, from 0; `best` is the one whose last evaluation returned most.
        name: what the files are called, without an ending; also the name of the function in C.
        episodes: fresh greedy episodes on the task, and on the source where that is another, for the card; 0 for none.
        parent: the agents that these were fine-tuned from, for the card.

    Returns:
        The folder.

    Raises:
        ValueError: an argument is not allowed, a package is missing, or the policy has no such form; nothing is written
            then.
    """
    check_is_agents(agents)
    number = chosen(agents, seed)
    if not isinstance(to, str):
        checks.sequence("to", to)
    checks.path("out", out)
    checks.kind("name", name, str, "text")
    names = [FORMATS.name(one) for one in ([to] if isinstance(to, str) else to)]
    if not names:
        raise ValueError(f"to: needs at least one of: {', '.join(FORMATS)}")
    if not name.isidentifier() or not name.isascii():
        raise ValueError(f"name: {name!r} is not allowed; it must be letters, digits and _, as in policy")
    checks.count("episodes", episodes, 0)
    if parent is not None:
        checks.kind("parent", parent, Agents, "Agents, as ft.pretrain returns")
    for one in names:
        FORMATS[one].check(one)
    run_directory.check(out, COMMAND)
    described = any(FORMATS[one].described for one in names)
    description = describe(agents, number) if described else None
    exporting = Exporting(agents, number, description, name, card.title(agents, number))
    files = {file: data for one in names for file, data in FORMATS[one].files(exporting).items()}
    found = card.facts(agents, number, description, files, episodes, parent)
    directory = run_directory.create(out, COMMAND)
    for file, data in files.items():
        write_bytes(directory / file, data)
    run_directory.write_json(directory / "card.json", found)
    write_text(directory / "card.md", card.page(found))
    return directory
