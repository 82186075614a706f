"""The brain's MR images: contrasts of the sequences, contrast agent, background, slices, noise."""

from __future__ import annotations

import time

import numpy as np
import pytest

from monai_sfda.phantom import BrainTissue, brats_grid, draw_brain_scanner, image_brain, make_brain
from monai_sfda.phantom.brain_mr import (
    SEQUENCES,
    Acquisition,
    BrainScanner,
    brain_signal,
    inversion_recovery_signal,
    inversion_time_ms,
)
from monai_sfda.phantom.brain_tissues import BRAIN_TISSUES, GADOLINIUM_MMOL, with_gadolinium
from monai_sfda.phantom.mr_tissues import MrTissue

MATRIX = 120
SCANNERS = [draw_brain_scanner(seed) for seed in range(20)]
OLDER = [draw_brain_scanner(seed, older=True) for seed in range(20)]


def signal(kind: BrainTissue, scanner: BrainScanner, sequence: str) -> float:
    return brain_signal(BRAIN_TISSUES[kind], scanner, sequence, GADOLINIUM_MMOL.get(kind, 0.0))


def order(scanner: BrainScanner, sequence: str, *kinds: BrainTissue) -> bool:
    values = [signal(kind, scanner, sequence) for kind in kinds]
    return values == sorted(values, reverse=True) and len(set(values)) == len(values)


WHITE, CORTEX, FLUID = BrainTissue.WHITE_MATTER, BrainTissue.CORTEX, BrainTissue.CEREBROSPINAL_FLUID
OEDEMA, RIM = BrainTissue.OEDEMA, BrainTissue.ENHANCING_TUMOUR
NECROSIS = BrainTissue.NECROSIS


@pytest.mark.parametrize("scanner", [*SCANNERS, *OLDER])
def test_contrasts_are_in_the_order_of_every_textbook(scanner: BrainScanner) -> None:
    assert order(scanner, "t1", WHITE, CORTEX, FLUID)
    assert order(scanner, "t1", WHITE, OEDEMA, NECROSIS)
    assert order(scanner, "t2", FLUID, OEDEMA, CORTEX, WHITE)
    assert order(scanner, "t2", NECROSIS, OEDEMA)
    assert order(scanner, "flair", OEDEMA, CORTEX, WHITE)
    assert abs(signal(FLUID, scanner, "flair")) < 0.2 * signal(WHITE, scanner, "flair")
    # the rim is grey before contrast agent and the brightest tissue after it
    assert signal(RIM, scanner, "t1") < signal(WHITE, scanner, "t1")
    assert signal(RIM, scanner, "t1ce") > 1.2 * signal(WHITE, scanner, "t1ce")
    assert signal(OEDEMA, scanner, "t1ce") < signal(WHITE, scanner, "t1ce")


def test_fluid_is_nulled_at_the_inversion_time() -> None:
    for t1, repetition in ((4200.0, 9000.0), (3000.0, 6000.0), (800.0, 1e6)):
        inversion = inversion_time_ms(t1, repetition)
        assert inversion_recovery_signal(1.0, t1, 100.0, repetition, 100.0, inversion) == pytest.approx(
            0, abs=1e-9
        )
    assert inversion_time_ms(800.0, 1e6) == pytest.approx(800.0 * np.log(2.0))


def test_contrast_agent_adds_relaxation_rates() -> None:
    after = with_gadolinium(MrTissue(1.0, 1000.0, 100.0), 0.5)
    assert after.t1_ms == pytest.approx(1000.0 / (1.0 + 4.1 * 0.5))
    assert after.t2_ms == pytest.approx(1000.0 / (10.0 + 4.6 * 0.5))
    assert with_gadolinium(MrTissue(1.0, 1000.0, 100.0), 0.0).t1_ms == pytest.approx(1000.0)


@pytest.fixture(scope="module")
def images():
    return image_brain(make_brain(3, "HGG"), brats_grid(MATRIX), thin(draw_brain_scanner(4)), 5)


def thin(scanner: BrainScanner) -> BrainScanner:
    from dataclasses import replace

    acquisition = Acquisition(in_plane_mm=2.0, slice_mm=2.0, noise=0.02, gain=400.0)
    return replace(scanner, acquisitions=dict.fromkeys(SEQUENCES, acquisition))


def median(images, sequence: str, *labels: int) -> float:
    return float(np.median(images.arrays[sequence][np.isin(images.labels, labels)]))


def test_the_images_show_the_tumour_as_its_labels_say(images) -> None:
    brain = {s: float(np.median(a[a > 0])) for s, a in images.arrays.items()}
    assert median(images, "t1ce", 4) > 1.15 * brain["t1ce"]
    assert median(images, "t1", 4) < brain["t1"] * 1.05
    assert median(images, "flair", 2) > 1.2 * brain["flair"]
    assert median(images, "t2", 2) > 1.1 * brain["t2"]
    assert median(images, "t1ce", 1) < 0.8 * median(images, "t1ce", 4)


def test_the_background_is_exactly_zero_and_the_brain_is_not(images) -> None:
    inside = {s: a > 0 for s, a in images.arrays.items()}
    for sequence in SEQUENCES:
        assert images.arrays[sequence].dtype == np.int16
        assert images.arrays[sequence].min() == 0
        np.testing.assert_array_equal(inside[sequence], inside["t1"])
    assert 0.08 < inside["t1"].mean() < 0.35
    assert not images.labels[~inside["t1"]].any()
    for axis in range(3):
        edges = np.take(inside["t1"], (0, -1), axis=axis)
        assert axis == 2 or not edges.any()


def test_all_sequences_show_one_anatomy(images) -> None:
    t1, t2 = (images.arrays[s].astype(float) for s in ("t1", "t2"))
    brain = t1 > 0
    assert np.corrcoef(t1[brain], t2[brain])[0, 1] < -0.4


def test_the_same_seed_makes_the_same_images(images) -> None:
    again = image_brain(make_brain(3, "HGG"), brats_grid(MATRIX), thin(draw_brain_scanner(4)), 5)
    other = image_brain(make_brain(3, "HGG"), brats_grid(MATRIX), thin(draw_brain_scanner(4)), 6)
    for sequence in SEQUENCES:
        np.testing.assert_array_equal(images.arrays[sequence], again.arrays[sequence])
        assert (images.arrays[sequence] != other.arrays[sequence]).mean() > 0.05
    np.testing.assert_array_equal(images.labels, other.labels)


def test_thick_slices_are_smoother_across_slices_than_thin_ones() -> None:
    from dataclasses import replace

    scanner = thin(draw_brain_scanner(4))
    thick = replace(scanner.acquisitions["t2"], slice_mm=8.0)
    blurred = replace(scanner, acquisitions=scanner.acquisitions | {"t2": thick})
    images = [image_brain(make_brain(3, None), brats_grid(80), s, 5) for s in (scanner, blurred)]
    inside = np.logical_and.reduce([np.diff(i.arrays["t2"] > 0, axis=2) == 0 for i in images])
    change = [np.abs(np.diff(i.arrays["t2"].astype(float), axis=2))[inside].mean() for i in images]
    assert change[1] < 0.6 * change[0]


def test_scanners_differ_and_mostly_image_t1_in_thinner_slices() -> None:
    thick = {s: np.mean([scanner.acquisitions[s].slice_mm > 2.0 for scanner in SCANNERS]) for s in SEQUENCES}
    assert thick["t1"] < thick["flair"]
    assert len({scanner.t2_echo_ms for scanner in SCANNERS}) == len(SCANNERS)
    assert len({scanner.acquisitions["t1"].gain for scanner in SCANNERS}) == len(SCANNERS)


def test_older_scanners_have_thicker_slices_more_noise_and_less_contrast() -> None:
    def mean_of(scanners: list[BrainScanner], kinds: tuple[BrainTissue, ...], sequence: str) -> float:
        first, second = ([signal(kind, s, sequence) for s in scanners] for kind in kinds)
        return float(np.mean(np.divide(first, second)))

    for sequence in SEQUENCES:
        slices, noise = (
            [np.mean([getattr(s.acquisitions[sequence], name) for s in group]) for group in (SCANNERS, OLDER)]
            for name in ("slice_mm", "noise")
        )
        assert slices[1] > 1.2 * slices[0]
        assert noise[1] > 1.2 * noise[0]
    assert mean_of(OLDER, (WHITE, CORTEX), "t1") < mean_of(SCANNERS, (WHITE, CORTEX), "t1")
    assert mean_of(OLDER, (RIM, WHITE), "t1ce") < mean_of(SCANNERS, (RIM, WHITE), "t1ce")
    assert np.mean([s.uptake for s in OLDER]) < np.mean([s.uptake for s in SCANNERS])


def test_a_subject_of_full_size_takes_seconds() -> None:
    start = time.process_time()
    images = image_brain(make_brain(1, "HGG"), brats_grid(240), draw_brain_scanner(1), 1)
    assert time.process_time() - start < 30
    assert images.labels.shape == (240, 240, 155)
