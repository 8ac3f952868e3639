"""Fine-tuning to an environment of Gymnasium, which the host steps: slow, and with the same report."""

from collections.abc import Callable
from dataclasses import replace

from jaxrl_ft.core import checks
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.catalogue import resolve_method
from jaxrl_ft.methods.method import Method
from jaxrl_ft.rl.algorithm import made_of_parts
from jaxrl_ft.training import devices
from jaxrl_ft.training.agents import Agents, check_is_agents
from jaxrl_ft.training.engines.stepping import Stepping
from jaxrl_ft.training.evaluation.stopping import PATIENCE
from jaxrl_ft.training.finetune import finetune_together, named
from jaxrl_ft.training.gymnasium.worlds import worlds_of
from jaxrl_ft.training.progress.bars import one_bar
from jaxrl_ft.training.progress.moments import Callback
from jaxrl_ft.training.spec import Budget, Spec, finetune_spec


def finetune_gymnasium(
    agents: Agents,
    env: Callable[[], PyTree] | str,
    method: str | Method = "full",
    *,
    steps: int = 20_480,
    seed: int = 1,
    num_evals: int = 21,
    eval_episodes: int = 16,
    stop_at: float | None = None,
    keep: str = "last",
    patience: int = PATIENCE,
    callback: Callback | None = None,
    progress: bool = True,
) -> Agents:
    """The agents after fine-tuning to a Gymnasium environment; the given agents are untouched.

    It is `finetune` with environments that Python steps: `num_envs` of the algorithm for each agent, and
    `eval_episodes` others for each evaluation. Actions and updates are compiled programs, which see what a compiled
    rollout would have given. There are no checkpoints, for such an environment has no state that could be saved.

    Args:
        agents: S agents to start from.
        env: an id, such as `CartPole-v1`, or a function without arguments that makes a new `gymnasium.Env`. Its
            observations and actions are read as `gymnasium_returns` reads them; sizes that differ from the agents' are
            treated as `finetune` does. An environment without a time limit must end its episodes itself.
        method: a name in `ft.METHODS`, or a `ft.Method(...)`, that neither looks at the target before training nor
            plays episodes of its own there, since these are compiled programs. The recommended method looks.
        steps: environment steps of each agent, as in `finetune`.
        seed: as in `finetune`; also of the environments' resets.
        num_evals: as in `finetune`.
        eval_episodes: as in `finetune`; equal evaluations of other methods begin alike, as far as resets depend on
            their seed alone.
        stop_at: as in `finetune`.
        keep: as in `finetune`.
        patience: as in `finetune`.
        callback: as in `finetune`.
        progress: as in `finetune`.

    Raises:
        ValueError: an argument is not allowed, raised before anything compiles; or an episode of an evaluation has not
            ended after 100,000 steps.
    """
    checks.callback(callback)
    checks.switch("progress", progress)
    check_is_agents(agents)
    budget = Budget(steps, seed, num_evals, eval_episodes, stop_at, keep, patience)
    worlds = worlds_of(env)
    try:
        spec = _spec(agents, worlds.task, resolve_method(method), budget)
        devices.check_memory(spec.num_runs, spec.stored_bytes)
        worlds.open(spec.num_members, spec.algo.num_envs)
        with one_bar(progress, "fine-tuning", spec.trained_steps, callback) as told:
            (tuned,) = finetune_together([spec], callback=told, engine=Stepping(worlds))
    finally:
        worlds.close()
    stepped = f"stepped by Gymnasium: {worlds.name}, {spec.num_members * spec.algo.num_envs} environments side by side"
    return named(replace(tuned, report=(*tuned.report, stepped)), callback)


def _spec(agents: Agents, task: Task, method: Method, budget: Budget) -> Spec:
    """The spec of the fine-tune, after every check of the arguments.

    Raises:
        ValueError: an argument is not allowed.
    """
    made_of_parts(agents.algo)
    if not method.trains:
        raise ValueError("method: trains nothing, which is not allowed; ft.gymnasium_returns plays agents as they are")
    compiled = "in a compiled program, and this environment is stepped by Gymnasium"
    if method.look.steps or method.look.probe_episodes:
        raise ValueError(
            f"method.look: {type(method.look).__name__} is not allowed; it looks at the target {compiled}; choose a "
            "method without, such as full"
        )
    if method.spent():
        raise ValueError(
            f"method.control: {type(method.control).__name__} is not allowed; it plays episodes of its own on the "
            f"target {compiled}"
        )
    return finetune_spec(agents, task, method, budget)
