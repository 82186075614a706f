"""Distances as papers print them: against MONAI, scipy and answers known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy.spatial.distance import directed_hausdorff

from monai_sfda.evaluation.published_distances import assd_voxel, hd_row_pixel, hd_slice_pixel


def blobs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two boxes with holes and specks; the last slice shows nothing, the one before it one of the two."""
    rng = np.random.default_rng(seed)
    first, second = np.zeros((6, 20, 24), bool), np.zeros((6, 20, 24), bool)
    first[1:5, 4:12, 5:15] = rng.random((4, 8, 10)) < 0.8
    second[1:4, 6:15, 3:17] = rng.random((3, 9, 14)) < 0.8
    return first, second


def one_hot(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([~mask, mask])[None].astype(np.float32))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("voxels", [(1.0, 1.0, 1.0), (2.5, 1.0, 0.5)])
def test_assd_in_voxels_weighs_both_directions_the_same(seed, voxels):
    first, second = blobs(seed)
    ways = [
        float(compute_average_surface_distance(one_hot(a), one_hot(b), spacing=list(voxels)))
        for a, b in ((first, second), (second, first))
    ]
    assert ways[0] != pytest.approx(ways[1])
    assert assd_voxel(first, second, voxels) == pytest.approx(np.mean(ways), rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_hausdorff_of_slices_is_monais_over_slices_that_show_both(seed):
    first, second = blobs(seed)
    of_slices = [
        float(compute_hausdorff_distance(one_hot(a), one_hot(b)))
        for a, b in zip(first[1:4], second[1:4], strict=True)
    ]
    assert hd_slice_pixel(first, second) == pytest.approx(np.mean(of_slices))


@pytest.mark.parametrize("seed", range(3))
def test_hausdorff_of_rows_is_scipys_on_the_masks_themselves(seed):
    first, second = blobs(seed)
    of_slices = [
        max(directed_hausdorff(a.T, b.T)[0], directed_hausdorff(b.T, a.T)[0])
        for a, b in zip(first.astype(float), second.astype(float), strict=True)
    ]
    assert of_slices[-1] == 0  # an empty slice counts
    assert hd_row_pixel(first, second) == pytest.approx(np.mean(of_slices))


def test_a_square_moved_by_three_pixels():
    """Three pixels away in the image; as rows, whether there are square-like rows at all is what counts."""
    first, second = np.zeros((2, 16, 16), bool), np.zeros((2, 16, 16), bool)
    first[0, 2:8, 2:8], second[0, 5:11, 2:8] = True, True
    assert hd_slice_pixel(first, second) == 3
    # along H, rows 2..7 against 5..10 differ in six pixels; nearest is the empty row, six pixels as well
    assert hd_row_pixel(first, second) == pytest.approx(np.sqrt(6) / 2)
    moved = np.zeros_like(first)
    moved[0, 2:8, 5:11] = True
    assert hd_slice_pixel(first, moved) == 3
    assert hd_row_pixel(first, moved) == 0  # the same rows elsewhere: this is no distance in the image


def test_undefined_where_a_mask_is_empty():
    empty, full = np.zeros((2, 4, 4), bool), np.ones((2, 4, 4), bool)
    for a, b in ((empty, full), (full, empty), (empty, empty)):
        assert assd_voxel(a, b) is None
        assert hd_slice_pixel(a, b) is None
    assert hd_row_pixel(empty, empty) == 0
    assert hd_row_pixel(full, empty) == 2  # a row of four pixels against none
