"""The interface of finishes, which change parameters after training.

A finish is a pure function of the base and one or several fine-tunes of it. It changes parameters alone. Normaliser
statistics are those of the first fine-tune: its network was trained with them.
"""

from typing import ClassVar

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree


@config
class Finish:
    """The interface; this member keeps the fine-tune as it is."""

    population: int = 1
    """number of fine-tunes of one pretrained agent, from different random numbers, that share the budget"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"population": (1, 1)}
    anchored: ClassVar[bool] = False
    """whether parameters are added to others leaf by leaf, which makes no sense of networks that grew"""

    @property
    def acts(self) -> bool:
        """Whether it may change parameters; only the plain `Finish` never does."""
        return type(self) is not Finish

    def apply(self, base: Tree, members: Tree) -> Tree:
        """The parameters that an agent keeps.

        Args:
            base: parameters of the agent that was fine-tuned, leaves [...].
            members: parameters after training, leaves [population, ...].

        Raises:
            ValueError: the shapes of base and members do not fit it; found from shapes alone (`jax.eval_shape`).
        """
        return tree.take(members, 0)
