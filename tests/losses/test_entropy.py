"""Mean entropy against closed forms and NumPy, its gradient, and certain predictions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from monai_sfda.losses import mean_entropy


@pytest.mark.parametrize("classes", [2, 5])
def test_undecided_pixels_have_log_k_and_certain_ones_nothing(classes):
    undecided = torch.zeros(2, classes, 3, 4, dtype=torch.float64)
    assert float(mean_entropy(undecided)) == pytest.approx(math.log(classes), rel=1e-12)
    certain = undecided.clone()
    certain[:, 1] = 200.0
    assert float(mean_entropy(certain)) == pytest.approx(0.0, abs=1e-12)
    half = torch.cat([undecided, certain])
    assert float(mean_entropy(half)) == pytest.approx(math.log(classes) / 2, rel=1e-12)


def logits_and_numpy(shape):
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    e = np.exp(logits.numpy())
    return logits, e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 4, 3, 2, 2)])
def test_equals_numpy_in_two_and_three_dimensions(shape):
    logits, p = logits_and_numpy(shape)
    assert float(mean_entropy(logits)) == pytest.approx(-(p * np.log(p)).sum(1).mean(), rel=1e-12)
    weights = np.linspace(0.5, 2.0, shape[1])
    expected = -(p * np.log(p) * weights.reshape(1, -1, *[1] * (len(shape) - 2))).sum(1).mean()
    assert float(mean_entropy(logits, torch.from_numpy(weights))) == pytest.approx(expected, rel=1e-12)


def test_gradient():
    logits = logits_and_numpy((2, 3, 2, 2))[0].requires_grad_()
    weights = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(mean_entropy, (logits,))
    assert torch.autograd.gradcheck(lambda x: mean_entropy(x, weights), (logits,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_certain_predictions_have_finite_gradients(dtype):
    logits = torch.tensor([[500.0, -500.0, 0.0]], dtype=dtype)[..., None, None].requires_grad_()
    loss = mean_entropy(logits)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(logits.grad).all()
