"""MAS3: alignment with pseudo-samples that the source classifier is sure of.

Stan and Rostami, "Unsupervised Model Adaptation for Continual Semantic Segmentation" (paper 2), Algorithm 1.
As SFS (`alignment`), with another pseudo-data set:

    z_p ~ sum_k alpha_k N(mu_k, Sigma_k),   y_p = argmax h_0(z_p),   kept only if max softmax h_0(z_p) > tau,

h_0 being the source's classifier, and the step of Eq. 4, CE(h(z_p), y_p) + lambda SWD(z_t, z_p).

Where the paper is silent, or we differ:

- Filtering thins out classes of low confidence. The asked class mix is restored by drawing more (*ours*). A
  class that hardly ever passes within 255 times as many draws stays rarer than asked, which the signals show.
- The appendix takes the class mix from the "per-batch label distribution" of the target, which a site without
  labels does not have: `class_proportions` `oracle`, for benchmarks. The default is Algorithm 1's, alpha.
- Eq. 5 sums over points where SFS averages. Ours averages, so that lambda keeps its meaning at any number of
  points.
- Algorithm 1 draws the pseudo-data set once. Ours redraws it each step from the same distribution, unless
  `pseudo_samples` is `fixed`.
- One threshold serves the fit of the prototypes and the filter: by default the release's, 0.97, or the lower
  one that a class with few confident pixels was fitted with.
- Class 0 can be left out where it is no class but what is unlabelled (`ignore_class_zero`).
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from monai_sfda.errors import SettingError
from monai_sfda.methods.alignment import Alignment, AlignmentSettings
from monai_sfda.methods.base import RATIOS
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.networks.segmentation import classify_points
from monai_sfda.release import Release

# Each round draws twice as many of what is missing as the one before: 1 + 2 + ... + 128 = 255 times in all.
ROUNDS = 8
# Pseudo-samples that are tried before a run.
PROBE = 1024


class MAS3Settings(AlignmentSettings):
    """Settings of MAS3, the paper's defaults.

    Attributes:
        confidence_threshold: tau; pseudo-samples of this confidence or less are dropped. None for the one
            that the prototype of the class was fitted with.
        ignore_class_zero: neither draw class 0 nor align target pixels that are predicted to be of it.
    """

    learning_rate: float = Field(1e-4, gt=0)
    class_proportions: Literal["source", "predicted", "oracle"] = "source"
    confidence_threshold: float | None = Field(None, ge=0, lt=1)
    ignore_class_zero: bool = False


class MAS3(Alignment[MAS3Settings]):
    """Algorithm 1 of the paper; see the module's text."""

    name = "mas3"
    title = "MAS3"
    source = "Stan and Rostami, Unsupervised Model Adaptation for Continual Semantic Segmentation"
    settings_class = MAS3Settings
    # Aligned with pseudo-samples in the source's proportions, embeddings take on these too.
    optimises = Alignment.optimises | RATIOS

    def setup(self, network: SegmentationNetwork, release: Release) -> None:
        """Takes the network and the release, and keeps h_0, which labels and filters the pseudo-samples.

        Raises:
            SettingError: when h_0 is sure of no pseudo-sample.
        """
        super().setup(network, release)
        classifier = network.classifier
        self._weight = classifier.weight.detach().flatten(1).clone()
        self._bias = None if classifier.bias is None else classifier.bias.detach().clone()
        given = self.settings.confidence_threshold
        fitted = release.prototypes.threshold
        self._thresholds = fitted.nan_to_num(1.0) if given is None else torch.full_like(fitted, given)
        self._drawn = torch.zeros(network.num_classes, dtype=torch.int64)
        # Refuses a release that has no confident pseudo-sample before the run starts.
        device = classifier.weight.device
        self.draw(PROBE, release.prototypes.weight, torch.Generator().manual_seed(0), device)

    def draw(
        self, count: int, proportions: Tensor, generator: torch.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Confident samples of the prototypes in the asked class mix, labelled by the source classifier."""
        prototypes = self.release.prototypes
        if self.settings.ignore_class_zero:
            proportions = proportions.clone()
            proportions[0] = 0
        asked = prototypes.class_counts(count, proportions, generator=generator)
        missing, found = asked.clone(), []
        for doubling in range(ROUNDS):
            z, _ = prototypes.draw(missing * 2**doubling, generator=generator, device=device)
            confidence, label = self._source_probabilities(z).max(1)
            sure = confidence > self._thresholds.to(confidence)[label]
            for k in missing.nonzero().flatten().tolist():
                of_class = z[sure & (label == k)][: int(missing[k])]
                found.append((k, of_class))
                missing[k] -= len(of_class)
            if not bool(missing.any()):
                break
        self._drawn = asked - missing
        if not bool(self._drawn.any()):
            raise SettingError(
                "the source classifier is not sure of any pseudo-sample: none exceeds the confidence of its "
                f"class, {' / '.join(f'{t:g}' for t in self._thresholds)}",
                remedy="give a lower confidence_threshold, or use method 'sfs'",
            )
        classes = [torch.full((len(z),), k, device=device) for k, z in found]
        return torch.cat([z for _, z in found]), torch.cat(classes)

    def compared(self, target: Tensor) -> Tensor:
        """All target embeddings, or those that are not predicted to be of class 0."""
        if not self.settings.ignore_class_zero:
            return target
        with torch.no_grad():
            predicted = classify_points(self.network, target, dropout=False).argmax(1)
        return target[predicted != 0]

    def _source_probabilities(self, z: Tensor) -> Tensor:
        """(N, D) embeddings to (N, K): softmax of h_0, a 1x1 convolution and so a linear map of each."""
        return functional.linear(
            z, self._weight.to(z), None if self._bias is None else self._bias.to(z)
        ).softmax(1)

    def signals(self) -> dict[str, float]:
        """Class proportions asked for, and those of the confident pseudo-samples."""
        shares = self._drawn.double() / self._drawn.sum().clamp_min(1)
        kept = {f"confident/{name}": float(shares[k]) for name, k in self.release.labels.items()}
        return {**super().signals(), **kept}
