"""The voxel grid of an image without its values, and a saved label on it."""

# mypy: untyped-calls-exclude="SimpleITK"

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from monai_sfda.data.case import volume_suffix
from monai_sfda.data.checks import check_affine, check_file, describe_shape
from monai_sfda.data.dicom import scan_headers, slice_grid
from monai_sfda.data.labels import read_label_volume
from monai_sfda.data.quiet import quiet
from monai_sfda.data.scan import Scan
from monai_sfda.data.volume import itk_affine
from monai_sfda.errors import DataError
from monai_sfda.label.studies.names import LABEL_FILE
from monai_sfda.label.studies.uploads import check_upload

RAW_ENDING = ".bin"
"""Of a label that holds nothing but a byte a voxel, as OHIF's panel sends scribbles."""
_MOST_VOXELS = 1 << 31


def grid_of(image: Path) -> Scan:
    """A scan's shape and affine; its values are all 0 and take no memory.

    Args:
        image: a volume file or a folder with one DICOM series.

    Raises:
        DataError: when the header cannot be read or says no usable geometry.
    """
    if image.is_dir() or volume_suffix(image) is None:
        grid = slice_grid(scan_headers(image))
        return _empty(grid.shape, grid.affine, image)
    shape, affine = _header_of(image)
    if len(shape) < 3:
        raise DataError(f"{len(shape)} dimensions instead of 3", remedy="store one volume", path=image)
    return _empty((int(shape[0]), int(shape[1]), int(shape[2])), affine, image)


def _header_of(image: Path) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """What the header of a volume file says: all its axes, and its affine."""
    check_file(image)
    try:
        if (volume_suffix(image) or "").startswith(".nii"):
            with quiet():
                nifti: Any = nib.load(image)
            return tuple(nifti.shape), np.array(nifti.affine, dtype=np.float64)
        reader: Any = sitk.ImageFileReader()
        reader.SetFileName(str(image))
        with quiet():
            reader.ReadImageInformation()
        return tuple(reader.GetSize()), itk_affine(reader)
    except (RuntimeError, ImageFileError, ValueError, OSError, EOFError) as error:
        raise DataError(
            "the file's header cannot be read", remedy="copy, download or convert it again", path=image
        ) from error


def _empty(shape: tuple[int, int, int], affine: NDArray[np.float64], image: Path) -> Scan:
    check_affine(affine, image)
    return Scan(np.broadcast_to(np.float32(0), (1, *shape)), affine)


def read_saved_label(file: Path, grid: Scan) -> NDArray[Any]:
    """A label that a client saved, on its image's grid.

    Axes that are stored in another order or direction are turned; nothing is interpolated.

    Args:
        file: a volume on the grid, or a `.bin` with a byte a voxel, first index fastest.
        grid: of the image.

    Returns:
        (X, Y, Z), of the file's own type.

    Raises:
        DataError: when it is no such file, or lies on another grid.
    """
    if file.name.endswith(RAW_ENDING):
        raw = np.fromfile(file, dtype=np.uint8) if file.stat().st_size < _MOST_VOXELS else np.empty(0)
        if raw.size != np.prod(grid.shape):
            raise DataError(
                f"{raw.size} bytes for an image of {describe_shape(grid.shape)} voxels",
                remedy="send one byte a voxel, on the image's grid",
                path=LABEL_FILE,
            )
        return raw.reshape(grid.shape, order="F")
    check_upload(file)
    try:
        if volume_suffix(file) is not None and math.prod(_header_of(file)[0]) != math.prod(grid.shape):
            raise DataError(  # before anything of it is read: it may be larger than the memory
                f"a label of {describe_shape(_header_of(file)[0])} voxels for an image of "
                f"{describe_shape(grid.shape)}",
                remedy="give the label of this image, on the image's grid",
            )
        return read_label_volume(file, grid)
    except DataError as error:
        raise DataError(error.what, remedy=error.remedy, path=LABEL_FILE) from error
