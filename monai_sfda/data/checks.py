"""What every scan is checked for before it is used, whatever file it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_sfda.errors import DataError

GRID_TOLERANCE = 1e-3
"""Largest difference of two affines that still are one grid, relative to the voxel's size."""


def check_file(path: Path) -> None:
    """A file is there, is a file and is not empty.

    Raises:
        DataError: when not.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise DataError(
            "the file is missing", remedy="copy it there or correct its path", path=path
        ) from None
    except OSError as error:
        raise DataError(
            f"the file cannot be read ({error.strerror or error})", remedy="check its permissions", path=path
        ) from error
    if path.is_dir():
        raise DataError("a folder stands where a file is expected", remedy="name the file itself", path=path)
    if size == 0:
        raise DataError("the file is empty (0 bytes)", remedy="copy or download it again", path=path)


def check_folder(path: Path) -> None:
    """A folder is there.

    Raises:
        DataError: when not.
    """
    if not path.exists():
        raise DataError(
            "the folder is missing", remedy="check its path and that the drive is mounted", path=path
        )
    if not path.is_dir():
        raise DataError(
            "a file stands where a folder is expected",
            remedy="name the folder that holds the scans",
            path=path,
        )


def spatial(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """The array with exactly three axes (X, Y, Z); further axes of length one are dropped.

    Raises:
        DataError: for colour, complex, two-dimensional and truly four-dimensional data.
    """
    if array.dtype.names is not None:
        raise DataError("colour values (RGB)", remedy="store grey values, one number a voxel", path=path)
    if np.iscomplexobj(array):
        raise DataError("complex values", remedy="store the magnitude", path=path)
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3:
        raise DataError(
            f"{array.ndim} dimensions ({describe_shape(array.shape)}) instead of 3",
            remedy="store one volume a file; several channels of one scan are a list of files in a datalist",
            path=path,
        )
    if 0 in array.shape:
        raise DataError(
            f"no voxels ({describe_shape(array.shape)})", remedy="export the scan again", path=path
        )
    return array


def check_affine(affine: NDArray[np.float64], path: Path) -> None:
    """The affine places every voxel at a point of its own.

    Raises:
        DataError: when it is not finite or singular.
    """
    if not np.isfinite(affine).all():
        raise DataError("NaN or infinite numbers in the affine", remedy="export the scan again", path=path)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() < 1e-6 or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        raise DataError(
            f"singular affine (voxel size {describe_mm(spacing)} mm)",
            remedy="correct the header's geometry or export the scan again",
            path=path,
        )


def check_intensities(array: NDArray[np.float32], path: Path) -> None:
    """All values are finite, and there is more than one.

    Raises:
        DataError: when not; names how many values are not finite, or the constant.
    """
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int(array.size - np.count_nonzero(np.isfinite(array)))
        raise DataError(
            f"{bad} of {array.size} voxels are NaN or infinite",
            remedy="replace them or export the scan again",
            path=path,
        )
    if low == high:
        raise DataError(
            f"a constant image (every voxel is {low:g})",
            remedy="export the scan again or leave it out",
            path=path,
        )


def same_affine(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether two affines are one grid: columns and origin within `GRID_TOLERANCE` of the voxel's size."""
    spacing = np.linalg.norm(first[:3, :3], axis=0)
    columns = np.linalg.norm(first[:3, :3] - second[:3, :3], axis=0) <= GRID_TOLERANCE * spacing
    origin = np.linalg.norm(first[:3, 3] - second[:3, 3]) <= GRID_TOLERANCE * spacing.max()
    return bool(columns.all() and origin)


def affine_difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> str:
    """In words, how two affines differ: voxel size, orientation, or origin."""
    sizes = [np.linalg.norm(a[:3, :3], axis=0) for a in (first, second)]
    if (np.abs(sizes[0] - sizes[1]) > GRID_TOLERANCE * sizes[0]).any():
        return f"voxel size {describe_mm(sizes[1])} mm, the image's is {describe_mm(sizes[0])} mm"
    directions = [a[:3, :3] / s for a, s in zip((first, second), sizes, strict=True)]
    if np.abs(directions[0] - directions[1]).max() > GRID_TOLERANCE:
        return "its voxel axes point in other directions than the image's"
    shift = float(np.linalg.norm(first[:3, 3] - second[:3, 3]))
    return f"its origin is {shift:.3g} mm from the image's"


def describe_shape(shape: tuple[int, ...]) -> str:
    """A shape as people write it, `512 x 512 x 90`."""
    return " x ".join(str(n) for n in shape)


def describe_mm(values: NDArray[np.float64] | tuple[float, ...]) -> str:
    """Lengths as people write them, `0.98 x 0.98 x 3.27`."""
    return " x ".join(f"{float(v):.4g}" for v in values)
