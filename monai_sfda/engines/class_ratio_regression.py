"""Training of the network that guesses a slice's class ratio, on the source's labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from monai_sfda.data.sampling import SliceSampler
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.base import StepTrainer
from monai_sfda.losses import label_class_ratio
from monai_sfda.networks import ClassRatioRegressor
from monai_sfda.networks.class_ratio_regressor import RegressorBackbone


class ClassRatioRegressorSettings(BaseModel):
    """The setting `class_ratio_regressor` of the `training` section.

    Attributes:
        backbone, width: of the network, see `ClassRatioRegressor`.
        max_epochs, epoch_length: length of the training; None: one pass through the slices an epoch.
        optimizer: `adam`, or `sgd` as the paper has it (with learning_rate 5e-6).
        learning_rate: of the optimiser.
        momentum: of `sgd`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: RegressorBackbone = "resnet18"
    width: int = Field(32, ge=1)
    max_epochs: int = Field(10, ge=1)
    epoch_length: int | None = Field(None, ge=1)
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)


class ClassRatioTrainer(StepTrainer):
    """Minimises the squared error of the guessed class ratio, the mean over slices of |R(x) - tau|^2.

    tau_k is the share of class k in the slice's label, after augmentation. The learning rate falls to zero
    as a cosine (*ours*).

    Args:
        network: R.
        settings: see `ClassRatioRegressorSettings`.
        options: `StepTrainer`'s: data set, device, batch size, seed ...
    """

    network: ClassRatioRegressor

    def __init__(
        self, network: ClassRatioRegressor, *, settings: ClassRatioRegressorSettings, **options: Any
    ) -> None:
        self.settings = settings
        super().__init__(
            network,
            title="train the class-ratio regressor",
            max_epochs=settings.max_epochs,
            epoch_length=settings.epoch_length,
            **options,
        )

    def check_fit(self) -> None:
        """Takes any slice that the segmentation network takes."""

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Adam, or stochastic gradient descent with momentum."""
        settings = self.settings
        if settings.optimizer == "sgd":
            return torch.optim.SGD(
                self.network.parameters(), lr=settings.learning_rate, momentum=settings.momentum
            )
        return torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)

    def make_sampler(self) -> SliceSampler:
        """Every slice as often as any other: the ratios of empty slices count as well."""
        return SliceSampler(len(self.dataset), self.batch_size, self.seed)

    def before_step(self, iteration: int) -> None:
        """Sets the learning rate of this step."""
        total = self.state.max_epochs * self.state.epoch_length
        factor = 0.5 * (1 + math.cos(math.pi * (iteration - 1) / total))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * factor

    def losses(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss `squared_error`."""
        self.network.train()
        error = self.network(batch["image"]) - label_class_ratio(batch["label"], self.num_classes).float()
        return {"squared_error": error.square().sum(1).mean()}

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.network.definition["num_classes"])

    def describe(self) -> dict[str, Any]:
        """All settings."""
        return {**self.settings.model_dump(), **super().describe()}


@torch.inference_mode()
def class_ratio_error(
    network: ClassRatioRegressor,
    dataset: StackDataset,
    mean: Sequence[float],
    *,
    device: torch.device,
    batch_size: int,
) -> dict[str, float]:
    """How far the guessed class ratios of labelled slices are from their labels'.

    Args:
        network: R, on the device.
        dataset: labelled stacks that the training did not see.
        mean: (K,) class ratios to compare with: the training subjects' mean, guessed for every slice.
        device, batch_size: where, and how many slices at once.

    Returns:
        `slices`, their number; `squared_error`, the mean over slices of |R(x) - tau|^2; and
        `squared_error_of_the_mean`, the same of the constant guess.
    """
    network.eval()
    constant = torch.tensor(mean, dtype=torch.float64)
    errors = torch.zeros(2, dtype=torch.float64)
    for start in range(0, len(dataset), batch_size):
        items = [dataset[i] for i in range(start, min(start + batch_size, len(dataset)))]
        true = label_class_ratio(torch.stack([item["label"] for item in items]), len(mean)).double()
        guessed = network(torch.stack([item["image"] for item in items]).to(device)).double().cpu()
        for place, guess in enumerate((guessed, constant)):
            errors[place] += (guess - true).square().sum()
    regressor, of_the_mean = (errors / len(dataset)).tolist()
    return {
        "slices": len(dataset),
        "squared_error": regressor,
        "squared_error_of_the_mean": of_the_mean,
    }
