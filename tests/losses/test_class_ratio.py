"""Class ratios and their divergence against numbers by hand, torch's own KL, and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from monai_sfda.losses import class_ratio_divergence, label_class_ratio, predicted_class_ratio

PRIOR = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
PREDICTED = torch.tensor([[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]], dtype=torch.float64)


def test_ratio_is_the_mean_probability_of_an_images_pixels():
    p = torch.tensor([[[0.8, 0.4], [0.2, 0.6]], [[0.5, 0.1], [0.5, 0.9]]], dtype=torch.float64)
    expected = torch.tensor([[0.6, 0.4], [0.3, 0.7]], dtype=torch.float64)
    torch.testing.assert_close(predicted_class_ratio(p.log()), expected, rtol=1e-14, atol=0)


def test_ratio_normalised_by_the_largest_class():
    """(0.8, 0.2) and (0.4, 0.6) become (1, 1/4) and (2/3, 1); their mean (5/6, 5/8) has the ratio 4 : 3."""
    p = torch.tensor([[[0.8, 0.4], [0.2, 0.6]]], dtype=torch.float64)
    expected = torch.tensor([[4 / 7, 3 / 7]], dtype=torch.float64)
    torch.testing.assert_close(predicted_class_ratio(p.log(), "largest_class"), expected, rtol=1e-14, atol=0)


def test_divergence_by_hand():
    """Row 1: sum p log(p/q) = 1/2 log 2 + 1/4 log 1 + 1/4 log 1/2 = 1/4 log 2; row 2: 0."""
    assert float(class_ratio_divergence(PRIOR, PREDICTED)) == pytest.approx(math.log(2) / 8, rel=1e-14)
    backwards = 0.25 * math.log(0.5) + 0.5 * math.log(2)
    assert float(class_ratio_divergence(PRIOR, PREDICTED, "predicted_to_prior")) == pytest.approx(
        backwards / 2, rel=1e-14
    )


@pytest.mark.parametrize("direction", ["prior_to_predicted", "predicted_to_prior"])
def test_divergence_is_torchs_and_zero_at_equality(direction):
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 4, 5, generator=generator, dtype=torch.float64).softmax(2)
    first, second = (a, b) if direction == "prior_to_predicted" else (b, a)
    expected = functional.kl_div(second.log(), first, reduction="batchmean")
    torch.testing.assert_close(class_ratio_divergence(a, b, direction), expected, rtol=1e-12, atol=0)
    assert float(class_ratio_divergence(a, a, direction)) == 0.0


@pytest.mark.parametrize("direction", ["prior_to_predicted", "predicted_to_prior"])
@pytest.mark.parametrize("prior", [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)])
def test_safe_at_zeros(direction, prior):
    """A slice without the structure has the prior (1, 0), and a collapsed network predicts it everywhere."""
    logits = torch.tensor([[[200.0], [-200.0]]], requires_grad=True)
    ratio = predicted_class_ratio(logits)
    value = class_ratio_divergence(torch.tensor(prior), ratio, direction)
    value.backward()
    assert bool(value.isfinite())
    assert bool(logits.grad.isfinite().all())
    assert (float(value.detach()) == 0.0) == (prior == (1.0, 0.0))


@pytest.mark.parametrize("direction", ["prior_to_predicted", "predicted_to_prior"])
@pytest.mark.parametrize("normalisation", ["softmax", "largest_class"])
def test_gradient_reaches_the_logits(direction, normalisation):
    logits = torch.randn(2, 3, 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: class_ratio_divergence(PRIOR, predicted_class_ratio(x, normalisation), direction),
        logits.requires_grad_(),
    )


@pytest.mark.parametrize("shape", [(3, 6, 5), (3, 1, 6, 5), (3, 1, 4, 3, 2)])
def test_share_of_each_class_in_labels_counted_by_numpy(shape):
    label = np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)
    expected = [[(one == k).mean() for k in range(5)] for one in label]
    found = label_class_ratio(torch.from_numpy(label), 5)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-15)
