"""BraTS, brain tumour segmentation: `<HGG or LGG>/<case>/<case>_{t1,t1ce,t2,flair,seg}.nii.gz`.

Cases of 2017 to 2019 are called `Brats18_<site>_<id>_<time point>`; a subject is `<site>_<id>`, whatever the
year, the grade and the time point. Those of 2020 and 2021 (`BraTS20_Training_001`, `BraTS2021_00000`) are one
subject each, and no folder says their grade. Since 2023 a case is `BraTS-GLI-<subject>-<time point>`, and its
files end in `-t1n`, `-t1c`, `-t2w`, `-t2f` and `-seg`.

Source: https://www.med.upenn.edu/sbia/brats2018.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from monai_sfda.data.layout import SEARCH_DEPTH, Folder, FoundScan, add_subject, folders_below, twice
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
_LABEL = re.compile(r".*[_-]segm?\.nii(?:\.gz)?", re.IGNORECASE)
_BY_TIME = re.compile(r"brats-gli-(\d+)-\d+", re.IGNORECASE)
_ENDS_SINCE_2023 = {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f"}


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
    of `LGG`, so that no subject is in both domains of an adaptation from one grade to the other; a note says
    so. One examination in both folders, or twice in one, is a fault, and so is a sequence that is missing.

    Args:
        dataset_dir: folder that holds the unpacked download, at any depth up to four.
        modality: `t1`, `t1ce`, `t2` or `flair` of both grades; `HGG` or `LGG`: all four as channels, in that
            order, of one grade.

    Raises:
        SettingError: when the modality is unknown.
    """
    sequences, grade = _parts(modality)
    examinations = list(_examinations(dataset_dir))
    found: dict[str, FoundScan] = {}
    for examination in examinations:
        if grade in (None, examination.grade):
            add_subject(found, examination.case, _scan(examination, sequences))
    return found if grade is None else _of_one_grade(found, grade, examinations)


def grades_known(dataset_dir: Path) -> bool | None:
    """Whether the folders say the grade of any case; None where there is no case."""
    grades = [examination.grade for examination in _examinations(dataset_dir)]
    return any(grades) if grades else None


def _of_one_grade(
    found: dict[str, FoundScan], grade: str, examinations: Sequence[_Examination]
) -> dict[str, FoundScan]:
    """The scans of a grade without the subjects of the other, whom a note or a fault names."""
    elsewhere = {e.case: e for e in examinations if e.grade != grade}
    subjects = {e.subject for e in elsewhere.values() if e.grade is not None}
    kept: dict[str, FoundScan] = {}
    for case, scan in found.items():
        fault, note = scan.fault, None
        other = elsewhere.get(case)
        if other is not None and fault is None:
            fault = twice(scan.images[0].parent, other.folder.path)
            if other.grade is not None:
                fault = DataError(
                    f"an examination in both grades (also in {other.grade})",
                    remedy="remove it from the folder of the grade that it is not",
                    path=scan.images[0].parent,
                )
        elif scan.subject in subjects and grade == "LGG":
            continue
        elif scan.subject in subjects:
            note = DataError(
                "a subject with examinations in HGG and in LGG",
                remedy="it counts as one of high grade, and its low-grade examinations are left out",
                path=scan.images[0].parent,
            )
        kept[case] = replace(scan, fault=fault, note=note)
    return kept


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
        named = _BY_SITE.fullmatch(case) or _BY_TIME.fullmatch(case)
        if named is None and _BY_NUMBER.fullmatch(case) is None:
            continue
        if not any(_sequence_of(case, file) for file in folder.files):
            continue
        above = folder.path.parent.name.upper()
        subject = case if named is None else named[1]
        yield _Examination(folder, case, subject, above if above in GRADES else None)


def _sequence_of(case: str, file: str) -> str | None:
    """The sequence that a file of a case holds; None for every other file."""
    names = {
        f"{case}{end}{suffix}": sequence
        for sequence in SEQUENCES
        for end in (f"_{sequence}", f"-{_ENDS_SINCE_2023[sequence]}")
        for suffix in (".nii.gz", ".nii")
    }
    return names.get(file)


def _scan(examination: _Examination, sequences: Sequence[str]) -> FoundScan:
    """An examination's sequences as channels; one that is missing is its fault."""
    folder = examination.folder.path
    files = {_sequence_of(examination.case, file): folder / file for file in examination.folder.files}
    images = tuple(files[sequence] for sequence in sequences if sequence in files)
    missing = [sequence for sequence in sequences if sequence not in files]
    fault = None
    if missing:
        fault = DataError(
            f"the case has no {', no '.join(missing)} image",
            remedy=f"complete the download; expected <case>_{missing[0]}.nii.gz",
            path=folder,
        )
    return FoundScan(images or (folder,), _label(examination), examination.subject, fault)


def _label(examination: _Examination) -> Path:
    names = [file for file in examination.folder.files if _LABEL.fullmatch(file)]
    return examination.folder.path / (names[0] if names else f"{examination.case}_seg.nii.gz")
