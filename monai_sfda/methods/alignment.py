"""Alignment of target embeddings to pseudo-samples of the prototypes: what SFS and MAS3 share.

Each step minimises CE(h(z_p), y_p) + lambda SWD(z_t, z_p) (SFS, Eq. 3; MAS3, Eq. 4), with pseudo-samples z_p
of class y_p, z_t the embeddings of a target batch, h the classifier. The methods differ in how pseudo-samples
are drawn and labelled.

Where the papers are silent or their code reads target labels, ours differs and says so:

- The published code draws pseudo-samples with the class histogram of the *target labels*. `class_proportions`
  is `source` (alpha), `predicted` (running mean of the target predictions, within a factor of alpha) or, for
  benchmarks alone, `oracle` (that leak).
- The code compares all B H W pixels; `points` of them are drawn, in proportion, which memory and time can
  hold.
- The target batch updates the batch-norm statistics (`batchnorm_statistics`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from monai_sfda import processes
from monai_sfda.catalog import IGNORED
from monai_sfda.errors import SettingError
from monai_sfda.losses import draw_projections, sliced_wasserstein_distance
from monai_sfda.methods.base import Method, StepSettings
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.networks.segmentation import classify_points
from monai_sfda.release import Release


class AlignmentSettings(StepSettings):
    """Settings of all methods that align with pseudo-samples; Adam is Keras's, as the papers used it.

    Attributes:
        swd_weight: lambda.
        projections: directions of the sliced Wasserstein distance, redrawn each step.
        orthogonal_projections: draw them in orthogonal groups (*ours*: lower variance).
        points: embeddings compared each step.
        class_proportions: of the pseudo-samples: `source`, `predicted`, or `oracle` (benchmarks alone).
        proportion_momentum: of the running mean of predictions.
        proportion_factor: predicted proportions stay within this factor of alpha, both ways.
        pseudo_samples: `redraw` each step or a `fixed` set.
        classifier: `tuned` on pseudo-samples by the first term, or `fixed`.
    """

    adam_eps: float = Field(1e-1, gt=0)
    keras_eps: bool = True
    decay: float = Field(1e-6, ge=0)
    swd_weight: float = Field(0.5, ge=0)
    projections: int = Field(100, ge=1)
    orthogonal_projections: bool = False
    points: int = Field(4096, ge=64)
    class_proportions: Literal["source", "predicted", "oracle"] = "predicted"
    proportion_momentum: float = Field(0.99, ge=0, lt=1)
    proportion_factor: float = Field(3.0, ge=1)
    pseudo_samples: Literal["redraw", "fixed"] = "redraw"
    classifier: Literal["tuned", "fixed"] = "tuned"


A = TypeVar("A", bound=AlignmentSettings)


class Alignment(Method[A]):
    """Base of the methods that align with pseudo-samples; see the module's text."""

    requires = frozenset({"prototypes"})
    # The loss is the SWD; embeddings that approach the mixture approach the Gaussian of the class that they
    # are predicted to be. Running statistics follow the target.
    optimises = frozenset({"swd", "mahalanobis", "batchnorm"})

    def setup(self, network: SegmentationNetwork, release: Release) -> None:
        """Takes the network and the release; pseudo-samples start with the release's class proportions."""
        super().setup(network, release)
        self._proportions = release.prototypes.weight.clone()
        self._fixed: tuple[Tensor, Tensor] | None = None
        for p in network.classifier.parameters():
            p.requires_grad_(self.settings.classifier == "tuned")

    @property
    def target_labels_read(self) -> tuple[str, ...]:
        """The class proportions, in the oracle benchmark."""
        oracle = self.settings.class_proportions == "oracle"
        return ("class proportions of the target labels",) if oracle else ()

    def parameters(self) -> list[nn.Parameter]:
        """Features, and the classifier unless it is fixed."""
        return [p for p in self.network.parameters() if p.requires_grad]

    @abstractmethod
    def draw(
        self, count: int, proportions: Tensor, generator: torch.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Pseudo-samples z (N, D), N at most `count`, and their classes (N,), on `device`.

        Args:
            count: how many.
            proportions: (K,) shares of the classes, of sum 1.
            generator: source of randomness, on the CPU; the same on every process.
            device: of the result.
        """

    def compared(self, target: Tensor) -> Tensor:
        """The rows of the target's embeddings (N, D) that are aligned; all unless the method says otherwise.

        Sees the same rows on every process.
        """
        return target

    def step(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses `classifier` (CE of pseudo-samples) and `alignment` (lambda SWD)."""
        settings = self.settings
        features = self.network.features(batch["image"])
        z = features.movedim(1, -1).flatten(0, -2)
        pixels = processes.number_of_rows(z)
        count = min(settings.points, pixels)
        chosen = torch.randperm(pixels, generator=generator)[:count]
        target = processes.pick_rows(z, chosen).float()
        self._follow(target.detach(), batch.get("label"), chosen)
        target = self.compared(target)
        pseudo, classes = self._pseudo_samples(count, generator, target.device)
        losses = {"alignment": settings.swd_weight * self._distance(target, pseudo, generator)}
        if settings.classifier == "tuned":
            losses["classifier"] = functional.cross_entropy(classify_points(self.network, pseudo), classes)
        return losses

    def _distance(self, target: Tensor, pseudo: Tensor, generator: torch.Generator) -> Tensor:
        """The sliced Wasserstein distance; the larger cloud gives as many points as the smaller has."""
        count = min(len(target), len(pseudo))
        if count == 0:
            return target.sum()  # of no point: nothing to align, and a gradient of zero
        if len(pseudo) > count:  # ordered by class, the target in random order
            some = torch.randperm(len(pseudo), generator=generator)[:count]
            pseudo = pseudo[some.to(pseudo.device)]
        directions = draw_projections(
            target.shape[1],
            self.settings.projections,
            orthogonal=self.settings.orthogonal_projections,
            generator=generator,
            device=target.device,
        )
        return sliced_wasserstein_distance(target[:count], pseudo, directions)

    def _follow(self, target: Tensor, label: Tensor | None, chosen: Tensor) -> None:
        """Updates the class proportions of the pseudo-samples."""
        settings, alpha = self.settings, self.release.prototypes.weight
        if settings.class_proportions == "predicted":
            with torch.no_grad():
                logits = classify_points(self.network, target, dropout=False)
                predicted = logits.softmax(1).mean(0).double().cpu()
            m = settings.proportion_momentum
            running = m * self._proportions + (1 - m) * predicted
            bounded = running.clamp(alpha / settings.proportion_factor, alpha * settings.proportion_factor)
            self._proportions = bounded / bounded.sum()
        elif settings.class_proportions == "oracle":
            if label is None:
                raise SettingError(
                    "class_proportions 'oracle' reads target labels, and none are given",
                    remedy="use 'predicted' or 'source'; 'oracle' is for benchmarks on labelled data",
                )
            seen = processes.pick_rows(label.flatten().long(), chosen)
            counts = torch.bincount(seen[seen != IGNORED], minlength=len(alpha)).double().cpu()
            self._proportions = counts / counts.sum()

    def _pseudo_samples(
        self, count: int, generator: torch.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        if self.settings.pseudo_samples == "redraw":
            return self.draw(count, self._proportions, generator, device)
        if self._fixed is None:
            self._fixed = self.draw(count, self._proportions, generator, device)
        return self._fixed[0].to(device), self._fixed[1].to(device)

    def signals(self) -> dict[str, float]:
        """Class proportions of the pseudo-samples."""
        names = {index: name for name, index in self.release.labels.items()}
        return {f"proportion/{names[k]}": float(p) for k, p in enumerate(self._proportions)}

    def state_dict(self) -> dict[str, Any]:
        """The running class proportions and the fixed pseudo-samples."""
        fixed = {} if self._fixed is None else {"fixed": list(self._fixed)}
        return {"proportions": self._proportions, **fixed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self._proportions = state["proportions"]
        if "fixed" in state:
            self._fixed = (state["fixed"][0], state["fixed"][1])
