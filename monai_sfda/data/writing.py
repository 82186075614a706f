"""Segmentations and maps of values as NIfTI files on their scan's own grid."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from monai_sfda.data.checks import describe_shape
from monai_sfda.data.scan import Scan
from monai_sfda.errors import OutputError
from monai_sfda.files import whole_file


def write_segmentation(path: Path, array: NDArray[np.uint8], scan: Scan) -> None:
    """Writes a segmentation, whole or not at all; the same segmentation gives the same bytes.

    Args:
        path: ends in `.nii.gz` or `.nii`; folders are made. An older file of that name is replaced.
        array: (X, Y, Z) uint8, contiguous classes on the scan's grid.
        scan: its affine is stored as sform and qform, both with code 1 (a qform cannot hold the shear of a
            tilted gantry; the sform does).

    Raises:
        OutputError: when the array does not fit the scan, or the file cannot be written (disk full, read-only
            folder).
    """
    if array.dtype != np.uint8 or array.shape != scan.shape:
        raise OutputError(
            f"a segmentation of {describe_shape(array.shape)} {array.dtype} for a scan of "
            f"{describe_shape(scan.shape)}",
            remedy="give uint8 classes on the scan's grid",
            path=path,
        )
    _write(path, array, scan, compression=9)


def write_map(path: Path, array: NDArray[np.float32], scan: Scan) -> None:
    """Writes a value a voxel, such as an entropy, as it is; as `write_segmentation` in all else.

    Args:
        path: ends in `.nii.gz` or `.nii`.
        array: (X, Y, Z) float32 on the scan's grid.
        scan: whose affine is stored.

    Raises:
        OutputError: as of `write_segmentation`.
    """
    if array.dtype != np.float32 or array.shape != scan.shape:
        raise OutputError(
            f"a map of {describe_shape(array.shape)} {array.dtype} for a scan of "
            f"{describe_shape(scan.shape)}",
            remedy="give float32 values on the scan's grid",
            path=path,
        )
    _write(path, array, scan, compression=1)  # the last bits of real numbers are not worth a longer search


def _write(
    path: Path, array: NDArray[np.uint8] | NDArray[np.float32], scan: Scan, *, compression: int
) -> None:
    if not path.name.endswith((".nii", ".nii.gz")):
        raise OutputError(
            "the file's name is not that of a NIfTI file", remedy="let it end in .nii.gz", path=path
        )
    image = nib.Nifti1Image(array, scan.affine, dtype=array.dtype)
    image.header.set_xyzt_units("mm")
    image.set_qform(scan.affine, code=1)
    image.set_sform(scan.affine, code=1)
    data = image.to_bytes()
    with whole_file(path) as beside:
        beside.write_bytes(gzip.compress(data, compression, mtime=0) if path.name.endswith(".gz") else data)
