"""Hearts: adult sizes, chambers where they belong, a closed shell of muscle, and the cycle of the heart."""

from __future__ import annotations

from dataclasses import replace

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from monai_sfda.phantom import Grid, HeartLabel, Thorax, heart_mr_grid, make_thorax
from monai_sfda.phantom.heart_grids import HEART_MR_ORIENTATIONS

SEEDS = range(100, 107)
#: Plausible volumes of adults at any phase of the cycle, ml: wider than the reference ranges of
#: Kawel-Boehm et al. (2020), which are those of the ends of the cycle.
VOLUMES = {
    HeartLabel.MYOCARDIUM: (55, 200),
    HeartLabel.LEFT_ATRIUM: (35, 150),
    HeartLabel.LEFT_VENTRICLE: (40, 210),
    HeartLabel.RIGHT_VENTRICLE: (70, 260),
    HeartLabel.RIGHT_ATRIUM: (40, 170),
    HeartLabel.ASCENDING_AORTA: (30, 130),
    HeartLabel.PULMONARY_ARTERY: (8, 60),
}
Subjects = list[tuple[Thorax, np.ndarray]]


def body_grid(spacing_mm: float = 3.0) -> Grid:
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = [-100.0, -70.0, 80.0]
    return Grid((round(200 / spacing_mm), round(170 / spacing_mm), round(180 / spacing_mm)), affine)


def centre_mm(labels: np.ndarray, label: HeartLabel) -> np.ndarray:
    return nibabel.affines.apply_affine(body_grid().affine, np.argwhere(labels == label).mean(0))


@pytest.fixture(scope="module")
def subjects() -> Subjects:
    thoraces = [make_thorax(seed) for seed in SEEDS]
    return [(thorax, thorax.labels(body_grid())) for thorax in thoraces]


@pytest.mark.parametrize("label", VOLUMES)
def test_volumes_are_those_of_adults(label: HeartLabel, subjects: Subjects) -> None:
    millilitres = np.prod(body_grid().spacing_mm) / 1000
    volumes = [(labels == label).sum() * millilitres for _, labels in subjects]
    low, high = VOLUMES[label]
    assert low <= min(volumes)
    assert max(volumes) <= high
    assert np.std(volumes) > 0.06 * np.mean(volumes), "subjects must differ"


def test_chambers_lie_where_they_belong(subjects: Subjects) -> None:
    for _, labels in subjects:
        at = {label: centre_mm(labels, label) for label in VOLUMES}
        # RAS+: x to the patient's right, y to the front, z upwards
        assert at[HeartLabel.RIGHT_ATRIUM][0] > at[HeartLabel.LEFT_VENTRICLE][0] + 40
        assert at[HeartLabel.RIGHT_VENTRICLE][1] > at[HeartLabel.LEFT_ATRIUM][1] + 30
        assert at[HeartLabel.LEFT_ATRIUM][1] == min(place[1] for place in at.values())
        assert at[HeartLabel.LEFT_VENTRICLE][0] == min(
            place[0] for label, place in at.items() if label is not HeartLabel.MYOCARDIUM
        )
        assert at[HeartLabel.ASCENDING_AORTA][2] > at[HeartLabel.LEFT_ATRIUM][2]
        assert at[HeartLabel.ASCENDING_AORTA][0] > at[HeartLabel.PULMONARY_ARTERY][0]
        assert at[HeartLabel.PULMONARY_ARTERY][2] > at[HeartLabel.RIGHT_VENTRICLE][2] + 30


def test_the_apex_points_to_the_left_front_and_downwards(subjects: Subjects) -> None:
    for thorax, _ in subjects:
        x, y, z = thorax.heart.axes[2]
        assert x < -0.4
        assert y > 0.35
        assert z < -0.35
        assert np.array(thorax.heart.axes) @ np.array(thorax.heart.axes).T == pytest.approx(np.eye(3))


def test_every_structure_is_in_one_piece(subjects: Subjects) -> None:
    for _, labels in subjects:
        for label in VOLUMES:
            pieces, count = ndimage.label(labels == label)
            sizes = np.bincount(pieces.ravel())[1:]
            assert count >= 1
            assert sizes.max() > 0.97 * sizes.sum(), label.name


def test_muscle_parts_the_two_ventricles(subjects: Subjects) -> None:
    """The septum is closed, and most of the cavity's surface is muscle."""
    for _, labels in subjects:
        cavity = labels == HeartLabel.LEFT_VENTRICLE
        shell = ndimage.binary_dilation(cavity) & ~cavity
        assert not np.any(labels[shell] == HeartLabel.RIGHT_VENTRICLE)
        assert np.mean(labels[shell] == HeartLabel.MYOCARDIUM) > 0.6


def test_a_contracted_heart_is_smaller_with_a_thicker_wall() -> None:
    hearts = [make_thorax(seed).heart for seed in range(200, 260)]
    phase = [heart.contraction for heart in hearts]
    assert min(phase) < 0.05
    assert max(phase) > 0.7
    assert np.corrcoef(phase, [heart.ventricle[0] for heart in hearts])[0, 1] < -0.5
    assert np.corrcoef(phase, [heart.wall_mm for heart in hearts])[0, 1] > 0.5
    assert all(6.0 < heart.wall_mm < 16.0 for heart in hearts)


@pytest.mark.parametrize("orientation", HEART_MR_ORIENTATIONS)
def test_a_subject_is_the_same_on_every_grid(orientation: str) -> None:
    """Volume and centre of the left ventricle do not depend on how slices lie."""
    thorax = make_thorax(100)
    grids = [body_grid(), heart_mr_grid(3, 96, orientation)]
    found = []
    for grid in grids:
        voxels = np.argwhere(thorax.labels(grid) == HeartLabel.LEFT_VENTRICLE)
        centre = nibabel.affines.apply_affine(grid.affine, voxels.mean(0))
        found.append((len(voxels) * np.prod(grid.spacing_mm) / 1000, *centre))
    assert found[1][0] == pytest.approx(found[0][0], rel=0.06)
    np.testing.assert_allclose(found[1][1:], found[0][1:], atol=1.5)


def test_the_same_seed_gives_the_same_subject() -> None:
    assert make_thorax(7).heart == make_thorax(7).heart
    assert make_thorax(7).heart != make_thorax(8).heart
    assert replace(make_thorax(7).heart, fat_mm=0.0) != make_thorax(7).heart
