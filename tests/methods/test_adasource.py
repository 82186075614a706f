"""AdaSource: its losses against numbers computed apart in float64, batch norm, priors, refusals."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr, softmax

from monai_sfda.errors import ReleaseError
from monai_sfda.methods import create_method
from monai_sfda.networks import ClassRatioRegressor
from monai_sfda.release import ClassRatio
from tests.builders import release, small_network

MEAN = np.array([0.8, 0.05, 0.05, 0.05, 0.05])


def set_up(changes=None, **settings):
    network = small_network().double()
    method = create_method("adasource", settings)
    method.setup(network, release(network, **(changes or {})))
    method.set_mode()
    return network, method


def images(seed: int, number: int = 2) -> torch.Tensor:
    return torch.randn(number, 3, 32, 32, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(seed: int = 3) -> torch.Tensor:
    return torch.randint(5, (2, 1, 32, 32), generator=torch.Generator().manual_seed(seed)).byte()


def batch(**more) -> dict[str, torch.Tensor]:
    return {"image": images(1), "label": labels(), "target_image": images(2, 3)} | more


def logits(network, x) -> np.ndarray:
    """In training mode, of a copy, so that nothing is left in the network."""
    with torch.no_grad():
        return copy.deepcopy(network).train()(x).numpy()


def cross_entropies(network) -> np.ndarray:
    """-log p_y of each source pixel."""
    log_p = log_softmax(logits(network, images(1)), axis=1)
    return -np.take_along_axis(log_p, labels().numpy().astype(int), axis=1)


@pytest.mark.parametrize("direction", ["prior_to_predicted", "predicted_to_prior"])
def test_losses_equal_the_paper_s_sum_computed_apart(direction):
    network, method = set_up(ratio_weight=0.3, ratio_over="image", direction=direction)
    expected = cross_entropies(network).mean()
    ratios = softmax(logits(network, images(2, 3)), axis=1).mean(axis=(2, 3))
    losses = method.step(batch(), torch.Generator())
    assert set(losses) == {"cross_entropy", "class_ratio"}
    assert losses["cross_entropy"].item() == pytest.approx(expected, rel=1e-12)
    pairs = [(MEAN, r) if direction == "prior_to_predicted" else (r, MEAN) for r in ratios]
    divergence = np.mean([rel_entr(a, b).sum() for a, b in pairs])
    assert losses["class_ratio"].item() == pytest.approx(0.3 * divergence, rel=1e-12)


def test_statistics_are_compared_with_the_target_s_running_mean():
    network, method = set_up(ratio_weight=1.0, ratio_momentum=0.75)
    first, second = (softmax(logits(network, images(seed)), axis=1).mean(axis=(0, 2, 3)) for seed in (2, 5))
    for seed in (2, 5):
        losses = method.step(batch(target_image=images(seed)), torch.Generator())
    running = 0.75 * first + 0.25 * second
    assert losses["class_ratio"].item() == pytest.approx(rel_entr(MEAN, running).sum(), rel=1e-12)
    assert method.signals()["ratio/background"] == pytest.approx(running[0], rel=1e-12)
    _, resumed = set_up(ratio_weight=1.0, ratio_momentum=0.75)
    resumed.load_state_dict(method.state_dict())
    again = [m.step(batch(), torch.Generator())["class_ratio"].item() for m in (method, resumed)]
    assert again[0] == again[1]


def test_weighted_cross_entropy_gives_every_class_of_an_image_the_same_part():
    network, method = set_up(weighted=True)
    of_pixels, label = cross_entropies(network), labels().numpy()
    by_image = [
        np.mean([of_pixels[i][label[i] == k].mean() for k in np.unique(label[i])]) for i in range(len(label))
    ]
    loss = method.step(batch(), torch.Generator())["cross_entropy"]
    assert loss.item() == pytest.approx(np.mean(by_image), rel=1e-6)


def moments(network):
    return {k: v.clone() for k, v in network.state_dict().items() if "running" in k or "num_batches" in k}


@pytest.mark.parametrize("statistics_of", ["target", "both"])
def test_whose_batches_the_running_statistics_follow(statistics_of):
    network, method = set_up(statistics_of=statistics_of)
    expected = copy.deepcopy(network).train()
    with torch.no_grad():
        for x in [images(1)] * (statistics_of == "both") + [images(2, 3)]:
            expected(x)
    method.step(batch(), torch.Generator())
    wanted = moments(expected)
    assert all(torch.equal(value, wanted[name]) for name, value in moments(network).items())
    momenta = {m.momentum for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert momenta == {0.1}


def test_frozen_statistics_stay():
    network, method = set_up(batchnorm_statistics="frozen")
    before = moments(network)
    method.step(batch(), torch.Generator())
    assert all(torch.equal(value, before[name]) for name, value in moments(network).items())


def test_each_term_s_gradient_comes_from_its_own_domain():
    _, method = set_up(ratio_weight=1.0)
    source, target = images(1).requires_grad_(), images(2, 3).requires_grad_()
    losses = method.step(batch(image=source, target_image=target), torch.Generator())
    x_s, x_t = torch.autograd.grad(losses["cross_entropy"], (source, target), allow_unused=True)
    assert x_s.abs().sum() > 0
    assert x_t is None
    x_s, x_t = torch.autograd.grad(losses["class_ratio"], (source, target), allow_unused=True)
    assert x_s is None
    assert x_t.abs().sum() > 0


def test_tags_read_the_target_s_label_and_never_the_source_s():
    changes = {"class_ratio": ClassRatio(tuple(MEAN), (0.01,) * 5, 3, (0.8, 0.12, 0.1, 0.08, 0.1))}
    network, method = set_up(changes, ratio_weight=1.0, prior="tags")
    assert method.target_labels_read == ("image-level tags: which classes each slice shows",)
    shown = torch.zeros(2, 1, 32, 32, dtype=torch.uint8)
    shown[1, 0, :4], shown[1, 0, 8:10] = 1, 3
    ratios = softmax(logits(network, images(2)), axis=1).mean(axis=(2, 3))
    expected = (-np.log(ratios[0][0]) + rel_entr([0.8, 0.12, 0, 0.08, 0], ratios[1]).sum()) / 2
    loss = method.step(batch(target_image=images(2), target_label=shown), torch.Generator())["class_ratio"]
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_without_tags_no_target_label_changes_anything():
    first, second = set_up()[1], set_up()[1]
    labelled = batch(target_label=torch.ones(3, 1, 32, 32, dtype=torch.uint8))
    a, b = first.step(batch(), torch.Generator()), second.step(labelled, torch.Generator())
    assert first.target_labels_read == ()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_regressor_guesses_from_the_target_s_slices():
    torch.manual_seed(1)
    regressor = ClassRatioRegressor(3, 5, "resnet10", width=4).double()
    network, method = set_up({"class_ratio_regressor": regressor}, ratio_weight=1.0, prior="regressor")
    with torch.no_grad():
        guess = copy.deepcopy(regressor).train()(images(2, 3)).double().numpy()
    ratios = softmax(logits(network, images(2, 3)), axis=1).mean(axis=(2, 3))
    expected = np.mean([rel_entr(g, r).sum() for g, r in zip(guess, ratios, strict=True)])
    assert method.step(batch(), torch.Generator())["class_ratio"].item() == pytest.approx(expected, rel=1e-6)


def test_a_release_without_class_ratios_is_refused():
    with pytest.raises(ReleaseError, match="method 'adasource' needs class ratios"):
        set_up({"class_ratio": None})
