"""The look: environment steps and episodes on the target before training, paid from the budget."""

from typing import ClassVar

from jaxrl_ft.core.config import config


@config
class Look:
    """Steps of a look and episodes of a probe on the target; none by default.

    A look gives transitions, from which an alignment and a model are fitted, and an estimate of the pretrained policy's
    return. A probe measures that return by whole episodes, of the policy as the alignment leaves it.
    """

    steps: int = 0
    """steps in each of 8 environments, paid from the budget; the pretrained policy acts in half of them, and random
    actions are taken in the others"""
    probe_episodes: int = 0
    """episodes of the pretrained policy, paid from the budget, after the look"""
    probe_steps: int = 64
    """steps after which an episode of the probe is cut"""

    NUM_ENVS: ClassVar[int] = 8
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "steps": (0, 10_000),
        "probe_episodes": (0, 16),
        "probe_steps": (1, 10_000),
    }

    @property
    def env_steps(self) -> int:
        """Environment steps of the look."""
        return self.NUM_ENVS * self.steps

    @property
    def probe_env_steps(self) -> int:
        """Environment steps of the probe."""
        return self.probe_episodes * self.probe_steps

    @property
    def measures(self) -> bool:
        """Whether it estimates the return of the pretrained policy."""
        return self.spent() > 0

    def spent(self) -> int:
        """Environment steps on the target of each run, look and probe together."""
        return self.env_steps + self.probe_env_steps
