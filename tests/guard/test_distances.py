"""Distances against numerical integration, another library, and point by point."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from monai_sfda.guard.distances import gaussian_wasserstein, histogram_distance, mean_mahalanobis


@pytest.mark.parametrize(
    ("mean", "std", "other_mean", "other_std"),
    [(0.0, 1.0, 0.0, 1.0), (1.5, 0.5, -0.5, 2.0), (3.0, 0.0, 1.0, 1.0), (1e3, 1e-3, 1e3, 2e-3)],
)
def test_wasserstein_of_gaussians_is_the_integral_over_quantiles(mean, std, other_mean, other_std):
    """W2^2 = integral of (F^-1 - G^-1)^2, by Gauss-Hermite quadrature over the standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    integral = (((mean + std * nodes) - (other_mean + other_std * nodes)) ** 2 @ weights) / weights.sum()
    given = (torch.tensor(x, dtype=torch.float64) for x in (mean, std**2, other_mean, other_std**2))
    assert float(gaussian_wasserstein(*given)) == pytest.approx(integral, rel=1e-9, abs=1e-12)


def test_mahalanobis_from_moments_is_the_mean_over_points():
    rng = np.random.default_rng(0)
    points = rng.normal(3.0, 2.0, (500, 4))
    mu, variance = rng.normal(size=4), rng.uniform(0.5, 2.0, 4)
    of_points = [(((z - mu) ** 2) / variance).sum() / 4 for z in points]
    found = mean_mahalanobis(*map(torch.tensor, (points.mean(0), points.var(0), mu, variance)))
    assert float(found) == pytest.approx(np.mean(of_points), rel=1e-12)


def test_points_of_the_gaussian_itself_are_at_distance_one():
    mean, variance = torch.randn(3, 7).double(), torch.rand(3, 7).double() + 0.1
    torch.testing.assert_close(
        mean_mahalanobis(mean, variance, mean, variance), torch.ones(3, dtype=torch.float64)
    )


def test_histogram_distance_is_scipys():
    rng = np.random.default_rng(1)
    first, second = rng.dirichlet(np.ones(16)), rng.dirichlet(np.ones(16))
    centres = 0.25 * np.arange(16) - 2
    expected = stats.wasserstein_distance(centres, centres, first, second)
    found = histogram_distance(torch.tensor(first), torch.tensor(second), 0.25)
    assert float(found) == pytest.approx(expected, rel=1e-10)
