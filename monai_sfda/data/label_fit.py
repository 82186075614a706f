"""Does a label fit its image? How well the classes explain the intensities, and labels that were exchanged.

The measure is the correlation ratio of intensities and classes (Roche et al. 1998),

    eta^2 = sum_k n_k (m_k - m)^2 / sum_i (x_i - m)^2,

with n_k voxels of mean m_k in class k and the mean m of all: 1 where the classes say everything of the
intensities, 0 where nothing. It is taken in the structures and a rim round them, over every channel, and
needs no knowledge of the modality. Of two images on one grid whose labels were exchanged, both are explained
better by the other's label, which chance does not bring about.

Source: A. Roche et al., The correlation ratio as a new similarity measure for multimodal image registration,
MICCAI 1998, doi 10.1007/BFb0056301.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.optimize import linear_sum_assignment

from monai_sfda.catalog import IGNORED

_MOST_POINTS = 96
"""Of an axis; larger volumes are thinned out."""
_RIM = 3
_CLEARLY_BETTER = 1.5
"""Of sound phantoms on one grid (brains, street scenes) no pair came above 0.8 of the own fit."""
_TELLING = 0.1
"""A fit below says nothing."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image and its label, thinned out to at most `_MOST_POINTS` an axis.

    Attributes:
        channels: (C, X, Y, Z) float32.
        label: (X, Y, Z) uint8.
        background: whether class 0 is all that is no structure; pictures have none.
    """

    channels: NDArray[np.float32]
    label: NDArray[np.uint8]
    background: bool


def thin_out(channels: NDArray[np.float32], label: NDArray[np.uint8], *, background: bool) -> LabelledImage:
    """Every n-th voxel of an image (C, X, Y, Z) and its label (X, Y, Z), copied."""
    steps = tuple(slice(None, None, -(-size // _MOST_POINTS)) for size in label.shape)
    return LabelledImage(channels[(slice(None), *steps)].copy(), label[steps].copy(), background)


def fit(image: LabelledImage, label: NDArray[np.uint8]) -> float:
    """How well a label explains an image on the same grid, 0 to 1: the mean of eta^2 over the channels.

    Args:
        image: whose own label is not looked at.
        label: (X, Y, Z) uint8.
    """
    known = label != IGNORED
    where = binary_dilation((label > 0) & known, iterations=_RIM) & known if image.background else known
    classes = label[where]
    if not classes.size:
        return 0.0
    return float(np.mean([_correlation_ratio(channel[where], classes) for channel in image.channels]))


def _correlation_ratio(values: NDArray[np.float32], classes: NDArray[np.uint8]) -> float:
    low, high = np.percentile(values, (1, 99))
    clipped = np.clip(values, low, high).astype(np.float64)
    clipped -= clipped.mean()
    total = float((clipped**2).sum())
    if total == 0:
        return 0.0
    counts = np.bincount(classes)
    sums = np.bincount(classes, weights=clipped)
    return float((sums[counts > 0] ** 2 / counts[counts > 0]).sum()) / total


def exchanged(images: Sequence[LabelledImage]) -> list[tuple[int, int]]:
    """Which images on one grid have each other's labels: (image, whose label fits it), for each of them.

    Of all ways to give the labels to the images the one that fits best in sum is taken; an image of which
    another's label explains clearly more than its own, and whose own label fits elsewhere in the same way, is
    one of an exchange.
    """
    if len(images) < 2:
        return []
    fits = np.array([[fit(image, other.label) for other in images] for image in images])
    own = np.diag(fits)
    _, best = linear_sum_assignment(fits, maximize=True)
    better = [
        best[i] != i and fits[i, best[i]] > _TELLING and fits[i, best[i]] > _CLEARLY_BETTER * own[i]
        for i in range(len(images))
    ]
    return [(i, int(best[i])) for i in range(len(images)) if _whole_circle(i, best.tolist(), better)]


def _whole_circle(start: int, best: Sequence[int], better: Sequence[bool]) -> bool:
    """Whether every image from which the labels went round to the first has gained."""
    number = start
    while better[number]:
        number = best[number]
        if number == start:
            return True
    return False


def suspects(fits: Mapping[int, float], most: int = 12) -> list[int]:
    """Those of the scans of one grid whose labels fit worst: exchanged ones are among them."""
    return sorted(sorted(fits, key=fits.__getitem__)[:most])
