"""Distances of a scan's statistics from a reference's: pure functions in closed form."""

from __future__ import annotations

from torch import Tensor


def gaussian_wasserstein(
    mean: Tensor, variance: Tensor, other_mean: Tensor, other_variance: Tensor
) -> Tensor:
    """Squared 2-Wasserstein distance of one-dimensional Gaussians, element by element.

    W2^2(N(m, v), N(m', v')) = (m - m')^2 + (sqrt v - sqrt v')^2 (Olkin and Pukelsheim 1982, Linear Algebra
    and its Applications 48, for one dimension). Finite where a Kullback-Leibler divergence is not: for a
    constant channel.

    Args:
        mean, variance, other_mean, other_variance: any shape, the same; variances at least 0.
    """
    return (mean - other_mean).square() + (variance.sqrt() - other_variance.sqrt()).square()


def mean_mahalanobis(
    mean: Tensor, variance: Tensor, reference_mean: Tensor, reference_variance: Tensor
) -> Tensor:
    """Mean over points of the squared Mahalanobis distance to a diagonal Gaussian, divided by its dimension.

    E |z - mu|^2_Sigma / D = 1/D sum_d (v_d + (m_d - mu_d)^2) / s_d, from the points' own mean m and variance
    v alone. 1 where the points have the Gaussian's own moments.

    Args:
        mean, variance: (..., D) of the points.
        reference_mean, reference_variance: (..., D) of the Gaussian; variance above 0.

    Returns:
        (...).
    """
    return ((variance + (mean - reference_mean).square()) / reference_variance).mean(-1)


def histogram_distance(shares: Tensor, reference: Tensor, width: float) -> Tensor:
    """1-Wasserstein distance of two histograms on the same bins.

    W1 = width * sum_b |F(b) - G(b)| with the cumulated shares F and G, in the unit of the values.

    Args:
        shares, reference: (..., bins), each summing to 1.
        width: of a bin.
    """
    return width * (shares - reference).cumsum(-1).abs().sum(-1)
