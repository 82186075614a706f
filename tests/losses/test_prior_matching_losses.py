"""The losses of the cross-domain autoencoder against torch.distributions, closed forms, gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn import functional

from monai_sfda.losses import discriminator_loss, generator_loss, standard_normal_divergence


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (2, 7)])
def test_divergence_is_that_of_torch_distributions_a_value(shape):
    mean, log_variance = draw(*shape) * 2, draw(*shape, seed=1)
    posterior = Independent(Normal(mean, (0.5 * log_variance).exp()), len(shape) - 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), len(shape) - 1)
    whole = kl_divergence(posterior, prior).sum()
    torch.testing.assert_close(
        standard_normal_divergence(mean, log_variance), whole / mean.numel(), rtol=1e-12, atol=0
    )


def test_divergence_is_zero_at_the_prior_and_known_beside_it():
    zeros = torch.zeros(2, 3, dtype=torch.float64)
    assert float(standard_normal_divergence(zeros, zeros)) == 0
    assert float(standard_normal_divergence(zeros + 2, zeros)) == pytest.approx(2.0, rel=1e-12)
    assert float(standard_normal_divergence(zeros, zeros + 1)) == pytest.approx((math.e - 2) / 2, rel=1e-12)


def test_adversarial_losses_are_binary_cross_entropies():
    real, fake = draw(2, 1, 4, 4) * 3, draw(2, 1, 4, 4, seed=1) * 3
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    cross_entropy = functional.binary_cross_entropy_with_logits
    expected = cross_entropy(real, ones) + cross_entropy(fake, zeros)
    torch.testing.assert_close(discriminator_loss(real, fake), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(generator_loss(fake), cross_entropy(fake, ones), rtol=1e-12, atol=0)
    assert float(discriminator_loss(zeros, zeros)) == pytest.approx(2 * math.log(2), rel=1e-12)


def test_gradients():
    x, y = draw(2, 3).requires_grad_(), draw(2, 3, seed=1).requires_grad_()
    for loss in (standard_normal_divergence, discriminator_loss):
        assert torch.autograd.gradcheck(loss, (x, y))
    assert torch.autograd.gradcheck(generator_loss, (x,))


def test_a_sure_discriminator_still_moves_the_generator():
    fake = torch.full((4,), -40.0).requires_grad_()
    generator_loss(fake).backward()
    torch.testing.assert_close(fake.grad, torch.full((4,), -0.25))
