"""The membership attacks' arithmetic against another library, brute force and hand-made tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.membership_attacks import (
    bootstrap_interval,
    calibrated,
    class_moments,
    closeness,
    combined,
    found_at,
    log_likelihood,
    map_closeness,
    mean_auc,
    standardised,
)
from benchmarks.membership_models import halves
from tests.builders import prototypes


def test_likelihood_from_moments_is_that_of_the_points():
    """Against torch's Gaussian at every point."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 3, (600,), generator=generator)
    z = torch.randn(600, 4, generator=generator, dtype=torch.float64) + label[:, None]
    fitted = prototypes()
    expected = []
    for k in range(3):
        covariance = fitted.covariance[k]
        covariance = covariance + 1e-3 * covariance.trace() / 4 * torch.eye(4)
        gaussian = torch.distributions.MultivariateNormal(fitted.mean[k], covariance)
        expected.append(float(gaussian.log_prob(z[label == k]).mean()))
    assert log_likelihood(class_moments(z, label), fitted) == pytest.approx(np.mean(expected), rel=1e-9)


def test_a_class_without_prototype_counts_in_no_likelihood():
    z, label = torch.zeros(10, 4), torch.tensor([0] * 5 + [1] * 5)
    fitted = prototypes()
    alone = log_likelihood(class_moments(z[:5], label[:5]), fitted)
    fitted.count[1] = 0
    assert log_likelihood(class_moments(z, label), fitted) == pytest.approx(alone)


def test_area_under_the_curve_is_the_share_of_right_pairs():
    rng = np.random.default_rng(1)
    scores, member = rng.integers(0, 5, (3, 12)).astype(float), rng.random((3, 12)) < 0.5
    shares = []
    for row, inside in zip(scores, member, strict=True):
        pairs = np.subtract.outer(row[inside], row[~inside])
        shares.append((pairs > 0).mean() + 0.5 * (pairs == 0).mean())
    assert mean_auc(scores, member) == pytest.approx(np.mean(shares))


def test_a_model_without_strangers_is_left_out():
    scores = np.array([[1.0, 0.0], [1.0, 0.0]])
    member = np.array([[True, False], [True, True]])
    assert mean_auc(scores, member) == 1.0


def test_a_score_is_calibrated_by_the_other_models_without_the_subject():
    scores = np.array([[5.0, 1.0], [2.0, 7.0], [4.0, 3.0]])
    member = np.array([[True, False], [False, True], [False, False]])
    # Subject 0 is outside of models 1 and 2, subject 1 of models 0 and 2.
    expected = [[5 - (2 + 4) / 2, 1 - 3], [2 - 4, 7 - (1 + 3) / 2], [4 - 2, 3 - 1]]
    np.testing.assert_allclose(calibrated(scores, member), expected)


def test_scores_that_know_nothing_are_a_guess():
    """Easy subjects and models of other scales, but no difference for members."""
    rng = np.random.default_rng(2)
    member = halves(40, 12, seed=3)
    scores = 10 * rng.normal(size=(1, 40)) + rng.normal(size=(12, 40)) * rng.uniform(1, 5, (12, 1))
    for found in (standardised(scores), calibrated(standardised(scores), member)):
        low, high = bootstrap_interval(found, member, draws=200)
        assert low < 0.5 < high
        assert mean_auc(found, member) == pytest.approx(0.5, abs=0.06)
        assert found_at(found, member) == pytest.approx(0.05, abs=0.06)


def test_calibration_finds_members_among_easy_and_hard_subjects():
    rng = np.random.default_rng(4)
    member = halves(40, 12, seed=5)
    scores = 10 * rng.normal(size=(1, 40)) + rng.normal(size=(12, 40)) + 2 * member
    plain = standardised(scores)
    assert mean_auc(calibrated(plain, member), member) > 0.8 > mean_auc(plain, member)
    both = combined([calibrated(plain, member), rng.normal(size=(12, 40))])
    assert mean_auc(both, member) > 0.7


def test_closeness_is_minus_the_scaled_squared_distance():
    assert closeness(np.array([1.0, 4.0]), np.array([2.0, 2.0]), np.array([1.0, 4.0])) == -1.25


def test_maps_are_compared_where_both_reach():
    own, released = torch.zeros(2, 1, 1, 5), torch.zeros(2, 1, 1, 3)
    own[0] = 7.0
    own[1, 0, 0] = torch.tensor([9.0, 1.0, 2.0, 3.0, 9.0])
    assert map_closeness(own, released) == map_closeness(released, own) == -14.0


def test_every_subject_is_in_half_of_the_models():
    member = halves(10, 6, seed=0)
    assert member.sum(1).tolist() == [5] * 6
    assert member.sum(0).tolist() == [3] * 10
