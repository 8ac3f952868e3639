"""The CartPole protocol of Packer et al. 2018 (arXiv:1810.12282): success on physics that training has not seen.

    python experiments/packer2018.py [--stages agents controllers wide finetunes] [--recipes NAME ...]

Three versions of CartPole with a limit of 200 steps: default (D) has gym's physics, random (R) draws force, half-length
and pole mass uniformly around them, extreme (E) uniformly from what the outer ranges have beyond those of R, all three
at once. A test is one episode on each of 1,000 draws, a success one of at least 195 steps. XY is the success on Y of
agents trained on X: Default is DD, Interpolation RR, Extrapolation (DR DE RE)^(1/3). Ranges, protocol and metrics are
those of the paper, its table 1, and of the authors' code, github.com/sunblaze-ucb/rl-generalization.

As in the paper the whole sweep is repeated, here 16 times. Every repetition trains one agent with every setting of a
recipe on D and one on R, and for either keeps the setting with the most successes in 1,000 validation episodes on draws
of that version alone. E is only ever tested on. The paper does not say what it does about equals, and most settings are
equal at 100%. The tables have two answers: the agents' other way of acting, greedy or sampled, tells equals apart, or
the same draws do from harder starts than the version has, three episodes on each. What is equal then counts equally.
The second rule was written down and committed before its outcome was known.

Where this differs: physics on R are redrawn in every update, in the middle of episodes, and not at resets; a time limit
does not end the return; the budget is 163,840 env steps, the paper's 15,000 episodes, which are up to 3 million.

Every finished piece is appended to results/packer2018.csv, or packer2018_finetunes.csv, at once, and a second call goes
on from there; the tables are results/packer2018.md, the numbers behind them results/packer2018.json.
"""

import argparse
import itertools
import time
from typing import Any

import numpy as np
import packer2018_report as report
from appending import append, read

import jaxrl_ft as ft
from jaxrl_ft.envs.oracle import oracle_gain, rollout

RESULTS = report.RESULTS
AGENTS, CONTROLLERS, FINETUNES = (RESULTS / f"packer2018{part}.csv" for part in ("", "_controllers", "_finetunes"))
RANGES: dict[str, tuple[float, tuple[float, float], tuple[float, float]]] = {
    "force": (10.0, (5.0, 15.0), (1.0, 20.0)),
    "half_length": (0.5, (0.25, 0.75), (0.05, 1.0)),
    "pole_mass": (0.1, (0.05, 0.5), (0.01, 1.0)),
}
"""Default, range of R, and the outer range, which E has without that of R."""
LIMIT, SUCCESS, DRAWS, RESET = 200, 195, 1000, 0.05
HARDER = (0.1, 0.15, 0.2)
"""Half-widths of harder starts, below the 0.209 rad at which an episode ends."""
TEST, VALIDATION, TRAINING, TUNING = 20181028, 20181029, 1810, 12282
"""Seeds of draws, starts and actions in tests and in validation, and of training and fine-tuning."""
REPETITIONS, STEPS = 16, 163_840
STAGES = ("agents", "controllers", "wide", "finetunes")
TUNED_TASKS, TUNED_STEPS, TUNED_EPISODES = 32, 2048, 50

Setting = tuple[ft.PPO, ft.Adam]


def settings(**algo: Any) -> dict[str, Setting]:
    """The library's PPO with three learning rates, falling to zero over the budget."""
    return {f"{rate:g}": (ft.PPO(**algo), ft.Adam(learning_rate=rate)) for rate in (3e-3, 1e-3, 3e-4)}


def published() -> dict[str, Setting]:
    """The nine settings of PPO in the authors' experiments.yml, with what their scripts and PPO2's defaults add."""
    grid = {}
    for rate, num_steps in itertools.product((3e-3, 3e-4, 3e-5), (128, 256, 512)):
        batch: dict[str, Any] = {"num_envs": 1, "num_steps": num_steps, "num_epochs": 10, "num_minibatches": 1}
        algo = ft.PPO(**batch, value_clip_eps=0.2, normalize_obs=True, normalize_reward=True)
        optimizer = ft.Adam(learning_rate=rate, schedule=ft.SCHEDULES["constant"])
        grid[f"{rate:g}, {num_steps} steps"] = algo, optimizer
    return grid


RECIPES: dict[str, dict[str, Setting]] = {
    "PPO": settings(),
    "normalised": settings(normalize_obs=True),
    "normalised, gamma 0.95": settings(normalize_obs=True, gamma=0.95),
    "normalised, gamma 0.95, entropy": settings(normalize_obs=True, gamma=0.95, ent_coef=0.01),
    "as published": published(),
}
"""Settings by recipe; each recipe goes one step further than the one before it, but for the last."""
WIDE = "normalised, gamma 0.95, entropy"
TUNED = ("PPO", "0.003")


def make(**physics: Any) -> ft.Task:
    return ft.make_task("CartPole-v0", episode_limit=LIMIT, **physics)


def draw(version: str, number: int, seed: int, reset: float = RESET) -> list[ft.Task]:
    """Tasks of a version, each quantity drawn independently, with starts in a range of this half-width."""
    rng = np.random.default_rng([seed, ord(version)])
    columns = {}
    for name, (default, (low, high), (lowest, highest)) in RANGES.items():
        beyond = rng.uniform(lowest, highest - (high - low), number)
        columns[name] = {
            "D": np.full(number, default),
            "R": rng.uniform(low, high, number),
            "E": np.where(beyond < low, beyond, beyond + (high - low)),
            "W": rng.uniform(lowest, highest, number),
        }[version]
    drawn = [{name: float(column[i]) for name, column in columns.items()} for i in range(number)]
    return [make(**physics, reset_range=reset) for physics in drawn]


def box(version: str) -> tuple[ft.Task, ft.Task | None]:
    """Two opposite corners of what agents train on; the default and nothing for D."""
    if version == "D":
        return make(), None
    ends = {name: inner if version == "R" else outer for name, (_, inner, outer) in RANGES.items()}
    low, high = (make(**{name: pair[side] for name, pair in ends.items()}) for side in range(2))
    return low, high


def success(agents: ft.Agents, version: str, greedy: bool, seed: int, reset: float = RESET) -> np.ndarray:
    """The share of successes in one episode on each draw of a version, [S]."""
    tasks = draw(version, DRAWS, seed, reset)
    return (ft.evaluate(agents, tasks, greedy=greedy, seed=seed) >= SUCCESS).mean(axis=1)


def train(recipe: str, name: str, version: str) -> tuple[ft.Agents, np.ndarray]:
    """An agent of every repetition, and the number of episodes that each has finished in training, [S]."""
    algo, optimizer = RECIPES[recipe][name]
    source, until = box(version)
    seen: list[Any] = []
    agents = ft.pretrain(
        source, until=until, algo=algo, optimizer=optimizer, seeds=REPETITIONS, steps=STEPS, seed=TRAINING,
        num_evals=2, eval_episodes=1, callback=seen.append,
    )  # fmt: skip
    last = seen[-1]
    return agents, last.metrics["rollout/num"] * last.updates


def measure(agents: ft.Agents, version: str) -> dict[str, np.ndarray]:
    """Success on the version that the agents were trained on, also from harder starts, and in the tests, [S] each."""
    columns = {}
    for acts in ("greedy", "sampled"):
        columns[f"validation_{acts}"] = success(agents, version, acts == "greedy", VALIDATION)
        harder = [success(agents, version, acts == "greedy", VALIDATION, reset) for reset in HARDER]
        columns[f"harder_{acts}"] = np.mean(harder, axis=0)
        for tested in "DRE":
            columns[f"{tested}_{acts}"] = success(agents, tested, acts == "greedy", TEST)
    return columns


def sweep(recipe: str, version: str) -> None:
    """Every setting of a recipe on a version that is not among the results."""
    done = {(row["recipe"], row["setting"], row["trained_on"]) for row in read(AGENTS)}
    for name in RECIPES[recipe]:
        if (recipe, name, version) in done:
            continue
        began = time.perf_counter()
        agents, episodes = train(recipe, name, version)
        trained = time.perf_counter()
        columns = {"env_steps": agents.env_steps, "episodes": episodes, **measure(agents, version)}
        append(
            AGENTS,
            [
                {
                    "recipe": recipe,
                    "setting": name,
                    "trained_on": version,
                    "repetition": i,
                    **{key: f"{float(column[i]):g}" for key, column in columns.items()},
                    "status": agents.status[i],
                }
                for i in range(REPETITIONS)
            ],
        )
        spent = trained - began, time.perf_counter() - trained
        print(f"{recipe}, {name}, {version}: {spent[0]:.0f} s to train, {spent[1]:.0f} s to test", flush=True)


def controllers() -> None:
    """Random actions, the regulator of the default physics, and the regulator of each task's own, on every version."""
    if CONTROLLERS.exists():
        return
    undecided = ft.wrap({"policy": [(np.zeros((4, 4)), np.zeros(4)), (np.zeros((4, 2)), np.zeros(2))]}, make())
    default, reached = oracle_gain(make()), {}
    for version in "DRE":
        tasks = draw(version, DRAWS, TEST)
        own = [default] * DRAWS if version == "D" else [oracle_gain(task) for task in tasks]
        starts = np.random.default_rng(TEST).uniform(-RESET, RESET, (DRAWS, 1, 4))
        reached[version] = {
            "random actions": float(success(undecided, version, False, TEST)[0]),
            "regulator of the default": balanced(tasks, [default] * DRAWS, starts),
            "regulator of each task": balanced(tasks, own, starts),
        }
        print(version, reached[version], flush=True)
    rows = [{"controller": name, **{v: f"{reached[v][name]:g}" for v in "DRE"}} for name in reached["D"]]
    append(CONTROLLERS, rows)


def balanced(tasks: list[ft.Task], gains: list[np.ndarray], starts: np.ndarray) -> float:
    """The share of tasks on which their regulators succeed from their starts, [T, 1, 4]."""
    episodes = zip(tasks, gains, starts, strict=True)
    lengths = [rollout(task.env_params, gain[None], start)[0, 0] for task, gain, start in episodes]
    return float(np.mean(np.array(lengths) >= SUCCESS))


def finetunes() -> None:
    """Agents trained on D with the library's own settings, fine-tuned to each of some extreme tasks."""
    done = {(int(row["task"]), row["method"]) for row in read(FINETUNES)}
    agents, _ = train(*TUNED, "D")
    tasks = draw("E", TUNED_TASKS, TUNING)
    for (i, task), method in itertools.product(enumerate(tasks), ("full", ft.RECOMMENDED)):
        if (i, method) in done:
            continue
        options: dict[str, Any] = {"episodes": TUNED_EPISODES, "seed": TEST}
        before = (ft.evaluate(agents, task, **options) >= SUCCESS).mean(axis=1)
        tuned = ft.finetune(agents, task, method, steps=TUNED_STEPS, seed=TUNING, num_evals=2, eval_episodes=1)
        after = (ft.evaluate(tuned, task, **options) >= SUCCESS).mean(axis=1)
        shared = {"task": i, "method": method, "env_steps": int(tuned.env_steps[0] - agents.env_steps[0])}
        physics = {name: f"{float(getattr(task.env_params, name)):.5g}" for name in RANGES}
        append(
            FINETUNES,
            [
                {**shared, **physics, "repetition": r, "before": f"{before[r]:g}", "after": f"{after[r]:g}"}
                for r in range(REPETITIONS)
            ],
        )
        print(f"{task.describe()}, {method}: {before.mean():.2f} to {after.mean():.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    if "controllers" in arguments.stages:
        controllers()
    if "agents" in arguments.stages:
        for recipe, version in itertools.product(arguments.recipes, "DR"):
            sweep(recipe, version)
            report.write(read(AGENTS), read(CONTROLLERS), read(FINETUNES))
    if "wide" in arguments.stages:
        sweep(WIDE, "W")
    if "finetunes" in arguments.stages:
        finetunes()
    report.write(read(AGENTS), read(CONTROLLERS), read(FINETUNES))


if __name__ == "__main__":
    main()
