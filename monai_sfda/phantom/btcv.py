"""Phantom subjects in the layout of the BTCV challenge (Multi-Atlas Labeling Beyond the Cranial Vault).

RawData/Training/img/img0001.nii.gz (int16, Hounsfield units)
RawData/Training/label/label0001.nii.gz (uint8, the values of `Organ`)
"""

from __future__ import annotations

from pathlib import Path

from monai_sfda.phantom.anatomy import Anatomy
from monai_sfda.phantom.ct import CtImage, CtScanner, image_ct
from monai_sfda.phantom.draws import Seed
from monai_sfda.phantom.geometry import Grid
from monai_sfda.phantom.nifti import write_nifti


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
    write_nifti(image_file, image.array, grid.affine)
    write_nifti(label_file, image.labels, grid.affine)
    return image
