"""MAS3: which pseudo-samples are kept and how they are labelled, its losses against Eq. 4 computed apart."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from monai_sfda.errors import SettingError
from monai_sfda.losses import draw_projections
from monai_sfda.methods import create_method
from tests.builders import prototypes, release, small_network


def set_up(sharpness=1.0, means=1.0, **settings):
    """The classifier is that of Gaussians of unit covariance round the prototypes, `sharpness` as sure."""
    network = small_network()
    known = prototypes()
    known = replace(known, mean=means * known.mean)
    with torch.no_grad():
        network.classifier.weight.copy_(sharpness * known.mean[:, :, None, None])
        network.classifier.bias.copy_(-sharpness * known.mean.square().sum(1) / 2)
    method = create_method("mas3", {"points": 512, "projections": 20} | settings)
    method.setup(network, release(network, prototypes=known))
    method.set_mode()
    return network, method


def image(seed: int = 1) -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def draw(method, count=1000, proportions=(0.2,) * 5):
    p = torch.tensor(proportions, dtype=torch.float64)
    return method.draw(count, p, torch.Generator().manual_seed(0), torch.device("cpu"))


def source_probabilities(network, z):
    weight = network.classifier.weight.detach().flatten(1).double().numpy()
    bias = network.classifier.bias.detach().double().numpy()
    return softmax(z.double().numpy() @ weight.T + bias, axis=1)


@pytest.mark.parametrize("threshold", [0.0, 0.8, 0.97])
def test_pseudo_samples_are_confident_and_labelled_by_the_source_classifier(threshold):
    network, method = set_up(sharpness=0.3, confidence_threshold=threshold)
    z, classes = draw(method)
    p = source_probabilities(network, z)
    assert p.max(1).min() > threshold
    np.testing.assert_array_equal(p.argmax(1), classes.numpy())


def test_filtering_thins_out_classes_and_the_asked_mix_is_restored():
    network, method = set_up(sharpness=0.6, confidence_threshold=0.97)
    z, label = method.release.prototypes.sample(
        5000, torch.full((5,), 0.2), generator=torch.Generator().manual_seed(1)
    )
    sure = source_probabilities(network, z).max(1) > 0.97
    kept = np.bincount(label.numpy()[sure], minlength=5) / sure.sum()
    assert abs(kept - 0.2).max() > 0.05  # plain rejection would leave another mix
    classes = draw(method)[1]
    assert torch.bincount(classes, minlength=5).tolist() == [200] * 5
    asked = draw(method, 100, (0.5, 0.3, 0.2, 0.0, 0.0))[1]
    assert torch.bincount(asked, minlength=5).tolist() == [50, 30, 20, 0, 0]


def test_labels_stay_those_of_the_source_classifier_while_the_network_moves():
    network, method = set_up()
    before = draw(method)
    with torch.no_grad():
        network.classifier.weight.neg_()
    after = draw(method)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


def test_losses_equal_equation_4_computed_apart_as_means():
    network, method = set_up(points=2048)
    apart = copy.deepcopy(network)
    losses = method.step({"image": image()}, torch.Generator().manual_seed(7))

    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        z = apart.train().features(image()).permute(0, 2, 3, 1).reshape(-1, 4)
    target = z[torch.randperm(2048, generator=generator)].double().numpy()
    pseudo, classes = method.draw(2048, method.release.prototypes.weight, generator, torch.device("cpu"))
    directions = draw_projections(4, 20, generator=generator).double().numpy()
    p = pseudo.double().numpy()
    distance = np.mean((np.sort(target @ directions, axis=0) - np.sort(p @ directions, axis=0)) ** 2)
    assert float(losses["alignment"].detach()) == pytest.approx(0.5 * distance, rel=1e-5)
    expected = -np.log(source_probabilities(apart, pseudo)[np.arange(2048), classes.numpy()]).mean()
    assert float(losses["classifier"].detach()) == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_class_zero_can_be_left_out_of_both_clouds():
    method = set_up(ignore_class_zero=True)[1]
    assert torch.bincount(draw(method)[1], minlength=5).tolist()[0] == 0
    target = method.release.prototypes.mean.float()  # one point a class, which the classifier gets right
    assert torch.equal(method.compared(target), target[1:])
    losses = method.step({"image": image()}, torch.Generator().manual_seed(0))
    assert all(bool(v.isfinite()) for v in losses.values())
    assert torch.equal(set_up()[1].compared(target), target)


def test_a_batch_of_class_zero_alone_aligns_nothing():
    network, method = set_up(ignore_class_zero=True)
    with torch.no_grad():
        network.classifier.bias[0] += 1e6
    losses = method.step({"image": image()}, torch.Generator().manual_seed(0))
    assert float(losses["alignment"].detach()) == 0.0
    losses["alignment"].backward()


def test_a_class_out_of_reach_is_left_rare_and_reported():
    """The prototype of class 4 lies where the classifier says 3: no draw of it is ever labelled 4."""
    network, method = set_up()
    with torch.no_grad():
        network.classifier.bias[4] -= 1e6
    method.setup(network, method.release)
    classes = draw(method)[1]
    assert torch.bincount(classes, minlength=5).tolist() == [200, 200, 200, 200, 0]
    assert method.signals()["confident/spleen"] == 0.0
    assert method.signals()["confident/liver"] == 0.25
    losses = method.step({"image": image()}, torch.Generator().manual_seed(0))
    assert all(bool(v.isfinite()) for v in losses.values())


def test_a_classifier_that_is_never_sure_is_refused_before_the_run():
    with pytest.raises(SettingError, match=r"none exceeds .* 0\.97 / .*: give a lower confidence_threshold"):
        set_up(sharpness=0.0)


def test_a_class_is_filtered_by_the_threshold_its_prototype_was_fitted_with():
    network, method = set_up(sharpness=0.6)
    fitted = torch.tensor([0.97, 0.97, 0.97, 0.5, torch.nan], dtype=torch.float64)
    method.setup(network, release(network, prototypes=replace(method.release.prototypes, threshold=fitted)))
    z, classes = draw(method)
    confidence, counts = source_probabilities(network, z).max(1), torch.bincount(classes, minlength=5)
    assert confidence[classes.numpy() < 3].min() > 0.97
    assert 0.5 < confidence[classes.numpy() == 3].min() < 0.97
    assert counts.tolist() == [200, 200, 200, 200, 0]


def test_oracle_proportions_are_recorded_as_reading_labels():
    assert create_method("mas3").target_labels_read == ()
    assert create_method("mas3", {"class_proportions": "oracle"}).target_labels_read != ()
