"""Trackers: TensorBoard, Weights & Biases and MLflow, each an extra behind one small interface."""

from collections.abc import Mapping

from jaxrl_ft.store.trackers.base import Tracker
from jaxrl_ft.store.trackers.mlflow import MLflow
from jaxrl_ft.store.trackers.tensorboard import TensorBoard
from jaxrl_ft.store.trackers.wandb import WandB

TRACKERS: Mapping[str, type[Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}
"""The trackers by the names that commands take."""
