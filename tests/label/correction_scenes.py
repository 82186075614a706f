"""A scene of two organs, a model that errs in a known way, and strokes as a radiologist draws them."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy import ndimage

from monai_sfda.data.scan import Scan

LIVER, SPLEEN = 1, 2
MISSED, LEAKED = (78, 50, 10), (12, 31, 10)
"""Voxels in the middle of what the model misses of the liver, and of what it takes for liver beside it."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A scan, its truth, and what a model made of it."""

    scan: Scan
    truth: np.ndarray
    classes: np.ndarray
    probability: np.ndarray

    def dice(self, classes: np.ndarray, index: int = LIVER) -> float:
        return dice(classes == index, self.truth == index)

    def turned(self, axes: str) -> Scene:
        """The same scene in another storage order, such as LPS."""
        to = nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(axes))
        )
        turn = lambda array: np.ascontiguousarray(nib.orientations.apply_orientation(array, to))  # noqa: E731
        affine = self.scan.affine @ nib.orientations.inv_ornt_aff(to, self.scan.shape)
        scan = Scan(turn(self.scan.array[0])[None], affine)
        return Scene(scan, turn(self.truth), turn(self.classes), turn(self.probability))

    def voxel(self, other: Scene, voxel: tuple[int, int, int]) -> tuple[int, int, int]:
        """Where a voxel of another storage order lies in this one."""
        to = np.linalg.solve(self.scan.affine, other.scan.affine)
        x, y, z = np.rint(to[:3, :3] @ voxel + to[:3, 3]).astype(int)
        return int(x), int(y), int(z)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / max(1, float(a.sum() + b.sum()))


def scene(seed: int = 0, shape: tuple[int, int, int] = (100, 100, 20)) -> Scene:
    """A liver whose right third is missed and beside which a ball is taken for it, and a spleen."""
    rng = np.random.default_rng(seed)
    spacing = np.array([1.0, 1.0, 3.0])
    x = (np.moveaxis(np.indices(shape), 0, -1) - np.array([50, 50, 10])) * spacing
    ellipsoid = lambda centre, axes: (((x - centre) / axes) ** 2).sum(-1) < 1  # noqa: E731
    liver, spleen = ellipsoid((0, 0, 0), (36, 26, 24)), ellipsoid((0, 40, 0), (16, 9, 18))
    leak = ellipsoid((-37, -18, 0), (10, 10, 10)) & ~liver
    image = np.where(liver, 60.0, np.where(spleen, 100.0, np.where(leak, 85.0, 10.0)))
    image = (image + rng.normal(0, 8, shape)).astype(np.float32)
    mask = (liver & (x[..., 0] < 16)) | leak
    probability = ndimage.gaussian_filter(mask.astype(np.float32), (1.2, 1.2, 0.4)).clip(0.01, 0.99)
    classes = np.where(mask, LIVER, np.where(spleen, SPLEEN, 0)).astype(np.uint8)
    truth = np.where(liver, LIVER, np.where(spleen, SPLEEN, 0)).astype(np.uint8)
    return Scene(Scan(image[None], np.diag([*spacing, 1.0])), truth, classes, probability)


def strokes(error: np.ndarray, slices: int = 3) -> np.ndarray:
    """Scribbles along the middle of the largest connected error, in the slices where it is largest.

    Args:
        error: (X, Y, Z) where the mask is wrong.
        slices: so many are drawn in.
    """
    drawn = np.zeros(error.shape, bool)
    regions, count = ndimage.label(error)
    if not count:
        return drawn
    largest = regions == 1 + int(np.argmax(ndimage.sum_labels(error, regions, range(1, count + 1))))
    areas = largest.sum((0, 1))
    for z in np.argsort(areas)[::-1][:slices]:
        if areas[z]:
            depth = ndimage.distance_transform_edt(np.pad(largest[..., z], 1))[1:-1, 1:-1]
            drawn[..., z] = depth >= max(1.0, 0.7 * float(depth.max()))
    return drawn
