"""Hounsfield units, contrast phases, noise and couch of the CT phantoms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from monai_sfda.phantom import (
    ContrastPhase,
    CtScanner,
    Grid,
    Organ,
    Tissue,
    ct_grid,
    draw_ct_scanner,
    image_ct,
    make_abdomen,
)
from monai_sfda.phantom.fields import filtered_noise

SEED = 3


@pytest.fixture(scope="module")
def grid() -> Grid:
    return ct_grid(4, 128, "LAS")


@pytest.fixture(scope="module")
def purely(grid: Grid) -> dict[Tissue, np.ndarray]:
    """For some tissues the voxels that nothing else fills."""
    asked = (
        Tissue.LIVER,
        Tissue.SPLEEN,
        Tissue.SUBCUTANEOUS_FAT,
        Tissue.LUNG,
        Tissue.CANCELLOUS_BONE,
        Tissue.ARTERIAL_BLOOD,
        Tissue.RENAL_CORTEX,
        Tissue.RENAL_MEDULLA,
    )
    values = {tissue: tuple(float(tissue is t) for t in asked) for tissue in Tissue}
    cover = make_abdomen(SEED).paint(grid, values)[0]
    return {tissue: cover[i] > 0.99 for i, tissue in enumerate(asked)}


@pytest.mark.parametrize(
    ("tissue", "low", "high"),
    [
        (Tissue.LIVER, 85, 130),
        (Tissue.SPLEEN, 95, 150),
        (Tissue.SUBCUTANEOUS_FAT, -120, -85),
        (Tissue.LUNG, -870, -780),
        (Tissue.CANCELLOUS_BONE, 120, 260),
        (Tissue.ARTERIAL_BLOOD, 110, 200),
    ],
)
def test_hounsfield_units_in_the_portal_venous_phase(
    tissue: Tissue, low: float, high: float, grid: Grid, purely: dict[Tissue, np.ndarray]
) -> None:
    image = image_ct(make_abdomen(SEED), grid, CtScanner(), 1)
    assert image.array.dtype == np.int16
    assert purely[tissue].sum() > 10
    assert low < image.array[purely[tissue]].mean() < high
    assert 400 < np.percentile(image.array, 99.9) < 1000, "cortical bone, thinner than a voxel"
    corner = image.array[:5, -5:].astype(float)
    assert corner.mean() == pytest.approx(-1000, abs=8)


def test_phases_differ_in_aorta_and_renal_cortex(grid: Grid, purely: dict[Tissue, np.ndarray]) -> None:
    mean = {}
    for phase in ContrastPhase:
        image = image_ct(make_abdomen(SEED), grid, CtScanner(phase=phase), 1)
        mean[phase] = {tissue: image.array[where].mean() for tissue, where in purely.items()}
    none, arterial, portal = (mean[phase] for phase in ContrastPhase)
    assert none[Tissue.ARTERIAL_BLOOD] < portal[Tissue.ARTERIAL_BLOOD] < arterial[Tissue.ARTERIAL_BLOOD]
    assert arterial[Tissue.RENAL_CORTEX] - arterial[Tissue.RENAL_MEDULLA] > 40
    assert abs(none[Tissue.RENAL_CORTEX] - none[Tissue.RENAL_MEDULLA]) < 20
    assert portal[Tissue.LIVER] > arterial[Tissue.LIVER] > none[Tissue.LIVER]


def test_most_scans_are_portal_venous() -> None:
    phases = [draw_ct_scanner(seed).phase for seed in range(200)]
    assert 0.75 < np.mean([phase is ContrastPhase.PORTAL_VENOUS for phase in phases]) < 0.93
    assert set(phases) == set(ContrastPhase)


def test_the_noise_has_the_asked_level_in_the_middle_of_the_body(grid: Grid) -> None:
    anatomy, scanner = make_abdomen(SEED), CtScanner(noise_hu=20.0)
    noisy, quiet = (
        image_ct(anatomy, grid, scanner, 1),
        image_ct(anatomy, grid, replace(scanner, noise_hu=0.0), 1),
    )
    difference = noisy.array.astype(float) - quiet.array
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1)
    x, y = np.moveaxis(grid.world(index), -1, 0)[:2]
    assert difference[np.hypot(x, y) < 30].std() == pytest.approx(20.0, rel=0.1)
    # the corners are clipped at neither end: there the noise is lower
    assert difference[np.hypot(x, y) > 180].std() == pytest.approx(11.0, rel=0.15)


def test_reconstructed_noise_is_correlated_in_plane_alone_and_has_no_mean() -> None:
    noise = filtered_noise(np.random.default_rng(0), (96, 96, 12), (0.8, 0.8), 0.25)
    assert noise.std() == pytest.approx(1.0, rel=1e-3)
    along_x = np.mean(noise[1:] * noise[:-1])
    along_z = np.mean(noise[..., 1:] * noise[..., :-1])
    assert along_x > 0.3
    assert abs(along_z) < 0.02
    # the ramp takes the low frequencies away: means of large patches vanish, unlike smooth noise
    patches = noise.reshape(4, 24, 4, 24, 12).mean((1, 3))
    white = np.random.default_rng(0).standard_normal((96, 96, 12))
    smooth = ndimage.gaussian_filter(white, (1.5, 1.5, 0.0), mode="wrap")
    smooth /= smooth.std()
    smooth_patches = smooth.reshape(4, 24, 4, 24, 12).mean((1, 3))
    assert patches.std() < 0.4 * smooth_patches.std()


def test_streaks_run_along_x_when_the_noise_is_elongated() -> None:
    noise = filtered_noise(np.random.default_rng(0), (128, 128, 6), (0.8, 0.8), 0.25, elongation=0.6)
    along_x, along_y = np.mean(noise[3:] * noise[:-3]), np.mean(noise[:, 3:] * noise[:, :-3])
    assert along_x > along_y + 0.05


def test_the_couch_lies_below_the_patient_in_every_orientation() -> None:
    anatomy = make_abdomen(SEED)
    for orientation in ("LAS", "LPS"):
        grid = ct_grid(4, 96, orientation)
        image = image_ct(anatomy, grid, CtScanner(noise_hu=0.0, couch_gap_mm=15.0), 1)
        index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1)
        x, y = np.moveaxis(grid.world(index), -1, 0)[:2]
        top = anatomy.couch_y_mm() - 15.0
        shell = (np.abs(x) < 8) & (np.abs(y - top) < 4) & (y < top + 1)
        assert image.array[shell].max() > -500
        above = (np.abs(x) < 8) & (y > 190)
        assert image.array[above].max(initial=-1000) < -900


def test_imaging_and_anatomy_have_seeds_of_their_own(grid: Grid) -> None:
    anatomy = make_abdomen(SEED)
    first, again, other = (image_ct(anatomy, grid, CtScanner(), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.array, again.array)
    np.testing.assert_array_equal(first.labels, other.labels)
    assert np.mean(first.array != other.array) > 0.8
    assert set(np.unique(first.labels)) <= set(Organ)
