"""SFS: its two losses against numbers computed apart, where gradients go, class proportions, Keras's Adam."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from monai_sfda.errors import SettingError
from monai_sfda.losses import draw_projections
from monai_sfda.methods import create_method
from monai_sfda.methods.base import KerasAdam, StepSettings
from tests.builders import release, small_network


def set_up(**settings):
    network = small_network()
    method = create_method("sfs", {"points": 512, "projections": 20} | settings)
    method.setup(network, release(network))
    method.set_mode()
    return network, method


def image(seed: int = 1) -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_losses_equal_equation_3_computed_apart():
    network, method = set_up(class_proportions="source", points=2048)
    apart = copy.deepcopy(network)
    losses = method.step({"image": image()}, torch.Generator().manual_seed(7))

    generator = torch.Generator().manual_seed(7)
    z = apart.train().features(image()).permute(0, 2, 3, 1).reshape(-1, 4)
    target = z[torch.randperm(2048, generator=generator)].double().detach().numpy()
    pseudo, classes = method.release.prototypes.sample(2048, generator=generator)
    directions = draw_projections(4, 20, generator=generator).double().numpy()
    per_direction = [
        ((sorted_z - sorted_p) ** 2).mean()
        for sorted_z, sorted_p in (
            (sorted_z, sorted_p)
            for o in directions.T
            for sorted_z, sorted_p in [(_sorted(target @ o), _sorted(pseudo.double().numpy() @ o))]
        )
    ]
    swd = sum(per_direction) / len(per_direction)
    assert float(losses["alignment"]) == pytest.approx(0.5 * swd, rel=1e-5)

    weight = apart.classifier.weight.flatten(1).double()
    logits = pseudo.double() @ weight.T + apart.classifier.bias.double()
    entropy = -(logits.log_softmax(1)[torch.arange(2048), classes]).mean()
    assert float(losses["classifier"]) == pytest.approx(float(entropy), rel=1e-5)


def _sorted(values):
    values = values.copy()
    values.sort()
    return values


def test_gradient_reaches_the_target_side_only():
    """Alignment moves the features, never classifier or prototypes; the pseudo-samples move the classifier
    alone.
    """
    network, method = set_up()
    before = method.release.prototypes.mean.clone()
    losses = method.step({"image": image()}, torch.Generator().manual_seed(0))
    losses["alignment"].backward()
    assert all(p.grad is None for p in network.classifier.parameters())
    assert any(float(p.grad.abs().sum()) > 0 for p in network.backbone.parameters() if p.grad is not None)
    network.zero_grad(set_to_none=True)
    losses["classifier"].backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in network.classifier.parameters())
    assert all(p.grad is None for p in network.backbone.parameters())
    assert torch.equal(method.release.prototypes.mean, before)
    assert not method.release.prototypes.mean.requires_grad


def test_fixed_classifier_stays():
    network, method = set_up(classifier="fixed")
    losses = method.step({"image": image()}, torch.Generator().manual_seed(0))
    assert set(losses) == {"alignment"}
    moved = {id(p) for p in method.parameters()}
    assert not moved & {id(p) for p in network.classifier.parameters()}


def test_predicted_proportions_are_the_running_mean_of_predictions_within_the_factor():
    network, method = set_up(class_proportions="predicted", proportion_momentum=0.5, points=2048)
    alpha = method.release.prototypes.weight.clone()
    with torch.no_grad():
        share = copy.deepcopy(network).train()(image()).softmax(1).mean(dim=(0, 2, 3)).double()
    method.step({"image": image()}, torch.Generator().manual_seed(0))
    expected = (0.5 * alpha + 0.5 * share).clamp(alpha / 3, alpha * 3)
    torch.testing.assert_close(method._proportions, expected / expected.sum(), rtol=1e-5, atol=1e-6)


def test_oracle_proportions_are_the_labels_and_need_them():
    _, method = set_up(class_proportions="oracle", points=2048)
    label = torch.zeros(2, 1, 32, 32, dtype=torch.uint8)
    label[:, :, :16] = 3
    method.step({"image": image(), "label": label}, torch.Generator().manual_seed(0))
    torch.testing.assert_close(method._proportions, torch.tensor([0.5, 0, 0, 0.5, 0], dtype=torch.float64))
    with pytest.raises(SettingError, match="oracle"):
        method.step({"image": image()}, torch.Generator().manual_seed(0))


def test_fixed_pseudo_samples_are_the_same_every_step():
    _, method = set_up(pseudo_samples="fixed", class_proportions="source")
    method.step({"image": image()}, torch.Generator().manual_seed(0))
    first = method._fixed[0].clone()
    method.step({"image": image(2)}, torch.Generator().manual_seed(1))
    assert torch.equal(first, method._fixed[0])


def test_frozen_statistics_do_not_move():
    network, method = set_up(batchnorm_statistics="frozen")
    before = {name: b.clone() for name, b in network.named_buffers()}
    method.step({"image": image()}, torch.Generator().manual_seed(0))
    assert all(torch.equal(b, before[name]) for name, b in network.named_buffers())
    network, method = set_up()
    before = {name: b.clone() for name, b in network.named_buffers()}
    method.step({"image": image()}, torch.Generator().manual_seed(0))
    assert any(not torch.equal(b, before[name]) for name, b in network.named_buffers())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_proportion": "source"}, "class_proportions"),
        ({"class_proportions": "target"}, "class_proportions.*cannot be 'target'"),
        ({"projections": 0}, "projections.*cannot be 0"),
        ({"swd_weight": "much"}, "swd_weight"),
    ],
)
def test_wrong_settings_are_named_with_the_nearest(settings, message):
    with pytest.raises(SettingError, match=message):
        create_method("sfs", settings)


def test_unknown_method_lists_the_nearest():
    with pytest.raises(SettingError, match="sfs"):
        create_method("sfd")


def test_method_without_a_setting_says_so():
    with pytest.raises(SettingError, match="method 'none' has no setting 'class_proportions'"):
        create_method("none", {"class_proportions": "source"})


def test_keras_eps_gives_kerass_own_steps():
    """Against the update written out: lr sqrt(1-b2^t)/(1-b1^t) m / (sqrt(v) + eps), lr / (1 + decay t)."""
    settings = StepSettings(adam_eps=0.1, keras_eps=True, decay=0.01)
    weight = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = torch.optim.Adam([weight], lr=0.5, eps=0.1)
    keras = KerasAdam(optimizer, settings, 0.5)
    expected, m, v = 1.0, 0.0, 0.0
    for t, gradient in enumerate((0.3, -0.02, 0.7, 0.001), start=1):
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        keras.before_step(t)
        optimizer.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        rate = 0.5 / (1 + 0.01 * (t - 1)) * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        expected -= rate * m / (math.sqrt(v) + 0.1)
        assert float(weight) == pytest.approx(expected, rel=1e-9)
