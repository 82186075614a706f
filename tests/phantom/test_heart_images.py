"""Balanced steady-state MR against a simulation of spins, and the contrast of both modalities."""

from __future__ import annotations

from dataclasses import replace

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from monai_sfda.phantom import (
    Angiography,
    CtScanner,
    HeartLabel,
    HeartMrScanner,
    Tissue,
    draw_angiography,
    draw_heart_mr_scanner,
    heart_ct_grid,
    heart_mr_grid,
    image_heart_ct,
    image_heart_mr,
    make_thorax,
)
from monai_sfda.phantom.heart_grids import HEART_CT_ORIENTATIONS, HEART_MR_ORIENTATIONS
from monai_sfda.phantom.heart_mr import HEART_MR_TISSUES, balanced_signal, tissue_signals

QUIET = HeartMrScanner(
    noise=0.0, ghost=0.0, bias=0.0, surface=0.0, texture=0.0, suppression_loss=0.0, resolution_mm=0.5
)


def simulated(t1_ms: float, t2_ms: float, repetition_ms: float, flip_degrees: float) -> float:
    """The transverse magnetisation at TE = TR / 2 after many alternating pulses, by the Bloch equations."""
    m = np.array([0.0, 0.0, 1.0])  # rotating frame: pulses about x
    angle = np.deg2rad(flip_degrees)
    half = np.exp(-0.5 * repetition_ms / np.array([t2_ms, t2_ms, t1_ms]))
    recovered = np.array([0.0, 0.0, 1.0 - half[2]])
    for pulse in range(4000):
        a = angle if pulse % 2 else -angle
        m = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]]) @ m
        m = m * half + recovered
        echo = abs(m[1])
        m = m * half + recovered
    return float(echo)


@pytest.mark.parametrize("flip", [20.0, 60.0, 90.0])
@pytest.mark.parametrize(("t1", "t2"), [(1441.0, 240.0), (1030.0, 48.0), (343.0, 58.0)])
def test_balanced_signal_is_the_steady_state_of_spins(t1: float, t2: float, flip: float) -> None:
    assert balanced_signal(1.0, t1, t2, 3.6, flip) == pytest.approx(simulated(t1, t2, 3.6, flip), rel=1e-4)


def test_balanced_signal_weighs_t2_over_t1() -> None:
    # for TR far below T2: sin(a) / (1 + cos(a) + (1 - cos(a)) T1 / T2); at 90 degrees 1 / (1 + T1 / T2)
    assert balanced_signal(1.0, 1000.0, 250.0, 0.01, 90.0) == pytest.approx(0.2, rel=1e-3)


def test_t2_preparation_darkens_muscle_beside_blood() -> None:
    def ratio(preparation_ms: float) -> float:
        scanner = replace(QUIET, preparation_ms=preparation_ms)
        blood, muscle = (
            sum(tissue_signals(HEART_MR_TISSUES[t], scanner))
            for t in (Tissue.ARTERIAL_BLOOD, Tissue.MYOCARDIUM)
        )
        return blood / muscle

    assert 2.0 < ratio(0.0) < 4.5
    # exp(-40 / 240) over exp(-40 / 48)
    assert ratio(40.0) / ratio(0.0) == pytest.approx(np.exp(40 / 48 - 40 / 240), rel=1e-6)


def inner(labels: np.ndarray, label: HeartLabel) -> np.ndarray:
    """Voxels of a structure away from its surface."""
    return ndimage.binary_erosion(labels == label)


@pytest.fixture(scope="module")
def mr_means() -> dict[HeartLabel, float]:
    thorax = make_thorax(101)
    image = image_heart_mr(thorax, heart_mr_grid(2, 128, "LPS"), QUIET, 4)
    return {label: float(image.array[inner(image.labels, label)].mean()) for label in HeartLabel}


def test_blood_is_bright_and_muscle_dark_in_mr(mr_means: dict[HeartLabel, float]) -> None:
    muscle = mr_means[HeartLabel.MYOCARDIUM]
    for label in (HeartLabel.LEFT_VENTRICLE, HeartLabel.LEFT_ATRIUM, HeartLabel.ASCENDING_AORTA):
        assert mr_means[label] > 2.2 * muscle
    for label in (HeartLabel.RIGHT_VENTRICLE, HeartLabel.RIGHT_ATRIUM, HeartLabel.PULMONARY_ARTERY):
        assert mr_means[label] > 1.5 * muscle


def test_noise_of_mr_is_what_the_scanner_says() -> None:
    thorax, grid = make_thorax(101), heart_mr_grid(2, 96, "LPS")
    scanner = replace(QUIET, noise=0.05)
    with_noise, without = (image_heart_mr(thorax, grid, s, 4) for s in (scanner, QUIET))
    where = inner(without.labels, HeartLabel.LEFT_VENTRICLE)
    difference = with_noise.array[where].astype(float) - without.array[where]
    assert difference.std() == pytest.approx(0.05 * scanner.gain, rel=0.1)


def test_ct_has_the_hounsfield_units_of_its_bolus() -> None:
    quiet = CtScanner(noise_hu=0.0, cupping_hu=0.0, cutoff_per_mm=2.0)
    study = Angiography(380.0, 250.0, 160.0, 30.0, 110.0, quiet)
    image = image_heart_ct(make_thorax(101), heart_ct_grid(2, 128, "LPS"), study, 4)
    expected = {
        HeartLabel.LEFT_VENTRICLE: 380.0,
        HeartLabel.LEFT_ATRIUM: 380.0,
        HeartLabel.ASCENDING_AORTA: 380.0,
        HeartLabel.RIGHT_VENTRICLE: 250.0,
        HeartLabel.PULMONARY_ARTERY: 250.0,
        HeartLabel.RIGHT_ATRIUM: 160.0,
        HeartLabel.MYOCARDIUM: 110.0,
    }
    for label, hounsfield in expected.items():
        found = float(np.median(image.array[inner(image.labels, label)]))
        assert found == pytest.approx(hounsfield, abs=12.0), label.name
    # lungs on both sides of the heart
    share = np.mean((image.array > -950) & (image.array < -700))
    assert 0.15 < share < 0.6


def test_protocols_vary_within_what_is_usual() -> None:
    studies = [draw_angiography(seed) for seed in range(40)]
    assert all(300 <= s.left_hu <= 450 and 90 <= s.myocardium_hu <= 130 for s in studies)
    assert any(s.pulmonary_hu > 0.9 * s.left_hu for s in studies)
    assert any(s.pulmonary_hu < 0.5 * s.left_hu for s in studies)
    scanners = [draw_heart_mr_scanner(seed) for seed in range(40)]
    assert all(60 <= s.flip_degrees <= 90 and 3.0 <= s.repetition_ms <= 4.6 for s in scanners)


def test_orientations_vary_and_mr_is_oblique() -> None:
    mr, ct = ([make(seed, 96) for seed in range(60)] for make in (heart_mr_grid, heart_ct_grid))
    assert {"".join(nibabel.aff2axcodes(grid.affine)) for grid in mr} == set(HEART_MR_ORIENTATIONS)
    assert {"".join(nibabel.aff2axcodes(grid.affine)) for grid in ct} == set(HEART_CT_ORIENTATIONS)
    tilts = [float(nibabel.affines.obliquity(grid.affine).max()) for grid in mr]
    assert np.rad2deg(np.median(tilts)) > 4
    assert max(float(nibabel.affines.obliquity(grid.affine).max()) for grid in ct) == pytest.approx(
        0, abs=1e-6
    )


def test_the_whole_heart_is_in_the_field_of_view() -> None:
    """At most the ends of the aorta and a rim are cut off."""
    for seed in range(100, 104):
        thorax = make_thorax(seed)
        whole = heart_mr_grid(1, 96, "RAS")
        everything = (thorax.labels(whole) == HeartLabel.LEFT_VENTRICLE).sum() * np.prod(whole.spacing_mm)
        for grid in (heart_mr_grid(seed, 96), heart_ct_grid(seed, 96)):
            seen = (thorax.labels(grid) == HeartLabel.LEFT_VENTRICLE).sum() * np.prod(grid.spacing_mm)
            assert seen == pytest.approx(everything, rel=0.08)
