"""Phantom subjects in the layout of IVDM3Seg (intervertebral discs, MICCAI 2018), as it is described.

    <NN>/<NN>_<fat, inn, opp or wat>.nii
    labels/<NN>_Labels.nii
    subjects.json

A set is one examination: four int16 images in register, 36 sagittal slices of 2 mm with 256 x 256 pixels of
1.25 mm, the slices along the first index axis, and a binary mask. Every subject was examined twice, before
and after a time in bed: the phantoms' sets 2 n - 1 and 2 n are subject n, as `subjects.json` says, which the
original does not have.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.draws import Seed, normal
from monai_sfda.phantom.geometry import Grid
from monai_sfda.phantom.nifti import write_nifti
from monai_sfda.phantom.sampling import check_matrix
from monai_sfda.phantom.spine_anatomy import Spine
from monai_sfda.phantom.spine_mr import SpineImages, SpineScanner, image_spine

FULL_MATRIX = 256
SUBJECTS_FILE = "subjects.json"
_SLICES = 36
_SLICE_MM = 2.0
_FIELD_MM = 320.0


def ivdm3seg_grid(seed: Seed, matrix: int) -> Grid:
    """Sagittal slices through the column from T9 or T10 to the sacrum, as the patient happens to lie.

    Returns:
        A grid whose first index axis runs to the front, the second up, and the third (slices) to the right.
    """
    check_matrix(matrix)
    rng = np.random.default_rng(seed)
    a, b, c = np.deg2rad([normal(rng, 0.0, 2.0), normal(rng, 0.0, 2.0), normal(rng, 0.0, 2.0)])
    turn = np.array([[1.0, -c, b], [c, 1.0, -a], [-b, a, 1.0]])
    columns = np.linalg.qr(turn)[0]
    columns *= np.sign(np.diag(columns))
    pixel = _FIELD_MM / matrix
    affine = np.eye(4)
    affine[:3, :3] = columns[:, [1, 2, 0]] * np.array([pixel, pixel, _SLICE_MM])
    centre = np.array([normal(rng, 0.0, 2.5), normal(rng, -5.0, 6.0), normal(rng, -48.0, 7.0)])
    shape = (matrix, matrix, _SLICES)
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return Grid(shape, affine)


def set_files(root: Path, number: str) -> tuple[Path, Path]:
    """Folder of the images and file of the mask of a set under the data set's folder."""
    return root / number, root / "labels" / f"{number}_Labels.nii"


def write_ivdm3seg_set(
    folder: Path, label_file: Path, number: str, spine: Spine, grid: Grid, scanner: SpineScanner, seed: Seed
) -> SpineImages:
    """One examination as four images in `folder`, which is made, and the mask; the rest as `image_spine`."""
    images = image_spine(spine, grid, scanner, seed)
    folder.mkdir(parents=True)
    affine = grid.affine[:, [2, 0, 1, 3]]
    for name, array in images.arrays.items():
        write_nifti(folder / f"{number}_{name}.nii", _slices_first(array), affine)
    write_nifti(label_file, _slices_first(images.labels.astype(np.int16)), affine)
    return images


def _slices_first(array: NDArray[np.int16]) -> NDArray[np.int16]:
    return np.ascontiguousarray(np.moveaxis(array, 2, 0))
