"""What scanner and tissue do to the image: resolution, correlated noise, texture, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from monai_sfda.phantom import CtScanner, Grid, MrScanner, Organ, image_ct, image_mr, make_abdomen
from monai_sfda.phantom.fields import blurred, exponential_field
from monai_sfda.phantom.kspace import acquisition_window, receive


def rise_mm(profile: np.ndarray, pixel_mm: float) -> float:
    """From 10 to 90% of a rising edge between 0 and 1, linearly interpolated."""
    middle = len(profile) // 2
    part = profile[middle - 40 : middle + 40]
    low, high = (np.flatnonzero(part >= level)[0] for level in (0.1, 0.9))
    at = [k - (part[k] - level) / (part[k] - part[k - 1]) for k, level in ((low, 0.1), (high, 0.9))]
    return float(at[1] - at[0]) * pixel_mm


def step(pixels: int) -> np.ndarray:
    image = np.zeros((pixels, 16, 2), np.float32)
    image[pixels // 2 :] = 1.0
    return image


def lag_correlation(field: np.ndarray, axis: int, lag: int) -> float:
    return float(np.mean(field * np.roll(field, lag, axis)) / np.mean(field**2))


@pytest.mark.parametrize("cutoff", [0.18, 0.25, 0.34])
def test_a_kernel_blurs_edges_as_its_point_spread_function_says(cutoff: float) -> None:
    # Gaussian of standard deviation 1 / (2 pi cutoff); 10 to 90% is 2.563 of them
    profile = blurred(step(512), (0.1, 0.1), cutoff)[:, 8, 0]
    assert rise_mm(profile, 0.1) == pytest.approx(2.563 / (2 * np.pi * cutoff), rel=0.01)


def test_mr_edges_are_as_wide_as_the_acquired_resolution_allows() -> None:
    # the edge response of an ideal low pass, 1/2 + Si(2 pi f_c x) / pi, rises from 10 to 90% in 0.446 / f_c
    window = acquisition_window((512, 16), (0.2, 0.2), (2.0, 0.1))
    profile = receive(step(512), window, 0.0, np.random.default_rng(0))[:, 8, 0]
    assert rise_mm(profile, 0.2) == pytest.approx(0.446 * 2 * 2.0, rel=0.12)
    assert profile.max() < 1.12, "the filter keeps ringing below Gibbs' 9% and a little"


def test_mr_noise_is_correlated_as_interpolation_from_fewer_samples_makes_it() -> None:
    # half of the frequencies along the first axis: neighbours correlate by sinc(1/2) = 2 / pi, and a little
    # more by the filter's roll-off; the second axis is acquired in full
    window = acquisition_window((256, 256), (1.0, 1.0), (2.0, 0.9))
    signal = np.full((256, 256, 4), 50.0, np.float32)
    noise = receive(signal, window, 1.0, np.random.default_rng(0)) - 50.0
    assert noise.std() == pytest.approx(1.0, rel=0.02)
    assert lag_correlation(noise, 0, 1) == pytest.approx(2 / np.pi, abs=0.05)
    assert lag_correlation(noise, 1, 1) == pytest.approx(0.0, abs=0.12)
    background = receive(np.zeros((256, 256, 4), np.float32), window, 1.0, np.random.default_rng(1))
    assert background.mean() == pytest.approx(np.sqrt(np.pi / 2), rel=0.02)


def test_pixels_coarser_than_the_acquisition_lose_nothing() -> None:
    np.testing.assert_allclose(acquisition_window((96, 96), (4.2, 4.2), (1.8, 2.0)), 1.0, atol=1e-2)


def test_texture_has_an_exponential_autocorrelation_on_every_grid() -> None:
    field = exponential_field(np.random.default_rng(0), (128, 96, 24), (1.6, 0.8, 5.0), 2.5)
    assert field.mean() == pytest.approx(0.0, abs=0.05)
    assert field.std() == pytest.approx(1.0, rel=0.03)
    for axis, lag, distance in ((0, 1, 1.6), (0, 2, 3.2), (1, 1, 0.8), (1, 4, 3.2), (2, 1, 5.0)):
        assert lag_correlation(field, axis, lag) == pytest.approx(np.exp(-distance / 2.5), abs=0.03)


def test_a_quarter_of_the_livers_is_fatty() -> None:
    shares = np.array([make_abdomen(seed).liver.fat_share for seed in range(300)])
    assert np.median(shares) == pytest.approx(0.035, rel=0.15)
    assert 0.15 < np.mean(shares > 0.056) < 0.4
    assert shares.max() < 0.3


def abdomen_grid(pixel_mm: float, slices: int, thickness_mm: float) -> Grid:
    pixels = int(380 / pixel_mm)
    affine = np.diag([pixel_mm, pixel_mm, thickness_mm, 1.0])
    affine[:3, 3] = [-190.0, -190.0, 20.0]
    return Grid((pixels, pixels, slices), affine)


def test_fatty_livers_are_darker_in_ct_and_brighter_in_the_fat_image() -> None:
    subjects = sorted((make_abdomen(seed) for seed in range(40)), key=lambda subject: subject.liver.fat_share)
    grid = abdomen_grid(3.0, 4, 6.0)

    def liver(image: np.ndarray, labels: np.ndarray) -> float:
        return float(np.median(image[labels == Organ.LIVER]))

    lean, fatty = subjects[0], subjects[-1]
    ct = [image_ct(subject, grid, CtScanner(noise_hu=0.0), 1) for subject in (lean, fatty)]
    mr = [image_mr(subject, grid, MrScanner(bias=0.0, ghost=0.0), 1, "Fat") for subject in (lean, fatty)]
    difference = fatty.liver.fat_share - lean.liver.fat_share
    assert liver(ct[0].array, ct[0].labels) - liver(ct[1].array, ct[1].labels) == pytest.approx(
        172 * difference, abs=4
    )
    assert liver(mr[1].array, mr[1].labels) > 1.5 * liver(mr[0].array, mr[0].labels)
