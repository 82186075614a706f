"""The measures of the phantom comparison against closed forms, and the comparison with real limbs itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from benchmarks import phantom_realism, realism_scans
from benchmarks import realism_measures as measures
from monai_sfda.phantom.fields import exponential_field
from tests.builders import REPOSITORY

REAL_SCANS = REPOSITORY.parent / "shared" / "data"


@pytest.mark.parametrize(("sigma", "place"), [(0.8, 0.0), (1.5, 2.0), (3.0, -1.5)])
def test_the_width_and_place_of_a_gaussian_edge_are_found(sigma: float, place: float) -> None:
    offsets = np.arange(-9.0, 9.1, 0.5)
    profile = 20.0 - 60.0 * special.erf((offsets - place) / (np.sqrt(2) * sigma))
    edges = measures.fit_edges(offsets, profile[None], minimum_contrast=40.0)
    assert edges.width_mm == pytest.approx([2.563 * sigma], rel=0.06)
    assert edges.place_mm == pytest.approx([place], abs=0.01)
    assert edges.contrast == pytest.approx([120.0], rel=0.03)
    assert edges.profiles[0, [0, -1]] == pytest.approx([1.0, 0.0], abs=0.02)


def test_profiles_without_a_single_edge_are_left_out() -> None:
    offsets = np.arange(-9.0, 9.1, 0.5)
    ridge, flat = 100.0 * np.exp(-(offsets**2) / 8), np.zeros_like(offsets)
    assert len(measures.fit_edges(offsets, np.stack([ridge, flat]), 40.0).width_mm) == 0
    assert len(measures.fit_edges(offsets, np.empty((0, offsets.size)), 40.0).width_mm) == 0


def test_profiles_run_from_inside_to_outside_across_a_disc() -> None:
    x, y = np.meshgrid(np.arange(80) - 40.0, np.arange(80) - 40.0, indexing="ij")
    radius = np.hypot(x, y)
    image = (100.0 * 0.5 * special.erfc((radius - 25.0) / (np.sqrt(2) * 1.2)))[..., None]
    offsets, profiles = measures.edge_profiles(image, image > 50, np.ones(image.shape, bool), 1.0)
    edges = measures.fit_edges(offsets, profiles, 40.0)
    assert len(edges.width_mm) > 100
    assert np.median(edges.width_mm) == pytest.approx(2.563 * 1.2, rel=0.1)
    assert np.all(edges.contrast > 0)


def test_the_correlation_length_does_not_depend_on_the_masks_shape() -> None:
    field = exponential_field(np.random.default_rng(0), (160, 160, 8), (0.5, 0.5, 9.0), 1.0)
    everything = np.ones(field.shape, bool)
    narrow = np.zeros(field.shape, bool)
    narrow[20:140, 70:100] = True
    for mask in (everything, narrow):
        length = measures.correlation_length(*measures.autocorrelation(field, mask, 0.5))
        assert length == pytest.approx(1.0, rel=0.15)


def test_the_exponent_of_a_power_law_spectrum_is_found() -> None:
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(128, 2.0)[:, None], np.fft.fftfreq(128, 2.0)[None])
    amplitude = np.where(frequency > 0, np.maximum(frequency, 1e-6) ** -1.25, 0.0)[..., None]
    white = np.fft.fft2(rng.standard_normal((128, 128, 20)), axes=(0, 1))
    image = np.fft.ifft2(white * amplitude, axes=(0, 1)).real
    spectrum = measures.radial_spectrum(image, 2.0)
    assert measures.spectrum_slope(*spectrum) == pytest.approx(-2.5, abs=0.15)


def test_the_body_is_the_trunk_without_couch_and_holes() -> None:
    x, y = np.meshgrid(np.arange(60), np.arange(60), indexing="ij")
    trunk = (np.hypot(x - 30, y - 34) < 20)[..., None]
    image = np.where(trunk, 40.0, -1000.0)
    image[28:33, 30:38] = -900.0  # gas
    image[10:50, 5:7] = 0.0  # couch
    np.testing.assert_array_equal(measures.body_mask(image, -300.0)[20:40, 20:50], trunk[20:40, 20:50])
    assert not measures.body_mask(image, -300.0)[:, 5:7].any()


@pytest.mark.parametrize("kind", ["CT", "MR"])
def test_edges_and_noise_of_a_phantom_have_the_width_that_the_documentation_states(kind: str) -> None:
    scan = next(realism_scans.phantom_trunks(kind, 100, 3))
    found = phantom_realism.measure_tissues(scan)
    assert 2.0 < found["fat: edge width, mm"] < 3.3
    distance, correlation = measures.autocorrelation(
        scan.image, measures.eroded(scan.tissues["fat"], 3.0, scan.pixel_mm), scan.pixel_mm
    )
    assert correlation[1] > 0.1, "neighbouring pixels do not have independent noise"
    assert abs(correlation[-1]) < 0.1, "nor is it a smooth field"
    assert distance[1] == pytest.approx(scan.pixel_mm)


@pytest.mark.long
@pytest.mark.skipif(not REAL_SCANS.is_dir(), reason="the real scans (../shared/data) are not here")
@pytest.mark.parametrize("kind", ["CT", "MR"])
def test_fat_and_muscle_of_a_phantom_lie_in_the_range_of_real_limbs(kind: str) -> None:
    real = [phantom_realism.measure_tissues(scan) for scan in realism_scans.real_thighs(REAL_SCANS, kind)]
    assert len(real) >= 10
    phantom = phantom_realism.measure_tissues(next(realism_scans.phantom_trunks(kind, 100, 3)))
    for name in ("fat: texture", "muscle: texture", "fat: correlation length, mm", "fat: edge width, mm"):
        values = [found[name] for found in real if name in found]
        assert 0.9 * min(values) <= phantom[name] <= 1.1 * max(values), name
