"""What pretraining takes where nothing else is said: tuned numbers by task and algorithm, as plain data.

A row holds for every task of an environment, whatever its physics and changes. The first row of an environment is its
default. `experiments/tuning.py` searched for them, and `experiments/benchmarks/algorithms.py` measures them on other
seeds. An environment without rows, or an algorithm without a row for it, takes the algorithm's own defaults.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.table import Table
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.optimizers import Adam, Optimizer
from jaxrl_ft.nets.cnn import CNN
from jaxrl_ft.nets.mlp import MLP
from jaxrl_ft.rl.a2c import A2C
from jaxrl_ft.rl.algorithm import AnyAlgorithm
from jaxrl_ft.rl.catalogue import ALGOS
from jaxrl_ft.rl.ppo import PPO
from jaxrl_ft.rl.q_learning.dqn import DQN
from jaxrl_ft.rl.q_learning.pqn import PQN
from jaxrl_ft.rl.q_learning.sac import SAC
from jaxrl_ft.rl.reinforce import REINFORCE

STEPS = 40_960
"""Environment steps of pretraining where no row says otherwise."""


@dataclass(frozen=True)
class Pretraining:
    """An algorithm with the network, the optimizer and the budget that suit it."""

    algo: AnyAlgorithm
    optimizer: Optimizer = Adam()
    steps: int = STEPS
    """environment steps of each agent"""
    network: Network | None = None
    """None for the algorithm's usual one"""

    def usual_network(self, task: Task) -> Network:
        """The network of the row, or the algorithm's usual one for the task."""
        return self.algo.usual_network(task) if self.network is None else self.network


Rows = Mapping[str, Pretraining]
"""Pretraining by the name of its algorithm in ALGOS; the first is the default."""

DEFAULTS: Table[Rows] = Table("environment with tuned defaults", separator="-")
DEFAULTS.add(
    "CartPole-v1",
    {
        "ppo": Pretraining(PPO()),
        "a2c": Pretraining(
            A2C(gae_lambda=1.0, ent_coef=0.012, vf_coef=0.4), Adam(learning_rate=7e-3, max_grad_norm=10.0)
        ),
        "reinforce": Pretraining(REINFORCE(), Adam(learning_rate=1e-2), 102_400),
        "dqn": Pretraining(DQN(), steps=25_600),
        "pqn": Pretraining(PQN()),
        "sac": Pretraining(
            SAC(num_returns=1, tau=0.01, entropy_share=0.5), Adam(learning_rate=3e-3, max_grad_norm=10.0), 25_600
        ),
    },
    "a greedy return of 475",
)
_UNCLIPPED = 1e6
"""A norm that no gradient has. SAC's losses are one sum, so a clip by the critics' gradient would clip its policy's."""

DEFAULTS.add(
    "Acrobot-v1",
    # All of 64 search seeds reach the threshold so, and 61 with rewards as they are.
    {"ppo": Pretraining(PPO(ent_coef=0.01, normalize_reward=True))},
    "a greedy return of -100",
)
DEFAULTS.add(
    "MountainCar-v0",
    {
        "dqn": Pretraining(
            # Random actions that change at every step hardly ever reach the goal.
            DQN(
                num_steps=32,
                gradient_steps=64,
                replay_size=100_000,
                learning_starts=4096,
                exploration_hold=32,
                exploration_share=0.3,
                num_returns=8,
                tau=0.01,
                normalize_obs=True,
            ),
            Adam(learning_rate=1e-3, max_grad_norm=10.0),
            30_720,
        )
    },
    "a greedy return of -110",
)
DEFAULTS.add(
    "MountainCarContinuous-v0",
    {
        "sac": Pretraining(
            # Random actions reach the goal in most episodes where each is held for 32 steps, and hardly ever otherwise.
            SAC(
                num_steps=32,
                gradient_steps=64,
                replay_size=50_000,
                learning_starts=2048,
                exploration_hold=32,
                gamma=0.995,
                num_returns=8,
                tau=0.01,
            ),
            Adam(learning_rate=1e-3, max_grad_norm=_UNCLIPPED),
            15_360,
            MLP(activation="relu"),
        )
    },
    "a greedy return of 90",
)
DEFAULTS.add(
    "Pendulum-v1",
    {
        "sac": Pretraining(
            SAC(num_steps=1, gradient_steps=4, learning_starts=500, num_returns=1, tau=0.01),
            Adam(learning_rate=2e-3, max_grad_norm=_UNCLIPPED),
            10_240,
            MLP(activation="relu"),
        )
    },
    "a greedy return of -200",
)

for _game in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders"):
    DEFAULTS.add(
        f"{_game}-MinAtar",
        {
            # What its authors have for MinAtar, with fewer environments, since fewer steps are taken.
            "pqn": Pretraining(
                PQN(num_envs=32, num_steps=32, q_lambda=0.65, exploration_share=0.1),
                Adam(learning_rate=5e-4, max_grad_norm=10.0),
                409_600,
            ),
            "ppo": Pretraining(
                PPO(num_envs=32, num_steps=64, num_minibatches=8, ent_coef=0.01),
                Adam(learning_rate=1e-3),
                409_600,
                CNN(shared_trunk=True),
            ),
        },
        "returns that grow with the budget; no threshold is known",
    )


def pretraining(id: str, algo: AnyAlgorithm | str | None = None) -> Pretraining:
    """What pretraining takes for an environment.

    Args:
        id: of the environment, such as `Pendulum-v1`.
        algo: None for the environment's default; the name of an algorithm for its row there, or its own defaults where
            it has none; a config is taken as it is, with the optimizer and the budget that go with no row.

    Raises:
        ValueError: no algorithm has this name.
    """
    rows = {**DEFAULTS[id]} if id in DEFAULTS else {}
    if algo is None:
        return next(iter(rows.values()), Pretraining(PPO()))
    if not isinstance(algo, str):
        return Pretraining(algo)
    name = ALGOS.name(algo)
    return rows[name] if name in rows else Pretraining(ALGOS[name])
