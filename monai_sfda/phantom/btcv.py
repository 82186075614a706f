"""Phantom subjects in the layout of the BTCV challenge (Multi-Atlas Labeling Beyond the Cranial Vault).

RawData/Training/img/img0001.nii.gz (int16, Hounsfield units)
RawData/Training/label/label0001.nii.gz (uint8, the values of `Organ`)
"""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.anatomy import Anatomy
from monai_sfda.phantom.ct import CtImage, CtScanner, image_ct
from monai_sfda.phantom.draws import Seed
from monai_sfda.phantom.geometry import Grid


def btcv_files(root: Path, subject: str) -> tuple[Path, Path]:
    """Where image and label of a subject lie under the data set's folder."""
    training = root / "RawData" / "Training"
    number = f"{int(subject):04d}.nii.gz"
    return training / "img" / f"img{number}", training / "label" / f"label{number}"


def write_btcv_subject(
    image_file: Path, label_file: Path, anatomy: Anatomy, grid: Grid, scanner: CtScanner, seed: Seed
) -> CtImage:
    """One subject as two NIfTI files; arguments as for `image_ct`."""
    image = image_ct(anatomy, grid, scanner, seed)
    _write(image_file, image.array, grid)
    _write(label_file, image.labels, grid)
    return image


def _write(path: Path, array: NDArray[np.int16] | NDArray[np.uint8], grid: Grid) -> None:
    nifti = nibabel.nifti1.Nifti1Image(array, grid.affine)
    nifti.header.set_xyzt_units("mm")
    nifti.set_sform(grid.affine, code=1)
    nifti.set_qform(grid.affine, code=1)
    nifti.header["descrip"] = b"phantom data, not patient data"
    # a fixed time stamp and no file name inside: the same seed gives the same bytes
    with path.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=3, fileobj=raw, mtime=0) as packed:
        packed.write(nifti.to_bytes())
