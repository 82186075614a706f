"""Body coordinates: a body that is moved, enlarged, turned or cut off keeps its places."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_sfda.body_coordinates import BodyCoordinates, body_coordinates
from monai_sfda.catalog import Intensity
from monai_sfda.transforms import Preprocessing
from tests.transforms.test_geometry import affine_of


def body(shape=(40, 30, 20), low=(8, 6, 0), high=(32, 24, 20), seed: int = 0) -> np.ndarray:
    """A bright box in dark noise."""
    image = np.random.default_rng(seed).normal(0.0, 0.01, shape).astype(np.float32)
    image[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] += 1.0
    return image


def coordinates(array: np.ndarray, affine: np.ndarray, slice_axis: int = 2) -> BodyCoordinates:
    preprocessing = Preprocessing(slice_axis, None, 1, Intensity(clip=None, fixed=(0.0, 1.0)))
    slices, grid = preprocessing.image(array[None], affine)
    return body_coordinates(slices.movedim(1, 0), grid)


def test_the_box_is_the_middle_96_percent_of_the_body():
    found = coordinates(body(), np.diag([2.0, 3.0, 5.0, 1.0]))
    right, front, head = found.places
    # 2% of the 24 voxels from the 8th on are half a voxel.
    low, high = 8 + 0.02 * 24, 32 - 0.02 * 24
    torch.testing.assert_close(right, (torch.arange(40).double() + 0.5 - low) / (high - low))
    low, high = 6 + 0.02 * 18, 24 - 0.02 * 18
    torch.testing.assert_close(front, (torch.arange(30).double() + 0.5 - low) / (high - low))
    torch.testing.assert_close(head, (torch.arange(20).double() + 0.5 - 10) * 5)
    assert found.box_mm == pytest.approx(0.96 * 100)


def test_a_larger_field_of_view_does_not_move_the_body():
    affine = np.diag([2.0, 3.0, 5.0, 1.0])
    small = coordinates(body(), affine)
    large = coordinates(body((60, 50, 20), (18, 16, 0), (42, 34, 20)), affine)
    torch.testing.assert_close(large.places[0][10:50], small.places[0])
    torch.testing.assert_close(large.places[1][10:40], small.places[1])


def test_a_larger_body_has_the_same_shares_and_more_mm():
    small, large = (coordinates(body(), np.diag([s, s, s, 1.0])) for s in (2.0, 3.0))
    torch.testing.assert_close(large.places[0], small.places[0])
    torch.testing.assert_close(large.places[2], 1.5 * small.places[2])


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR"])
def test_whatever_the_storage_and_the_slices(codes, slice_axis):
    """A voxel that is marked has the body coordinates of its place in the world."""
    affine = affine_of(codes, (2.0, 3.0, 5.0))
    shape = [0, 0, 0]
    for world, size in enumerate((40, 30, 20)):
        shape[int(np.abs(affine[world, :3]).argmax())] = size
    ras = body(seed=1)
    image = np.zeros(shape, np.float32)
    voxels = np.indices(shape).reshape(3, -1)
    world = affine[:3, :3] @ voxels
    index = np.round((world - world.min(1, keepdims=True)) / np.array([[2.0], [3.0], [5.0]])).astype(int)
    image[tuple(voxels)] = ras[tuple(index)]
    found = coordinates(image, affine, slice_axis)
    expected = coordinates(ras, np.diag([2.0, 3.0, 5.0, 1.0]))
    for a, b in zip(found.places, expected.places, strict=True):
        torch.testing.assert_close(a, b)
    preprocessing = Preprocessing(slice_axis, None, 1, Intensity(clip=None, fixed=(0.0, 1.0)))
    slices = preprocessing.image(image[None], affine)[0][:, 0]
    torch.testing.assert_close(found.from_slices(slices), torch.from_numpy(ras))


def test_a_constant_scan_is_all_body():
    right, _, head = coordinates(np.ones((10, 10, 4), np.float32), np.eye(4)).places
    torch.testing.assert_close(right, (torch.arange(10).double() + 0.5) / 10)
    torch.testing.assert_close(head, torch.arange(4).double() - 1.5)


def test_a_picture_has_shares_of_its_sides():
    preprocessing = Preprocessing(2, None, 1, Intensity(clip=None, fixed=(0.0, 1.0)), plane_size=(4, 8))
    slices, grid = preprocessing.image(np.random.default_rng(0).random((3, 4, 8, 1), np.float32), np.eye(4))
    found = body_coordinates(slices.movedim(1, 0), grid, pictures=True)
    assert found.places[0].tolist() == [0.125, 0.375, 0.625, 0.875]
    assert found.places[1][0] == 1 / 16
    assert found.places[2].tolist() == [0]
