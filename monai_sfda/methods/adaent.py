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
- With `prior` `tags`, tau_e of a slice has, for each class that the slice's label shows, the source's mean
  share where the class is present, and 0 for the others. Tags are read from target labels: such a run is a
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
from monai_sfda.errors import ReleaseError, SettingError
from monai_sfda.losses import class_ratio_divergence, mean_entropy, predicted_class_ratio
from monai_sfda.methods.base import Method, StepSettings
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.release import MANIFEST, ClassRatio, Release


class AdaEntSettings(StepSettings):
    """Settings of AdaEnt.

    Attributes:
        ratio_weight: lambda of Eq. 3; the paper's 0.01, the published code's 1. With 0 the entropy is alone.
        direction: `prior_to_predicted` as the paper writes, `predicted_to_prior` as its code computes.
        normalisation: of the predicted ratio: `softmax` (the paper's) or `largest_class` (the code's).
        prior: `statistics` of the release, or `tags`, which read target labels (benchmarks alone).
        ratio_over: what the predicted ratio is of: each `image` by itself, as the paper has it, or the
            `batches` so far; None for what fits the prior: batches with statistics, the image with tags.
        ratio_momentum: of the running mean over batches; 0 for the batch alone.
        class_weights: of the entropy: `uniform`, `inverse_ratio` (1 / the source's share of the class, scaled
            to mean 1), or K numbers in the order of the labels.
    """

    learning_rate: float = Field(1e-3, gt=0)
    ratio_weight: float = Field(1e-2, ge=0)
    direction: Literal["prior_to_predicted", "predicted_to_prior"] = "prior_to_predicted"
    normalisation: Literal["softmax", "largest_class"] = "softmax"
    prior: Literal["statistics", "tags"] = "statistics"
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
        self._where_present = self._shares_where_present(self._ratio)
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
        fits = "image" if self.settings.prior == "tags" else "batches"
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

    def _prior(self, batch: Mapping[str, Tensor]) -> Tensor:
        """(B, K) tau_e of each image."""
        images = batch["image"].shape[0]
        if self.settings.prior == "statistics":
            return self._mean.expand(images, -1)
        if "label" not in batch:
            raise SettingError(
                "prior 'tags' reads target labels, and none are given",
                remedy="use 'statistics'; 'tags' is for benchmarks on labelled data",
            )
        classes = torch.arange(len(self._mean), device=batch["label"].device)
        shown = (batch["label"].flatten(1)[:, :, None] == classes).any(1).double().cpu()
        ratio = shown * self._where_present
        # Background is what the structures leave; where their means together exceed the image, nothing.
        ratio[:, 0] = (1 - ratio[:, 1:].sum(1)).clamp_min(0)
        return ratio / ratio.sum(1, keepdim=True)

    def _shares_where_present(self, ratio: ClassRatio) -> Tensor:
        """(K,) the source's mean share in slices that show the class; zeros where tags are not asked for."""
        if self.settings.prior != "tags":
            return torch.zeros_like(self._mean)
        present = ratio.where_present or (None,) * len(ratio.mean)
        lacking = [name for name, k in self.release.labels.items() if k > 0 and present[k] is None]
        if lacking:
            raise ReleaseError(
                f"prior 'tags' needs the share of {', '.join(lacking)} in the slices that show it, and the "
                "release does not state it",
                path=MANIFEST,
                remedy="make the release again with this version and at least three subjects of each "
                "structure, or use prior 'statistics'",
            )
        return torch.tensor([share or 0.0 for share in present], dtype=torch.float64)

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
