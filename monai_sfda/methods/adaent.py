"""AdaEnt: entropy minimisation on the target, guided by a prior of the class ratios.

Bateson et al., "Source-Relaxed Domain Adaptation for Image Segmentation" (paper 4). Each step minimises Eq.
3,

    mean over pixels of -sum_k p_k log p_k  +  lambda KL(tau_e, tau^),

with tau^ the predicted class ratio, the mean softmax over an image's pixels, and tau_e its prior. Entropy
alone ends in a single class; the prior holds the others.

Where the paper is silent, or cannot be followed without target labels, ours differs and says so:

- Both terms are means over the batch. Eq. 3 sums over pixels and leaves open whether the divergence stands
  inside the sum, which changes what lambda means.
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
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from monai_sfda import processes
from monai_sfda.errors import SettingError
from monai_sfda.losses import class_ratio_divergence, mean_entropy, predicted_class_ratio
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


class AdaEntSettings(StepSettings):
    """Settings of AdaEnt.

    Attributes:
        ratio_weight: lambda of Eq. 3; the paper's 0.01, the published code's 1. With 0 the entropy is alone.
        direction: `prior_to_predicted` as the paper writes, `predicted_to_prior` as its code computes.
        normalisation: of the predicted ratio: `softmax` (the paper's) or `largest_class` (the code's).
        prior: `statistics` of the release; `regressor`, its network that guesses a slice's ratio; or `tags`,
            which read target labels (benchmarks alone).
        regressor_statistics: batch-norm statistics of that network: the `target` batch's, or the `source`'s.
        ratio_over: what the predicted ratio is of: each `image` by itself, as the paper has it, or the
            `batches` so far; None for what fits the prior: batches with statistics, else the image.
        ratio_momentum: of the running mean over batches; 0 for the batch alone.
        class_weights: of the entropy: `uniform`, `inverse_ratio` (1 / the source's share of the class, scaled
            to mean 1), or K numbers in the order of the labels.
    """

    learning_rate: float = Field(1e-3, gt=0)
    ratio_weight: float = Field(1e-2, ge=0)
    direction: Literal["prior_to_predicted", "predicted_to_prior"] = "prior_to_predicted"
    normalisation: Literal["softmax", "largest_class"] = "softmax"
    prior: PriorName = "statistics"
    regressor_statistics: RegressorStatistics = "target"
    ratio_over: Literal["image", "batches"] | None = None
    ratio_momentum: float = Field(0.9, ge=0, lt=1)
    class_weights: Literal["uniform", "inverse_ratio"] | tuple[float, ...] = "uniform"


class AdaEnt(Method[AdaEntSettings]):
    """Eq. 3 of the paper; see the module's text."""

    name = "adaent"
    title = "AdaEnt"
    requires = frozenset({"class_ratio"})
    source = "Bateson et al., Source-Relaxed Domain Adaptation for Image Segmentation"
    settings_class = AdaEntSettings

    def setup(self, network: SegmentationNetwork, release: Release) -> None:
        """Takes the network, and the release's class ratios as prior."""
        super().setup(network, release)
        assert release.class_ratio is not None  # `requires`
        self._ratio = release.class_ratio
        self._mean = torch.tensor(self._ratio.mean, dtype=torch.float64)
        self._prior = self._make_prior()
        self._weights = self._class_weights()
        self._running: Tensor | None = None
        self._newest = torch.full_like(self._mean, torch.nan)

    @property
    def target_labels_read(self) -> tuple[str, ...]:
        """Tags, where the prior has them."""
        return ("image-level tags: which classes each slice shows",) if self.settings.prior == "tags" else ()

    def step(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses `entropy` and `class_ratio` (lambda KL)."""
        settings = self.settings
        logits = self.network(batch["image"])
        losses = {"entropy": mean_entropy(logits, self._weights)}
        predicted = predicted_class_ratio(logits, settings.normalisation)
        prior = self._prior(batch).to(predicted)
        over_batches = self._over_batches
        if over_batches:
            predicted, prior = self._follow(predicted), _mean_of_all(prior)
        self._newest = _mean_of_all(predicted.detach()).squeeze(0).double().cpu()
        divergence = class_ratio_divergence(prior, predicted, settings.direction)
        losses["class_ratio"] = settings.ratio_weight * divergence
        return losses

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

    def _class_weights(self) -> Tensor | None:
        """(K,) weights of the entropy; None for uniform ones."""
        given = self.settings.class_weights
        if given == "uniform":
            return None
        if given == "inverse_ratio":
            # A class that the source never shows has no weight: nothing is to be sure of it.
            inverse = torch.where(self._mean > 0, 1 / self._mean, 0.0)
            return inverse / inverse.mean()
        weights = torch.tensor(given, dtype=torch.float64)
        if len(weights) != len(self._mean) or not bool(((weights >= 0) & weights.isfinite()).all()):
            raise SettingError(
                f"class_weights {list(given)} are not {len(self._mean)} weights from 0",
                remedy=f"give one for each of {', '.join(self.release.labels)}",
            )
        return weights

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
