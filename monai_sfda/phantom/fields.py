"""Smooth random fields on a grid: texture, inhomogeneity and correlated noise."""

from __future__ import annotations

import numpy as np
from scipy import fft

from monai_sfda.phantom.draws import Point
from monai_sfda.phantom.geometry import Float32


def exponential_field(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing_mm: Point, length_mm: float
) -> Float32:
    """A normal field of zero mean and unit variance with the autocorrelation exp(-|d| / length_mm).

    Made by circulant embedding: the square root of the autocorrelation's discrete Fourier transform filters
    white noise, so that the field has that autocorrelation at the voxels whatever their size, and wraps round
    at the ends (Dietrich and Newsam, SIAM J Sci Comput 1997;18:1088).

    Returns:
        (X, Y, Z) float32.
    """
    offsets = [
        (np.minimum(np.arange(n), n - np.arange(n)) * s).astype(np.float32)
        for n, s in zip(shape, spacing_mm, strict=True)
    ]
    x, y, z = np.meshgrid(*offsets, indexing="ij", sparse=True)
    correlation = np.exp(np.sqrt(x * x + y * y + z * z) * np.float32(-1.0 / length_mm))
    power = fft.rfftn(correlation).real
    spectrum = fft.rfftn(rng.standard_normal(shape, np.float32))
    spectrum *= np.sqrt(np.maximum(power, 0.0))
    return np.asarray(fft.irfftn(spectrum, s=shape), np.float32)


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


def blurred(image: Float32, pixel_mm: tuple[float, float], cutoff_per_mm: float) -> Float32:
    """An image (X, Y, Z) as a reconstruction kernel renders it: MTF(f) = exp(-f^2 / (2 cutoff^2)) in plane.

    The point-spread function is a Gaussian of standard deviation 1 / (2 pi cutoff); an edge rises from 10 to
    90% over 2.56 of them.
    """
    fx = fft.fftfreq(image.shape[0], pixel_mm[0])[:, None]
    fy = fft.rfftfreq(image.shape[1], pixel_mm[1])[None, :]
    transfer = np.exp(-(fx**2 + fy**2) / (2.0 * cutoff_per_mm**2)).astype(np.float32)[..., None]
    spectrum = fft.rfft2(image, axes=(0, 1)) * transfer
    return np.asarray(fft.irfft2(spectrum, s=image.shape[:2], axes=(0, 1)), np.float32)


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
