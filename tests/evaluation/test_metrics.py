"""Scores against closed forms, against monai.metrics, and where they are undefined."""

from __future__ import annotations

from collections.abc import Callable
from math import hypot, sqrt
from typing import Any

import numpy as np
import pytest
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from monai.metrics.meaniou import compute_iou
from monai.metrics.surface_distance import compute_average_surface_distance
from numpy.typing import NDArray

from monai_sfda.errors import DataError
from monai_sfda.evaluation.metrics import StructureScore, score_case

Mask = NDArray[np.uint8]
LABELS = {"background": 0, "organ": 1}


def box(shape: tuple[int, int, int], *ranges: tuple[int, int]) -> Mask:
    mask = np.zeros(shape, dtype=np.uint8)
    mask[tuple(slice(*r) for r in ranges)] = 1
    return mask


def sphere(radius_mm: float, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Mask:
    offsets = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    x, y, z = np.meshgrid(*offsets, indexing="ij")
    return np.asarray(x**2 + y**2 + z**2 <= radius_mm**2, dtype=np.uint8)


def score(prediction: Mask, reference: Mask, spacing: tuple[float, float, float]) -> StructureScore:
    (result,) = score_case(1, prediction, reference, spacing, LABELS)
    return result


S = (24, 24, 24)
CLOSED_FORMS = [
    # name, prediction, reference, spacing, dice, iou, assd, hd95, hd (None: no simple closed form)
    ("equal", box(S, (3, 9), (4, 12), (5, 8)), box(S, (3, 9), (4, 12), (5, 8)), (1, 2, 3), 1, 1, 0, 0, 0),
    (
        "parallel plates",
        box(S, (4, 5), (2, 20), (2, 20)),
        box(S, (9, 10), (2, 20), (2, 20)),
        (0.7, 1.0, 3.0),
        0,
        0,
        3.5,
        3.5,
        3.5,
    ),
    (
        "two voxels apart in all directions",
        box(S, (2, 3), (3, 4), (4, 5)),
        box(S, (5, 6), (7, 8), (6, 7)),
        (1.0, 2.0, 5.0),
        0,
        0,
        sqrt(9 + 64 + 100),
        sqrt(9 + 64 + 100),
        sqrt(9 + 64 + 100),
    ),
    (
        "voxel in the middle of a cube of three",
        box(S, (5, 6), (5, 6), (5, 6)),
        box(S, (4, 7), (4, 7), (4, 7)),
        (1, 1, 1),
        2 / 28,
        1 / 27,
        (1 + 6 + 12 * sqrt(2) + 8 * sqrt(3)) / 27,
        sqrt(3),
        sqrt(3),
    ),
    (
        "rods of one voxel, one longer by four: the 95th percentile of the longer rod's distances decides",
        box(S, (0, 20), (5, 6), (5, 6)),
        box(S, (0, 16), (5, 6), (5, 6)),
        (2.0, 1.0, 1.0),
        32 / 36,
        16 / 20,
        (2 + 4 + 6 + 8) / 36,
        6 + 0.05 * 2,
        8,
    ),
    (
        "cubes of ten shifted by four along z",
        box(S, (5, 15), (5, 15), (3, 13)),
        box(S, (5, 15), (5, 15), (7, 17)),
        (0.5, 0.5, 2.5),
        0.6,
        6 / 14,
        None,
        None,
        10.0,
    ),
    (
        "cubes of ten shifted by two along x and y",
        box(S, (5, 15), (5, 15), (3, 13)),
        box(S, (7, 17), (7, 17), (3, 13)),
        (1.5, 2.0, 4.0),
        0.64,
        640 / 1360,
        None,
        None,
        hypot(3, 4),
    ),
    ("the whole image", np.ones(S, np.uint8), np.ones(S, np.uint8), (1, 1, 1), 1, 1, 0, 0, 0),
    (
        "opposite corners of the image",
        box(S, (0, 1), (0, 1), (0, 1)),
        box(S, (23, 24), (23, 24), (23, 24)),
        (1, 1, 1),
        0,
        0,
        23 * sqrt(3),
        23 * sqrt(3),
        23 * sqrt(3),
    ),
    ("an image of one voxel", *[np.ones((1, 1, 1), np.uint8)] * 2, (1, 1, 1), 1, 1, 0, 0, 0),
]


@pytest.mark.parametrize("case", CLOSED_FORMS, ids=[str(c[0]) for c in CLOSED_FORMS])
def test_scores_match_closed_forms_both_ways_round(case: tuple[Any, ...]) -> None:
    _, prediction, reference, spacing, *expected = case
    for first, second in ((prediction, reference), (reference, prediction)):
        result = score(first, second, spacing)
        found = (result.dice, result.iou, result.assd_mm, result.hd95_mm, result.hd_mm)
        for value, wanted in zip(found, expected, strict=True):
            if wanted is not None:
                assert value == pytest.approx(wanted, abs=1e-9)
        assert result.state == "defined"


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.0)])
def test_concentric_spheres_are_as_far_apart_as_their_radii(spacing: tuple[float, float, float]) -> None:
    shape = (45, 45, 45)
    result = score(sphere(8.0, shape, spacing), sphere(13.0, shape, spacing), spacing)
    for distance in (result.assd_mm, result.hd95_mm, result.hd_mm):
        assert distance == pytest.approx(5.0, abs=max(spacing))
    assert result.predicted_ml == pytest.approx(4 / 3 * np.pi * 0.8**3, rel=0.05)


@pytest.mark.parametrize(
    ("seed", "spacing"), [(0, (1.0, 1.0, 1.0)), (1, (0.7, 0.9, 3.0)), (2, (2.0, 1.5, 0.5))]
)
def test_scores_equal_those_of_monai(
    random_blobs: Callable[[int], Mask], seed: int, spacing: tuple[float, float, float]
) -> None:
    prediction, reference = random_blobs(seed), random_blobs(seed + 100)
    labels = {"background": 0, "a": 1, "b": 2, "c": 3}
    results = score_case(4, prediction, reference, spacing, labels)
    predicted, actual = (
        torch.stack([torch.from_numpy(volume == k) for k in range(4)])[None]
        for volume in (prediction, reference)
    )
    expected = {
        "dice": compute_dice(predicted, actual, include_background=False),
        "iou": compute_iou(predicted, actual, include_background=False),
        "assd_mm": compute_average_surface_distance(predicted, actual, symmetric=True, spacing=spacing),
        "hd95_mm": compute_hausdorff_distance(predicted, actual, percentile=95, spacing=spacing),
        "hd_mm": compute_hausdorff_distance(predicted, actual, spacing=spacing),
    }
    assert [result.structure for result in results] == ["a", "b", "c"]
    for name, values in expected.items():
        found = [getattr(result, name) for result in results]
        np.testing.assert_allclose(found, values[0].numpy(), rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("prediction", "reference", "state", "overlap"),
    [
        (0, 0, "both_empty", None),
        (1, 0, "one_empty", 0.0),
        (0, 1, "one_empty", 0.0),
    ],
)
def test_an_empty_structure_has_no_distance(
    prediction: int, reference: int, state: str, overlap: float | None
) -> None:
    result = score(
        np.full((4, 5, 6), prediction, np.uint8), np.full((4, 5, 6), reference, np.uint8), (10.0, 10.0, 10.0)
    )
    assert (result.state, result.dice, result.iou) == (state, overlap, overlap)
    assert (result.assd_mm, result.hd95_mm, result.hd_mm) == (None, None, None)
    assert (result.predicted_ml, result.reference_ml) == (120.0 * prediction, 120.0 * reference)


def test_volumes_are_in_ml_and_unnamed_classes_count_as_background() -> None:
    prediction = box((10, 10, 10), (0, 10), (0, 10), (0, 5))
    reference = prediction.copy()
    reference[..., 5:] = 7
    result = score(prediction, reference, (2.0, 2.0, 2.5))
    assert (result.predicted_ml, result.reference_ml, result.dice) == (5.0, 5.0, 1.0)


@pytest.mark.parametrize(
    ("prediction", "reference", "spacing", "words"),
    [
        (np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 5), np.uint8), (1, 1, 1), r"case 3 .*\(4, 4, 5\)"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), (1, 1, 1), "2 dimensions"),
        (np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 4), np.uint8), (1, 1, 1), "float32.*argmax"),
        (np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), (1, 0, 1), "spacing"),
        (np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), (1, float("nan"), 1), "spacing"),
        (np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), (1, 1), "spacing"),
    ],
)
def test_volumes_that_cannot_be_scored_are_refused(
    prediction: Any, reference: Any, spacing: Any, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        score_case(3, prediction, reference, spacing, LABELS)
