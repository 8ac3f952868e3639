"""What a command line asks for, resolved and checked, before anything compiles and before anything is written."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from jaxrl_ft.advice import advise
from jaxrl_ft.advice.choice import Advice
from jaxrl_ft.commands import command_line, options, output, user_modules
from jaxrl_ft.commands.options import OF_PRETRAINING, Flags
from jaxrl_ft.commands.shared_settings import (
    EPISODES,
    EVAL_EPISODES,
    NUM_EVALS,
    REFERENCES,
    SOURCE,
    SharedSettings,
    brief,
    changed_physics,
    first_agents,
    given_or,
    network_of,
    physics_flags,
)
from jaxrl_ft.core.config import to_json
from jaxrl_ft.core.files import Json
from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.defaults.pretraining import pretraining
from jaxrl_ft.envs.catalogue import held_out_grid, held_out_tasks, make_task
from jaxrl_ft.envs.named_shifts import SHIFTS, shift_of, shifts_of
from jaxrl_ft.envs.shifts import CARTPOLES, DEFAULT_SHIFT
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.catalogue import METHODS
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.optimizers import OPTIMIZERS, Optimizer
from jaxrl_ft.rl.algorithm import AnyAlgorithm
from jaxrl_ft.store import run_directory
from jaxrl_ft.sweeps import cells
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.evaluation.stopping import check_stop_at
from jaxrl_ft.training.finetune import untrained
from jaxrl_ft.training.spec import Budget, Spec, pretraining_spec, training_spec


@dataclasses.dataclass(frozen=True)
class Settings(SharedSettings):
    """A run of `train`."""

    flags: Flags
    target: Task
    """the task to fine-tune on"""
    target_name: str
    """its name in tables and figures"""
    target_text: str
    """the shift in words"""
    held_out: list[tuple[str, Task]]
    """tasks that are only ever evaluated on, each with its kind"""
    algo: AnyAlgorithm
    """the algorithm"""
    network: Network
    """the network"""
    optimizer: Optimizer
    """the optimizer of pretraining"""
    candidates: tuple[str, ...] | None = None
    """the methods that advice is to choose from; None for all"""

    @property
    def stop_at(self) -> float | None:
        """The greedy return at which pretraining of an agent ends; None to take all steps."""
        asked, highest = self.flags.pretrain_stop_at, self.source.return_range[1]
        if asked == "highest":
            return float(highest) if np.isfinite(highest) else None
        return None if asked == "never" else float(asked)

    def plan(self) -> dict[str, Json]:
        """What the command line means, as JSON."""
        pretraining = {
            "pretrain_stop_at": self.stop_at,
            "pretrain_patience": self.flags.pretrain_patience,
            "pretrain_keep": self.flags.pretrain_keep,
        }
        configs = {name: to_json(getattr(self, name)) for name in ("algo", "network", "optimizer", "source", "target")}
        return {
            **configs,
            **({} if self.agents else pretraining),
            "methods": {name: to_json(method) for name, method in self.methods.items()},
            "target_name": self.target_name,
            "held_out": [{"kind": kind, "task": to_json(task)} for kind, task in self.held_out],
            "finetune_seed": self.finetune_seed,
            "num_evals": NUM_EVALS,
            "episodes": EPISODES,
            "eval_episodes": EVAL_EPISODES,
        }


def resolve(argv: Sequence[str] | None = None) -> Settings:
    """The settings of a command line; without one, of the program's own.

    Raises:
        ValueError: something is not allowed; in one line.
        SystemExit: help was asked for, or the parser refused a flag and has printed why.
    """
    command = command_line.command(options.PROGRAM, sys.argv[1:] if argv is None else argv)
    words = options.joined(command.words, Flags)
    flags, rest = options.first_pass(words)
    loaded = user_modules.load(flags.imports)
    candidates = options.to_choose_from(flags, rest) if flags.advise else None
    chosen = {} if flags.advise else options.chosen_methods(flags, rest)
    agents = _load(flags, words)
    change = _Change.of(flags, agents, shifted=not options.given(rest, "--target."))
    defaults = {
        **({"method": next(iter(chosen.values()))} if len(chosen) == 1 else {}),
        **({} if agents else _pretraining(flags, change.source)),
        "target": physics_flags(change.task({})),
    }
    parsed = options.second_pass(words, defaults, flags.help_all)
    if len(chosen) == 1:
        name, default = next(iter(chosen.items()))
        chosen = {options.renamed(name, default, parsed["method"]): parsed["method"]}
    target = change.shifted(changed_physics(change.task({}), defaults["target"], parsed["target"]))
    settings = Settings(
        command=dataclasses.replace(command, lacks=user_modules.unnamed(words, loaded, agents)),
        flags=flags,
        agents=agents,
        source=change.source,
        **target,
        algo=agents.algo if agents else parsed["algo"],
        network=agents.network if agents else parsed["network"],
        optimizer=agents.method.optimizer if agents else parsed["optimizer"],
        methods={**{name: METHODS[name] for name in REFERENCES}, **chosen},
        out=run_directory.check(flags.out, run_directory.TRAIN),
        candidates=candidates,
    )
    _check(settings)
    output.check_trackers(flags)
    command_line.check(settings.command, settings.plan())
    return settings


def followed(settings: Settings, advice: Advice) -> Settings:
    """The settings with the advised method added, unless it is one of the references unchanged."""
    name = options.renamed(advice.method, METHODS[advice.method], advice.recipe)
    return dataclasses.replace(settings, methods={**settings.methods, **{name: advice.recipe}})


def _pretraining(flags: Flags, source: Task) -> dict[str, Json]:
    usual = pretraining(source.id, flags.algo)
    optimizer = usual.optimizer if flags.optimizer is None else OPTIMIZERS[flags.optimizer]
    network = network_of(usual.usual_network(source), flags.network)
    return {"algo": usual.algo, "network": network, "optimizer": optimizer}


def _load(flags: Flags, words: Sequence[str]) -> Agents | None:
    """The agents that are trained already, where there are any."""
    if flags.agents is None and flags.init_from is None and flags.init_normalizer is None:
        return None
    how = "--agents" if flags.init_from is None else "--init-from"
    for beginning in OF_PRETRAINING:
        if options.given(words, beginning):
            raise ValueError(f"{beginning.strip('-.')}: is not allowed with {how}, whose agents are trained already")
    return first_agents(flags)


@dataclasses.dataclass(frozen=True)
class _Change:
    """How the target is made from the source."""

    id: str
    shift: str | None
    source: Task
    origin: Task
    """what the shift and the flags change: the agents' own source, or the environment as it is"""

    @classmethod
    def of(cls, flags: Flags, agents: Agents | None, shifted: bool) -> "_Change":
        """The change that the flags ask for; the default shift when `shifted` and none is named."""
        own = agents is not None and flags.source is None
        id = agents.source.id if own and agents else given_or(flags.source, SOURCE)
        origin, shift = agents.source if own and agents else make_task(id), flags.shift
        if shift is None and shifted and id in CARTPOLES:
            shift = DEFAULT_SHIFT
        if shift is not None:
            make_task(id, shift)
        source = agents.source if agents else origin
        return cls(id, None if shift is None else SHIFTS.name(shift), source, origin)

    def task(self, changed: Mapping[str, Json]) -> Task:
        """The target with these quantities on top."""
        moved = {} if self.shift is None else shift_of(self.id, self.shift).physics
        try:
            return self.origin.changed(**{**moved, **changed})
        except ValueError as error:
            raise ValueError(f"target.{error}") from None

    def shifted(self, changed: Mapping[str, Json]) -> dict[str, Json]:
        """The target, its name, the shift in words, and the held-out tasks.

        Raises:
            ValueError: a quantity is out of range, or no flag changes the target.
        """
        if self.shift is None and not changed:
            quantity = next(iter(self.source.quantities))
            own = shifts_of(self.id)
            have = f"{self.id} has {', '.join(own)}; name one" if own else f"{self.id} has no named shifts"
            raise ValueError(f"shift: {have}, or change its physics, as in --target.{quantity.replace('_', '-')}")
        target = self.task(changed)
        named = [f"{name}={brief(value)}" for name, value in changed.items()]
        usual = self.origin == make_task(self.id) if self.shift is not None else False
        known = self.shift is not None and not changed and usual
        held_out = held_out_tasks(self.id, self.shift or "") if known else held_out_grid(self.source, target)
        return {
            "target": target,
            "target_name": "+".join([*([self.shift] if self.shift else []), *named]),
            "target_text": "; ".join([*([SHIFTS.text(self.shift)] if self.shift else []), *named]),
            "held_out": held_out,
        }


def budget(settings: Settings, method: Method | None) -> int:
    """Env steps that a method trains for on the target, or pretraining on the source, all runs together.

    Raises:
        ValueError: an argument of the training is not allowed.
    """
    if method is None:
        spec = _pretraining_spec(settings)
    else:
        configs = (settings.algo, settings.network, method, settings.source, settings.target)
        spec = training_spec(*configs, settings.flags.seeds, settings.budget)
    return spec.trained_steps


def _pretraining_spec(settings: Settings) -> Spec:
    flags = settings.flags
    numbers = settings.pretrain_steps, flags.seed, NUM_EVALS, EVAL_EPISODES
    budget = Budget(*numbers, settings.stop_at, flags.pretrain_keep, flags.pretrain_patience)
    return pretraining_spec(settings.source, settings.algo, settings.network, settings.optimizer, flags.seeds, budget)


def _check(settings: Settings) -> None:
    """Make every check of pretraining, advice and fine-tuning; before pretraining, shapes stand for the agents.

    Raises:
        ValueError: something is not allowed.
    """
    flags, agents = settings.flags, settings.agents
    if agents is None:
        check_config(settings.optimizer, "optimizer")
        check_stop_at(settings.stop_at, settings.source, "pretrain_stop_at")
        agents = untrained(_pretraining_spec(settings))
    cells.checked(
        agents,
        {settings.target_name: settings.target},
        settings.methods,
        budget=settings.budget,
        seeds=flags.seeds,
        held_out={settings.target_name: settings.held_out},
    )
    if flags.advise:
        advise.check(
            agents,
            settings.target,
            settings.candidates,
            keep_source=flags.keep_source or 0.0,
            steps=flags.steps,
            seed=settings.probe_seed,
            field="advise",
            instead=f"as in --method {' '.join(advise.INSTEAD)} without --advise",
        )
