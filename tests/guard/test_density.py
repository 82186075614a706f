"""Soft neighbourhood density against its closed forms and a plain double loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from monai_sfda.guard.density import soft_neighbourhood_density


def test_points_that_are_all_alike_have_the_highest_density():
    p = torch.tensor([[0.2, 0.5, 0.3]]).repeat(50, 1)
    assert soft_neighbourhood_density(p) == pytest.approx(math.log(49), rel=1e-5)


def test_certain_clusters_have_the_density_of_their_sizes():
    """Clusters of 20 and 30 points: within one, alike; between them e^-20 of it."""
    p = functional.one_hot(torch.tensor([0] * 20 + [1] * 30), 2).float()
    expected = (20 * math.log(19) + 30 * math.log(29)) / 50
    assert soft_neighbourhood_density(p) == pytest.approx(expected, abs=1e-4)


def test_against_a_double_loop():
    p = np.random.default_rng(0).dirichlet([0.3] * 4, 25)
    f = p / np.linalg.norm(p, axis=1, keepdims=True)
    total = 0.0
    for i in range(25):
        weight = np.array([math.exp(f[i] @ f[j] / 0.05) for j in range(25) if j != i])
        weight /= weight.sum()
        total -= float((weight * np.log(weight)).sum())
    assert soft_neighbourhood_density(torch.tensor(p)) == pytest.approx(total / 25, rel=1e-4)


def test_scattered_predictions_are_less_dense_than_clustered_ones():
    clusters = np.repeat(np.eye(3), 30, axis=0) * 0.9 + 0.1 / 3
    scattered = np.random.default_rng(0).dirichlet([1.0] * 3, 90)
    dense, loose = (soft_neighbourhood_density(torch.tensor(p)) for p in (clusters, scattered))
    assert loose < dense
