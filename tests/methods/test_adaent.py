"""AdaEnt: its losses against numbers computed apart in float64, its priors, and what it refuses."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax

from monai_sfda.errors import ReleaseError, SettingError
from monai_sfda.methods import create_method
from monai_sfda.networks import ClassRatioRegressor
from monai_sfda.release import ClassRatio
from tests.builders import release, small_network

MEAN = np.array([0.8, 0.05, 0.05, 0.05, 0.05])


def set_up(changes=None, **settings):
    network = small_network().double()
    method = create_method("adaent", settings)
    method.setup(network, release(network, **(changes or {})))
    method.set_mode()
    return network, method


def image(seed: int = 1) -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def label() -> torch.Tensor:
    """The first slice shows nothing, the second structures 1 and 3."""
    classes = torch.zeros(2, 1, 32, 32, dtype=torch.uint8)
    classes[1, 0, :4], classes[1, 0, 8:10] = 1, 3
    return classes


def probabilities(network, x) -> np.ndarray:
    with torch.no_grad():
        return softmax(copy.deepcopy(network).train()(x).numpy(), axis=1)


def step(method, **batch):
    return method.step({"image": image()} | batch, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("direction", ["prior_to_predicted", "predicted_to_prior"])
def test_losses_equal_equation_3_computed_apart(direction):
    network, method = set_up(ratio_weight=0.3, ratio_over="image", direction=direction)
    p = probabilities(network, image())
    losses = step(method)
    assert float(losses["entropy"]) == pytest.approx(-(p * np.log(p)).sum(1).mean(), rel=1e-12)
    ratios = p.mean(axis=(2, 3))
    pairs = [(MEAN, r) if direction == "prior_to_predicted" else (r, MEAN) for r in ratios]
    expected = 0.3 * np.mean([rel_entr(a, b).sum() for a, b in pairs])
    assert float(losses["class_ratio"]) == pytest.approx(expected, rel=1e-12)


def test_statistics_are_compared_with_the_running_mean_over_batches():
    network, method = set_up(ratio_weight=1.0, ratio_momentum=0.75)
    first = probabilities(network, image(1)).mean(axis=(0, 2, 3))
    second = probabilities(network, image(2)).mean(axis=(0, 2, 3))
    values = [method.step({"image": image(seed)}, torch.Generator())["class_ratio"] for seed in (1, 2)]
    assert float(values[0]) == pytest.approx(rel_entr(MEAN, first).sum(), rel=1e-12)
    running = 0.75 * first + 0.25 * second
    assert float(values[1]) == pytest.approx(rel_entr(MEAN, running).sum(), rel=1e-12)
    assert method.signals()["ratio/background"] == pytest.approx(running[0], rel=1e-12)


def test_empty_slices_are_not_filled():
    """One slice without structures and one with twice the mean are right together, wrong one by one."""
    method = set_up(ratio_weight=1.0)[1]
    empty = torch.tensor([1 - 4e-6, 1e-6, 1e-6, 1e-6, 1e-6], dtype=torch.float64)
    full = torch.tensor([0.6, 0.1, 0.1, 0.1, 0.1], dtype=torch.float64)
    method.network = lambda x: torch.stack([empty, full]).log()[:, :, None, None].expand(-1, -1, 4, 4)
    assert float(step(method)["class_ratio"]) == pytest.approx(0, abs=1e-4)
    by_slice = create_method("adaent", {"ratio_weight": 1.0, "ratio_over": "image"})
    by_slice.setup(small_network(), method.release)
    by_slice.network = method.network
    assert float(step(by_slice)["class_ratio"]) > 1


def test_tags_give_each_slice_the_shares_of_what_it_shows():
    changes = {"class_ratio": ClassRatio(tuple(MEAN), (0.01,) * 5, 3, (0.8, 0.12, 0.1, 0.08, None))}
    with pytest.raises(ReleaseError, match="spleen"):
        set_up(changes, prior="tags")
    changes = {"class_ratio": ClassRatio(tuple(MEAN), (0.01,) * 5, 3, (0.8, 0.12, 0.1, 0.08, 0.1))}
    network, method = set_up(changes, ratio_weight=1.0, prior="tags")
    assert method.target_labels_read == ("image-level tags: which classes each slice shows",)
    ratios = probabilities(network, image()).mean(axis=(2, 3))
    expected = (-np.log(ratios[0][0]) + rel_entr([0.8, 0.12, 0, 0.08, 0], ratios[1]).sum()) / 2
    assert float(step(method, label=label())["class_ratio"]) == pytest.approx(expected, rel=1e-12)


def regressor():
    torch.manual_seed(1)
    return ClassRatioRegressor(3, 5, "resnet10", width=4).double()


@pytest.mark.parametrize("statistics", ["target", "source"])
def test_the_regressor_s_guess_is_each_slice_s_prior(statistics):
    given = regressor()
    changes = {"class_ratio_regressor": given}
    network, method = set_up(changes, ratio_weight=1.0, prior="regressor", regressor_statistics=statistics)
    with torch.no_grad():
        guess = copy.deepcopy(given).train(statistics == "target")(image()).double().numpy()
    ratios = probabilities(network, image()).mean(axis=(2, 3))
    expected = np.mean([rel_entr(g, r).sum() for g, r in zip(guess, ratios, strict=True)])
    assert float(step(method)["class_ratio"].detach()) == pytest.approx(expected, rel=1e-6)
    assert method.target_labels_read == ()
    assert all(torch.equal(a, b) for a, b in zip(given.buffers(), regressor().buffers(), strict=True))
    owned = {id(p) for p in network.parameters()}
    assert {id(p) for p in method.parameters()} == owned


def test_a_release_without_a_regressor_names_the_option_that_trains_one():
    with pytest.raises(ReleaseError, match=r"'regressor' needs.*--training#class_ratio_regressor"):
        set_up(prior="regressor")


def test_tags_of_structures_that_exceed_the_image_are_scaled():
    changes = {"class_ratio": ClassRatio(tuple(MEAN), (0.01,) * 5, 3, (0.8, 0.9, 0.6, 0.6, 0.6))}
    network, method = set_up(changes, ratio_weight=1.0, prior="tags")
    ratios = probabilities(network, image()).mean(axis=(2, 3))
    expected = (-np.log(ratios[0][0]) + rel_entr([0, 0.6, 0, 0.4, 0], ratios[1]).sum()) / 2
    assert float(step(method, label=label())["class_ratio"]) == pytest.approx(expected, rel=1e-12)


def test_statistics_read_no_label_and_tags_need_them():
    assert set_up()[1].target_labels_read == ()
    with pytest.raises(SettingError, match="'tags' reads target labels, and none are given"):
        step(set_up(prior="tags")[1])


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        ((1.0, 2.0, 0.0, 0.5, 1.0), (1.0, 2.0, 0.0, 0.5, 1.0)),
        # 1 / (0.8, 0.05, ...) has the mean (1.25 + 80) / 5 = 16.25.
        ("inverse_ratio", (1.25 / 16.25, *(20 / 16.25,) * 4)),
    ],
)
def test_class_weights_of_the_entropy(given, weights):
    network, method = set_up(class_weights=given)
    p = probabilities(network, image())
    expected = -(np.asarray(weights)[:, None, None] * p * np.log(p)).sum(1).mean()
    assert float(step(method)["entropy"]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 1.0, 1.0, 1.0, -1.0), (1.0, 1.0, 1.0, 1.0, math.nan)])
def test_wrong_class_weights_are_refused(weights):
    with pytest.raises(
        SettingError, match=r"class_weights.*not 5 weights from 0: give one for each of backgr"
    ):
        set_up(class_weights=weights)


def test_a_release_without_class_ratios_is_refused_with_the_reason():
    with pytest.raises(ReleaseError, match=r"needs class ratios.*fewer than 3 source subjects.*at least 3"):
        set_up({"class_ratio": None})


@pytest.mark.parametrize("settings", [{}, {"ratio_over": "image", "class_weights": "inverse_ratio"}])
def test_gradient_of_a_step_is_that_of_finite_differences(settings):
    """Through the network's own logits: entropy and divergence together."""
    method = set_up(ratio_weight=0.5, **settings)[1]
    method._running = torch.full((5,), 0.2, dtype=torch.float64)
    method.settings = method.settings.model_copy(update={"ratio_momentum": 0.0})

    def loss(logits):
        method.network = lambda x: logits
        return sum(method.step({"image": logits}, torch.Generator()).values())

    logits = torch.randn(2, 5, 2, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert torch.autograd.gradcheck(loss, logits.requires_grad_())


def test_entropy_alone_ends_in_one_class_and_the_prior_holds_the_others():
    """The reason for the prior, with the classifier's bias alone free: one class swallows the others."""
    shares = {}
    for weight in (0.0, 5.0):
        method = set_up(ratio_weight=weight)[1]
        noise = torch.randn(1, 5, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        start = 4 * noise
        shift = torch.zeros(1, 5, 1, 1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([shift], lr=0.1)
        for _ in range(200):
            method.network = lambda x, s=start, b=shift: s + b
            optimizer.zero_grad()
            sum(method.step({"image": start}, torch.Generator()).values()).backward()
            optimizer.step()
        predicted = (start + shift).argmax(1)
        shares[weight] = torch.bincount(predicted.flatten(), minlength=5).double() / predicted.numel()
    assert float(shares[0.0].max()) > 0.99
    assert float((shares[5.0][1:] > 0.01).double().mean()) == 1.0
