"""Crops that look at a label: for evaluation by a published protocol, and for nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_sfda.catalog import LabelBox, LabelCentre


@dataclass(frozen=True)
class Window:
    """A rectangle of a plane of pixels: first row and column, and how many of each."""

    top: int
    left: int
    height: int
    width: int

    @staticmethod
    def whole(shape: tuple[int, int]) -> Window:
        """All of a plane (H, W)."""
        return Window(0, 0, *shape)

    def rows_and_columns(self) -> tuple[slice, slice]:
        """To index a plane with."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def label_window(
    labelled: NDArray[np.bool_],
    crop: LabelBox | LabelCentre | None,
    sampled_shape: tuple[int, int],
    extent_mm: tuple[float, float],
) -> Window:
    """The part of every slice that a crop leaves, in pixels of the network's grid.

    Edges of a box that fall between two pixels of that grid are moved outwards. A square has the number of
    pixels that comes nearest to its side, wherever its centre is.

    Args:
        labelled: (S, H, W), where the label shows a structure, on the scan's own pixels; at least one.
        crop: what to cut; None: nothing.
        sampled_shape: (H', W') of the network's grid, which covers the same plane.
        extent_mm: of the plane along H and W, mm.
    """
    if crop is None:
        return Window.whole(sampled_shape)
    edges: list[tuple[int, int]] = []
    for axis, (sampled, extent) in enumerate(zip(sampled_shape, extent_mm, strict=True)):
        profile = labelled.sum(axis=(0, 2 - axis), dtype=np.int64)
        scale = sampled / profile.size
        if isinstance(crop, LabelBox):
            shown, margin = np.flatnonzero(profile), crop.margin / crop.plane * sampled
            # a millionth of a pixel is no pixel
            first = int(np.floor(shown[0] * scale - margin + 1e-6))
            last = int(np.ceil((shown[-1] + 1) * scale + margin - 1e-6))
        else:
            centre = float((profile * (np.arange(profile.size) + 0.5)).sum() / profile.sum()) * scale
            length = max(1, round(crop.side_mm / extent * sampled))
            first = int(np.floor(centre - length / 2 + 0.5))
            last = first + length
        edges.append((max(first, 0), min(last, sampled)))
    (top, bottom), (left, right) = edges
    return Window(top, left, bottom - top, right - left)


def resample_classes(
    planes: NDArray[np.uint8], window: Window, sampled_shape: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Classes inside a window at another number of pixels, by the nearest pixel centre.

    Args:
        planes: (S, H, W) on the scan's own pixels.
        window: in pixels of the network's grid.
        sampled_shape: (H', W') of that grid, which covers the same plane.
        shape: (h, w) wanted for the window.

    Returns:
        (S, h, w).
    """
    indices = []
    for axis, (start, length) in enumerate(((window.top, window.height), (window.left, window.width))):
        pixels, wanted = planes.shape[axis + 1], shape[axis]
        centres = (start + (np.arange(wanted) + 0.5) * length / wanted) * pixels / sampled_shape[axis]
        indices.append(np.clip(np.floor(centres).astype(np.int64), 0, pixels - 1))
    return planes[:, indices[0][:, None], indices[1][None, :]]
