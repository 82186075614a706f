"""OSUDA's L_HBS and its channel weights against numbers worked out by hand and in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_sfda.losses import batchnorm_consistency, channel_distance, transferability


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_distance_is_equation_5():
    """|1/2 - 3/1| and |0 - (-2)/4|, variances 4, 1, 9, 16 with eps 0."""
    d = channel_distance(vector(1, 0), vector(4, 9), vector(3, -2), vector(1, 16), eps=0.0)
    torch.testing.assert_close(d, vector(2.5, 0.5))
    d = channel_distance(vector(1.0), vector(3.0), vector(1.0), vector(8.0), eps=1.0)
    torch.testing.assert_close(d, vector(1 / 2 - 1 / 3))


def test_weights_have_mean_one_and_fall_with_distance():
    torch.testing.assert_close(transferability(vector(0.7, 0.7, 0.7)), vector(1, 1, 1))
    # 1/(1+d): 1, 1/2, 1/4; their sum 7/4.
    a = transferability(vector(0, 1, 3))
    torch.testing.assert_close(a, 3 * vector(4, 2, 1) / 7)
    assert float(a.mean()) == pytest.approx(1.0, rel=1e-12)


def test_weights_take_no_gradient():
    assert not transferability(vector(0, 1, 3).requires_grad_()).requires_grad


def test_loss_is_equation_4():
    """(1 + 1/2)(1 + 0.5) + (1 + 3/2)(2 + 0) = 7.25."""
    arguments = (vector(1, 2), vector(0, 4), vector(0, 1), vector(0.5, 1), vector(0.5, 1.5))
    assert float(batchnorm_consistency(*arguments)) == pytest.approx(7.25, rel=1e-12)
    assert float(batchnorm_consistency(*arguments, reduction="mean")) == pytest.approx(3.625, rel=1e-12)


def test_loss_of_a_random_network_equals_numpy():
    rng = np.random.default_rng(0)
    gs, g, bs, b, ms, m = rng.normal(size=(6, 50))
    vs, v = rng.uniform(0.1, 3, size=(2, 50))
    d = np.abs(ms / np.sqrt(vs + 1e-5) - m / np.sqrt(v + 1e-5))
    a = 50 * (1 / (1 + d)) / np.sum(1 / (1 + d))
    expected = np.sum((1 + a) * (np.abs(gs - g) + np.abs(bs - b)))
    ms, vs, m, v, gs, g, bs, b = map(torch.from_numpy, (ms, vs, m, v, gs, g, bs, b))
    loss = batchnorm_consistency(gs, g, bs, b, transferability(channel_distance(ms, vs, m, v, 1e-5)))
    assert float(loss) == pytest.approx(expected, rel=1e-12)


def test_gradient():
    scale, shift = vector(0.3, 1.7).requires_grad_(), vector(-0.2, 0.4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda g, b: batchnorm_consistency(vector(1, 1), g, vector(0, 0), b, vector(0.5, 1.5)), (scale, shift)
    )


def test_no_gradient_at_the_source():
    scale = vector(1, 2).requires_grad_()
    batchnorm_consistency(vector(1, 2), scale, vector(0, 0), vector(0, 0), vector(1, 1)).backward()
    assert not scale.grad.any()
