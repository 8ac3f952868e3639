"""Every algorithm by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.rl.a2c import A2C
from jaxrl_ft.rl.algorithm import AnyAlgorithm
from jaxrl_ft.rl.ppo import PPO
from jaxrl_ft.rl.q_learning.dqn import DQN
from jaxrl_ft.rl.q_learning.pqn import PQN
from jaxrl_ft.rl.q_learning.sac import SAC
from jaxrl_ft.rl.reinforce import REINFORCE

ALGOS: Table[AnyAlgorithm] = Table("algo")
ALGOS.add("ppo", PPO(), "proximal policy optimisation (arXiv:1707.06347)")
ALGOS.add("a2c", A2C(), "advantage actor-critic (arXiv:1602.01783)")
ALGOS.add("reinforce", REINFORCE(), "the Monte-Carlo policy gradient with a baseline (doi:10.1007/BF00992696)")
ALGOS.add("dqn", DQN(), "Q-learning from a replay, with a target network (doi:10.1038/nature14236)")
ALGOS.add("pqn", PQN(), "Q-learning on parallel environments with lambda-returns (arXiv:2407.04811)")
ALGOS.add("sac", SAC(), "soft actor-critic of continuous or discrete actions (arXiv:1812.05905, arXiv:1910.07207)")
