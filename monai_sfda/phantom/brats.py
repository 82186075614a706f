"""Phantom subjects in the layout of BraTS 2018 (brain tumour segmentation).

MICCAI_BraTS_2018_Data_Training/<HGG or LGG>/<case>/<case>_<flair, t1, t1ce, t2 or seg>.nii.gz

A case is Brats18_<site>_<id>_<time point>: int16, 240 x 240 x 155 voxels of 1 mm, index axes to the left, to
the back and upwards, first voxel at (0, 239, 0) mm in RAS, which readers in LPS show as the origin (0, -239,
0); skull stripped to exactly 0; labels 0, 1, 2 and 4. Ids are not those of the original's patients.

The traps of such data are there: ids of letters and of digits, some files whose values count only with their
slope, and patients with a second time point, who must not be in two lists of a split.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_sfda.errors import SettingError
from monai_sfda.phantom.brain_anatomy import Brain
from monai_sfda.phantom.brain_mr import BrainImages, BrainScanner, image_brain
from monai_sfda.phantom.brain_tissues import Grade
from monai_sfda.phantom.draws import Seed
from monai_sfda.phantom.geometry import Grid
from monai_sfda.phantom.nifti import write_nifti

ROOT = "MICCAI_BraTS_2018_Data_Training"
FULL_MATRIX = 240
MOST_SUBJECTS = 75  # low-grade cases of the original
_SLICES = 155
# Where brain coordinates have their origin in the original's space, mm (RAS).
_ORIGIN_MM = (-119.5, 127.0, 75.0)


@dataclass(frozen=True)
class _Site:
    """Where patients were examined: name, slope of the stored integers, whether on older scanners."""

    name: str
    slope: float
    older: bool = False


# Sites of the original by grade, of which one has patients of both. Which have older scanners is ours: most
# low-grade cases come from other hospitals than the high-grade ones.
_SITES: dict[Grade, tuple[_Site, ...]] = {
    "HGG": (_Site("CBICA", 1.0), _Site("TCIA02", 0.25), _Site("2013", 1.0)),
    "LGG": (_Site("TCIA10", 0.25, older=True), _Site("2013", 1.0), _Site("TCIA13", 1.0, older=True)),
}
_SECOND_TIME_POINT = 4  # one of so many subjects has one


@dataclass(frozen=True)
class BratsSubject:
    """One patient.

    Attributes:
        grade: the folder.
        id: `<site>_<id>`, as it stands in the names of the cases.
        slope: of the stored integers.
        older: examined on older scanners.
        time_points: 1 or 2.
    """

    grade: Grade
    id: str
    slope: float
    older: bool
    time_points: int

    def cases(self) -> list[str]:
        """Names of the cases by time point."""
        return [f"Brats18_{self.id}_{point}" for point in range(1, self.time_points + 1)]


def brats_subjects(grade: Grade, count: int) -> list[BratsSubject]:
    """`count` subjects; a larger choice contains every smaller one.

    Raises:
        SettingError: for less than one and for more than the original has of the rarer grade.
    """
    if not 1 <= count <= MOST_SUBJECTS:
        raise SettingError(
            f"{count} subjects per grade are not possible", remedy=f"give 1 to {MOST_SUBJECTS}"
        )
    return [_subject(grade, number) for number in range(count)]


def find_brats_subject(grade: Grade, id: str) -> BratsSubject:
    """The subject of that id.

    Raises:
        SettingError: when there is none.
    """
    for subject in brats_subjects(grade, MOST_SUBJECTS):
        if subject.id == id:
            return subject
    raise SettingError(f"there is no {grade} phantom '{id}'", remedy="use an id of brats_subjects")


def _subject(grade: Grade, number: int) -> BratsSubject:
    sites = _SITES[grade]
    site = sites[number % len(sites)]
    turn = number // len(sites)
    letters = "Z" + "".join(chr(ord("A") + digit) for digit in divmod(turn, 26))
    first = 900 if grade == "HGG" else 950  # a site's patients of both grades share its numbers
    identity = f"{site.name}_{letters if site.name == 'CBICA' else first + turn}"
    points = 2 if number % _SECOND_TIME_POINT == 1 else 1
    return BratsSubject(grade, identity, site.slope, site.older, points)


def brats_affine(matrix: int) -> NDArray[np.float64]:
    """Voxel index to RAS in mm for `matrix` pixels over the 240 mm of the original's field of view."""
    spacing = FULL_MATRIX / matrix
    affine = np.diag([-spacing, -spacing, spacing, 1.0])
    affine[:3, 3] = 0.5 - spacing / 2, 239.5 - spacing / 2, spacing / 2 - 0.5
    return affine


def brats_grid(matrix: int) -> Grid:
    """The voxels of the original's space in brain coordinates; isotropic, so fewer pixels have fewer slices.

    Raises:
        SettingError: when `matrix` is not in 32..240.
    """
    if not 32 <= matrix <= FULL_MATRIX:
        raise SettingError(
            f"matrix {matrix} is not possible",
            remedy=f"give a number of pixels from 32 to {FULL_MATRIX}, e.g. {FULL_MATRIX}",
        )
    affine = brats_affine(matrix)
    affine[:3, 3] -= _ORIGIN_MM
    return Grid((matrix, matrix, max(2, round(_SLICES * matrix / FULL_MATRIX))), affine)


def write_brats_case(
    folder: Path, brain: Brain, matrix: int, scanner: BrainScanner, seed: Seed, slope: float = 1.0
) -> BrainImages:
    """One examination as five NIfTI files named after their folder, which is made.

    Args:
        folder: named like the case.
        brain: the subject at that time.
        matrix: pixels across a slice.
        scanner, seed: as for `image_brain`.
        slope: what one unit of the stored integers counts.
    """
    images = image_brain(brain, brats_grid(matrix), scanner, seed)
    affine = brats_affine(matrix)
    folder.mkdir(parents=True)
    for sequence, array in images.arrays.items():
        stored = np.minimum(np.rint(array / slope), np.iinfo(np.int16).max).astype(np.int16)
        write_nifti(folder / f"{folder.name}_{sequence}.nii.gz", stored, affine, slope)
    write_nifti(folder / f"{folder.name}_seg.nii.gz", images.labels.astype(np.int16), affine)
    return images


def time_points(brain: Brain, subject: BratsSubject) -> Iterator[tuple[str, Brain]]:
    """Names of the cases of a subject and the brain at that time: the tumour grows by a fifth in width."""
    for point, case in enumerate(subject.cases()):
        yield case, brain if point == 0 else brain.later(1.2)
