"""Phantom subjects in the layout of MMWHS (Multi-Modality Whole Heart Segmentation).

    mr_train/mr_train_1001_image.nii.gz, mr_train_1001_label.nii.gz
    ct_train/ct_train_1001_image.nii.gz, ct_train_1001_label.nii.gz

The traps of the original are there: index axes that point elsewhere from case to case, oblique MR volumes,
the label values of the challenge, and one case in which the left atrium is 421 instead of 420.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.ct import CtImage
from monai_sfda.phantom.heart_mr import HeartMrImage
from monai_sfda.phantom.nifti import write_nifti
from monai_sfda.phantom.tissues import HeartLabel

Modality = Literal["mr", "ct"]

#: Values of the challenge's label files.
STORED_VALUES: dict[HeartLabel, int] = {
    HeartLabel.BACKGROUND: 0,
    HeartLabel.MYOCARDIUM: 205,
    HeartLabel.LEFT_ATRIUM: 420,
    HeartLabel.LEFT_VENTRICLE: 500,
    HeartLabel.RIGHT_ATRIUM: 550,
    HeartLabel.RIGHT_VENTRICLE: 600,
    HeartLabel.ASCENDING_AORTA: 820,
    HeartLabel.PULMONARY_ARTERY: 850,
}
#: The case with the odd value of the left atrium. Which it is in the original is not known to us.
ODD_CASE = ("mr", "1002")
ODD_LEFT_ATRIUM = 421


def mmwhs_files(root: Path, modality: Modality, subject: str) -> tuple[Path, Path]:
    """Where image and label of a subject lie under the data set's folder."""
    folder = root / f"{modality}_train"
    stem = f"{modality}_train_{subject}"
    return folder / f"{stem}_image.nii.gz", folder / f"{stem}_label.nii.gz"


def stored_labels(labels: NDArray[np.uint8], modality: Modality, subject: str) -> NDArray[np.int16]:
    """`HeartLabel` values as the label file of a case has them, of the same shape."""
    table = np.zeros(len(HeartLabel), np.int16)
    for label, value in STORED_VALUES.items():
        table[label] = value
    if (modality, subject) == ODD_CASE:
        table[HeartLabel.LEFT_ATRIUM] = ODD_LEFT_ATRIUM
    return table[labels]


def write_mmwhs_subject(
    image_file: Path, label_file: Path, image: HeartMrImage | CtImage, modality: Modality, subject: str
) -> None:
    """One subject as two NIfTI files.

    Args:
        image_file, label_file: where to.
        image: with `HeartLabel` labels.
        modality, subject: decide on the odd value.
    """
    write_nifti(image_file, image.array, image.grid.affine)
    write_nifti(label_file, stored_labels(image.labels, modality, subject), image.grid.affine)
