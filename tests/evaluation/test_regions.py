"""The largest component and the centre blob."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_sfda.errors import DataError
from monai_sfda.evaluation.metrics import centre_blob, largest_component
from monai_sfda.evaluation.regions import bounding_box, check_spacing

SARCOMA = Path(__file__).resolve().parents[3] / "shared" / "data" / "ibsi_sts" / "nifti"


def test_only_the_largest_region_of_every_class_stays() -> None:
    segmentation = np.zeros((12, 10, 8), np.uint8)
    segmentation[0:4, 0:4, 0:4] = 1
    segmentation[8:10, 8:10, 5:7] = 1
    segmentation[6:8, 0:2, 0:2] = 2
    segmentation[5, 9, 0] = 2
    segmentation[11, 0, 7] = 5
    before = segmentation.copy()
    kept = largest_component(segmentation, {"background": 0, "a": 1, "b": 2, "absent": 3})
    expected = before.copy()
    expected[8:10, 8:10, 5:7] = 0
    expected[5, 9, 0] = 0
    np.testing.assert_array_equal(kept, expected)
    np.testing.assert_array_equal(segmentation, before)
    assert kept.dtype == np.uint8


def test_voxels_that_share_a_corner_are_one_region_and_the_first_of_two_equal_ones_stays() -> None:
    diagonal = np.zeros((6, 6, 6), np.uint8)
    diagonal[[0, 1, 2], [0, 1, 2], [0, 1, 2]] = 1
    diagonal[5, 5, 4:6] = 1
    kept = largest_component(diagonal, {"a": 1})
    assert kept[[0, 1, 2], [0, 1, 2], [0, 1, 2]].all()
    assert kept.sum() == 3
    equal = np.zeros((1, 1, 5), np.uint8)
    equal[0, 0, [0, 1, 3, 4]] = 1
    assert largest_component(equal, {"a": 1}).ravel().tolist() == [1, 1, 0, 0, 0]


def test_the_centre_blob_is_the_ellipsoid_inside_the_margin() -> None:
    blob = centre_blob((120, 100, 60), (1.0, 1.5, 3.0), margin_mm=30.0)
    half_axes_mm = (60 - 30, 75 - 30, 90 - 30)
    volume_mm3 = 4 / 3 * np.pi * np.prod(half_axes_mm)
    assert blob.dtype == np.uint8
    assert blob.sum() * 4.5 == pytest.approx(volume_mm3, rel=0.01)
    assert bounding_box(blob == 1) == (slice(30, 90), slice(20, 80), slice(10, 50))
    np.testing.assert_array_equal(blob, blob[::-1, ::-1, ::-1])


@pytest.mark.parametrize("shape", [(9, 9, 9), (1, 1, 1), (3, 40, 2), (200, 5, 9)])
def test_the_centre_blob_is_never_empty(shape: tuple[int, int, int]) -> None:
    blob = centre_blob(shape, (1.0, 1.0, 4.0))
    assert blob.shape == shape
    assert blob.any()


def test_a_margin_that_leaves_nothing_gives_half_axes_of_two_voxels() -> None:
    blob = centre_blob((21, 21, 21), (1.0, 1.0, 1.0), margin_mm=50.0)
    assert blob.sum() == 33
    assert bounding_box(blob == 1) == (slice(8, 13), slice(8, 13), slice(8, 13))


@pytest.mark.parametrize(
    ("shape", "spacing", "margin"),
    [
        ((0, 3, 3), (1, 1, 1), 50),
        ((3, 3), (1, 1, 1), 50),
        ((3, 3, 3), (1, -1, 1), 50),
        ((3, 3, 3), (1, 1, 1), -1),
    ],
)
def test_impossible_blobs_are_refused(shape: Any, spacing: Any, margin: float) -> None:
    with pytest.raises(DataError):
        centre_blob(shape, spacing, margin)


@pytest.mark.skipif(not SARCOMA.is_dir(), reason="needs the IBSI soft-tissue sarcoma scans in ../shared/data")
def test_the_centre_blob_finds_tumours_that_ct_scans_were_cropped_round() -> None:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.load(SARCOMA / "STS_002" / "CT_mask.nii.gz")
    mask = np.asarray(image.dataobj) > 0
    x, y, z = mask.shape
    spacing = check_spacing(image.header.get_zooms()[:3])
    blob = centre_blob((x, y, z), spacing, margin_mm=50.0) == 1
    for found, actual in zip(bounding_box(blob) or (), bounding_box(mask) or (), strict=True):
        assert abs(found.start - actual.start) <= 1
        assert abs(found.stop - actual.stop) <= 1
    assert 2 * (blob & mask).sum() / (blob.sum() + mask.sum()) > 0.8
