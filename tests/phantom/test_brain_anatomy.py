"""The brain phantom: tissues in their places and amounts, gliomas as the grades have them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from monai_sfda.phantom import BrainTissue, Grid, TumourLabel, make_brain
from monai_sfda.phantom.brain_fields import sulcus
from monai_sfda.phantom.folding import Folding
from monai_sfda.phantom.geometry import Region
from monai_sfda.phantom.warp import Warp

# 3 mm voxels round the brain
GRID = Grid((54, 66, 53), np.array([[3.0, 0, 0, -80], [0, 3.0, 0, -98], [0, 0, 3.0, -77], [0, 0, 0, 1]]))
ML = float(np.prod(GRID.spacing_mm)) / 1000.0


SEEDS = range(10, 20)
PARTS = {"core": (1,), "oedema": (2,), "enhancing": (4,)}


def fractions(seed: int, grade: str | None) -> tuple[dict[BrainTissue, np.ndarray], np.ndarray]:
    kinds = list(BrainTissue)
    values = {kind: tuple(float(kind is other) for other in kinds) for kind in kinds}
    cover, labels = make_brain(seed, grade).paint(GRID, values)
    return dict(zip(kinds, cover, strict=True)), labels


@pytest.fixture(scope="module")
def gliomas() -> dict[str, list[np.ndarray]]:
    nothing = dict.fromkeys(BrainTissue, ())
    return {
        grade: [make_brain(seed, grade).paint(GRID, nothing)[1] for seed in SEEDS] for grade in ("HGG", "LGG")
    }


def ml(labels: np.ndarray, *values: int) -> float:
    return float(np.isin(labels, values).sum()) * ML


def test_every_voxel_is_filled_once() -> None:
    cover, _ = fractions(1, "HGG")
    total = sum(cover.values())
    np.testing.assert_allclose(total, 1.0, atol=1e-5)
    assert min(float(c.min()) for c in cover.values()) > -1e-5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_volumes_are_those_of_adults(seed: int) -> None:
    # usual: grey matter 600 to 800 ml, white matter 400 to 600 ml, with room for small and large heads
    cover, _ = fractions(seed, None)
    volume = {kind: float(c.sum()) * ML for kind, c in cover.items()}
    grey = sum(volume[k] for k in (BrainTissue.CORTEX, BrainTissue.STRIATUM, BrainTissue.THALAMUS))
    assert 500 < grey < 800
    assert 380 < volume[BrainTissue.WHITE_MATTER] < 680
    assert 120 < volume[BrainTissue.CEREBROSPINAL_FLUID] < 400
    brain = sum(volume.values()) - volume[BrainTissue.OUTSIDE]
    assert 1150 < brain < 1800


def test_grey_lies_between_white_matter_and_fluid_and_ventricles_in_the_middle() -> None:
    cover, _ = fractions(1, None)
    white = cover[BrainTissue.WHITE_MATTER] > 0.9
    outside = ndimage.distance_transform_edt(cover[BrainTissue.OUTSIDE] < 0.5) * GRID.spacing_mm[0]
    cortex = cover[BrainTissue.CORTEX] > 0.9
    assert np.median(outside[white]) > np.median(outside[cortex]) + 2
    # beyond 32 mm there are no sulci but the insular clefts, which 38 mm beside the midline
    x = np.abs(GRID.world(np.stack(np.indices(GRID.shape), -1).astype(float))[..., 0])
    ventricles = cover[BrainTissue.CEREBROSPINAL_FLUID][(outside > 32) & (x < 30)].sum() * ML
    assert 6 < ventricles < 70
    # stem and nuclei straddle the midline, which is at x = 0
    for kind in (BrainTissue.BRAIN_STEM, BrainTissue.THALAMUS, BrainTissue.STRIATUM):
        x = GRID.world(np.argwhere(cover[kind] > 0.5).astype(float))[:, 0]
        assert abs(x.mean()) < 8


def test_the_same_seed_makes_the_same_brain_and_another_seed_another() -> None:
    first, second, other = (fractions(seed, "HGG") for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[1], second[1])
    for kind in BrainTissue:
        np.testing.assert_array_equal(first[0][kind], second[0][kind])
    assert np.abs(first[0][BrainTissue.CORTEX] - other[0][BrainTissue.CORTEX]).mean() > 0.01


def test_grades_differ_in_core_oedema_and_enhancement(gliomas: dict[str, list[np.ndarray]]) -> None:
    high, low = gliomas["HGG"], gliomas["LGG"]
    median = {
        grade: {name: np.median([ml(g, *values) for g in all_]) for name, values in PARTS.items()}
        for grade, all_ in gliomas.items()
    }
    assert median["LGG"]["core"] > 1.2 * median["HGG"]["core"]
    assert median["HGG"]["oedema"] > 1.2 * median["LGG"]["oedema"]
    assert median["HGG"]["enhancing"] > 4 * median["LGG"]["enhancing"]
    # the whole-tumour range of BraTS is about 10 to 350 ml
    assert all(8 < ml(g, 1, 2, 4) < 350 for g in high + low)


def test_low_grade_volumes_lie_among_those_of_brats(gliomas: dict[str, list[np.ndarray]]) -> None:
    # of eleven published cases: label 1 from 1.5 to 146 ml, 2 from 0 to 214 ml, 4 from 0 to 90 ml, in four of
    # them at most 1.2 ml (docs/phantoms.md)
    low = gliomas["LGG"]
    assert all(ml(g, 1) < 146 and 0 < ml(g, 2) < 214 and ml(g, 4) < min(90, ml(g, 1)) for g in low)
    assert 25 < np.median([ml(g, 1) for g in low]) < 60
    assert 15 < np.median([ml(g, 2) for g in low]) < 60
    assert 3 <= sum(ml(g, 4) > 1 for g in low) <= 7
    assert 2 <= sum(ml(g, 4) == 0 for g in low) <= 5


def test_necrosis_lies_in_the_rim_and_the_core_in_oedema(gliomas: dict[str, list[np.ndarray]]) -> None:
    whole = []
    for seed, labels in zip(SEEDS, gliomas["HGG"], strict=True):
        assert set(np.unique(labels)) == {0, 1, 2, 4}
        assert TumourLabel.ENHANCING == 4
        filled = ndimage.binary_fill_holes(np.isin(labels, (1, 4)))
        core = ndimage.binary_erosion(filled)
        necrotic = labels == TumourLabel.NECROTIC_AND_NON_ENHANCING
        centre = np.argwhere(np.isin(labels, (1, 4))).mean(0)
        distance = {v: np.linalg.norm(np.argwhere(labels == v) - centre, axis=1).mean() for v in (1, 2, 4)}
        assert max(distance[1], distance[4]) < distance[2]
        tumour = make_brain(seed, "HGG").tumour
        assert tumour is not None
        whole.append(tumour.focus is None)
        if tumour.focus is None:
            assert necrotic[core].sum() > 0.8 * necrotic.sum()
            assert distance[1] < distance[4]
        else:
            # solid tumour without enhancement lies between enhancing tumour and oedema
            inside = ndimage.binary_fill_holes(labels == TumourLabel.ENHANCING)
            assert (necrotic & ~inside).sum() > 0.2 * necrotic.sum()
    assert 2 <= sum(whole) <= 8


def test_a_tumour_is_one_mass_on_one_side(gliomas: dict[str, list[np.ndarray]]) -> None:
    for all_ in gliomas.values():
        for labels in all_:
            parts, count = ndimage.label(np.isin(labels, (1, 4)))
            sizes = ndimage.sum_labels(np.ones_like(parts), parts, range(1, count + 1))
            assert max(sizes) > 0.95 * sizes.sum()
            x = GRID.world(np.argwhere(parts > 0).astype(float))[:, 0]
            assert abs(np.median(x)) > 8


def test_a_high_grade_tumour_pushes_the_midline_away() -> None:
    # the frontal one of seed 1 lies on the left: what is at the midline then was left of it before
    brain = make_brain(1, "HGG")
    tumour = brain.tumour
    assert tumour is not None
    point = np.array([[0.0, tumour.centre[1], tumour.centre[2]]])
    moved = tumour.displaced(point, np.ones(1))
    side = np.sign(tumour.centre[0])
    assert 1 < side * (moved - point)[0, 0] < 15
    np.testing.assert_array_equal(tumour.displaced(point, np.zeros(1)), point)


def test_the_push_never_folds_the_brain() -> None:
    for seed in range(8):
        tumour = make_brain(seed, "HGG").later(1.2).tumour
        assert tumour is not None
        ray = np.asarray(tumour.centre) + np.arange(0.0, 90.0, 0.5)[:, None] * np.array([1.0, 0.0, 0.0])
        was = tumour.displaced(ray, np.ones(len(ray)))[:, 0]
        assert (np.diff(was) > 0).all()


def test_a_tumour_grows_and_the_rest_stays() -> None:
    brain = make_brain(2, "HGG")
    nothing = dict.fromkeys(BrainTissue, ())
    before, after = (b.paint(GRID, nothing)[1] for b in (brain, brain.later(1.2)))
    assert 1.25 * ml(before, 1, 4) < ml(after, 1, 4) < 2.6 * ml(before, 1, 4)
    overlap = (np.isin(before, (1, 4)) & np.isin(after, (1, 4))).sum()
    assert overlap > 0.9 * np.isin(before, (1, 4)).sum()
    healthy = make_brain(2, None)
    assert healthy.later(1.2) is healthy


def test_the_distance_to_sheets_is_exact_for_one_plane_wave() -> None:
    still = Warp(np.zeros((1, 3)), np.zeros((1, 3)), np.zeros(1))
    wavelength = 20.0
    wave = np.array([[2 * np.pi / wavelength, 0, 0]], np.float32)
    # on a sphere so large that its surface is a plane beside the wavelength
    folding = Folding((5000.0, 5000.0, 5000.0), wave, np.zeros(1, np.float32), still)
    x = np.linspace(-12.0, 12.0, 49)
    points = np.stack([x, np.zeros_like(x), np.full_like(x, 5000.0)], axis=1)
    # cos is zero at odd multiples of a quarter wavelength
    expected = np.abs((x + 5.0) % 10.0 - 5.0)
    expected = 5.0 - expected
    np.testing.assert_allclose(np.abs(folding.sheet_distance(points)), expected, atol=0.05)


def test_a_sulcus_ends_at_its_depth_and_widens_outwards() -> None:
    zero = np.zeros((1, 1, 3), np.float32)
    depth = np.array([[[0.0, 8.0, 20.0]]], np.float32)
    far = Region((slice(None),) * 3, zero + 60.0, zero, zero + 12.0)
    f = sulcus(far, zero, depth, np.full_like(depth, 12.0), 0.5)
    np.testing.assert_allclose(f[0, 0], [-1.5, -0.5, 8.0 - 0.5], atol=1e-5)
