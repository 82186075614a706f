"""How far a sample of target embeddings is from the source's class prototypes."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_sfda.losses import draw_projections, sliced_wasserstein_distance
from monai_sfda.prototypes import Prototypes

PROJECTIONS = 100
_SMALLEST_VARIANCE = 1e-3
"""Of a class along any direction, relative to its mean over directions."""


def prototype_swd(points: Tensor, classes: Tensor, prototypes: Prototypes, *, seed: int) -> float | None:
    """Sliced Wasserstein distance of embeddings from pseudo-samples in the same class proportions.

    sqrt(SWD(z, z_p) / s^2) with as many pseudo-samples z_p as there are points, and s^2 = tr(Sigma) / D of
    the source's whole mixture of Gaussians: in standard deviations of the source's embeddings. That sample
    has a noise of its own, so that it is never quite 0.

    Args:
        points: (N, D) embeddings of pixels drawn without regard to their class.
        classes: (N,) predicted; pixels of a class without prototype are left out.
        prototypes: of the release.
        seed: of pseudo-samples and projections.

    Returns:
        The distance; None where no pixel has a prototype.
    """
    known = prototypes.available[classes]
    points, classes = points[known].double(), classes[known]
    if not len(points):
        return None
    generator = torch.Generator().manual_seed(seed)
    counts = torch.bincount(classes, minlength=prototypes.num_classes)
    pseudo, _ = prototypes.draw(counts, generator=generator, dtype=torch.float64)
    projections = draw_projections(
        prototypes.dimension, PROJECTIONS, orthogonal=True, generator=generator, dtype=torch.float64
    )
    distance = sliced_wasserstein_distance(points, pseudo, projections)
    return float((distance / _mixture_variance(prototypes)).sqrt())


def prototype_mahalanobis(
    points: Tensor, classes: Tensor, prototypes: Prototypes, structures: list[int]
) -> float | None:
    """Mahalanobis distance of embeddings to the prototype of their predicted class.

    Mean over the predicted structures k of sqrt(mean over their points of (z - mu_k)^T Sigma_k^-1 (z - mu_k)
    / D); 1 for points of the Gaussian itself. Variances along a direction below 0.001 of their mean over
    directions are raised to it.

    Args:
        points: (N, D) embeddings.
        classes: (N,) predicted.
        prototypes: of the release.
        structures: the classes that count.

    Returns:
        The distance; None where no structure with a prototype is predicted.
    """
    distances = []
    for k in structures:
        z = points[classes == k].double()
        if not len(z) or not bool(prototypes.available[k]):
            continue
        values, vectors = torch.linalg.eigh(prototypes.covariance[k])
        values = values.clamp_min(max(_SMALLEST_VARIANCE * float(values.mean()), 1e-12))
        along = (z - prototypes.mean[k]) @ vectors
        distances.append(float((along.square() / values).mean().sqrt()))
    return sum(distances) / len(distances) if distances else None


def _mixture_variance(prototypes: Prototypes) -> float:
    """tr(Sigma) / D of sum_k alpha_k N(mu_k, Sigma_k)."""
    weight = prototypes.weight[:, None]
    mean = (weight * prototypes.mean).sum(0)
    within = (weight * prototypes.covariance.diagonal(dim1=1, dim2=2)).sum(0)
    between = (weight * (prototypes.mean - mean).square()).sum(0)
    return max(float((within + between).mean()), 1e-12)
