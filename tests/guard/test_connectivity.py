"""Pieces and continuity of segmentations that are built by hand."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from monai_sfda.guard.connectivity import SPECK, connectivity_signals, pieces

STRUCTURES = {"liver": 1, "spleen": 2}


def test_pieces_by_hand():
    mask = np.zeros((6, 10, 10), bool)
    mask[1:3, 1:4, 1:4] = True  # 18 voxels
    mask[3, 4, 4] = True  # touches it by a corner
    mask[4:6, 7:9, 7:9] = True  # 8 voxels
    mask[0, 9, 0] = True  # a speck
    assert pieces(mask) == (2, 19 / 28)
    found = sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)), True)
    assert sorted(np.bincount(sitk.GetArrayFromImage(found).ravel())[1:]) == [1, 8, 19]


def test_specks_alone_are_one_piece():
    mask = np.zeros((1, 9, 9), bool)
    mask[0, ::2, ::4] = True
    assert mask.sum() > SPECK
    assert pieces(mask) == (1, 1 / mask.sum())


def test_means_over_the_structures_that_are_predicted():
    segmentation = np.zeros((4, 12, 12), np.uint8)
    segmentation[:, 2:6, 2:6] = 1
    found = connectivity_signals(segmentation, STRUCTURES, 3)
    assert found == {"components": 1, "largest_component": 1, "continuity": 1}
    segmentation[1:3, 8:12, 8:12] = 2
    segmentation[1:3, 0:2, 8:10] = 2
    found = connectivity_signals(segmentation, STRUCTURES, 3)
    assert found["components"] == pytest.approx(1.5)
    assert found["largest_component"] == pytest.approx((1 + 0.8) / 2)
    # Slices 0-1 and 2-3 share nothing of the spleen, 1-2 all: 2 * 20 / (20 + 40 + 20).
    assert found["continuity"] == pytest.approx((1 + 0.5) / 2)


def test_what_is_not_there_is_absent():
    assert connectivity_signals(np.zeros((3, 5, 5), np.uint8), STRUCTURES, 3) == {}
    single = np.ones((1, 5, 5), np.uint8)
    assert connectivity_signals(single, STRUCTURES, 3).keys() == {"components", "largest_component"}
