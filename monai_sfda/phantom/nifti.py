"""NIfTI files of phantoms: the same seed gives the same bytes; every file says that no patient is shown."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.manifest import NOTICE

_SLOPE = slice(112, 116)  # bytes of `scl_slope` in a NIfTI-1 header


def write_nifti(
    path: Path, stored: NDArray[np.int16] | NDArray[np.uint8], affine: NDArray[np.float64], slope: float = 1.0
) -> None:
    """Write a NIfTI file.

    Args:
        path: where to; packed when it ends in `.gz`.
        stored: (X, Y, Z) integers as they are to stand in the file.
        affine: voxel index to RAS in mm.
        slope: what one unit of the integers counts.
    """
    nifti = nibabel.nifti1.Nifti1Image(stored, affine)
    nifti.header.set_xyzt_units("mm")
    nifti.set_sform(affine, code=1)
    nifti.set_qform(affine, code=1)
    nifti.header["descrip"] = NOTICE.encode()
    content = bytearray(nifti.to_bytes())
    if slope != 1.0:
        # nibabel would scale the integers again, so the slope goes into the finished header
        content[_SLOPE] = np.array(slope, nifti.header.endianness + "f4").tobytes()
    if path.suffix != ".gz":
        path.write_bytes(content)
        return
    # a fixed time stamp and no file name inside: the same seed gives the same bytes
    with path.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=3, fileobj=raw, mtime=0) as packed:
        packed.write(content)
