"""Distances from marked voxels through tissue: short where the image looks like the marks, long where not."""

# mypy: untyped-calls-exclude="SimpleITK"

from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from scipy import ndimage

UNLIKE_COST = 0.5
"""How much a millimetre is lengthened by tissue that differs from the marked one by one unit of noise; it
grows with the difference squared, so that noise costs little and a border much."""
MOST_UNLIKE = 8.0
"""Units of noise; tissue that differs more is no farther."""
_SMOOTHING_MM = 1.0
"""Standard deviation of the Gaussian that takes single noisy voxels out of the way."""
_SAMPLE_MM = 2.0
"""Radius about a mark whose intensities tell what was marked."""


def noise_scale(image: NDArray[np.float32]) -> float:
    """Standard deviation of the noise of an image (A, B, C), from its neighbours' differences.

    1.4826 median |I_i - I_j| / sqrt(2) over voxels next to one another along the first two axes, at least a
    hundredth of the range between the 1st and 99th percentile, and never 0.
    """
    differences = np.concatenate([np.abs(np.diff(image, axis=axis)).ravel() for axis in (0, 1)])
    noise = 1.4826 * float(np.median(differences)) / np.sqrt(2) if differences.size else 0.0
    low, high = np.percentile(image, (1, 99))
    return max(noise, float(high - low) / 100, 1e-6)


def unlikeness(
    images: NDArray[np.float32],
    marked: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
) -> NDArray[np.float32]:
    """How far each voxel's intensity is from the marked ones, in units of noise.

    The distance of the smoothed I_v to the interval between the 10th and 90th percentile of the smoothed
    intensities at the marks and, on the side of the mask that they say is wrong, within 2 mm of them, divided
    by the `noise_scale` of I, cut at `MOST_UNLIKE`; of several channels the largest.

    Args:
        images: (C, A, B, C') float32.
        marked: (A, B, C') where the marks are.
        wrong: (A, B, C') where the marks may be right and the mask wrong: inside of it for background marks.
        spacing_mm: of a voxel along each axis.
    """
    far = ndimage.distance_transform_edt(~marked, sampling=spacing_mm)
    sample = marked | ((far <= _SAMPLE_MM) & wrong)
    found = np.zeros(marked.shape, np.float32)
    for image in images:
        smooth = ndimage.gaussian_filter(image, [_SMOOTHING_MM / s for s in spacing_mm])
        low, high = np.percentile(smooth[sample], (10, 90))
        apart = np.maximum(low - smooth, smooth - high).clip(min=0) / noise_scale(image)
        found = np.maximum(found, apart.astype(np.float32))
    return np.minimum(found, np.float32(MOST_UNLIKE))


def geodesic_distance(
    cost: NDArray[np.float32],
    marked: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    reach: float,
) -> NDArray[np.float32]:
    """Length of the cheapest way from a mark to every voxel, mm; infinite beyond `reach`.

    D solves |grad D(x)| = cost(x) with D = 0 at the marks, by fast marching (Sethian, PNAS 1996; ITK).

    Args:
        cost: (A, B, C) of a millimetre, at least 1.
        marked: (A, B, C) where D is 0.
        spacing_mm: along each axis.
        reach: where the march stops.
    """
    distance = np.full(cost.shape, np.inf, np.float32)
    if not marked.any():
        return distance
    rim = marked & ~ndimage.binary_erosion(marked)  # the marks' inside adds nothing but time
    speed = sitk.GetImageFromArray(np.ascontiguousarray((1 / cost).T.astype(np.float32)))
    speed.SetSpacing([float(s) for s in spacing_mm])
    march = sitk.FastMarchingImageFilter()
    march.SetTrialPoints([[int(i) for i in voxel] for voxel in np.argwhere(rim)])
    march.SetStoppingValue(float(reach))
    reached = sitk.GetArrayFromImage(march.Execute(speed)).T
    within = reached <= reach
    distance[within] = reached[within]
    distance[marked] = 0
    return distance
