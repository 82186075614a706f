"""Distances of embeddings from the prototypes against their closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_sfda.guard.prototype_distances import prototype_mahalanobis, prototype_swd
from tests.builders import prototypes

COUNT = 4096


def sample(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    return prototypes().sample(COUNT, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_prototypes_own_samples_are_near():
    points, classes = sample()
    assert prototype_swd(points, classes, prototypes(), seed=0) < 0.05
    assert prototype_mahalanobis(points, classes, prototypes(), [0]) == pytest.approx(1.0, abs=0.05)


def test_a_shift_has_its_length_in_standard_deviations():
    """All points moved by d: SWD = |d|^2 / D, over tr(Sigma) / D of the mixture, as its samples give it."""
    points, classes = sample()
    shift = torch.tensor([3.0, -2.0, 1.0, 4.0], dtype=torch.float64)
    many, _ = prototypes().sample(200_000, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    variance = np.cov(many.T.numpy()).trace() / 4
    expected = float((shift.square().mean() / variance).sqrt())
    found = prototype_swd(points + shift, classes, prototypes(), seed=0)
    assert found == pytest.approx(expected, rel=0.02)


def test_mahalanobis_by_hand():
    """One standard deviation along each principal direction: mean over points and dimensions 1 / D."""
    known = prototypes()
    values, vectors = np.linalg.eigh(known.covariance[2].numpy())
    points = known.mean[2] + torch.tensor((vectors * np.sqrt(values)).T)
    classes = torch.full((4,), 2)
    assert prototype_mahalanobis(points, classes, known, [1, 2, 3, 4]) == pytest.approx(0.5, rel=1e-6)


def test_classes_without_prototype_are_left_out():
    known = prototypes()
    count = known.count.clone()
    count[2] = 0
    without = replace(known, count=count)
    points, classes = torch.zeros(8, 4), torch.full((8,), 2)
    assert prototype_swd(points, classes, without, seed=0) is None
    assert prototype_mahalanobis(points, classes, without, [2]) is None
    assert prototype_mahalanobis(points, classes, known, [1, 3]) is None


def test_a_flat_prototype_is_no_division_by_zero():
    known = prototypes()
    covariance = known.covariance.clone()
    covariance[1] = torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64))
    flat = replace(known, covariance=covariance)
    points = known.mean[1] + torch.tensor([[0.0, 0, 0, 0.1]], dtype=torch.float64)
    expected = np.sqrt(0.01 / (1e-3 * 0.75) / 4)
    assert prototype_mahalanobis(points, torch.ones(1).long(), flat, [1]) == pytest.approx(expected)
