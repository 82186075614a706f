"""What lies in a folder where something else was expected: known data sets, archives, other layouts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from monai_sfda.catalog import TASKS, Domain, Task
from monai_sfda.data import brats
from monai_sfda.data.case import PICTURE_SUFFIXES, volume_suffix
from monai_sfda.data.layout import SEARCH_DEPTH, Folder, Layout, folders_below
from monai_sfda.errors import SfdaError

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
_LEVELS = SEARCH_DEPTH + 3
_NAMED_AT_MOST = 3
_WITHOUT_LABELS = {
    "CHAOS test scans": re.compile(r"(.*/)?Test_Sets/(MR|CT)/[^/]+/.*", re.IGNORECASE),
    "BTCV test scans": re.compile(r"(.*/)?img00[678]\d\.nii(\.gz)?", re.IGNORECASE),
    "MMWHS test scans": re.compile(r"(.*/)?(mr|ct)_test_\d{4}_image\.nii(\.gz)?", re.IGNORECASE),
    "Cityscapes test pictures": re.compile(r"(.*/)?leftImg8bit/test/.*_leftImg8bit\.png", re.IGNORECASE),
}
"""What is published without labels, by the path below the folder given."""


def describe_folder(folder: Path, wanted: Domain, layouts: Mapping[str, Layout]) -> str:
    """What was found in a folder in which nothing of a domain was, as the end of a sentence.

    Args:
        folder: that the user gave.
        wanted: the domain that was looked for.
        layouts: of all data sets, by name.

    Returns:
        Empty where there is nothing to say; otherwise `found here: ...`.
    """
    below = list(folders_below(folder, _LEVELS))
    found = [
        *_known_scans(folder, wanted, layouts),
        *_ungraded(folder, wanted),
        *_unlabelled(folder, below),
        *_decathlon(below),
        *_records(below),
        *_archives(below),
    ]
    if not found:
        found = list(_files(below))
    return f"found here: {'; '.join(found)}" if found else ""


def _known_scans(folder: Path, wanted: Domain, layouts: Mapping[str, Layout]) -> Iterator[str]:
    """Scans in the layouts of the catalog, each with the tasks that they are for."""
    tasks_of: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    for task in TASKS.values():
        for domain in _variants(task):
            try:
                found = layouts[domain.dataset].find(folder, domain.modality)
            except SfdaError:
                continue
            if found and domain.title != wanted.title:
                counts[domain.scans] = len(found)
                tasks_of.setdefault(domain.scans, []).append(task.name)
    for scans, tasks in tasks_of.items():
        names = " or ".join(f"--task {name}" for name in dict.fromkeys(tasks))
        yield f"{counts[scans]} {scans} ({names})"


def _variants(task: Task) -> Iterator[Domain]:
    for side in (task.source, task.target):
        yield side
        for modality in side.modalities:
            yield side.with_modality(modality)


def _ungraded(folder: Path, wanted: Domain) -> Iterator[str]:
    if wanted.modality in brats.GRADES and brats.grades_known(folder) is False:
        yield (
            "BraTS cases whose folders do not say the grade (since 2020): sort them into HGG and LGG by "
            "name_mapping.csv of the download"
        )


def _unlabelled(folder: Path, below: list[Folder]) -> Iterator[str]:
    paths = [(f.path / name).relative_to(folder).as_posix() for f in below for name in (*f.files, *f.folders)]
    for title, pattern in _WITHOUT_LABELS.items():
        if any(pattern.fullmatch(path) for path in paths):
            yield f"{title}, which have no labels: download the training scans"


def _decathlon(below: list[Folder]) -> Iterator[str]:
    for folder in below:
        if "imagesTr" in folder.folders:
            yield (
                "the layout of the Medical Segmentation Decathlon or nnU-Net (imagesTr, labelsTr): write a "
                "datalist (a Decathlon's dataset.json is one)"
            )
            return


def _records(below: list[Folder]) -> Iterator[str]:
    """The hearts that PnP-AdaNet's authors released: slices, augmented, without subjects."""
    if any(name.lower().endswith(".tfrecords") for folder in below for name in folder.files):
        yield "TFRecords, such as PnP-AdaNet's slices of MMWHS: download the NIfTI scans"


def _archives(below: list[Folder]) -> Iterator[str]:
    names = [
        name
        for folder in below
        for name in folder.files
        if name.lower().endswith(_ARCHIVES) and volume_suffix(Path(name)) is None
    ]
    if names:
        more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
        yield f"{', '.join(names[:_NAMED_AT_MOST])}{more}: unpack first"


def _files(below: list[Folder]) -> Iterator[str]:
    """How many files of which kind there are, where no layout is recognised."""
    names = [name for folder in below for name in folder.files]
    kinds = {
        "volume files": sum(volume_suffix(Path(name)) is not None for name in names),
        "DICOM files": sum(name.lower().endswith(".dcm") for name in names),
        "pictures": sum(name.lower().endswith(PICTURE_SUFFIXES) for name in names),
    }
    counted = [f"{count} {kind}" for kind, count in kinds.items() if count]
    if counted:
        yield f"{', '.join(counted)} in no known layout"
    elif not names:
        yield "no file"
