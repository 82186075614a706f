"""The fit of Gaussian class prototypes: one pass over the source, merged across processes and sites.

Eq. 2 of SFS misses the sum in Sigma_k: it is sum (z - mu_k)(z - mu_k)^T / (n_k - 1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from monai_sfda.catalog import IGNORED
from monai_sfda.disclosure import LARGEST_SHARE, enough_subjects
from monai_sfda.errors import ReleaseError, SettingError
from monai_sfda.prototypes import Prototypes

# When a class has too few pixels above rho, the next lower threshold is tried. Ours: no published code
# handles it.
FALLBACK_THRESHOLDS = (0.8, 0.5, 0.0)


@dataclass
class _Moments:
    """Running count, mean and centred second moment of each class, float64."""

    count: Tensor
    mean: Tensor
    scatter: Tensor

    @staticmethod
    def zeros(classes: int, dimension: int) -> _Moments:
        return _Moments(
            torch.zeros(classes, dtype=torch.float64),
            torch.zeros(classes, dimension, dtype=torch.float64),
            torch.zeros(classes, dimension, dimension, dtype=torch.float64),
        )

    def merge(self, other: _Moments) -> None:
        """Adds the other's points by Chan's update, stable however far the two means are apart."""
        total = self.count + other.count
        share = torch.where(total > 0, other.count / total.clamp_min(1), torch.zeros_like(total))
        delta = other.mean - self.mean
        self.scatter += (
            other.scatter + torch.einsum("kd,ke->kde", delta, delta) * (self.count * share)[:, None, None]
        )
        self.mean += delta * share[:, None]
        self.count = total


def _moments_of(z: Tensor, classes: Tensor, num_classes: int) -> _Moments:
    """Moments of one batch: z (N, D) float64, classes (N,)."""
    moments = _Moments.zeros(num_classes, z.shape[1])
    for k in classes.unique().tolist():
        points = z[classes == k]
        mean = points.mean(0)
        centred = points - mean
        moments.count[k] = points.shape[0]
        moments.mean[k] = mean.cpu()
        moments.scatter[k] = (centred.T @ centred).cpu()
    return moments


class PrototypeFit:
    """Accumulates the prototypes in one pass over the source pixels.

    Fits of shards (processes, sites) merge into the fit of all their pixels.

    Args:
        num_classes: K, background included.
        dimension: D of the embedding.
        rho: confidence threshold; the papers use 0.97.
    """

    def __init__(self, num_classes: int, dimension: int, rho: float = 0.97) -> None:
        if not 0 <= rho < 1:
            raise SettingError(f"rho {rho} is not possible", remedy="use a confidence from 0 to below 1")
        self.num_classes = num_classes
        self.dimension = dimension
        self.rho = rho
        self.thresholds = (rho, *(t for t in FALLBACK_THRESHOLDS if t < rho))
        # Bin b holds the pixels that pass threshold b but not the one above it, so no pixel is counted twice.
        self._bins = [_Moments.zeros(num_classes, dimension) for _ in self.thresholds]
        # By class: pixels of each subject that carry its label, and those that are in each bin.
        self._labelled: list[Counter[str]] = [Counter() for _ in range(num_classes)]
        self._fitted: list[list[Counter[str]]] = [
            [Counter() for _ in range(num_classes)] for _ in self.thresholds
        ]

    def update(self, z: Tensor, probabilities: Tensor, label: Tensor, subject: str) -> None:
        """Adds pixels of one subject.

        Args:
            z: (N, D) embeddings.
            probabilities: (N, K) of the source classifier.
            label: (N,) integer classes; pixels that are `IGNORED` are left out.
            subject: who they come from; only the number of subjects of a class is ever released, and only
                where they are enough.
        """
        known = label != IGNORED
        if not bool(known.all()):
            z, probabilities, label = z[known], probabilities[known], label[known]
        label = label.long()
        confidence, predicted = probabilities.max(dim=1)
        _count(self._labelled, label, subject)
        agreed = predicted == label
        upper = torch.full_like(confidence, torch.inf)
        for moments, fitted, threshold in zip(self._bins, self._fitted, self.thresholds, strict=True):
            keep = agreed & (confidence > threshold) & (confidence <= upper)
            if threshold == 0.0:
                keep = agreed & (confidence <= upper)
            if bool(keep.any()):
                moments.merge(_moments_of(z[keep].double(), label[keep], self.num_classes))
                _count(fitted, label[keep], subject)
            upper = torch.full_like(confidence, threshold)

    def merge(self, other: PrototypeFit) -> None:
        """Adds another fit's pixels, e.g. of another process.

        Raises:
            SettingError: when the two fits have other classes, dimension or rho.
        """
        mine = (self.num_classes, self.dimension, self.rho)
        theirs = (other.num_classes, other.dimension, other.rho)
        if mine != theirs:
            raise SettingError(
                f"prototype fits with (classes, dimension, rho) {mine} and {theirs} cannot be merged",
                remedy="fit all shards with one network and one rho",
            )
        for moments, more in zip(self._bins, other._bins, strict=True):
            moments.merge(more)
        for counts, more_counts in zip(
            (self._labelled, *self._fitted), (other._labelled, *other._fitted), strict=True
        ):
            for pixels, more_pixels in zip(counts, more_counts, strict=True):
                pixels.update(more_pixels)

    def finish(
        self,
        *,
        minimum_pixels: int | None = None,
        minimum_subjects: int = 1,
        names: Sequence[str] | None = None,
    ) -> Prototypes:
        """The prototypes of all pixels seen so far.

        A class with fewer than `minimum_pixels` confident pixels, or whose confident pixels come from fewer
        than `minimum_subjects` subjects or nearly all from one (`enough_subjects`), takes the next lower
        threshold of 0.8, 0.5, 0, with a warning; one that still has too few is left out, with a warning. A
        class whose labelled pixels come from too few subjects counts as one that was never seen: no count,
        share or warning tells one subject from none. A covariance from fewer than 10 D pixels is shrunk
        (`oas_covariance`).

        Args:
            minimum_pixels: default 10 D.
            minimum_subjects: smallest number of subjects behind a released class; 1 where nothing is
                released.
            names: of the K classes, for the warnings.

        Raises:
            ReleaseError: when no class at all has enough pixels.
        """
        needed = max(10 * self.dimension if minimum_pixels is None else minimum_pixels, 2)
        cumulative = self._cumulative()
        seen = [enough_subjects(pixels.values(), minimum_subjects) for pixels in self._labelled]
        count = torch.zeros(self.num_classes, dtype=torch.float64)
        mean = torch.zeros(self.num_classes, self.dimension, dtype=torch.float64)
        covariance = torch.zeros(self.num_classes, self.dimension, self.dimension, dtype=torch.float64)
        thresholds = torch.full((self.num_classes,), torch.nan, dtype=torch.float64)
        subjects = torch.zeros(self.num_classes, dtype=torch.int64)
        warnings: list[str] = []
        for k in range(self.num_classes):
            title = f"class {k}" if names is None else f"class {k} ({names[k]})"
            if not seen[k]:
                warnings.append(f"{title}: {_too_few(minimum_subjects)}: left out")
                continue
            for threshold, (moments, fitted) in zip(self.thresholds, cumulative, strict=True):
                n = int(moments.count[k])
                if n >= needed and enough_subjects(fitted[k].values(), minimum_subjects):
                    count[k], mean[k], thresholds[k] = n, moments.mean[k], threshold
                    subjects[k] = len(fitted[k])
                    covariance[k] = moments.scatter[k] / (n - 1)
                    if n < 10 * self.dimension:
                        covariance[k] = oas_covariance(covariance[k], n)
                        warnings.append(f"{title}: covariance of {n} pixels shrunk")
                    if threshold < self.rho:
                        warnings.append(f"{title}: too few pixels above {self.rho}, {threshold} used")
                    break
            else:
                few = f"fewer than {needed} rightly predicted pixels"
                if int(cumulative[-1][0].count[k]) >= needed:
                    few += f" without {_too_few(minimum_subjects)}"
                warnings.append(f"{title}: {few}: left out")
        if not bool((count > 0).any()):
            raise ReleaseError(
                "no class has enough confident, rightly predicted pixels for a prototype",
                remedy="train the source model longer, or check its labels",
            )
        labelled = [
            float(pixels.total()) if keep else 0.0 for pixels, keep in zip(self._labelled, seen, strict=True)
        ]
        pixel_share = torch.tensor(labelled, dtype=torch.float64)
        return Prototypes(
            weight=count / count.sum(),
            mean=mean,
            covariance=covariance,
            count=count,
            threshold=thresholds,
            pixel_share=pixel_share / pixel_share.sum(),
            subjects=subjects,
            rho=self.rho,
            warnings=tuple(warnings),
        )

    def _cumulative(self) -> list[tuple[_Moments, list[Counter[str]]]]:
        """For each threshold, highest first: the moments of all pixels above it, and by class how many of
        them are each subject's.
        """
        found = []
        running = _Moments.zeros(self.num_classes, self.dimension)
        pixels: list[Counter[str]] = [Counter() for _ in range(self.num_classes)]
        for moments, fitted in zip(self._bins, self._fitted, strict=True):
            running.merge(moments)
            pixels = [a + b for a, b in zip(pixels, fitted, strict=True)]
            found.append(
                (_Moments(running.count.clone(), running.mean.clone(), running.scatter.clone()), pixels)
            )
        return found


def _count(pixels: Sequence[Counter[str]], classes: Tensor, subject: str) -> None:
    """Adds a subject's pixels to the counts of their classes."""
    for k, n in enumerate(torch.bincount(classes, minlength=len(pixels)).tolist()):
        if n:
            pixels[k][subject] += n


def _too_few(minimum_subjects: int) -> str:
    if minimum_subjects <= 1:
        return "no subject"
    return f"fewer than {minimum_subjects} subjects, or more than {LARGEST_SHARE:.0%} of the pixels from one"


def oas_covariance(covariance: Tensor, count: int) -> Tensor:
    """Oracle approximating shrinkage of a sample covariance towards a multiple of the identity.

    (1 - s) S + s tr(S)/D I with the s of Chen et al. 2010, Eq. 23, IEEE Trans. Signal Processing 58(10).

    Args:
        covariance: (D, D) sample covariance S.
        count: number of points behind it.
    """
    d = covariance.shape[0]
    trace = covariance.trace()
    trace_of_square = covariance.square().sum()
    numerator = (1 - 2 / d) * trace_of_square + trace.square()
    denominator = (count + 1 - 2 / d) * (trace_of_square - trace.square() / d)
    shrinkage = 1.0 if float(denominator) <= 0 else min(1.0, float(numerator / denominator))
    identity = torch.eye(d, dtype=covariance.dtype)
    return (1 - shrinkage) * covariance + shrinkage * trace / d * identity
