"""Features plus classifier round MONAI networks."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import BasicUNet, UNet

from monai_sfda.errors import SettingError
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.networks.segmentation import classify_points
from tests.builders import small_network

BACKBONES = [
    (UNet(2, in_channels=3, out_channels=6, channels=(4, 8), strides=(2,), norm="batch"), 2),
    (BasicUNet(2, in_channels=3, out_channels=6, features=(4, 4, 8, 8, 8, 4)), 2),
    (UNet(3, in_channels=3, out_channels=6, channels=(4, 8), strides=(2,), norm="batch"), 3),
]


@pytest.mark.parametrize(("backbone", "dims"), BACKBONES)
def test_contract_of_features_and_classifier(backbone, dims):
    network = SegmentationNetwork(backbone, embedding_channels=6, num_classes=5, spatial_dims=dims).eval()
    x = torch.randn(2, 3, *[32] * dims)
    z = network.features(x)
    assert z.shape == (2, 6, *[32] * dims)
    assert torch.equal(network(x), network.classify(z))
    assert network(x).shape == (2, 5, *[32] * dims)
    points = z.movedim(1, -1).flatten(0, -2)
    torch.testing.assert_close(
        classify_points(network, points), network(x).movedim(1, -1).flatten(0, -2), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("backbone", ["unet", "basic_unet"])
def test_torchscript_keeps_all_three_methods(tmp_path, backbone):
    network = small_network()
    if backbone == "basic_unet":
        features = BasicUNet(2, in_channels=3, out_channels=6, features=(4, 4, 8, 8, 8, 4))
        network = SegmentationNetwork(features, embedding_channels=6, num_classes=5)
    network.eval()
    x = torch.randn(1, 3, 32, 32)
    torch.jit.script(network).save(tmp_path / "network.ts")
    loaded = torch.jit.load(tmp_path / "network.ts")
    torch.testing.assert_close(loaded(x), network(x))
    torch.testing.assert_close(loaded.classify(loaded.features(x)), network(x))


def test_dropout_acts_before_the_classifier_in_training_alone():
    network = small_network()
    network.dropout.p = 0.9
    z = torch.ones(1, 4, 64, 64)
    network.train()
    assert not torch.allclose(network.classify(z), network.classify(z))
    network.eval()
    assert torch.equal(network.classify(z), network.classify(z))


@pytest.mark.parametrize("options", [{"spatial_dims": 1, "num_classes": 2}, {"num_classes": 1}])
def test_impossible_shapes_are_refused(options):
    with pytest.raises(SettingError):
        SegmentationNetwork(torch.nn.Identity(), embedding_channels=3, **options)
