"""What AdaEnt and AdaSource share: the predicted class ratio of target slices held to a prior.

Bateson et al., "Source-Relaxed Domain Adaptation for Image Segmentation" (paper 4). Both methods minimise

    lambda KL(tau_e, tau^),

with tau^ the predicted class ratio, the mean softmax over an image's pixels, and tau_e its prior, beside a
term of their own.

Where the paper is silent, or cannot be followed without target labels, ours differs and says so:

- The term is a mean over the batch. Eq. 3 sums over images and leaves open whether the divergence stands
  inside the sum over pixels, which changes what lambda means.
- The paper's prior is a network that guesses an image's ratio, and (1, 0) for slices that a **tag** says have
  no structure. Ours is the release's `statistics`. They are of whole subjects: most slices show few of the
  organs, so that forcing each slice to the subjects' mean would invent organs in empty slices and shrink
  those that are there. By default the statistics are therefore compared with the predicted ratio of many
  slices: the running mean over batches of slices drawn from all scans, whose expectation is the subjects'
  mean. Its gradient is the batch's own.
- With `prior` `regressor`, tau_e is as in the paper what the release's network guesses from each slice.
  *Ours*: its batch norm takes the target batch's statistics, since those of another modality mislead it.
- With `tags`, tau_e of a slice has, for each class that the slice's **label** shows, the source's mean share
  where the class is present, and 0 for the others. Tags are read from target labels: such a run is a
  benchmark and is recorded as one. The paper's own numbers are of this kind.
- The published code computes KL(tau^, tau_e) and normalises by the largest class: `direction`,
  `normalisation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from monai_sfda import processes
from monai_sfda.losses import class_ratio_divergence, predicted_class_ratio
from monai_sfda.methods.base import Method, StepSettings
from monai_sfda.methods.class_ratio_priors import (
    Prior,
    PriorName,
    RegressorStatistics,
    regressor_prior,
    statistics_prior,
    tags_prior,
)
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.release import Release


class ClassRatioSettings(StepSettings):
    """Settings of the class-ratio term.

    Attributes:
        ratio_weight: lambda; the paper's 0.01, the published code's 1. With 0 the other term is alone.
        direction: `prior_to_predicted` as the paper writes, `predicted_to_prior` as its code computes.
        normalisation: of the predicted ratio: `softmax` (the paper's) or `largest_class` (the code's).
        prior: `statistics` of the release; `regressor`, its network that guesses a slice's ratio; or `tags`,
            which read target labels (benchmarks alone).
        regressor_statistics: batch-norm statistics of that network: the `target` batch's, or the `source`'s.
        ratio_over: what the predicted ratio is of: each `image` by itself, as the paper has it, or the
            `batches` so far; None for what fits the prior: batches with statistics, else the image.
        ratio_momentum: of the running mean over batches; 0 for the batch alone.
    """

    learning_rate: float = Field(1e-3, gt=0)
    ratio_weight: float = Field(1e-2, ge=0)
    direction: Literal["prior_to_predicted", "predicted_to_prior"] = "prior_to_predicted"
    normalisation: Literal["softmax", "largest_class"] = "softmax"
    prior: PriorName = "statistics"
    regressor_statistics: RegressorStatistics = "target"
    ratio_over: Literal["image", "batches"] | None = None
    ratio_momentum: float = Field(0.9, ge=0, lt=1)


S = TypeVar("S", bound=ClassRatioSettings)


class ClassRatioMethod(Method[S]):
    """Base of the methods with the class-ratio term; see the module's text."""

    def setup(self, network: SegmentationNetwork, release: Release) -> None:
        """Takes the network, and the release's class ratios as prior."""
        super().setup(network, release)
        assert release.class_ratio is not None  # `requires`
        self._ratio = release.class_ratio
        self._mean = torch.tensor(self._ratio.mean, dtype=torch.float64)
        self._prior = self._make_prior()
        self._running: Tensor | None = None
        self._newest = torch.full_like(self._mean, torch.nan)

    @property
    def target_labels_read(self) -> tuple[str, ...]:
        """Tags, where the prior has them."""
        return ("image-level tags: which classes each slice shows",) if self.settings.prior == "tags" else ()

    def class_ratio_loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """The weighted divergence, lambda KL.

        Args:
            logits: (B, K, *spatial) of the target's slices.
            batch: `image` of these slices, and with `tags` their `label`.
        """
        settings = self.settings
        predicted = predicted_class_ratio(logits, settings.normalisation)
        prior = self._prior(batch).to(predicted)
        if self._over_batches:
            predicted, prior = self._follow(predicted), _mean_of_all(prior)
        self._newest = _mean_of_all(predicted.detach()).squeeze(0).double().cpu()
        return settings.ratio_weight * class_ratio_divergence(prior, predicted, settings.direction)

    @property
    def _over_batches(self) -> bool:
        fits = "batches" if self.settings.prior == "statistics" else "image"
        return (self.settings.ratio_over or fits) == "batches"

    def _follow(self, predicted: Tensor) -> Tensor:
        """(B, K) ratios to the running mean over batches, (1, K), which has the gradient of this batch."""
        now = _mean_of_all(predicted)
        value = now.detach()
        if self._running is not None:
            m = self.settings.ratio_momentum
            value = m * self._running.to(value) + (1 - m) * value
        self._running = value.double().cpu()
        return value + now - now.detach()

    def _make_prior(self) -> Prior:
        """tau_e as the settings choose it."""
        settings, release = self.settings, self.release
        if settings.prior == "regressor":
            return regressor_prior(
                release, settings.regressor_statistics, next(self.network.parameters()).device
            )
        if settings.prior == "tags":
            return tags_prior(release)
        return statistics_prior(self._ratio)

    def signals(self) -> dict[str, float]:
        """The predicted class ratio that the divergence last saw."""
        return {f"ratio/{name}": float(self._newest[k]) for name, k in self.release.labels.items()}

    def state_dict(self) -> dict[str, Any]:
        """The running class ratio."""
        return {} if self._running is None else {"running": self._running}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self._running = state.get("running")


def _mean_of_all(ratios: Tensor) -> Tensor:
    """(B, K) on each process to (1, K), the mean over the images of all; differentiable."""
    images = processes.total(ratios.new_tensor(float(ratios.shape[0])))
    return processes.total(ratios.sum(0, keepdim=True)) / images
