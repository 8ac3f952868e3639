"""The zoo: one pretrained agent for each environment and algorithm, and one fine-tuned on a named shift.

    python experiments/zoo.py [NAME ...]

Eight seeds are trained for each agent, and fine-tuned from the one that is kept; of each the best of its evaluations is
taken (`keep="best"`). The seed that is kept has the highest mean of 100 greedy episodes, and its card tells the mean of
100 others. Networks are half as wide as usual, and the optimizer's state is left out, so that the files are small.
Agents are written to the package as they are finished; those that are there are not trained again unless they are
named. A pretrained agent that does not reach `LEAST` of its environment is not written, nor is a fine-tuned one
that gained nothing. Writes results/zoo.md from the cards.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import jaxrl_ft as ft
from jaxrl_ft.core.bundle import remove_bundle
from jaxrl_ft.defaults.pretraining import Pretraining, pretraining
from jaxrl_ft.deploy import card
from jaxrl_ft.store import run_directory

ZOO = Path(ft.__file__).parent / "store" / "pretrained"
TABLE = Path(__file__).parent / "results" / "zoo.md"
SEEDS, EPISODES, EVALS, EVAL_EPISODES, WIDTH = 8, 100, 21, 32, 32
PRETRAINING, FINE_TUNING, CHOICE = 31, 32, 33
"""Seeds of both trainings, and of the episodes that choose."""
RULE = (
    f"the best of {SEEDS} seeds by the mean of {EPISODES} greedy episodes, each as it was at the best of {EVALS} "
    "evaluations; the returns are those of other episodes"
)
LEAST = {"CartPole-v1": 450.0, "Acrobot-v1": -120.0, "MountainCar-v0": -150.0, "Pendulum-v1": -300.0}
LEAST["MountainCarContinuous-v0"] = 80.0
"""Mean return below which a pretrained agent is left out."""


@dataclass(frozen=True)
class Entry:
    """What is trained for a pair of environment and algorithm."""

    id: str
    algo: str
    shift: str
    method: str = "full"
    row: Pretraining | None = None
    """None for the environment's default of the algorithm"""
    share: float = 0.5
    """budget of fine-tuning over that of pretraining"""

    @property
    def name(self) -> str:
        """Of the pretrained agent."""
        return f"{self.id.rsplit('-', 1)[0].lower()}-{self.algo}"


_PPO_PENDULUM = Pretraining(
    ft.PPO(num_envs=8, num_steps=64, num_epochs=10, gamma=0.9, normalize_obs=True), ft.Adam(learning_rate=1e-3), 204_800
)
_PPO_ACROBOT = Pretraining(ft.PPO(ent_coef=0.01))
_HELD = ft.DQN(num_steps=32, gradient_steps=64, exploration_hold=16, exploration_share=0.5, num_returns=8, gamma=0.995)
ENTRIES = (
    Entry("CartPole-v1", "ppo", "flipped-actions"),
    Entry("Pendulum-v1", "sac", "mirrored-actions"),
    Entry("Acrobot-v1", "ppo", "mirrored-actions", "soften", row=_PPO_ACROBOT, share=1.0),
    Entry("MountainCarContinuous-v0", "sac", "biased-speedometer"),
    Entry("CartPole-v1", "sac", "flipped-actions"),
    Entry("Pendulum-v1", "ppo", "mirrored-actions", row=_PPO_PENDULUM, share=1.0),
    Entry("CartPole-v1", "a2c", "flipped-actions"),
    Entry("CartPole-v1", "dqn", "flipped-actions"),
    Entry("CartPole-v1", "pqn", "flipped-actions"),
    Entry("CartPole-v1", "reinforce", "flipped-actions", "soften", share=1.0),
    Entry("Acrobot-v1", "dqn", "mirrored-actions", row=Pretraining(ft.DQN(), steps=40_960)),
    Entry("MountainCar-v0", "dqn", "weak-car", row=Pretraining(_HELD, steps=81_920)),
)


def best(agents: ft.Agents) -> tuple[ft.Agents, int]:
    """The agent of the highest mean return, without its optimizer's state, and which it was."""
    returns = ft.evaluate(agents, agents.task, episodes=EPISODES, seed=CHOICE, progress=False).mean(axis=1)
    place = int(np.argmax(np.where(np.isfinite(returns), returns, -np.inf)))
    return replace(agents.select(np.array([place])), opt_state=None), place


def written(name: str, every: ft.Agents, parent: ft.Agents | None) -> ft.Agents | None:
    """The agent that was kept and written; None where it is not good enough."""
    agent, place = best(every)
    path = ZOO / name
    ft.save(agent, path)
    files = {file.name: file.read_bytes() for file in sorted(path.iterdir())}
    facts = card.facts(agent, 0, None, files, EPISODES, parent)
    own = card.facts(every, place, None, {}, 0, None)
    facts |= {key: own[key] for key in ("seeds", "last_evaluation_of_all_seeds", "title")}
    if parent is not None:
        facts["returns"]["zero_shot"] = card.mean_return(parent, 0, agent.task, EPISODES)
    found = facts["returns"]["task"]
    print(name, facts["returns"], sum(map(len, files.values())), "bytes", flush=True)
    least = LEAST[agent.task.id] if parent is None else facts["returns"]["zero_shot"]["high"]
    if found["mean"] < least:
        remove_bundle(path)
        return None
    run_directory.write_json(ZOO / f"{name}.json", {"name": name, "choice": RULE, **facts})
    return agent


def pretrained(entry: Entry) -> ft.Agents:
    """All seeds."""
    row = entry.row or pretraining(entry.id, entry.algo)
    return ft.pretrain(
        ft.make_task(entry.id),
        algo=row.algo,
        network=replace(row.usual_network(ft.make_task(entry.id)), width=WIDTH),
        optimizer=row.optimizer,
        seeds=SEEDS,
        steps=row.steps,
        seed=PRETRAINING,
        num_evals=EVALS,
        eval_episodes=EVAL_EPISODES,
        keep="best",
        progress=False,
    )


def finetuned(entry: Entry, agent: ft.Agents) -> ft.Agents:
    """Seeds that all begin with one agent."""
    return ft.finetune(
        agent.select(np.zeros(SEEDS, int)),
        ft.make_task(entry.id, entry.shift),
        entry.method,
        steps=int(entry.share * agent.env_steps[0]),
        seed=FINE_TUNING,
        num_evals=EVALS,
        eval_episodes=EVAL_EPISODES,
        keep="best",
        progress=False,
    )


def told(found: dict | None) -> str:
    """A mean return with its interval, where there is one."""
    if found is None:
        return ""
    ends = [f"{found[end]:.4g}" for end in ("mean", "low", "high")]
    return ends[0] if ends[1] == ends[2] else f"{ends[0]} ({ends[1]} to {ends[2]})"


def table() -> str:
    """A line for every agent: those of an entry after each other."""
    lines = [
        "| name | task | env steps | kB | return there | before fine-tuning |",
        "| :--- | :--- | ---: | ---: | ---: | ---: |",
    ]
    order = {entry.name: place for place, entry in enumerate(ENTRIES)}
    cards = [json.loads(path.read_text()) for path in ZOO.glob("*.json")]
    for found in sorted(cards, key=lambda one: (order["-".join(one["name"].split("-")[:2])], one["name"])):
        returns, size = found["returns"], sum(file["bytes"] for file in found["files"].values())
        cells = [
            f"`{found['name']}`",
            found["task"]["description"],
            f"{found['env_steps']['in_all']:,}",
            f"{size / 1000:.0f}",
        ]
        lines.append(f"| {' | '.join([*cells, told(returns['task']), told(returns.get('zero_shot'))])} |")
    return "\n".join(lines) + "\n"


def main(names: Sequence[str]) -> None:
    ZOO.mkdir(exist_ok=True)
    for entry in ENTRIES:
        if names and entry.name not in names:
            continue
        began, tuned = time.monotonic(), f"{entry.name}-{entry.shift}"
        if names or not (ZOO / f"{entry.name}.json").exists():
            agent = written(entry.name, pretrained(entry), None)
        else:
            agent = ft.load(ZOO / entry.name)
        if agent is not None and (names or not (ZOO / f"{tuned}.json").exists()):
            written(tuned, finetuned(entry, agent), agent)
        TABLE.write_text(table())
        print(f"{entry.name}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    main(parser.parse_args().names)
