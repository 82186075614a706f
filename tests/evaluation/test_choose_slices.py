"""Which slices are shown, and which way up."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from monai_sfda.errors import DataError, SettingError
from monai_sfda.evaluation.slices import as_ras, choose_slices, radiological


def test_structures_take_turns_at_their_largest_slices() -> None:
    segmentation = np.zeros((20, 20, 30), np.uint8)
    segmentation[2:12, 2:12, 5] = 1
    segmentation[2:8, 2:8, 6:10] = 1
    segmentation[15:18, 15:18, 25] = 2
    segmentation[15:16, 15:16, 22] = 2
    assert choose_slices(segmentation, 1) == [5]
    assert choose_slices(segmentation, 2) == [5, 25]
    assert choose_slices(segmentation, 3) == [5, 9, 25]


def test_slices_across_another_axis() -> None:
    segmentation = np.zeros((8, 9, 10), np.uint8)
    segmentation[6, 2:4, 2:4] = 3
    assert choose_slices(segmentation, 1, axis=0) == [6]


@pytest.mark.parametrize(
    ("depth", "count", "expected"), [(9, 1, [4]), (9, 3, [2, 4, 6]), (2, 5, [0, 1]), (1, 1, [0])]
)
def test_an_empty_prediction_shows_slices_evenly_spread(depth: int, count: int, expected: list[int]) -> None:
    assert choose_slices(np.zeros((6, 6, depth), np.uint8), count) == expected


def test_turns_that_find_nothing_left_are_filled() -> None:
    segmentation = np.zeros((6, 6, 12), np.uint8)
    segmentation[2:4, 2:4, 7] = 1
    chosen = choose_slices(segmentation, 4)
    assert 7 in chosen
    assert len(set(chosen)) == 4
    assert chosen == sorted(chosen)


def test_what_cannot_be_sliced_is_refused() -> None:
    with pytest.raises(DataError, match="no slices"):
        choose_slices(np.zeros((4, 4), np.uint8), 1)
    with pytest.raises(SettingError, match="0 slices"):
        choose_slices(np.zeros((4, 4, 4), np.uint8), 0)
    with pytest.raises(SettingError, match="axis 3"):
        choose_slices(np.zeros((4, 4, 4), np.uint8), 1, axis=3)


def oblique(affine: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return np.asarray(turn @ affine)


@pytest.mark.parametrize("degrees", [0.0, 20.0, -35.0])
@pytest.mark.parametrize(
    ("order", "signs"),
    [((0, 1, 2), (1, 1, 1)), ((0, 1, 2), (-1, -1, 1)), ((2, 0, 1), (1, -1, -1)), ((1, 0, 2), (-1, 1, 1))],
)
def test_any_orientation_becomes_ras(
    order: tuple[int, int, int], signs: tuple[int, int, int], degrees: float
) -> None:
    ras = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    spacing = (1.5, 2.0, 3.0)
    stored = np.transpose(ras, order)[tuple(slice(None, None, sign) for sign in signs)]
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for voxel_axis, (patient_axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[patient_axis, voxel_axis] = sign * spacing[patient_axis]
    turned, turned_spacing = as_ras(stored, oblique(affine, degrees))
    np.testing.assert_array_equal(turned, ras)
    assert turned_spacing == pytest.approx(spacing)


def test_an_affine_without_volume_is_refused() -> None:
    with pytest.raises(DataError, match="orientation"):
        as_ras(np.zeros((3, 3, 3)), np.diag([1.0, 1.0, 0.0, 1.0]))


def test_the_right_of_the_patient_is_on_the_left_and_anterior_on_top() -> None:
    plane = np.zeros((3, 5))
    plane[2, 4] = 1
    shown = radiological(plane)
    assert shown.shape == (5, 3)
    assert shown[0, 0] == 1
