"""The network that guesses class ratios: what comes out, and that four plain values make it again."""

from __future__ import annotations

import json

import pytest
import torch

from monai_sfda.errors import SettingError
from monai_sfda.networks import ClassRatioRegressor


@pytest.mark.parametrize("backbone", ["resnet10", "resnet18", "resnet34", "resnet50", "seresnext101"])
def test_ratios_of_every_image(backbone):
    network = ClassRatioRegressor(3, 4, backbone, width=4).eval()
    with torch.no_grad():
        ratio = network(torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0)))
    assert ratio.shape == (2, 4)
    assert bool((ratio >= 0).all())
    assert ratio.sum(1).tolist() == pytest.approx([1.0, 1.0], abs=1e-6)


def test_width_is_the_first_stage_s_and_the_last_is_eight_times_it():
    network = ClassRatioRegressor(3, 4, "resnet18", width=6)
    assert network.backbone.conv1.out_channels == 6
    assert network.backbone.fc.in_features == 48


def test_the_definition_makes_the_same_network_after_json():
    network = ClassRatioRegressor(5, 3, "resnet10", width=4).eval()
    again = ClassRatioRegressor.from_definition(json.loads(json.dumps(network.definition))).eval()
    again.load_state_dict(network.state_dict())
    image = torch.randn(1, 5, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(network(image), again(image))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "resnet19"}, "'resnet19' of the class-ratio regressor is unknown: use one of resnet1"),
        ({"width": 0}, "width of the class-ratio regressor cannot be 0: use a whole number from 1"),
        ({"num_classes": 1}, "num_classes of the class-ratio regressor cannot be 1"),
        ({"in_channels": True}, "in_channels of the class-ratio regressor cannot be True"),
    ],
)
def test_what_no_network_has_is_refused(changes, message):
    with pytest.raises(SettingError, match=message):
        ClassRatioRegressor(**({"in_channels": 3, "num_classes": 4} | changes))
