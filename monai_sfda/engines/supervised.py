"""Supervised training on a domain's labels: the source model, and the bound on the target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from monai_sfda.checkpoints import load_into, load_weights
from monai_sfda.data.sampling import SliceSampler
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.base import StepTrainer
from monai_sfda.engines.class_ratio_regression import ClassRatioRegressorSettings
from monai_sfda.errors import SettingError
from monai_sfda.files import file_sha256
from monai_sfda.losses import segmentation_cross_entropy, soft_dice_loss
from monai_sfda.networks import DeepLabV3VGG16, SegmentationNetwork
from monai_sfda.networks.deeplab import load_imagenet_weights
from monai_sfda.settings import read_settings


class TrainingSettings(BaseModel):
    """Settings of supervised training, SFS's source training first.

    Attributes:
        max_epochs, epoch_length: length of the run; None: one pass through the slices an epoch.
        learning_rate, adam_eps, decay: Adam; decay is Keras's lr / (1 + decay t).
        schedule: `constant` (with decay) or `cosine` to zero over the run.
        loss: `cross_entropy`, `weighted_cross_entropy` (per-image class weights) or `dice_cross_entropy`
            (soft Dice over the classes plus cross-entropy).
        rare_share: share of a batch drawn for rare structures.
        class_ratio_regressor: settings of a network that guesses a slice's class ratio, trained after the
            segmentation network on the source and released with it; {} for its defaults, None for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_epochs: int = Field(100, ge=1)
    epoch_length: int | None = Field(None, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    adam_eps: float = Field(1e-6, gt=0)
    decay: float = Field(1e-6, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    loss: Literal["cross_entropy", "weighted_cross_entropy", "dice_cross_entropy"] = "weighted_cross_entropy"
    rare_share: float = Field(0.5, ge=0, le=1)
    class_ratio_regressor: ClassRatioRegressorSettings | None = None


def training_settings(given: Mapping[str, Any]) -> TrainingSettings:
    """The `training` section of a configuration; a `SettingError` names what is unknown or out of range."""
    return read_settings(TrainingSettings, given, "training")


class SupervisedTrainer(StepTrainer):
    """Trains on labelled stacks.

    Args:
        network, dataset: as in `StepTrainer`.
        settings: the `training` section, see `TrainingSettings`.
        learning_rate: replaces the section's when not None.
        options: `StepTrainer`'s.
    """

    network: SegmentationNetwork

    def __init__(
        self,
        network: SegmentationNetwork,
        dataset: StackDataset,
        *,
        settings: Mapping[str, Any],
        learning_rate: float | None = None,
        **options: Any,
    ) -> None:
        self.settings = training_settings(settings)
        self.learning_rate = self.settings.learning_rate if learning_rate is None else float(learning_rate)
        options.setdefault("epoch_length", self.settings.epoch_length)
        super().__init__(network, dataset, title="train", **options)
        self.first_weights = "random"

    def start_from_imagenet(self, weights: Path) -> None:
        """Starts the encoder from torchvision's ImageNet weights of VGG16.

        Raises:
            SettingError: when the network has no VGG16.
            CheckpointError: when the file is of another network.
        """
        backbone = self.network.backbone
        if not isinstance(backbone, DeepLabV3VGG16):
            raise SettingError(
                f"the network is a {type(backbone).__name__} and has no VGG16 for imagenet_weights",
                remedy="leave imagenet_weights out, or use DeepLabV3VGG16",
            )
        load_imagenet_weights(backbone, weights)
        self.first_weights = f"ImageNet {file_sha256(weights)}"

    def start_from(self, checkpoint: Path) -> None:
        """Starts from a checkpoint's weights instead of random ones.

        Raises:
            CheckpointError: when it cannot be read or is of another network.
        """
        load_into(self.network, load_weights(checkpoint), checkpoint.name)
        self.first_weights = file_sha256(checkpoint)

    def make_optimizer(self) -> torch.optim.Adam:
        """Adam over all parameters."""
        return torch.optim.Adam(self.network.parameters(), lr=self.learning_rate, eps=self.settings.adam_eps)

    def make_sampler(self) -> SliceSampler:
        """Draws slices with rare structures more often."""
        return SliceSampler(
            len(self.dataset), self.batch_size, self.seed, self.dataset.presence(), self.settings.rare_share
        )

    def before_step(self, iteration: int) -> None:
        """Sets the learning rate of this step."""
        if self.settings.schedule == "cosine":
            total = self.state.max_epochs * self.state.epoch_length
            factor = 0.5 * (1 + math.cos(math.pi * (iteration - 1) / total))
        else:
            factor = 1 / (1 + self.settings.decay * (iteration - 1))
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * factor

    def losses(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """`cross_entropy`, and `dice` where asked for."""
        self.network.train()
        logits = self.network(batch["image"]).float()
        weighted = self.settings.loss == "weighted_cross_entropy"
        losses = {"cross_entropy": segmentation_cross_entropy(logits, batch["label"], weighted=weighted)}
        if self.settings.loss == "dice_cross_entropy":
            background = not self.dataset.task.pictures
            losses["dice"] = soft_dice_loss(logits, batch["label"], background=background)
        return losses

    def describe(self) -> dict[str, Any]:
        """All settings."""
        return {
            **self.settings.model_dump(),
            **super().describe(),
            "first_weights": self.first_weights,
            "learning_rate": self.learning_rate,
        }
