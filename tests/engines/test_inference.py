"""Inference over volumes: every voxel back in its place, whatever the orientation, spacing and batch."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_sfda.catalog import Intensity
from monai_sfda.data.scan import Scan
from monai_sfda.engines import SliceStackInferer, segment_scan
from monai_sfda.transforms import Preprocessing
from tests.builders import small_network
from tests.transforms.test_geometry import affine_of, oblique


class Threshold(torch.nn.Module):
    """A network whose class is known at every pixel: 1 where the middle slice exceeds a value, 2 one above
    it.
    """

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        middle = x[:, x.shape[1] // 2] - self.value
        return 50 * torch.stack([-middle, torch.where(middle > 1, -middle, middle), middle - 1], dim=1)


PLAIN = Intensity(window=None, percentiles=None, clip=None)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "RPI", "SAR", "PIL"])
@pytest.mark.parametrize("tilted", [False, True])
@pytest.mark.parametrize("slice_axis", [0, 1, 2])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 1.3, 5.0)])
def test_every_voxel_gets_its_own_class(codes, tilted, slice_axis, spacing):
    affine = oblique(affine_of(codes, spacing)) if tilted else affine_of(codes, spacing)
    array = np.random.default_rng(0).normal(size=(1, 21, 18, 25)).astype(np.float32)
    normalised = (array[0] - array.mean()) / array.std()
    expected = np.where(normalised > 1, 2, np.where(normalised > 0, 1, 0))
    preprocessing = Preprocessing(slice_axis, None, 3, PLAIN)
    out = segment_scan(
        Scan(array, affine), Threshold(), preprocessing, SliceStackInferer(3, batch_size=4), "cpu"
    )
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS"])
@pytest.mark.parametrize("tilted", [False, True])
def test_a_ball_in_world_coordinates_is_found_where_it_is(codes, tilted):
    """Through resampling too: the same ball in the room, stored in any way, gives the same ball back."""
    affine = oblique(affine_of(codes, (0.9, 0.9, 4.0))) if tilted else affine_of(codes, (0.9, 0.9, 4.0))
    shape = tuple(round(90 / s) for s in np.linalg.norm(affine[:3, :3], axis=0))
    world = nib.affines.apply_affine(affine, np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))
    centre = nib.affines.apply_affine(affine, (np.array(shape) - 1) / 2) + np.array([9.0, -7.0, 3.0])
    ball = np.linalg.norm(world - centre, axis=-1) < 22
    array = np.where(ball, 100.0, -100.0).astype(np.float32)[None]
    preprocessing = Preprocessing(2, 1.6, 3, PLAIN)
    half_way = Threshold(float(-array.mean() / array.std()))
    out = segment_scan(Scan(array, affine), half_way, preprocessing, SliceStackInferer(3), "cpu") > 0
    assert 2 * (out & ball).sum() / (out.sum() + ball.sum()) > 0.97
    assert np.abs(world[out].mean(0) - world[ball].mean(0)).max() < 0.1


def test_batches_do_not_matter_and_match_the_dense_call():
    network = small_network().eval()
    volume = torch.randn(1, 1, 9, 30, 22)
    one = SliceStackInferer(3, batch_size=1)(volume, network)
    many = SliceStackInferer(3, batch_size=7)(volume, network)
    assert one.shape == (1, 5, 9, 30, 22)
    torch.testing.assert_close(one, many, rtol=1e-4, atol=1e-5)


def test_first_and_last_slices_repeat_the_edge():
    class Edges(torch.nn.Module):
        def forward(self, x):
            return x

    volume = torch.arange(4.0).reshape(1, 1, 4, 1, 1).expand(1, 1, 4, 16, 16)
    out = SliceStackInferer(3)(volume, Edges())
    assert out[0, :, 0, 0, 0].tolist() == [0, 0, 1]
    assert out[0, :, 3, 0, 0].tolist() == [2, 3, 3]


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 200, 2), (17, 16, 1)])
def test_tiny_and_odd_volumes(shape):
    scan = Scan(np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32), np.eye(4))
    preprocessing = Preprocessing(2, None, 3, PLAIN)
    out = segment_scan(scan, small_network().eval(), preprocessing, SliceStackInferer(3), "cpu")
    assert out.shape == shape
