"""The model card of an exported policy: what it is, how it was made, and how good it is; as JSON and as a page."""

from collections.abc import Mapping

import numpy as np

from jaxrl_ft.analysis.statistics import aggregate, intervals
from jaxrl_ft.core import machine
from jaxrl_ft.core.config import to_json
from jaxrl_ft.core.files import Json
from jaxrl_ft.core.json_files import digest
from jaxrl_ft.deploy.description import Description
from jaxrl_ft.deploy.parity import TOLERANCE
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.catalogue import METHODS
from jaxrl_ft.rl.catalogue import ALGOS
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.evaluation.evaluate import evaluate

EVALUATION_SEED = 2
VERSION = 1
_OUTPUTS = {"logits": "logits of the actions", "q_values": "values of the actions", "means": "actions before clipping"}


def title(agents: Agents, seed: int) -> str:
    """What the policy is, in one line of ASCII."""
    algo, method = ALGOS.nearest_name(agents.algo), METHODS.name_of(agents.method)
    how = f"fine-tuned by {method or 'a method without a name'}" if agents.method.trains else "as it was wrapped"
    if agents.source == agents.task:
        how = "trained there" if agents.method.trains else how
    else:
        how = f"{how}, pretrained on {agents.source.describe()}"
    line = f"{algo} policy for {agents.task.describe()}, {how}; seed {seed} of {agents.num_seeds}"
    return line.encode("ascii", "replace").decode()


def facts(
    agents: Agents,
    seed: int,
    description: Description | None,
    files: Mapping[str, bytes],
    episodes: int,
    parent: Agents | None,
) -> dict[str, Json]:
    """All facts of the card, as JSON values.

    Args:
        agents: the agents that the policy is one of.
        seed: which one.
        description: of the policy, where it has one.
        files: the content of every file that was written, by name.
        episodes: fresh greedy episodes to play on each task; none where it is 0.
        parent: the agents that these were fine-tuned from, where they are known.
    """
    tasks = {"task": agents.task, **({} if agents.source == agents.task else {"source": agents.source})}
    return {
        "format": "jaxrl_ft_card",
        "version": VERSION,
        "title": title(agents, seed),
        **{role: _task(task) for role, task in tasks.items()},
        "observation": {"size": agents.task.obs_size, "parts": {k: list(v) for k, v in agents.task.obs_shapes.items()}},
        "action": _action(agents.task, description),
        "algorithm": {"name": ALGOS.nearest_name(agents.algo), **to_json(agents.algo)},
        "network": to_json(agents.network),
        "method": {"name": METHODS.name_of(agents.method), **to_json(agents.method)},
        "seeds": {"number": agents.num_seeds, "exported": seed, "status": agents.status[seed]},
        "env_steps": {"in_all": int(agents.env_steps[seed]), "policy_taken_at": int(agents.kept_steps[seed])},
        "returns": {role: mean_return(agents, seed, task, episodes) for role, task in tasks.items() if episodes},
        "last_evaluation_of_all_seeds": _curve(agents),
        "size": _size(description),
        "tolerance": TOLERANCE,
        "versions": machine.versions(),
        "agents_sha256": agents.digest,
        "parent_sha256": None if parent is None else parent.digest,
        "report": list(agents.report),
        "files": {name: {"bytes": len(data), "sha256": digest(data)} for name, data in files.items()},
    }


def _task(task: Task) -> dict[str, Json]:
    quantities = {name: np.asarray(value).tolist() for name, value in task.quantities.items()}
    return {"id": task.id, "description": task.describe(), "quantities": quantities}


def _action(task: Task, description: Description | None) -> dict[str, Json]:
    space = task.action_space
    made = {} if description is None else {"outputs": description.outputs, "temperature": description.temperature}
    if isinstance(space, Box):
        ends = {name: np.asarray(end).tolist() for name, end in (("low", space.low), ("high", space.high))}
        return {"kind": "continuous", "size": space.size, **ends, **made}
    return {"kind": "discrete", "number": space.num_actions, **made}


def _size(description: Description | None) -> dict[str, Json] | None:
    if description is None:
        return None
    return {"numbers": description.num_parameters, "multiply_adds": description.num_multiplications}


def mean_return(agents: Agents, seed: int, task: Task, episodes: int) -> dict[str, Json]:
    """The mean return of fresh greedy episodes with its 95% bootstrap interval over episodes."""
    returns = evaluate(agents.select(np.array([seed])), task, episodes=episodes, seed=EVALUATION_SEED)[0]
    found = intervals.stratified_bootstrap(returns, aggregate.mean)
    return {"mean": found.value, "low": found.low, "high": found.high, "episodes": episodes, "seed": EVALUATION_SEED}


def _curve(agents: Agents) -> dict[str, Json] | None:
    """The interquartile mean over all seeds of the last evaluation of their training, with its 95% interval."""
    last = agents.curve[:, -1] if agents.curve.size else np.zeros(0)
    if not last.size or not np.isfinite(last).all():
        return None
    found = intervals.stratified_bootstrap(last)
    return {"iqm": found.value, "low": found.low, "high": found.high}


def page(card: Mapping[str, Json]) -> str:
    """The card as Markdown."""
    rows = [("task", card["task"]["description"])]
    if "source" in card:
        rows.append(("pretrained on", card["source"]["description"]))
    for role, found in card["returns"].items():
        told = f"{found['mean']:.4g} [{found['low']:.4g}, {found['high']:.4g}], {found['episodes']} greedy episodes"
        rows.append((f"return on the {role}", told))
    if (found := card["last_evaluation_of_all_seeds"]) is not None:
        told = f"{found['iqm']:.4g} [{found['low']:.4g}, {found['high']:.4g}], the interquartile mean"
        rows.append((f"last evaluation of all {card['seeds']['number']} seeds", told))
    rows += [
        ("observation", _observation(card["observation"])),
        ("action", _told(card["action"])),
        ("algorithm", card["algorithm"]["name"]),
        ("method", card["method"]["name"] or "without a name; see card.json"),
        ("seed", f"{card['seeds']['exported']} of {card['seeds']['number']} (status: {card['seeds']['status']})"),
        ("env steps", f"{card['env_steps']['in_all']:,} in all"),
        ("agents (SHA-256)", f"`{card['agents_sha256']}`"),
        ("parent (SHA-256)", "unknown" if card["parent_sha256"] is None else f"`{card['parent_sha256']}`"),
        ("versions", ", ".join(f"{name} {version}" for name, version in card["versions"].items())),
    ]
    table = [f"| {name} | {value} |" for name, value in rows]
    files = [f"| `{name}` | {f['bytes']:,} | `{f['sha256']}` |" for name, f in card["files"].items()]
    report = [f"- {line}" for line in card["report"]]
    lines = [f"# {card['title']}", "", "| | |", "|---|---|", *table, "", "Returns have 95% bootstrap intervals.", ""]
    lines += ["| file | bytes | SHA-256 |", "|---|---:|---|", *files, ""]
    return "\n".join([*lines, *(["What became of every part in training:", "", *report, ""] if report else [])])


def _observation(found: Mapping[str, Json]) -> str:
    parts = [f"`{name}` {'x'.join(map(str, shape))}" for name, shape in found["parts"].items()]
    return f"{found['size']} numbers: {', '.join(parts)}"


def _told(found: Mapping[str, Json]) -> str:
    made = f"; outputs: {_OUTPUTS[found['outputs']]}" if "outputs" in found else ""
    if found["kind"] == "discrete":
        return f"0 to {found['number'] - 1}{made}"
    return f"{found['size']} numbers within {found['low']} and {found['high']}{made}"
