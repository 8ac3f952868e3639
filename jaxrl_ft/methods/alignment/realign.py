"""An alignment by what brings the target's dynamics nearest to the source's."""

from jaxrl_ft.core.config import config
from jaxrl_ft.methods import reading
from jaxrl_ft.methods.alignment.base import Alignment
from jaxrl_ft.methods.realignment import Experience, Realignment


@config
class Realign(Alignment):
    """Undo the change of sensors and actions that explains the target's dynamics best; see `methods.reading`."""

    def estimate(self, source: Experience, target: Experience, num_actions: int, continuous: bool) -> Realignment:
        """The most probable change, or none with the reason where no change is probable enough."""
        return reading.estimate(source, target, num_actions, continuous)
