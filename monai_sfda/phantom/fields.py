"""Smooth random fields on a grid: texture, inhomogeneity and correlated noise."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage

from monai_sfda.phantom.draws import Point
from monai_sfda.phantom.geometry import Float32


def gaussian_field(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing_mm: Point, sigma_mm: float
) -> Float32:
    """White noise smoothed by a Gaussian of standard deviation `sigma_mm`, scaled to zero mean and unit
    variance.

    Returns:
        (X, Y, Z) float32.
    """
    noise = rng.standard_normal(shape, np.float32)
    smooth = ndimage.gaussian_filter(noise, [sigma_mm / s for s in spacing_mm], truncate=3.0, mode="wrap")
    smooth -= smooth.mean()
    smooth /= max(float(smooth.std()), 1e-6)
    return np.asarray(smooth, np.float32)


def slow_field(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing_mm: Point, length_mm: float
) -> Float32:
    """A field that varies over about `length_mm`, at most about one in absolute value.

    A sum of six cosines with random directions, each separable along the index axes.

    Returns:
        (X, Y, Z) float32.
    """
    axes = [np.arange(n) * s for n, s in zip(shape, spacing_mm, strict=True)]
    total = np.zeros(shape, np.float32)
    for _ in range(6):
        wave = rng.normal(size=3)
        wave *= 2 * np.pi / (length_mm * rng.uniform(1.0, 2.5) * np.linalg.norm(wave))
        phase = rng.uniform(0, 2 * np.pi)
        x, y, z = (np.exp(1j * k * axis).astype(np.complex64) for k, axis in zip(wave, axes, strict=True))
        in_plane = (np.exp(1j * phase).astype(np.complex64) * x)[:, None] * y[None, :]
        total += in_plane.real[..., None] * z.real - in_plane.imag[..., None] * z.imag
    return np.asarray(total * np.float32(1 / 3.5), np.float32)


def filtered_noise(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    pixel_mm: tuple[float, float],
    cutoff_per_mm: float,
    elongation: float = 0.0,
) -> Float32:
    """Noise of filtered back-projection: uncorrelated between slices, correlated in plane, unit variance.

    Its power spectrum is the ramp times a Gaussian roll-off, |f| exp(-(|f| / cutoff)^2) (Kijewski and Judy,
    The noise power spectrum of CT images, Phys Med Biol 1987;32:565), weighted by 1 + elongation cos(2
    angle): bodies are wider than deep, so the rays from side to side carry more noise.

    Args:
        rng: source of randomness.
        shape: (X, Y, Z), slices along Z.
        pixel_mm: pixel size along X and Y.
        cutoff_per_mm: spatial frequency of the roll-off, cycles per mm.
        elongation: -1 < elongation < 1; positive for streaks along X.
    """
    fx = fft.fftfreq(shape[0], pixel_mm[0])[:, None]
    fy = fft.rfftfreq(shape[1], pixel_mm[1])[None, :]
    radius2 = fx**2 + fy**2
    cosine = (fy**2 - fx**2) / np.maximum(radius2, 1e-12)
    power = np.sqrt(radius2) * np.exp(-radius2 / cutoff_per_mm**2) * (1.0 + elongation * cosine)
    transfer = np.sqrt(power).astype(np.float32)[..., None]
    noise = rng.standard_normal(shape, np.float32)
    spectrum = fft.rfft2(noise, axes=(0, 1)) * transfer
    filtered = np.asarray(fft.irfft2(spectrum, s=shape[:2], axes=(0, 1)), np.float32)
    filtered /= max(float(filtered.std()), 1e-12)
    return filtered
