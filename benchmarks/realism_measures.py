"""What makes two scans comparable, measured in their slices: contrast, texture, edges, spectra.

Everything is in the plane of axial slices: an image is (X, Y, Z) with pixels of `pixel_mm` along X and Y and
slices along Z, a mask has the same shape. Nothing here knows whether a scan is real.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, special

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]

#: 10 to 90% rise of a Gaussian edge, in standard deviations of the Gaussian: 2 * 1.2816.
RISE_10_90 = float(2 * np.sqrt(2) * special.erfinv(0.8))
_TREND_MM = 12.0


def body_mask(image: Image, threshold: float) -> Mask:
    """The largest object above a threshold in each slice, its holes filled: trunk without couch and arms."""
    body = np.zeros(image.shape, bool)
    for z in range(image.shape[2]):
        above = ndimage.binary_opening(image[..., z] > threshold, iterations=1)
        parts, count = ndimage.label(above)
        if count:
            largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
            body[..., z] = ndimage.binary_fill_holes(parts == largest)
    return body


def eroded(mask: Mask, distance_mm: float, pixel_mm: float) -> Mask:
    """What lies at least `distance_mm` inside a mask, slice by slice."""
    inside = [ndimage.distance_transform_edt(mask[..., z]) * pixel_mm for z in range(mask.shape[2])]
    return np.stack(inside, -1) > distance_mm


def shell(mask: Mask, thickness_mm: float, pixel_mm: float) -> Mask:
    """What lies outside a mask up to `thickness_mm`, beyond the pixel that the edge itself blurs."""
    outside = [ndimage.distance_transform_edt(~mask[..., z]) * pixel_mm for z in range(mask.shape[2])]
    distance = np.stack(outside, -1)
    return (distance > pixel_mm) & (distance <= thickness_mm + pixel_mm) & (mask.any((0, 1)))


def residual(image: Image, mask: Mask, pixel_mm: float) -> Image:
    """The image less its smooth part in the mask (Gaussian of 12 mm, normalised convolution), else zero."""
    sigma = (_TREND_MM / pixel_mm, _TREND_MM / pixel_mm, 0.0)
    weight = ndimage.gaussian_filter(mask.astype(float), sigma)
    trend = ndimage.gaussian_filter(np.where(mask, image, 0.0), sigma) / np.maximum(weight, 1e-6)
    return np.where(mask, image - trend, 0.0)


def autocorrelation(image: Image, mask: Mask, pixel_mm: float, reach_mm: float = 12.0) -> tuple[Image, Image]:
    """The autocorrelation function of the texture inside a mask, averaged over directions and slices.

    With the residual r and the mask m, C(d) = sum r(x) r(x + d) / sum m(x) m(x + d), both sums by FFT with
    zero padding, so that the mask's shape does not enter.

    Returns:
        Distances in mm, whole pixels, and C(d) / C(0).
    """
    r = residual(image, mask, pixel_mm)
    shape = [2 * n for n in image.shape[:2]]
    numerator, pairs = (
        fft.irfft2((np.abs(fft.rfft2(a, shape, axes=(0, 1))) ** 2).sum(-1), shape)
        for a in (r, mask.astype(float))
    )
    lag_x, lag_y = (fft.fftfreq(n, 1 / n) for n in shape)
    distance = np.hypot(lag_x[:, None], lag_y[None, :])
    bins = np.rint(distance).astype(int)
    count = int(reach_mm / pixel_mm) + 1
    use = (bins < count) & (pairs > 0.5)
    total, norm = (np.bincount(bins[use], a[use], count) for a in (numerator, pairs))
    values = total / np.maximum(norm, 1.0)
    return np.arange(count) * pixel_mm, values / values[0]


def correlation_length(distance_mm: Image, correlation: Image) -> float:
    """Where the autocorrelation first falls to 1/e, mm, linearly interpolated; the last distance if never."""
    below = np.flatnonzero(correlation < np.exp(-1.0))
    if not below.size:
        return float(distance_mm[-1])
    i = int(below[0])
    share = (correlation[i - 1] - np.exp(-1.0)) / (correlation[i - 1] - correlation[i])
    return float(distance_mm[i - 1] + share * (distance_mm[i] - distance_mm[i - 1]))


def edge_profiles(
    image: Image, mask: Mask, body: Mask, pixel_mm: float, reach_mm: float = 9.0, step_mm: float = 0.5
) -> tuple[Image, Image]:
    """Intensities along the in-plane normals of a mask's edge, from inside to outside.

    Args:
        image, mask: as above.
        body: profiles that leave it are left out.
        pixel_mm: pixel size.
        reach_mm, step_mm: length to either side, and sampling (linear interpolation).

    Returns:
        Offsets (K,) in mm and profiles (N, K).
    """
    offsets = np.arange(-reach_mm, reach_mm + step_mm / 2, step_mm)
    found = []
    for z in range(image.shape[2]):
        inside = mask[..., z]
        if inside.sum() < 30:
            continue
        smooth = ndimage.gaussian_filter(inside.astype(float), 4.5 / pixel_mm)
        edge = inside & ~ndimage.binary_erosion(inside)
        normal = -np.stack(np.gradient(smooth), -1)[edge]
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        points = np.argwhere(edge)[:, None] + (normal / pixel_mm)[:, None] * offsets[None, :, None]
        at = np.moveaxis(points, -1, 0)
        stays = ndimage.map_coordinates(body[..., z].astype(float), at, order=1).min(1) > 0.99
        found.append(ndimage.map_coordinates(image[..., z].astype(float), at[:, stays], order=1))
    return offsets, np.concatenate(found) if found else np.empty((0, offsets.size))


class Edges(NamedTuple):
    """Fits to profiles that are single edges: width (10 to 90%) and place in mm, contrast (inside minus
    outside), and the profiles scaled to 1 inside and 0 outside.
    """

    width_mm: Image
    place_mm: Image
    contrast: Image
    profiles: Image


def fit_edges(offsets: Image, profiles: Image, minimum_contrast: float, minimum_fit: float = 0.93) -> Edges:
    """Fits a + b erf((x - x0) / (sqrt(2) s)) to every profile: a and b linearly, x0 and s over a grid.

    As each profile has its own x0, an outline that is drawn a little beside the edge does not widen it.

    Args:
        offsets: (K,) mm.
        profiles: (N, K).
        minimum_contrast: smallest |2 b| used.
        minimum_fit: smallest share of the variance that the fit has to explain.

    Returns:
        The fits of the profiles that pass both.
    """
    places, sigmas = np.arange(-4.0, 4.01, 0.5), np.exp(np.linspace(np.log(0.3), np.log(6.0), 28))
    x0, s = (a.ravel() for a in np.meshgrid(places, sigmas, indexing="ij"))
    shapes = special.erf((offsets[None] - x0[:, None]) / (np.sqrt(2.0) * s[:, None]))
    centred = shapes - shapes.mean(1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1)
    mean = profiles.mean(1, keepdims=True)
    projection = (profiles - mean) @ (centred / norm[:, None]).T
    best = np.argmax(np.abs(projection), 1)
    strongest = projection[np.arange(len(profiles)), best]
    b = strongest / norm[best]
    a = mean[:, 0] - b * shapes.mean(1)[best]
    explained = strongest**2 / np.maximum(((profiles - mean) ** 2).sum(1), 1e-12)
    use = (explained > minimum_fit) & (np.abs(2 * b) > minimum_contrast)
    scaled = 0.5 - 0.5 * (profiles[use] - a[use, None]) / b[use, None]
    return Edges(RISE_10_90 * s[best][use], x0[best][use], -2 * b[use], scaled)


def gradient_magnitude(image: Image, pixel_mm: float) -> Image:
    """In-plane gradient magnitude by central differences, per mm."""
    gx, gy = np.gradient(np.asarray(image, float), pixel_mm, axis=(0, 1))
    return np.hypot(gx, gy)


def radial_spectrum(image: Image, pixel_mm: float) -> tuple[Image, Image]:
    """The power spectrum of slices, averaged over slices and directions, of Hann-windowed squares.

    Each slice is cut or padded to its central square; power is per unit area, the mean is taken off.

    Returns:
        Frequencies in cycles per mm, and mean power.
    """
    side = min(image.shape[:2])
    x, y = ((n - side) // 2 for n in image.shape[:2])
    square = np.asarray(image[x : x + side, y : y + side], float)
    window = np.hanning(side)[:, None] * np.hanning(side)[None, :]
    windowed = (square - square.mean((0, 1))) * window[..., None]
    power = (np.abs(fft.fft2(windowed, axes=(0, 1))) ** 2).mean(-1) * pixel_mm**2 / (window**2).sum()
    frequency = fft.fftfreq(side, pixel_mm)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    bins = np.rint(radius * side * pixel_mm).astype(int)
    mean = np.bincount(bins.ravel(), power.ravel()) / np.maximum(np.bincount(bins.ravel()), 1)
    count = side // 2
    return np.arange(1, count) / (side * pixel_mm), mean[1:count]


def spectrum_slope(frequency: Image, power: Image, low: float = 0.015, high: float = 0.12) -> float:
    """The exponent p of power ~ f^p between two frequencies (cycles per mm), fitted to the logarithms."""
    use = (frequency >= low) & (frequency <= high)
    return float(np.polyfit(np.log(frequency[use]), np.log(power[use]), 1)[0])
