"""From a scan's grid to slices and back, to the voxel, in every orientation."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_sfda.transforms import slice_grid

ORIENTATIONS = [
    "".join({"R": "RL", "A": "AP", "S": "SI"}[axis][flip] for axis, flip in zip(order, flips, strict=True))
    for order in itertools.permutations("RAS")
    for flips in itertools.product([0, 1], repeat=3)
]


def affine_of(codes: str, spacing=(0.8, 1.1, 5.0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for stored, (world, sign) in enumerate(nib.orientations.axcodes2ornt(codes)):
        affine[int(world), stored] = sign * spacing[int(world)]
    affine[:3, 3] = (-40, 17, 300)
    return affine


def oblique(affine: np.ndarray, degrees: float = 20) -> np.ndarray:
    t = np.radians(degrees)
    turn = np.array([[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(t / 2), -np.sin(t / 2)], [0, np.sin(t / 2), np.cos(t / 2)]])
    out = affine.copy()
    out[:3, :3] = turn @ tilt @ affine[:3, :3]
    return out


@pytest.mark.parametrize("codes", ORIENTATIONS)
@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_slices_and_back_is_the_identity(codes, slice_axis):
    volume = np.random.default_rng(0).random((2, 5, 6, 7)).astype(np.float32)
    grid = slice_grid((5, 6, 7), affine_of(codes), slice_axis=slice_axis, pixel_size_mm=None)
    slices = grid.to_slices(volume)
    assert slices.shape == (grid.num_slices, 2, *grid.plane_shape)
    np.testing.assert_array_equal(grid.from_slices(slices), volume)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "SPL"])
@pytest.mark.parametrize("tilted", [False, True])
def test_slices_run_along_r_a_s(codes, tilted):
    """Whatever is stored, slice i of an axial cut lies above slice i - 1, columns run to A, rows to R."""
    affine = oblique(affine_of(codes)) if tilted else affine_of(codes)
    shape = (5, 6, 7)
    world = nib.affines.apply_affine(affine, np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))
    grid = slice_grid(shape, affine, slice_axis=2, pixel_size_mm=None)
    r, a, s = (grid.to_slices(world[..., i][None].astype(np.float32))[:, 0] for i in range(3))
    assert (s.diff(dim=0) > 0).all()
    assert (r.diff(dim=1) > 0).all()
    assert (a.diff(dim=2) > 0).all()


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "ASR"])
@pytest.mark.parametrize("tilted", [False, True])
@pytest.mark.parametrize("pixel_mm", [0.7, 1.6])
def test_a_smooth_object_comes_back_to_its_place(codes, tilted, pixel_mm):
    """A ball resampled to the network's pixels and back keeps its centroid within a tenth of a voxel and its
    volume.
    """
    affine = oblique(affine_of(codes, (1.0, 1.3, 3.0))) if tilted else affine_of(codes, (1.0, 1.3, 3.0))
    shape = tuple(int(n) for n in (np.array([60, 60, 60]) / np.linalg.norm(affine[:3, :3], axis=0)).round())
    world = nib.affines.apply_affine(affine, np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))
    centre = nib.affines.apply_affine(affine, (np.array(shape) - 1) / 2) + [4.0, -6.0, 2.0]
    ball = (np.linalg.norm(world - centre, axis=-1) < 15).astype(np.float32)
    grid = slice_grid(shape, affine, slice_axis=2, pixel_size_mm=pixel_mm)
    sampled = grid.resample(grid.to_slices(ball[None]))
    back = grid.from_slices((grid.restore(sampled) > 0.5).to(torch.uint8))[0]
    shift = world[back > 0].mean(0) - world[ball > 0].mean(0)
    assert np.abs(shift).max() < 0.1 * np.linalg.norm(affine[:3, :3], axis=0).min()
    dice = 2 * (back * ball).sum() / (back.sum() + ball.sum())
    assert dice > (0.985 if pixel_mm < 1 else 0.97)


def test_pixel_size_keeps_the_field_of_view():
    grid = slice_grid((301, 200, 10), affine_of("RAS", (0.7, 0.7, 5)), slice_axis=2, pixel_size_mm=1.6)
    assert grid.sampled_shape == (132, 88)
    assert grid.sampled_shape[0] * grid.pixel_mm[0] == pytest.approx(301 * 0.7)
    assert grid.slice_mm == pytest.approx(5)


def test_labels_take_the_nearest_voxel_and_no_new_values():
    label = np.zeros((1, 40, 40, 2), np.uint8)
    label[0, 10:20, 10:20] = 4
    grid = slice_grid((40, 40, 2), affine_of("RAS", (1, 1, 1)), slice_axis=2, pixel_size_mm=2.0)
    sampled = grid.resample_labels(grid.to_slices(label))
    assert sampled.dtype == torch.uint8
    assert set(sampled.unique().tolist()) == {0, 4}
    assert int((sampled == 4).sum()) == 2 * 25
