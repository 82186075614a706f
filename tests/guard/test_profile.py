"""The profile of a scan: by hand, whatever the batches, the padding and the orientation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from monai_sfda.catalog import Intensity
from monai_sfda.data.scan import Scan
from monai_sfda.engines import SliceStackInferer
from monai_sfda.engines.reference_scans import profile_scan
from monai_sfda.guard.profile import BINS, HIGHEST, LOWEST
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.transforms import Preprocessing
from tests.builders import small_network
from tests.transforms.test_geometry import affine_of

PLAIN = Preprocessing(2, None, 3, Intensity(clip=None, fixed=(0.0, 1.0)))


class Middle(nn.Module):
    """The middle slice of the stack, normalised by a batch norm that knows mean 0 and variance 1."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, eps=0.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x[:, 1:2])


def threshold_network() -> SegmentationNetwork:
    """Class 1 where the value exceeds 0, with certainty."""
    network = SegmentationNetwork(Middle(), embedding_channels=1, num_classes=2).eval()
    with torch.no_grad():
        network.classifier.weight[:] = torch.tensor([-50.0, 50.0]).reshape(2, 1, 1, 1)
        network.classifier.bias[:] = 0
    return network


def profile(network, array, affine=None, *, batch=16, minimum=1, preprocessing=PLAIN):
    scan = Scan(array.astype(np.float32)[None], np.diag([2.0, 3.0, 5.0, 1.0]) if affine is None else affine)
    inferer = SliceStackInferer(3, batch_size=batch, minimum_size=minimum)
    return profile_scan(scan, network, preprocessing, inferer, torch.device("cpu"))


def blocks(shape=(16, 32, 9)) -> np.ndarray:
    """-1 with a block of 3."""
    array = np.full(shape, -1.0)
    array[4:8, 16:32, 3:6] = 3.0
    return array


def test_by_hand():
    array = blocks()
    found = profile(threshold_network(), array)
    share = 4 * 16 * 3 / array.size
    torch.testing.assert_close(found.class_share, torch.tensor([1 - share, share]).double())
    torch.testing.assert_close(found.class_mean[:, 0], torch.tensor([-1.0, 3.0]).double())
    assert not found.class_variance.any()
    mean, std = array.mean(), array.std()
    expected = mean**2 + (std - 1) ** 2
    torch.testing.assert_close(found.layer_distances, torch.tensor([expected]).double())
    assert found.entropy == pytest.approx(0.0, abs=1e-6)
    # The block's corners in mm from that of the field of view, along R, A, S.
    centre = torch.tensor([(4 + 8) / 2 * 2, (16 + 32) / 2 * 3, (3 + 6) / 2 * 5]).double()
    torch.testing.assert_close(found.centre[1], centre)
    assert found.extent.tolist() == [32, 96, 45]
    assert found.slice_mm == 5
    bins = np.linspace(LOWEST, HIGHEST, BINS + 1)
    stacked = array[..., np.clip(np.arange(9)[:, None] + [-1, 0, 1], 0, 8)]
    counted = np.histogram(stacked, bins)[0] / stacked.size
    torch.testing.assert_close(found.histogram, torch.tensor(counted))
    assert float(found.histogram.sum()) == pytest.approx(1)


@pytest.mark.parametrize("network", [threshold_network(), small_network(classes=4).eval()])
def test_batches_do_not_matter(network):
    array = np.random.default_rng(0).normal(size=(40, 24, 11))
    one, many = (profile(network, array, batch=batch) for batch in (1, 16))
    for name in vars(one):
        torch.testing.assert_close(
            torch.as_tensor(getattr(one, name)), torch.as_tensor(getattr(many, name)), rtol=1e-5, atol=1e-6
        )


def test_padding_is_not_counted():
    array = blocks()
    network = threshold_network()
    plain, padded = profile(network, array), profile(network, array, minimum=48)
    for name in ("histogram", "class_share", "class_mean", "centre", "extent", "confidence"):
        torch.testing.assert_close(getattr(padded, name), getattr(plain, name))


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR"])
def test_places_are_the_bodys_whatever_the_storage(codes, slice_axis):
    spacing = (1.0, 2.0, 3.0)
    affine = affine_of(codes, spacing)
    shape = (12, 16, 20)
    world = affine[:3, :3] @ np.indices(shape).reshape(3, -1) + affine[:3, 3:]
    inside = np.ones(shape).reshape(-1)
    low = world.min(1) - np.abs(affine[:3, :3]).sum(1) / 2
    inside[((world - low[:, None]) < 9).all(0)] = -1
    array = -inside.reshape(shape)
    preprocessing = Preprocessing(slice_axis, None, 3, PLAIN.intensity)
    found = profile(threshold_network(), array, affine, preprocessing=preprocessing)
    chosen = (world - low[:, None])[:, array.reshape(-1) > 0]
    np.testing.assert_allclose(found.centre[1].numpy(), chosen.mean(1), atol=1e-9)
    np.testing.assert_allclose(found.extent.numpy(), np.abs(affine[:3, :3]) @ np.array(shape))


def test_a_picture_has_places_in_shares_and_no_size():
    picture = np.full((3, 20, 40, 1), -1.0, np.float32)
    picture[:, 10:, :20] = 3.0
    preprocessing = Preprocessing(2, None, 1, PLAIN.intensity, plane_size=(20, 40))
    scan, inferer = Scan(picture, np.eye(4)), SliceStackInferer(1)
    found = profile_scan(
        scan, threshold_network(), preprocessing, inferer, torch.device("cpu"), pictures=True
    )
    torch.testing.assert_close(found.centre[1], torch.tensor([0.75, 0.25, 0.5]).double())
    assert found.extent.tolist() == [1, 1, 1]


def test_a_network_without_batch_norm_has_no_distances_of_layers():
    network = SegmentationNetwork(nn.Conv2d(3, 2, 1), embedding_channels=2, num_classes=3).eval()
    found = profile(network, blocks())
    assert found.layer_distances.numel() == 0
    assert float(found.class_share.sum()) == pytest.approx(1)


def test_nothing_stays_hooked_after_an_error():
    network = threshold_network()

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("broken")

    good, network.backbone = network.backbone, Broken()
    with pytest.raises(RuntimeError, match="broken"):
        profile(network, blocks())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in [network, *network.modules(), good])
