"""Subjects: plausible organs on the right side, reproducible, whatever grid samples them."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from monai_sfda.phantom import Anatomy, Grid, Organ, ct_grid, make_abdomen
from monai_sfda.phantom.sampling import CT_ORIENTATIONS

SEEDS = range(100, 110)
#: Plausible volumes of adults, ml.
VOLUMES = {
    Organ.LIVER: (850, 2400),
    Organ.SPLEEN: (60, 480),
    Organ.RIGHT_KIDNEY: (70, 290),
    Organ.LEFT_KIDNEY: (70, 290),
    Organ.STOMACH: (60, 700),
    Organ.AORTA: (25, 180),
    Organ.INFERIOR_VENA_CAVA: (25, 200),
    Organ.PANCREAS: (20, 130),
    Organ.PORTAL_AND_SPLENIC_VEIN: (3, 40),
    Organ.RIGHT_ADRENAL: (0.5, 10),
    Organ.LEFT_ADRENAL: (0.5, 10),
}


def axial_grid(
    matrix: int = 128, field_mm: float = 420.0, slices: int = 60, thickness_mm: float = 4.0
) -> Grid:
    pixel = field_mm / matrix
    affine = np.diag([pixel, pixel, thickness_mm, 1.0])
    affine[:3, 3] = [-field_mm / 2, -field_mm / 2, -105.0]
    return Grid((matrix, matrix, slices), affine)


def centre_mm(labels: np.ndarray, organ: Organ, affine: np.ndarray) -> np.ndarray:
    return nibabel.affines.apply_affine(affine, np.argwhere(labels == organ).mean(0))


@pytest.fixture(scope="module")
def subjects() -> list[tuple[Anatomy, np.ndarray]]:
    anatomies = [make_abdomen(seed) for seed in SEEDS]
    return [(anatomy, anatomy.labels(axial_grid())) for anatomy in anatomies]


@pytest.mark.parametrize("organ", VOLUMES)
def test_volumes_are_those_of_adults(organ: Organ, subjects: list[tuple[Anatomy, np.ndarray]]) -> None:
    millilitres = np.prod(axial_grid().spacing_mm) / 1000
    volumes = [(labels == organ).sum() * millilitres for _, labels in subjects]
    low, high = VOLUMES[organ]
    assert low <= min(volumes)
    assert max(volumes) <= high
    assert np.std(volumes) > 0.04 * np.mean(volumes), "subjects must differ"


def test_mean_volumes_are_near_the_population_means(subjects: list[tuple[Anatomy, np.ndarray]]) -> None:
    millilitres = np.prod(axial_grid().spacing_mm) / 1000
    expected = {Organ.LIVER: 1500, Organ.SPLEEN: 200, Organ.RIGHT_KIDNEY: 155, Organ.LEFT_KIDNEY: 155}
    for organ, mean in expected.items():
        found = np.mean([(labels == organ).sum() * millilitres for _, labels in subjects])
        assert found == pytest.approx(mean, rel=0.3), organ.name


def test_organs_lie_where_they_belong(subjects: list[tuple[Anatomy, np.ndarray]]) -> None:
    affine = axial_grid().affine
    heights = []
    for _, labels in subjects:
        at = {organ: centre_mm(labels, organ, affine) for organ in VOLUMES}
        # RAS+: x grows towards the patient's right
        assert at[Organ.LIVER][0] > 20
        assert at[Organ.RIGHT_KIDNEY][0] > 35
        assert at[Organ.LEFT_KIDNEY][0] < -35
        assert at[Organ.SPLEEN][0] < -60
        assert at[Organ.STOMACH][0] < 0
        assert at[Organ.AORTA][0] < at[Organ.INFERIOR_VENA_CAVA][0]
        # retroperitoneal organs lie behind the others, the spleen at the back
        assert at[Organ.RIGHT_KIDNEY][1] < at[Organ.LIVER][1]
        assert at[Organ.SPLEEN][1] < at[Organ.STOMACH][1]
        assert at[Organ.LIVER][2] > at[Organ.RIGHT_KIDNEY][2]
        heights.append(at[Organ.LEFT_KIDNEY][2] - at[Organ.RIGHT_KIDNEY][2])
    assert np.mean(heights) > 5, "the right kidney lies lower in most people"


def test_kidneys_are_ten_to_twelve_centimetres_long(subjects: list[tuple[Anatomy, np.ndarray]]) -> None:
    affine = axial_grid().affine
    lengths = []
    for _, labels in subjects:
        for organ in (Organ.RIGHT_KIDNEY, Organ.LEFT_KIDNEY):
            points = nibabel.affines.apply_affine(affine, np.argwhere(labels == organ))
            axis = np.linalg.svd(points - points.mean(0), full_matrices=False)[2][0]
            lengths.append(np.ptp(points @ axis))
    assert np.mean(lengths) == pytest.approx(112, abs=10)
    assert min(lengths) > 85
    assert max(lengths) < 145


def test_the_seed_alone_makes_the_subject() -> None:
    grid = axial_grid(64, slices=20, thickness_mm=11.0)
    first, again, other = (make_abdomen(seed).labels(grid) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.02


@pytest.mark.parametrize("orientation", CT_ORIENTATIONS)
def test_every_orientation_samples_the_same_body(orientation: str) -> None:
    anatomy = make_abdomen(8)
    grid = ct_grid(3, 64, orientation)
    assert "".join(nibabel.aff2axcodes(grid.affine)) == orientation
    reference = ct_grid(3, 64, "RAS")
    to_ras = nibabel.orientations.io_orientation(grid.affine)
    turned = nibabel.orientations.apply_orientation(anatomy.labels(grid), to_ras)
    assert (turned != anatomy.labels(reference)).mean() < 1e-3


def test_the_resolution_does_not_change_the_organs() -> None:
    anatomy = make_abdomen(12)
    coarse, fine = axial_grid(96, slices=40, thickness_mm=6.0), axial_grid(192, slices=80, thickness_mm=3.0)
    coarse_labels, fine_labels = anatomy.labels(coarse), anatomy.labels(fine)
    for organ in (Organ.LIVER, Organ.SPLEEN, Organ.RIGHT_KIDNEY, Organ.LEFT_KIDNEY):
        volumes = [
            (labels == organ).sum() * np.prod(grid.spacing_mm)
            for labels, grid in ((coarse_labels, coarse), (fine_labels, fine))
        ]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.03), organ.name


def test_few_subjects_have_lost_their_gallbladder() -> None:
    missing = [make_abdomen(seed).gallbladder is None for seed in range(120)]
    assert 0.03 < np.mean(missing) < 0.25


def test_a_subject_without_gallbladder_has_no_such_label() -> None:
    anatomy = next(a for a in map(make_abdomen, range(60)) if a.gallbladder is None)
    assert not np.any(anatomy.labels(axial_grid(64, slices=24, thickness_mm=9.0)) == Organ.GALLBLADDER)
