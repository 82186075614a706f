"""OSUDA: its losses, schedules and ablations against numbers computed apart."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from monai_sfda.errors import SettingError
from monai_sfda.methods import create_method
from monai_sfda.networks import SegmentationNetwork
from tests.builders import release, small_network


def source_network() -> SegmentationNetwork:
    """Batch norms with statistics, scales and shifts of their own, in float64."""
    network = small_network().double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean):
                    tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.float64))
                module.running_var.uniform_(0.5, 2.0, generator=generator)
    return network


def set_up(**settings):
    network = source_network()
    method = create_method("osuda", settings)
    method.setup(network, release(network))
    method.set_mode()
    return network, method


def image(seed: int = 1) -> torch.Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def move(network: SegmentationNetwork) -> None:
    """Scales and shifts away from the source's, as steps would."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                for p in (module.weight, module.bias):
                    p.add_(0.1 * torch.randn(p.shape, generator=generator, dtype=torch.float64))


def inputs_of_batchnorms(network, x):
    """(module, its input) of every batch norm of a forward pass, in the modules' order."""
    seen = {}
    layers = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    hooks = [
        m.register_forward_pre_hook(lambda m, i: seen.update({m: i[0].detach().numpy()})) for m in layers
    ]
    logits = network(x)
    for hook in hooks:
        hook.remove()
    return [(m, seen[m]) for m in layers], logits.detach().numpy()


@pytest.mark.parametrize(
    ("settings", "factor"),
    [
        ({}, 1.0),
        ({"channel_weighting": False}, 1.0),
        ({"reduction": "mean"}, 5888 / 12),
        ({"reduction": "mean", "reference_channels": 12}, 1.0),
    ],
)
def test_losses_equal_equations_3_to_6_computed_apart(settings, factor):
    source = source_network()
    network, method = set_up(eta_0=0.8, time_constant=4.0, **settings)
    move(network)
    method.start_iteration(3, 5)
    apart = copy.deepcopy(network)
    losses = method.step({"image": image()}, torch.Generator())

    eta = 0.8 * math.exp(-2 / 4)
    seen, logits = inputs_of_batchnorms(apart, image())
    plain = [m for m in source.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    d, change = [], []
    for (module, x), old in zip(seen, plain, strict=True):
        mu_s, var_s = old.running_mean.numpy(), old.running_var.numpy()
        mu = (1 - eta) * x.mean((0, 2, 3)) + eta * mu_s
        var = (1 - eta) * x.var((0, 2, 3)) + eta * var_s
        d.append(np.abs(mu_s / np.sqrt(var_s + 1e-5) - mu / np.sqrt(var + 1e-5)))
        change.append(
            sum(
                np.abs((a - b).detach().numpy())
                for a, b in ((module.weight, old.weight), (module.bias, old.bias))
            )
        )
    closeness = 1 / (1 + np.concatenate(d))
    a = closeness.size * closeness / closeness.sum()
    if settings.get("channel_weighting") is False:
        a = np.ones_like(a)
    consistency = factor * ((1 + a) * np.concatenate(change)).sum()
    assert closeness.size == 12
    assert float(losses["consistency"]) == pytest.approx(consistency, rel=1e-9)

    e = np.exp(logits - logits.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    entropy = -(p * np.log(p)).sum(1).mean()
    assert float(losses["entropy"]) == pytest.approx(5.0 * entropy, rel=1e-9)


@pytest.mark.parametrize("settings", [{"eta_0": 1.0}, {"eta_0": 0.3, "channel_weighting": False}])
def test_gradients_of_the_whole_loss(settings):
    """By finite differences, of one value of every parameter, where a does not depend on the weights (no
    gradient flows through it): with the source's statistics alone, and without channel weighting.
    """
    network, method = set_up(eta_decay=False, **settings)
    move(network)
    method.start_iteration(1, 10)

    def loss():
        return sum(method.step({"image": image()}, torch.Generator()).values())

    loss().backward()
    checked = 0
    for name, p in network.named_parameters():
        place = p.numel() // 2
        with torch.no_grad():
            values = []
            for step in (1e-6, -1e-6):
                p.view(-1)[place] += step
                values.append(float(loss()))
                p.view(-1)[place] -= step
        expected = (values[0] - values[1]) / 2e-6
        assert float(p.grad.view(-1)[place]) == pytest.approx(expected, rel=1e-4, abs=1e-6), name
        checked += 1
    assert checked > 6


def test_schedules_over_the_run():
    _, method = set_up(time_constant=20.0)
    seen = {}
    for iteration in (1, 21, 51, 101):
        method.start_iteration(iteration, 101)
        seen[iteration] = method.signals()
    etas = [round(seen[i]["eta"], 12) for i in seen]
    assert etas == [round(math.exp(-(i - 1) / 20), 12) for i in seen]
    assert [seen[i]["lambda"] for i in seen] == pytest.approx([10.0, 8.0, 5.0, 0.0])
    _, method = set_up(eta_0=0.5, eta_decay=False, entropy_weight_start=2.0, entropy_weight_end=4.0)
    method.start_iteration(100, 101)
    assert method.signals()["eta"] == 0.5
    assert method.signals()["lambda"] == pytest.approx(3.98)
    method.start_iteration(1, 1)
    assert method.signals()["lambda"] == 2.0


def test_the_first_iteration_predicts_as_the_source_model_does():
    network, _ = set_up()
    expected = source_network().eval()(image())
    torch.testing.assert_close(network(image()), expected, rtol=1e-9, atol=1e-11)


def test_without_entropy_nothing_moves_the_weights_but_the_statistics_adapt():
    network, method = set_up(entropy=False)
    method.start_iteration(50, 100)
    before = {name: t.clone() for name, t in network.state_dict().items()}
    losses = method.step({"image": image()}, torch.Generator())
    assert list(losses) == ["consistency"]
    assert float(losses["consistency"]) == 0.0
    losses["consistency"].backward()
    assert all(p.grad is None or not p.grad.any() for p in network.parameters())
    after = network.state_dict()
    assert all(
        torch.equal(after[name], before[name]) != name.endswith(("_mean", "_var", "_tracked"))
        for name in after
    )


def test_adapted_weights_are_a_plain_networks():
    network, method = set_up()
    for iteration in range(1, 4):
        method.start_iteration(iteration, 3)
        sum(method.step({"image": image(iteration)}, torch.Generator()).values()).backward()
        with torch.no_grad():
            for p in network.parameters():
                p -= 1e-3 * p.grad
                p.grad = None
    plain = small_network(seed=7).double()
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(plain.eval()(image()), network.eval()(image()), rtol=1e-9, atol=1e-11)


class WithoutBatchNorm(torch.nn.Module):
    def __init__(self, norm=None):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3, padding=1), norm or torch.nn.InstanceNorm2d(4)
        )

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("name", ["osuda", "tent", "adabn"])
def test_a_network_without_batch_norm_is_refused(name):
    network = SegmentationNetwork(WithoutBatchNorm(), embedding_channels=4, num_classes=5)
    with pytest.raises(SettingError, match="batch-norm statistics, and the network has none"):
        create_method(name).setup(network, release(network))
    without = torch.nn.BatchNorm2d(4, track_running_stats=False)
    network = SegmentationNetwork(WithoutBatchNorm(without), embedding_channels=4, num_classes=5)
    with pytest.raises(SettingError, match="use a network with batch norm"):
        create_method(name).setup(network, release(network))


@pytest.mark.parametrize("name", ["osuda", "tent"])
def test_batch_norm_without_scale_and_shift_is_refused(name):
    norm = torch.nn.BatchNorm2d(4, affine=False)
    network = SegmentationNetwork(WithoutBatchNorm(norm), embedding_channels=4, num_classes=5)
    with pytest.raises(SettingError, match="scales and shifts"):
        create_method(name).setup(network, release(network))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eta_0": 1.5}, "eta_0.*cannot be 1.5"),
        ({"time_constant": 0}, "time_constant.*cannot be 0"),
        ({"reduction": "max"}, "reduction.*cannot be 'max'"),
        ({"entropy_weight": 3}, "entropy_weight_"),
        ({"batchnorm_statistics": "frozen"}, "no setting 'batchnorm_statistics'"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        create_method("osuda", settings)
