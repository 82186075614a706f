"""The entropy loss against numbers written out, SciPy, and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import entropy as scipy_entropy

from monai_sfda.losses import entropy


def test_entropy_of_known_probabilities():
    """p = (1/2, 1/4, 1/4) has 1.5 log 2, a uniform pixel log 3; their mean, and weighted by hand."""
    p = torch.tensor([[[0.5, 1 / 3], [0.25, 1 / 3], [0.25, 1 / 3]]], dtype=torch.float64)
    assert float(entropy(p.log())) == pytest.approx((1.5 * math.log(2) + math.log(3)) / 2, rel=1e-14)
    weights = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)
    first = 2 * 0.5 * math.log(2) + 0.25 * math.log(4)
    assert float(entropy(p.log(), weights)) == pytest.approx((first + math.log(3)) / 2, rel=1e-14)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 4, 3, 3, 2)])
def test_entropy_is_scipys(shape):
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = scipy_entropy(logits.softmax(1).numpy(), axis=1).mean()
    assert float(entropy(logits)) == pytest.approx(float(expected), rel=1e-12)


def test_entropy_is_finite_where_a_class_is_certain():
    logits = torch.tensor([[[1e4], [0.0], [-1e4]]], requires_grad=True)
    value = entropy(logits)
    value.backward()
    assert float(value.detach()) == 0.0
    assert not logits.grad.isnan().any()


def test_entropy_gradient():
    logits = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: entropy(x, weights), logits.requires_grad_())


def test_half_precision_is_raised():
    logits = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    assert entropy(logits.bfloat16()).dtype == torch.float32
