"""Trackers: TensorBoard, Weights & Biases and MLflow, each an extra behind one small interface."""

from collections.abc import Mapping

from jaxrl_ft.store.trackers.mlflow import MLflow
from jaxrl_ft.store.trackers.tensorboard import TensorBoard
from jaxrl_ft.store.trackers.wandb import WandB

TRACKERS: Mapping[str, type[TensorBoard] | type[WandB] | type[MLflow]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
}
"""The trackers by the names that commands take; `of_command` makes the one of a command."""
