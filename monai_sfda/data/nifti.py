"""NIfTI files, compressed or not, voxel axes as they are stored."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, ImageDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from monai_sfda.data.checks import check_file, spatial
from monai_sfda.errors import DataError

_GZIP = b"\x1f\x8b"
_UNREADABLE = (
    ImageFileError,
    HeaderDataError,
    ImageDataError,
    WrapStructError,
    EOFError,
    ValueError,
    OSError,
)


def read_nifti(path: Path, *, as_float32: bool) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """A NIfTI file's voxels and affine.

    The whole payload is read and its checksum verified, so a truncated download is found. Whether the file is
    compressed is told by its content, not by its name.

    Args:
        path: the file.
        as_float32: values as float32 (images); otherwise as stored, scaled where the header says so (labels).

    Returns:
        Voxels (X, Y, Z), axes as stored, scl_slope and scl_inter applied; affine (4, 4) float64, voxel index
        to RAS+ mm: the sform where its code is above 0, else the qform.

    Raises:
        DataError: when the file is missing, empty, truncated, no NIfTI, or not one grey volume.
    """
    check_file(path)
    data = _payload(path)
    try:
        size = int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big")
        image_class = nib.Nifti2Image if 540 in size else nib.Nifti1Image
        image = image_class.from_bytes(data)
        stored = image.get_data_dtype()
        if stored.names is not None or stored.kind == "c":
            spatial(np.empty((1, 1, 1), dtype=stored), path)
        if as_float32:
            with np.errstate(over="ignore"):
                values = image.get_fdata(dtype=np.float32, caching="unchanged")
            array: NDArray[Any] = np.require(values, np.float32, "W")
        else:
            array = np.asarray(image.dataobj)
        affine = np.array(image.affine, dtype=np.float64)
    except _UNREADABLE as error:
        raise DataError(
            "the file is truncated or is no NIfTI image",
            remedy="copy, download or convert it again",
            path=path,
        ) from error
    return spatial(array, path), affine


def _payload(path: Path) -> bytes:
    """The whole file, decompressed when it is compressed."""
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw.startswith(_GZIP) else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            "the compressed file is truncated or damaged", remedy="copy or download it again", path=path
        ) from error
    except OSError as error:
        raise DataError(
            f"the file cannot be read ({error.strerror or error})",
            remedy="check its permissions and the drive",
            path=path,
        ) from error
