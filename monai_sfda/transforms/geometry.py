"""From a scan's own grid to a stack of in-plane resampled slices, and exactly back.

The volume is first turned so that its axes run along R, A, S as nearly as flips and permutations allow (no
resampling), then cut across one axis, and each slice is resampled in its plane to a pixel size. Edges of the
field of view stay where they are, so the way back is the same map read backwards, for every orientation,
oblique ones too.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import ensure_tuple
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True)
class SliceGrid:
    """How slices lie on a scan's grid.

    Attributes:
        scan_shape: (X, Y, Z) of the scan as stored.
        orientation: (3, 2) nibabel orientation that turns the stored axes to R, A, S.
        slice_axis: the axis of the turned volume across which it is cut.
        plane_shape: (H, W) of a turned slice before resampling.
        sampled_shape: (H', W') after resampling.
        pixel_mm: in-plane size of a resampled pixel along H and W, mm.
        slice_mm: distance between slices, mm.
    """

    scan_shape: tuple[int, int, int]
    orientation: tuple[tuple[float, float], ...]
    slice_axis: int
    plane_shape: tuple[int, int]
    sampled_shape: tuple[int, int]
    pixel_mm: tuple[float, float]
    slice_mm: float

    @property
    def num_slices(self) -> int:
        """Slices across the volume."""
        return int(self._turned_shape()[self.slice_axis])

    def _turned_shape(self) -> tuple[int, ...]:
        shape = [0, 0, 0]
        for stored, (turned, _) in enumerate(self.orientation):
            shape[int(turned)] = self.scan_shape[stored]
        return tuple(shape)

    def to_slices(self, array: NDArray[np.generic]) -> Tensor:
        """A stored volume (C, X, Y, Z) as unresampled slices (S, C, H, W)."""
        return torch.from_numpy(np.ascontiguousarray(self.view_slices(array)))

    def view_slices(self, array: NDArray[_Value]) -> NDArray[_Value]:
        """A stored volume (C, X, Y, Z) looked at as unresampled slices (S, C, H, W): what is written to the
        view is written to the volume, so that slices reach their place without a copy of all of them.
        """
        orientation = np.concatenate([[[0.0, 1.0]], np.asarray(self.orientation) + [[1.0, 0.0]]])
        turned = nib.orientations.apply_orientation(array, orientation)
        slices: NDArray[_Value] = np.moveaxis(turned, self.slice_axis + 1, 0)
        return slices

    def from_slices(self, slices: Tensor) -> NDArray[np.generic]:
        """Unresampled slices (S, C, H, W) as a volume (C, X, Y, Z) on the stored grid."""
        turned = np.moveaxis(slices.cpu().numpy(), 0, self.slice_axis + 1)
        back = nib.orientations.ornt_transform(
            np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]), np.asarray(self.orientation)
        )
        orientation = np.concatenate([[[0.0, 1.0]], back + [[1.0, 0.0]]])
        return np.ascontiguousarray(nib.orientations.apply_orientation(turned, orientation))

    def resample(self, slices: Tensor) -> Tensor:
        """Intensities (S, C, H, W) to (S, C, H', W'): bilinear, low-pass filtered where it shrinks."""
        return resample_plane(slices, self.sampled_shape)

    def resample_labels(self, slices: Tensor) -> Tensor:
        """Classes (S, 1, H, W) to (S, 1, H', W') by the nearest pixel centre."""
        if tuple(slices.shape[-2:]) == self.sampled_shape:
            return slices
        nearest = functional.interpolate(slices.float(), size=self.sampled_shape, mode="nearest-exact")
        return nearest.to(slices.dtype)

    def restore(self, scores: Tensor) -> Tensor:
        """Class scores (S, K, H', W') back to (S, K, H, W), bilinear."""
        return resample_plane(scores, self.plane_shape)


def resample_plane(slices: Tensor, shape: tuple[int, int]) -> Tensor:
    """Bilinear in-plane resampling with fixed edges of the field of view; antialiased where it shrinks."""
    if tuple(slices.shape[-2:]) == tuple(shape):
        return slices
    return functional.interpolate(slices, size=shape, mode="bilinear", align_corners=False, antialias=True)


def slice_grid(
    shape: tuple[int, int, int],
    affine: NDArray[np.float64],
    *,
    slice_axis: int,
    pixel_size_mm: float | None,
    plane_size: tuple[int, int] | None = None,
) -> SliceGrid:
    """The slice grid of a scan.

    Args:
        shape: (X, Y, Z) as stored.
        affine: (4, 4) voxel to RAS+ mm.
        slice_axis: 0 sagittal, 1 coronal, 2 axial.
        pixel_size_mm: wanted in-plane pixel size; None keeps the scan's own. The size reached differs by at
            most half a pixel over the field of view, so that its edges stay.
        plane_size: (H', W') of every resampled slice, in place of a pixel size; None for none.
    """
    orientation = nib.orientations.io_orientation(affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    turned_shape, turned_spacing = [0, 0, 0], [0.0, 0.0, 0.0]
    for stored, (turned, _) in enumerate(orientation):
        turned_shape[int(turned)] = int(shape[stored])
        turned_spacing[int(turned)] = float(spacing[stored])
    plane = [axis for axis in range(3) if axis != slice_axis]
    extent = [turned_shape[a] * turned_spacing[a] for a in plane]
    if plane_size is not None:
        sampled = list(plane_size)
    elif pixel_size_mm is None:
        sampled = [turned_shape[a] for a in plane]
    else:
        sampled = [max(1, round(e / pixel_size_mm)) for e in extent]
    return SliceGrid(
        scan_shape=(int(shape[0]), int(shape[1]), int(shape[2])),
        orientation=tuple((float(a), float(f)) for a, f in orientation),
        slice_axis=slice_axis,
        plane_shape=(turned_shape[plane[0]], turned_shape[plane[1]]),
        sampled_shape=(sampled[0], sampled[1]),
        pixel_mm=(extent[0] / sampled[0], extent[1] / sampled[1]),
        slice_mm=turned_spacing[slice_axis],
    )


class SlicePlanesd(MapTransform):
    """Cuts scans (C, X, Y, Z) of a dictionary into in-plane resampled slices (S, C, H, W).

    All keys share one grid, that of `affine`; the grid is added as `grid`, for the way back.

    Args:
        keys: intensities, resampled bilinearly.
        label_keys: classes, resampled by the nearest pixel.
        slice_axis: 0 sagittal, 1 coronal, 2 axial.
        pixel_size_mm: in-plane pixel size; None keeps the scan's own.
        plane_size: (H', W') of every slice, in place of a pixel size.
        affine_key, grid_key: where the affine stands and the grid goes.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_keys: KeysCollection = (),
        slice_axis: int = 2,
        pixel_size_mm: float | None = None,
        plane_size: tuple[int, int] | None = None,
        affine_key: str = "affine",
        grid_key: str = "grid",
    ) -> None:
        super().__init__(keys)
        self.label_keys = ensure_tuple(label_keys)
        self.slice_axis = slice_axis
        self.pixel_size_mm = pixel_size_mm
        self.plane_size = plane_size
        self.affine_key = affine_key
        self.grid_key = grid_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        shape = d[self.first_key(d)].shape[1:]
        grid = slice_grid(
            shape,
            d[self.affine_key],
            slice_axis=self.slice_axis,
            pixel_size_mm=self.pixel_size_mm,
            plane_size=self.plane_size,
        )
        for key in self.key_iterator(d):
            d[key] = grid.resample(grid.to_slices(d[key]).float())
        for key in self.label_keys:
            d[key] = grid.resample_labels(grid.to_slices(d[key]))
        d[self.grid_key] = grid
        return d
