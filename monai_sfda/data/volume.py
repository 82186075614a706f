"""One volume file: NIfTI through nibabel, NRRD and MetaImage through SimpleITK, a single DICOM file."""

# mypy: untyped-calls-exclude="SimpleITK"

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from monai_sfda.data.case import VOLUME_SUFFIXES, volume_suffix
from monai_sfda.data.checks import check_file, spatial
from monai_sfda.data.dicom import read_series
from monai_sfda.data.dicom_grid import LPS_TO_RAS
from monai_sfda.data.dicom_headers import is_dicom
from monai_sfda.data.nifti import read_nifti
from monai_sfda.data.quiet import quiet
from monai_sfda.errors import DataError


def read_volume(path: Path, *, as_float32: bool = True) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """A volume file's voxels (X, Y, Z), axes as stored, and its affine (4, 4), voxel index to RAS+ mm.

    Args:
        path: NIfTI, NRRD, MetaImage, or one (multi-frame) DICOM file.
        as_float32: values as float32 (images); otherwise as stored (labels).

    Raises:
        DataError: when the file is missing, damaged, of no known format, or not one grey volume.
    """
    check_file(path)
    suffix = volume_suffix(path)
    if suffix in (".nii", ".nii.gz"):
        return read_nifti(path, as_float32=as_float32)
    if suffix is not None:
        return _read_itk(path, as_float32=as_float32)
    if _is_dicom_file(path):
        return read_series([path])
    raise DataError(
        "the file is of no known format",
        remedy=f"give a DICOM folder or a file that ends in {', '.join(VOLUME_SUFFIXES)}",
        path=path,
    )


def _is_dicom_file(path: Path) -> bool:
    try:
        return is_dicom(path)
    except OSError as error:
        raise DataError(
            f"the file cannot be read ({error.strerror or error})", remedy="check its permissions", path=path
        ) from error


def _read_itk(path: Path, *, as_float32: bool) -> tuple[NDArray[Any], NDArray[np.float64]]:
    try:
        with quiet():
            reader = sitk.ImageFileReader()
            reader.SetFileName(str(path))
            reader.ReadImageInformation()
            if reader.GetNumberOfComponents() != 1:
                raise DataError(
                    f"{reader.GetNumberOfComponents()} numbers a voxel (colour, vector or complex values)",
                    remedy="store grey values, one number a voxel",
                    path=path,
                )
            image = reader.Execute()
    except RuntimeError as error:
        raise DataError(
            "the file is truncated or is no NRRD or MetaImage volume",
            remedy="copy it again, with the data file that its header names",
            path=path,
        ) from error
    array = spatial(sitk.GetArrayFromImage(image).T, path)
    with np.errstate(over="ignore"):
        values = array.astype(np.float32) if as_float32 else array
    return values, itk_affine(image)


def itk_affine(image: sitk.Image) -> NDArray[np.float64]:
    """The affine (4, 4), voxel index to RAS+ mm, of an ITK image's first three axes."""
    dimension = image.GetDimension()
    direction = np.array(image.GetDirection(), dtype=np.float64).reshape(dimension, dimension)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(image.GetSpacing()[:3], dtype=np.float64)
    affine[:3, 3] = image.GetOrigin()[:3]
    return np.asarray(LPS_TO_RAS @ affine, dtype=np.float64)
