"""MR physics against closed forms and hand-computed numbers, and the images' contrast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monai_sfda.phantom import MrScanner, Organ, Tissue, draw_mr_scanner, image_mr, make_abdomen, mr_grid
from monai_sfda.phantom.kspace import receive
from monai_sfda.phantom.mr import (
    STORED_MAXIMUM,
    gradient_echo_signal,
    spin_echo_signal,
    tissue_signals,
)
from monai_sfda.phantom.mr_tissues import MR_TISSUES

QUIET = MrScanner(
    noise=0.0,
    ghost=0.0,
    bias=0.0,
    surface=0.0,
    texture=0.0,
    suppression_loss=0.0,
    readout_mm=0.5,
    phase_mm=0.5,
)


def purely(tissue: Tissue, seed: int = 3, matrix: int = 96) -> np.ndarray:
    """Voxels that nothing but this tissue fills."""
    values = {t: (1.0 if t is tissue else 0.0,) for t in Tissue}
    return make_abdomen(seed).paint(mr_grid(4, matrix), values)[0][0] > 0.999


@pytest.mark.parametrize(
    ("density", "t1", "t2", "repetition", "echo", "expected"),
    [
        (0.8, 1000.0, 80.0, 2000.0, 80.0, 0.25447),  # 0.8 (1 - e^-2) e^-1
        (1.0, 500.0, 50.0, 500.0, 0.0, 0.63212),  # 1 - e^-1
        (1.0, 1000.0, 46.0, 1e9, 46.0, 0.36788),  # e^-1
    ],
)
def test_spin_echo_signal(
    density: float, t1: float, t2: float, repetition: float, echo: float, expected: float
) -> None:
    assert spin_echo_signal(density, t1, t2, repetition, echo) == pytest.approx(expected, abs=1e-5)


def test_gradient_echo_signal() -> None:
    # at 90 degrees the spoiled steady state is 1 - exp(-TR/T1): (1 - e^-1) e^-0.5
    assert gradient_echo_signal(1.0, 500.0, 20.0, 500.0, 10.0, 90.0) == pytest.approx(0.38340, abs=1e-5)
    # at the Ernst angle arccos(E1) it is sqrt((1 - E1) / (1 + E1))
    e1 = np.exp(-0.2)
    angle = np.rad2deg(np.arccos(e1))
    ernst = gradient_echo_signal(1.0, 500.0, 1e9, 100.0, 1.0, float(angle))
    assert ernst == pytest.approx(np.sqrt((1 - e1) / (1 + e1)), rel=1e-6)


def test_rician_noise_has_the_closed_forms_moments() -> None:
    rng = np.random.default_rng(0)
    everything = np.ones((64, 64), np.float32)
    background = receive(np.zeros((64, 64, 32), np.float32), everything, 0.02, rng)
    assert background.mean() == pytest.approx(0.02 * np.sqrt(np.pi / 2), rel=0.01)
    assert background.std() == pytest.approx(0.02 * np.sqrt(2 - np.pi / 2), rel=0.01)
    strong = receive(np.full((64, 64, 32), 1.0, np.float32), everything, 0.02, rng)
    assert strong.mean() == pytest.approx(np.sqrt(1 + 0.02**2), rel=1e-3)
    assert strong.std() == pytest.approx(0.02, rel=0.02)


def test_the_air_around_the_patient_is_rayleigh_distributed() -> None:
    scanner = replace(draw_mr_scanner(5), ghost=0.0)
    image = image_mr(make_abdomen(3), mr_grid(4, 96), scanner, 6)
    corner = image.array[:10, :10].astype(float)
    assert corner.mean() == pytest.approx(scanner.noise * scanner.gain * np.sqrt(np.pi / 2), rel=0.05)


def test_an_image_without_imperfections_has_the_signal_of_its_tissue() -> None:
    image = image_mr(make_abdomen(3), mr_grid(4, 96), QUIET, 9)
    # subjects vary by a few per cent round the tissues' mean relaxation times
    for tissue in (Tissue.LIVER, Tissue.SPLEEN, Tissue.MUSCLE):
        water, fat = tissue_signals(MR_TISSUES[tissue], QUIET, "T2SPIR")
        expected = (water + fat * (1 - QUIET.fat_suppression)) * QUIET.gain
        values = image.array[purely(tissue)]
        assert values.std() < 1, tissue
        assert values.mean() == pytest.approx(expected, rel=0.6), tissue


def test_t2_spir_suppresses_fat_and_shows_spleen_and_kidneys_brighter_than_liver() -> None:
    for seed in (1, 2, 3):
        image = image_mr(make_abdomen(3), mr_grid(4, 96), draw_mr_scanner(seed), seed)
        mean = {
            organ: image.array[image.labels == organ].mean()
            for organ in (Organ.LIVER, Organ.SPLEEN, Organ.RIGHT_KIDNEY, Organ.LEFT_KIDNEY)
        }
        fat = image.array[purely(Tissue.SUBCUTANEOUS_FAT)].mean()
        assert fat < 0.65 * mean[Organ.LIVER]
        assert min(mean[Organ.SPLEEN], mean[Organ.RIGHT_KIDNEY]) > 1.15 * mean[Organ.LIVER]
        assert image.array.max() <= STORED_MAXIMUM
        assert np.mean(image.array == STORED_MAXIMUM) < 1e-3


def test_fat_and_water_cancel_out_of_phase_where_they_share_a_voxel() -> None:
    anatomy, grid = make_abdomen(3), mr_grid(4, 96)
    in_phase = image_mr(anatomy, grid, QUIET, 9, "InPhase").array.astype(float)
    out_phase = image_mr(anatomy, grid, QUIET, 9, "OutPhase").array.astype(float)
    values = dict.fromkeys(Tissue, (0.0, 0.0)) | {Tissue.SPLEEN: (1.0, 0.0), Tissue.VISCERAL_FAT: (0.0, 1.0)}
    spleen, fat = anatomy.paint(grid, values)[0]
    shared = (spleen > 0.4) & (fat > 0.35)
    assert shared.sum() > 20
    assert np.median(out_phase[shared] / in_phase[shared]) < 0.4
    assert out_phase[spleen > 0.999].mean() > 0.9 * in_phase[spleen > 0.999].mean()


def test_a_seed_sequence_is_not_used_up() -> None:
    seed = np.random.SeedSequence(5)
    grid = mr_grid(4, 32)
    subjects = [make_abdomen(seed) for _ in range(2)]
    images = [image_mr(subject, grid, QUIET, seed) for subject in subjects]
    np.testing.assert_array_equal(images[0].labels, images[1].labels)
    np.testing.assert_array_equal(images[0].array, images[1].array)


def test_imaging_and_anatomy_have_seeds_of_their_own() -> None:
    anatomy, grid, scanner = make_abdomen(3), mr_grid(4, 64), draw_mr_scanner(0)
    first, again, other = (image_mr(anatomy, grid, scanner, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.array, again.array)
    np.testing.assert_array_equal(first.labels, other.labels)
    assert np.mean(first.array != other.array) > 0.8
