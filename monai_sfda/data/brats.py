"""BraTS, brain tumour segmentation: `<HGG or LGG>/<case>/<case>_{t1,t1ce,t2,flair,seg}.nii.gz`.

Cases of 2017 to 2019 are called `Brats18_<site>_<id>_<time point>`; a subject is `<site>_<id>`, whatever the
year, the grade and the time point. Those of 2020 and 2021 (`BraTS20_Training_001`, `BraTS2021_00000`) are one
subject each, and no folder says their grade.

Source: https://www.med.upenn.edu/sbia/brats2018.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monai_sfda.data.layout import SEARCH_DEPTH, Folder, FoundScan, add_subject, folders_below
from monai_sfda.errors import DataError, SettingError, nearest

SEQUENCES = ("t1", "t1ce", "t2", "flair")
"""In the order of the channels."""
GRADES = ("HGG", "LGG")
_MODALITIES: dict[str, tuple[tuple[str, ...], str | None]] = {
    **{sequence: ((sequence,), None) for sequence in SEQUENCES},
    **{grade: (SEQUENCES, grade) for grade in GRADES},
}
_LEVELS = SEARCH_DEPTH + 3  # MICCAI_BraTS_2018_Data_Training / HGG / case
_BY_SITE = re.compile(r"brats1[789]_(.+_.+)_(\d+)", re.IGNORECASE)
_BY_NUMBER = re.compile(r"brats(?:20_training|2021)_\d+", re.IGNORECASE)
# One label of 2020 (case 355) is called W39_1998.09.19_Segm.nii.
_LABEL = re.compile(r".*_segm?\.nii(?:\.gz)?", re.IGNORECASE)


@dataclass(frozen=True)
class _Examination:
    """A case's folder, and what names say of it; the grade is None where the folder above does not tell."""

    folder: Folder
    case: str
    subject: str
    grade: str | None


def expected(modality: str) -> str:
    """The layout of a modality, for messages."""
    sequences, grade = _parts(modality)
    names = sequences[0] if len(sequences) == 1 else "{" + ",".join(sequences) + "}"
    return f"{grade or 'HGG'}/<case>/<case>_{names}.nii.gz with {grade or 'HGG'}/<case>/<case>_seg.nii.gz"


def find(dataset_dir: Path, modality: str) -> dict[str, FoundScan]:
    """The examinations by case name (`Brats18_2013_2_1`), each with its subject.

    A subject with examinations of both grades is one of high grade: its low-grade examinations are left out
    of `LGG`, so that no subject is in both domains of an adaptation from one grade to the other.

    Args:
        dataset_dir: folder that holds the unpacked download, at any depth up to four.
        modality: `t1`, `t1ce`, `t2` or `flair` of both grades; `HGG` or `LGG`: all four as channels, in that
            order, of one grade.

    Raises:
        DataError: when a case is there twice, or lacks one of the sequences asked for.
        SettingError: when the modality is unknown.
    """
    sequences, grade = _parts(modality)
    found: dict[str, FoundScan] = {}
    examinations = list(_examinations(dataset_dir))
    high = {examination.subject for examination in examinations if examination.grade == "HGG"}
    for examination in examinations:
        if grade is not None and examination.grade != grade:
            continue
        if grade == "LGG" and examination.subject in high:
            continue
        images = tuple(_image(examination, sequence) for sequence in sequences)
        add_subject(found, examination.case, FoundScan(images, _label(examination), examination.subject))
    return found


def _parts(modality: str) -> tuple[tuple[str, ...], str | None]:
    """The sequences of a modality and the grade that it is of, None for both."""
    if modality not in _MODALITIES:
        raise SettingError(
            f"BraTS modality '{modality}' is unknown",
            remedy=f"use one of {', '.join(nearest(modality, _MODALITIES))}",
        )
    return _MODALITIES[modality]


def _examinations(root: Path) -> Iterator[_Examination]:
    for folder in folders_below(root, _LEVELS):
        case = folder.path.name
        by_site = _BY_SITE.fullmatch(case)
        if by_site is None and _BY_NUMBER.fullmatch(case) is None:
            continue
        if not any(_sequence_of(case, file) for file in folder.files):
            continue
        above = folder.path.parent.name.upper()
        subject = case if by_site is None else by_site[1]
        yield _Examination(folder, case, subject, above if above in GRADES else None)


def _sequence_of(case: str, file: str) -> str | None:
    """The sequence that a file of a case holds; None for every other file."""
    names = {f"{case}_{sequence}{end}": sequence for sequence in SEQUENCES for end in (".nii.gz", ".nii")}
    return names.get(file)


def _image(examination: _Examination, sequence: str) -> Path:
    for file in examination.folder.files:
        if _sequence_of(examination.case, file) == sequence:
            return examination.folder.path / file
    raise DataError(
        f"the case has no {sequence} image",
        remedy=f"complete the download; expected <case>_{sequence}.nii.gz",
        path=examination.folder.path,
    )


def _label(examination: _Examination) -> Path:
    names = [file for file in examination.folder.files if _LABEL.fullmatch(file)]
    return examination.folder.path / (names[0] if names else f"{examination.case}_seg.nii.gz")
