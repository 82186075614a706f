"""The train tasks that MONAI Label lists: an adaptation and a fine-tuning for every model."""

from __future__ import annotations

from typing import Any

from monai_sfda.label.stock import prepare

prepare()

from monailabel.interfaces.tasks.train import TrainTask  # noqa: E402


def make_trainers(app: Any) -> dict[str, TrainTask]:
    """See `monai_sfda.label.adaptation.trainers_of`."""
    return {}
