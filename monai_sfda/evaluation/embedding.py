"""A plane to look at embeddings in: the directions that best separate the source's class prototypes.

Fisher's discriminant directions of the Gaussian mixture (Fisher 1936; Rao 1948, for several classes),
computed in float64 from the prototypes alone. No target pixel and no label enters, so the same release gives
the same plane before and after adaptation. The map is linear: what is close in the plane is close along these
directions, and nothing is bent as t-SNE or UMAP would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_sfda.errors import DataError

Array = NDArray[np.float64]

# Added to the within-class scatter, relative to its mean variance: keeps dead channels invertible.
RIDGE = 1e-6
# A direction whose between-class scatter is below this share of the largest separates nothing.
NEGLIGIBLE = 1e-8


@dataclass(frozen=True)
class ClassGaussians:
    """The prototypes that there are.

    Attributes:
        classes: C class indices, background 0 included; classes without prototype are not listed.
        means: (C, D).
        covariances: (C, D, D).
    """

    classes: tuple[int, ...]
    means: Array
    covariances: Array

    def __post_init__(self) -> None:
        count, dimension = len(self.classes), self.means.shape[-1]
        shapes = self.means.shape, self.covariances.shape
        if count == 0 or shapes != ((count, dimension), (count, dimension, dimension)):
            raise DataError(
                f"{count} classes with means {shapes[0]} and covariances {shapes[1]} are no Gaussians",
                remedy="give a mean (D,) and a covariance (D, D) for each of at least one class",
            )


@dataclass(frozen=True)
class DiscriminantPlane:
    """A linear map from the embedding to at most two dimensions.

    Attributes:
        directions: (D, P) with P = min(2, D) columns v_i, V^T S_w V = I: a unit of the plane is one pooled
            within-class standard deviation.
        centre: (D,) mean of the class means, which becomes the origin.
    """

    directions: Array
    centre: Array

    def points(self, z: Array) -> Array:
        """Embeddings (N, D) in the plane (N, P): V^T (z - centre)."""
        return np.asarray((z - self.centre) @ self.directions)

    def covariance(self, covariance: Array) -> Array:
        """The covariance (P, P) in the plane of a distribution with covariance (D, D): V^T Sigma V, exact."""
        return np.asarray(self.directions.T @ covariance @ self.directions)


def discriminant_plane(gaussians: ClassGaussians) -> DiscriminantPlane:
    """The two directions with the most between-class scatter relative to within-class scatter.

    With S_w = mean_k Sigma_k and S_b = mean_k (mu_k - mu)(mu_k - mu)^T, every class weighing the same (the
    background is nearly all pixels and would decide alone), they are the leading solutions of
    S_b v = lambda S_w v. C classes separate along at most C - 1 directions; what is missing to two is filled
    with the directions along which pixels spread most within the classes (largest v^T S_w v / v^T v),
    uncorrelated with the first.

    Args:
        gaussians: the prototypes.
    """
    means, covariances = gaussians.means, gaussians.covariances
    dimension = means.shape[1]
    centre = means.mean(axis=0)
    offsets = means - centre
    within = covariances.mean(axis=0)
    between = offsets.T @ offsets / len(means)
    scale: float = np.mean(np.diag(within)).item() or np.mean(np.diag(between)).item() or 1.0
    root = np.linalg.cholesky(within + RIDGE * scale * np.eye(dimension))
    whiten = np.linalg.inv(root)  # z -> whiten @ z has unit within-class covariance
    values, vectors = np.linalg.eigh(whiten @ between @ whiten.T)
    wanted = min(2, dimension)
    separating = values[::-1][:wanted] > NEGLIGIBLE * max(float(values[-1]), float(np.finfo(np.float64).tiny))
    chosen = vectors[:, ::-1][:, :wanted][:, separating]
    if chosen.shape[1] < wanted:
        rest = np.linalg.qr(np.hstack([chosen, np.eye(dimension)]))[0][:, chosen.shape[1] :]
        _, spread = np.linalg.eigh(rest.T @ whiten @ whiten.T @ rest)
        chosen = np.hstack([chosen, rest @ spread[:, : wanted - chosen.shape[1]]])
    directions = whiten.T @ chosen
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, np.arange(wanted)])
    return DiscriminantPlane(directions, centre)


def ellipse_axes(covariance: Array) -> tuple[float, float, float]:
    """Half-axes (long, short) of the 1-sigma ellipse of a (2, 2) covariance, and the angle of the long one
    from the first axis in degrees, above -90 and up to 90.
    """
    values, vectors = np.linalg.eigh(covariance)
    short, long = np.sqrt(np.maximum(values, 0.0))
    angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
    if angle <= -90.0:
        angle += 180.0
    elif angle > 90.0:
        angle -= 180.0
    return float(long), float(short), angle
