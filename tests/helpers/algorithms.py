"""Algorithms that are quick."""

SMALL = {
    "ppo": {"num_envs": 4, "num_steps": 16, "num_epochs": 2, "num_minibatches": 2},
    "a2c": {"num_envs": 4, "num_steps": 16},
    "reinforce": {"num_envs": 2},
    "dqn": {"num_envs": 4, "num_steps": 16, "gradient_steps": 4, "batch_size": 16, "replay_size": 512,
            "learning_starts": 64},
    "sac": {"num_envs": 4, "num_steps": 16, "gradient_steps": 4, "batch_size": 16, "replay_size": 512,
            "learning_starts": 64},
    "pqn": {"num_envs": 4, "num_steps": 16, "num_minibatches": 2},
}  # fmt: skip
"""Fields with which each algorithm is quick."""
