"""The part of a scan that a correction works on: cut out, turned to R, A, S, and coarse enough to be quick.

Turning makes a correction the same for every storage order of the same scan, to the voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from monai_sfda.data.scan import Scan

_Value = TypeVar("_Value", bound=np.generic)

MOST_VOXELS = 250_000
"""Of a window; more are merged to blocks. Keeps graph cut and distances within about a second."""


@dataclass(frozen=True, eq=False)
class Window:
    """A box of a scan's voxels, and how it becomes a smaller array along R, A, S.

    Attributes:
        box: slices of the stored (X, Y, Z) arrays.
        orientation: (3, 2) nibabel orientation that turns stored axes to R, A, S.
        shape: (A, B, C) of the turned box, before blocks.
        voxel_mm: size of a voxel along each turned axis.
        block: voxels of a block along each turned axis.
        spacing_mm: of the blocks along each turned axis.
    """

    box: tuple[slice, slice, slice]
    orientation: NDArray[np.float64]
    shape: tuple[int, int, int]
    voxel_mm: tuple[float, float, float]
    block: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    @staticmethod
    def round_voxels(
        voxels: NDArray[np.int64],
        scan: Scan,
        margin_mm: float,
        roi: tuple[slice, slice, slice] | None = None,
    ) -> Window:
        """The box round voxels with a margin, cut to the scan and to a region of interest.

        More than `MOST_VOXELS` are merged to blocks, along the finest axes first.

        Args:
            voxels: (N, 3) indices, N > 0.
            scan: whose grid it is.
            margin_mm: on every side.
            roi: voxels outside are cut off, but for those given.
        """
        spacing = np.array(scan.spacing_mm)
        margin = np.ceil(margin_mm / spacing).astype(int)
        first, last = voxels.min(0), voxels.max(0)
        start = np.maximum(first - margin, 0)
        stop = np.minimum(last + margin + 1, scan.shape)
        if roi is not None:
            start = np.minimum(np.maximum(start, [part.start for part in roi]), first)
            stop = np.maximum(np.minimum(stop, [part.stop for part in roi]), last + 1)
        box = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
        orientation = np.asarray(nib.orientations.io_orientation(scan.affine), np.float64)
        shape, turned_spacing = [0, 0, 0], [0.0, 0.0, 0.0]
        for stored, (turned, _) in enumerate(orientation):
            shape[int(turned)] = int(stop[stored] - start[stored])
            turned_spacing[int(turned)] = float(round(spacing[stored], 6))
        block = [1, 1, 1]
        while np.prod([-(-n // b) for n, b in zip(shape, block, strict=True)]) > MOST_VOXELS:
            sizes = [s * b for s, b in zip(turned_spacing, block, strict=True)]
            sizes = [size if n > b else np.inf for size, n, b in zip(sizes, shape, block, strict=True)]
            finest = int(np.argmin(sizes))
            block[finest] += 1
        return Window(
            (box[0], box[1], box[2]),
            orientation,
            (shape[0], shape[1], shape[2]),
            (turned_spacing[0], turned_spacing[1], turned_spacing[2]),
            (block[0], block[1], block[2]),
            (
                turned_spacing[0] * block[0],
                turned_spacing[1] * block[1],
                turned_spacing[2] * block[2],
            ),
        )

    def turn(self, boxed: NDArray[_Value]) -> NDArray[_Value]:
        """An array of the box on its stored axes, turned to R, A, S; no copy."""
        turned: NDArray[_Value] = nib.orientations.apply_orientation(boxed, self.orientation)
        return turned

    def turn_back(self, turned: NDArray[_Value]) -> NDArray[_Value]:
        """A turned array on the stored axes of the box."""
        back = nib.orientations.ornt_transform(
            np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]), self.orientation
        )
        boxed: NDArray[_Value] = nib.orientations.apply_orientation(turned, back)
        return boxed

    def mask(self, voxels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Voxels of the scan, (N, 3) indices, as a mask of the box; those outside are left out."""
        moved = voxels - np.array([part.start for part in self.box])
        shape = tuple(part.stop - part.start for part in self.box)
        moved = moved[((moved >= 0) & (moved < np.array(shape))).all(1)]
        mask = np.zeros(shape, np.bool_)
        mask[tuple(moved.T)] = True
        return mask

    def mean(self, turned: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean of every block."""
        return np.asarray(self._blocks(turned).mean((1, 3, 5)), np.float32)

    def any(self, turned: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether a block holds any."""
        return np.asarray(self._blocks(turned).any((1, 3, 5)), np.bool_)

    def enlarge(self, blocks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of blocks at every voxel of the turned box, linear between the blocks' centres."""
        if self.block == (1, 1, 1):
            return blocks
        where = [
            (np.arange(n, dtype=np.float32) + 0.5) / b - 0.5
            for n, b in zip(self.shape, self.block, strict=True)
        ]
        grid = np.meshgrid(*where, indexing="ij", sparse=False)
        return np.asarray(ndimage.map_coordinates(blocks, grid, order=1, mode="nearest"), np.float32)

    def repeat(self, blocks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The value of its block at every voxel of the turned box."""
        for axis, (n, b) in enumerate(zip(self.shape, self.block, strict=True)):
            blocks = np.repeat(blocks, b, axis)[tuple([slice(None)] * axis + [slice(n)])]
        return blocks

    def _blocks(self, turned: NDArray[_Value]) -> NDArray[_Value]:
        """(A', a, B', b, C', c); the last blocks are filled up with their last voxels."""
        sizes = [-(-n // b) * b for n, b in zip(self.shape, self.block, strict=True)]
        if tuple(sizes) != self.shape:
            turned = np.pad(turned, [(0, s - n) for s, n in zip(sizes, self.shape, strict=True)], mode="edge")
        a, b, c = self.block
        return turned.reshape(sizes[0] // a, a, sizes[1] // b, b, sizes[2] // c, c)
