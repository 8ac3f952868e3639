"""Advice for agents and a target: a probe of both, held against the evidence that travels with the package."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from jaxrl_ft.advice.choice import Advice, choose
from jaxrl_ft.advice.evidence import ANCHOR, UNTRAINED, leaderboard
from jaxrl_ft.advice.signs import examine, most_steps
from jaxrl_ft.core import checks
from jaxrl_ft.core.config import map_fields
from jaxrl_ft.envs.task import Task, check_is_task
from jaxrl_ft.methods.catalogue import METHODS
from jaxrl_ft.methods.method import Method
from jaxrl_ft.rl.algorithm import AnyAlgorithm
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.compatibility import check_sizes
from jaxrl_ft.training.spec import Budget, charged, finetune_spec

INSTEAD = ("full", "lora", "soften")
"""Methods to compare where there is no evidence."""


def advise(
    agents: Agents,
    target: Task,
    methods: Sequence[str] | None = None,
    *,
    models: bool = True,
    keep_source: float = 0.0,
    steps: int = 20_480,
    seed: int = 4,
) -> Advice:
    """Choose a method, or no training, from a cheap probe and the leaderboard's results on similar targets.

    Each agent plays 2 greedy episodes on the target, looks around for 512 steps and collects one rollout, and does the
    same on its source for comparison; see `advice.signs.examine`. No agent is trained. What to expect of a method
    is a mean over its runs on the shifts of the leaderboard, weighted by how alike they are to what was seen; see
    `analysis.evidence.expected`, and for the choice `analysis.advice.choose`.

    Args:
        agents: S agents; the advice is for all of them together.
        target: the task to adapt to; observations and actions must have the agents' sizes.
        methods: names in `ft.METHODS` to choose from; without it all that have evidence and fit the agents.
            `zero_shot`, which is not to train, may be advised in any case.
        models: whether a method may be advised that trains in a learned model of the target.
        keep_source: share of the source return that must be expected to stay, 0 to 1.
        steps: environment steps that each agent has on the target. The probe's are part of them: fine-tune with
            `steps - advice.env_steps.max()`, or give them to `compare` as `paid`.
        seed: of all that is random in the probe; 0 <= seed < 2^32.

    Returns:
        advice: `.method` and `.recipe` for `finetune`, `.reason`, `.evidence`, `.probe`, `.env_steps`; print it.

    Raises:
        ValueError: an argument is not allowed, or the leaderboard knows nothing of this environment; raised before
            anything compiles.
    """
    names = check(agents, target, methods, models=models, keep_source=keep_source, steps=steps, seed=seed)
    found = examine(agents, target, seed=seed)
    paid = int(found.env_steps.max())
    while True:
        advice = choose(leaderboard(), found.signs, names or [UNTRAINED], target.return_range, keep_source, steps)
        if advice.method == UNTRAINED or _fits(agents, target, advice.method, steps, paid):
            break
        names.remove(advice.method)
    return replace(advice, env_steps=found.env_steps, source_steps=found.source_steps, recipe=recipe(advice.method))


def check(
    agents: Agents,
    target: Task,
    methods: Sequence[str] | None,
    *,
    models: bool = True,
    keep_source: float,
    steps: int,
    seed: int,
    field: str = "target",
    instead: str = f"as in ft.compare(agents, {{'target': target}}, {list(INSTEAD)})",
) -> list[str]:
    """The methods to choose from, after every check of the arguments, which are those of `advise`.

    Args:
        field: what the user gave, for the message on an environment that the leaderboard has no runs of.
        instead: how to compare methods there, to follow the reason.

    Raises:
        ValueError: an argument is not allowed.
    """
    checks.switch("models", models)
    checks.number("keep_source", keep_source, 0.0, 1.0)
    check_is_task("target", target)
    check_sizes(agents, target)
    _check_environment(field, agents.source, target, instead)
    check_sizes(agents, agents.source)
    _check_steps(steps, agents.algo, target)
    names = candidates(methods, models)
    if methods is not None:
        for name in names:
            finetune_spec(agents, target, recipe(name), Budget(steps, seed, 2, 1))
    return names


def _check_environment(field: str, source: Task, target: Task, instead: str) -> None:
    known = leaderboard().environment
    for task in (target, source):
        if task.simulator != known:
            raise ValueError(
                f"{field}: {task.simulator} is not allowed; the runs that advice rests on are of {known} alone. "
                f"Compare methods instead, {instead}"
            )


def _check_steps(steps: int, algo: AnyAlgorithm, target: Task) -> None:
    """Refuse a budget that the probe alone may take up, in whole updates as it is charged."""
    most = charged(most_steps(algo, target), algo, METHODS[ANCHOR])
    if checks.count("steps", steps) <= most:
        raise ValueError(f"steps: {steps} is not allowed; the probe that advice rests on may take {most} of them")


def recipe(name: str) -> Method:
    """The method of this name with the numbers that the evidence is of.

    Raises:
        ValueError: no such method.
    """
    settings: Mapping[str, float] = leaderboard().settings.get(METHODS.name(name), {})

    def change(path: str, value: Any) -> Any:
        return settings.get(path, value)

    return map_fields(METHODS[name], change)


def candidates(methods: Sequence[str] | None, models: bool = True) -> list[str]:
    """The methods to choose from; the arguments are those of `advise`.

    Raises:
        ValueError: an unknown method, one without evidence, or none.
    """
    known = leaderboard().methods
    if methods is not None:
        checks.sequence("methods", methods)
    names = list(known) if methods is None else list(dict.fromkeys(METHODS.name(name) for name in methods))
    for name in names:
        if name not in (*known, UNTRAINED):
            raise ValueError(f"methods: there is no evidence of {name!r} (only of: {', '.join(known)})")
    chosen = [name for name in names if models or not METHODS[name].imagination.steps]
    if not chosen:
        without = ", once those that learn a model are left out" if names else ""
        raise ValueError(f"methods: nothing is left to choose from{without}; give names in METHODS")
    return chosen


def _fits(agents: Agents, target: Task, name: str, steps: int, paid: int) -> bool:
    try:
        finetune_spec(agents, target, recipe(name), Budget(steps, 0, 2, 1), paid)
    except ValueError:
        return False
    return True
