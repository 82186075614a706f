"""Blended batch norm against Eq. 3 in NumPy, torch's batch norm, and a plain network with its weights."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from monai_sfda.networks import BlendedBatchNorm, blend_batchnorms
from tests.builders import small_network


def plain(momentum: float | None = 0.1) -> nn.BatchNorm2d:
    generator = torch.Generator().manual_seed(3)
    module = nn.BatchNorm2d(4, momentum=momentum).double()
    with torch.no_grad():
        for tensor in (module.weight, module.bias, module.running_mean):
            tensor.copy_(torch.randn(4, generator=generator, dtype=torch.float64))
        module.running_var.uniform_(0.5, 2.0, generator=generator)
    return module


def images(*shape: int) -> torch.Tensor:
    x = torch.randn(shape or (3, 4, 5, 6), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x * 2 + 1


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_normalisation_and_running_statistics_are_equation_3(eta):
    source, x = plain(), images()
    blended = BlendedBatchNorm(copy.deepcopy(source), momentum=0.25)
    blended.eta = eta
    out = blended(x).detach().numpy()

    gamma, beta, source_mean, source_variance = (
        t.detach().numpy() for t in (source.weight, source.bias, source.running_mean, source.running_var)
    )
    flat = x.numpy().transpose(1, 0, 2, 3).reshape(4, -1)
    mean = (1 - eta) * flat.mean(1) + eta * source_mean
    variance = (1 - eta) * flat.var(1) + eta * source_variance
    expected = (flat - mean[:, None]) / np.sqrt(variance + 1e-5)[:, None] * gamma[:, None] + beta[:, None]
    np.testing.assert_allclose(out.transpose(1, 0, 2, 3).reshape(4, -1), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(blended.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(blended.variance, variance, rtol=1e-12)

    followed = (1 - eta) * flat.var(1, ddof=1) + eta * source_variance
    np.testing.assert_allclose(blended.running_mean, 0.75 * source_mean + 0.25 * mean, rtol=1e-12)
    np.testing.assert_allclose(blended.running_var, 0.75 * source_variance + 0.25 * followed, rtol=1e-12)


def test_the_ends_are_torchs_batch_norm_in_training_and_in_evaluation():
    for eta, training in ((0.0, True), (1.0, False)):
        ordinary = plain().train(training)
        blended = BlendedBatchNorm(plain(), momentum=0.1)
        blended.eta = eta
        torch.testing.assert_close(blended(images()), ordinary(images()), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(blended.state_dict()["running_var"], ordinary.running_var)


def test_gradient_flows_through_the_batchs_statistics():
    blended = BlendedBatchNorm(plain(), momentum=0.1)
    blended.eta = 0.4
    assert torch.autograd.gradcheck(blended, (images(2, 4, 2, 2).requires_grad_(),))
    x, ordinary = images().requires_grad_(), plain()
    blended.eta = 0.0
    torch.autograd.backward(blended(x).square().sum())
    ours, x.grad = x.grad.clone(), None
    torch.autograd.backward(ordinary(x).square().sum())
    torch.testing.assert_close(ours, x.grad, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(blended.weight.grad, ordinary.weight.grad)


def test_evaluation_takes_the_running_statistics_and_a_plain_network_the_weights():
    network, fresh = small_network(seed=0), small_network(seed=1)
    names = list(network.state_dict())
    layers = blend_batchnorms(network, momentum=0.5)
    assert len(layers) == sum(isinstance(m, nn.BatchNorm2d) for m in fresh.modules()) > 0
    assert list(network.state_dict()) == names
    for layer in layers:
        layer.eta = 0.2
    x = images(4, 3, 32, 32).float() * 3
    for _ in range(3):
        network.train()(x)
    fresh.load_state_dict(network.state_dict())
    out = network.eval()(x)
    torch.testing.assert_close(out, fresh.eval()(x), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(out, network.train()(x), atol=1e-3)


def test_statistics_of_the_source_do_not_move():
    blended = BlendedBatchNorm(plain(), momentum=0.5)
    blended.eta = 0.0
    blended(images())
    assert torch.equal(blended.source_mean, plain().running_mean)
    assert torch.equal(blended.source_variance, plain().running_var)
    assert not torch.equal(blended.running_mean, plain().running_mean)


def test_a_shared_batch_norm_stays_shared_and_one_without_statistics_stays_as_it_is():
    shared, without = plain(), nn.BatchNorm2d(4, track_running_stats=False)
    network = nn.Sequential(shared, nn.ReLU(), nn.Sequential(shared, without))
    assert len(blend_batchnorms(network, momentum=0.1)) == 1
    assert network[0] is network[2][0]
    assert network[2][1] is without


def test_half_precision_is_computed_in_single():
    blended = BlendedBatchNorm(plain().float(), momentum=0.1)
    out = blended(images().bfloat16())
    assert out.dtype == torch.bfloat16
    assert blended.mean.dtype == torch.float32


def test_one_value_a_channel_is_refused_as_by_torch():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        BlendedBatchNorm(plain(), momentum=0.1)(images(1, 4, 1, 1))
