"""What a magnetic resonance scanner receives: a limited part of k-space, with noise, shown as magnitudes."""

from __future__ import annotations

import numpy as np
from scipy import fft

from monai_sfda.phantom.geometry import Float32

_ROLL_OFF = 0.06  # of the cut-off frequency: the filter that keeps ringing low


def acquisition_window(
    shape: tuple[int, int], pixel_mm: tuple[float, float], resolution_mm: tuple[float, float]
) -> Float32:
    """The share of each spatial frequency that is acquired and kept, 1 in the middle of k-space.

    A scan acquires frequencies up to 1 / (2 resolution) along each axis and fills the rest with zeros
    (interpolation to the displayed pixels); a Fermi filter rounds the cut f_c against ringing,
    1 / (1 + exp((|f| - f_c) / (0.06 f_c))). Where the pixels cannot hold such frequencies nothing is cut.
    Source: Bernstein, King and Zhou, Handbook of MRI Pulse Sequences, 2004, ch. 13.1.

    Args:
        shape: pixels along the first two axes.
        pixel_mm: displayed pixel size, mm.
        resolution_mm: acquired pixel size along the same axes, mm.

    Returns:
        (X, Y) float32 in the order of `scipy.fft.fftfreq`.
    """
    along = []
    for count, pixel, resolution in zip(shape, pixel_mm, resolution_mm, strict=True):
        cut = 0.5 / resolution
        with np.errstate(over="ignore"):
            along.append(1.0 / (1.0 + np.exp((np.abs(fft.fftfreq(count, pixel)) - cut) / (_ROLL_OFF * cut))))
    return np.asarray(np.outer(*along), np.float32)


def receive(signal: Float32, window: Float32, noise: float, rng: np.random.Generator) -> Float32:
    """The magnitude image of a real, signed signal with noise in both quadrature channels.

    Signal and white complex noise pass the same window, so the noise is correlated as the image is. Where
    there is no signal the magnitude is Rayleigh distributed with mean noise * sqrt(pi / 2), elsewhere Rician
    (Gudbjartsson and Patz, The Rician distribution of noisy MRI data, Magn Reson Med 1995;34:910).

    Args:
        signal: (X, Y, Z).
        window: (X, Y), as from `acquisition_window`.
        noise: standard deviation of each channel in the image.
        rng: source of randomness.
    """
    scale = np.float32(noise / np.sqrt(np.mean(window.astype(np.float64) ** 2)))
    received = np.empty(signal.shape, np.complex64)
    received.real = signal + scale * rng.standard_normal(signal.shape, np.float32)
    received.imag = scale * rng.standard_normal(signal.shape, np.float32)
    spectrum = fft.fft2(received, axes=(0, 1), overwrite_x=True)
    spectrum *= window[..., None]
    return np.asarray(np.abs(fft.ifft2(spectrum, axes=(0, 1), overwrite_x=True)), np.float32)
