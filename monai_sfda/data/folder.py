"""A plain folder: NIfTI, NRRD and MetaImage files and DICOM series, in any nesting."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from monai_sfda.data.case import OUTPUT_ENDINGS, Case, stem, volume_suffix
from monai_sfda.data.checks import check_folder
from monai_sfda.data.dicom import why_no_scan
from monai_sfda.data.dicom_grid import check_alike, volumes_of
from monai_sfda.data.dicom_headers import Header, Headers, files_below, read_headers
from monai_sfda.data.dicom_slices import slices_of
from monai_sfda.errors import DataError

_BIDS_SUBJECT = re.compile(r"(sub-[A-Za-z0-9]+)_")


def find_scans(folder: Path) -> tuple[list[Case], list[str]]:
    """All scans of a folder, in the order of their paths and without labels, and warnings (counts alone).

    A DICOM series may be spread over folders, and a folder may hold several. Localizers, colour images and
    images without a position in the patient are left out, and so are segmentations beside their scans: this
    package's own (`name_seg`, `name_entropy` where `name` is there) and those of data sets that keep both in
    one folder (`name_label` where `name_image` is there). A series that holds several images at every slice
    position, told apart by one header element (cine phases, echoes, b-values), is listed as that many scans.

    The subject of a DICOM scan is its PatientID where the folder has several, else its study (anonymised data
    often share one id), as a running number; that of a file is its BIDS `sub-` label, else the file itself.

    Raises:
        DataError: when the folder is missing, cannot be read or holds no scan.
    """
    check_folder(folder)
    files = list(files_below(folder))
    volumes = [f for f in files if volume_suffix(f) is not None]
    headers = read_headers(f for f in files if volume_suffix(f) is None)
    scans, warnings = _volume_cases(volumes, folder)
    series, more_warnings = _dicom_cases(headers, folder)
    scans += series
    if not scans:
        closed = f" ({len(headers.unreadable)} cannot be opened)" if headers.unreadable else ""
        held = "an empty folder" if not files else f"no scans among {len(files)} files{closed}"
        raise DataError(
            held, remedy="give the folder that holds NIfTI, NRRD, MetaImage or DICOM files", path=folder
        )
    return sorted(scans, key=lambda case: case.image[0]), warnings + more_warnings


def _volume_cases(files: Sequence[Path], root: Path) -> tuple[list[Case], list[str]]:
    segmentations = segmentations_beside(files)
    cases: list[Case] = []
    for file in files:
        if file not in segmentations:
            bids = _BIDS_SUBJECT.match(file.name)
            subject = bids[1] if bids else str(file.parent.relative_to(root) / stem(file))
            cases.append(Case(len(cases) + 1, subject, (file,), None, "folder", root=root))
    count = len(segmentations)
    return cases, [f"{count} segmentations beside their scans are left out"] if count else []


def segmentations_beside(files: Sequence[Path]) -> set[Path]:
    """The volume files that by their names are segmentations of others among them."""
    stems = {stem(f) for f in files}
    return {f for f in files if _image_of(stem(f)) in stems}


def _image_of(name: str) -> str | None:
    """The name of the scan that a file of that name would be the segmentation of; None for a scan's name."""
    for ending in OUTPUT_ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending)
    return f"{name.removesuffix('_label')}_image" if name.endswith("_label") else None


def _dicom_cases(headers: Headers, root: Path) -> tuple[list[Case], list[str]]:
    scans: list[tuple[Path, list[Header]]] = []
    left_out: dict[str, int] = {}
    split_series = 0
    for images in headers.series().values():
        reason = why_no_scan(images)
        if reason is not None:
            left_out[reason] = left_out.get(reason, 0) + 1
        else:
            for volumes in volumes_of_series(images):
                split_series += len(volumes) > 1
                scans += [(_place(volume), volume) for volume in volumes]
    warnings = [f"{n} DICOM series {kind} left out" for kind, n in left_out.items()]
    if split_series:
        warnings.append(
            f"{split_series} DICOM series hold several volumes (time points, echoes), each listed as a scan"
        )
    damaged = list(headers.damaged)
    if damaged:
        warnings.append(f"{len(damaged)} damaged DICOM files, a series may lack slices")
    subjects = _subjects([images[0] for _, images in scans])
    used = [folder for folder, _ in scans]
    cases: list[Case] = []
    for (folder, images), subject in zip(scans, subjects, strict=True):
        alone = used.count(folder) == 1
        suspects = [f for f in damaged if alone and f.is_relative_to(folder)]
        cases.append(
            Case(
                number=len(cases) + 1,
                subject=subject,
                image=(folder,),
                label=None,
                reader="folder",
                series_uid=None if alone else images[0].series_uid,
                root=root,
                files=(*(h.file for h in images), *suspects),
            )
        )
    return cases, warnings


def volumes_of_series(images: Sequence[Header]) -> list[list[list[Header]]]:
    """The volumes (time points, echoes) of a series, for each of its copies.

    Args:
        images: headers of one series, in any order.

    Returns:
        One list of volumes, each the headers of its files, for the series as it is, or for each folder where
        folders hold the same positions.
    """
    return [_volumes(part) for part in _by_folder(images)]


def _by_folder(images: Sequence[Header]) -> list[list[Header]]:
    """A series as it is; by folder where folders hold the same positions (copies, phases kept apart)."""
    folders: dict[Path, list[Header]] = {}
    for header in images:
        folders.setdefault(header.file.parent, []).append(header)
    if len(folders) == 1:
        return [list(images)]
    if not images[0].series_uid:
        return list(folders.values())
    held: list[set[str]] = [{h.text("ImagePositionPatient") for h in part} for part in folders.values()]
    overlap = sum(len(positions) for positions in held) > len(set().union(*held))
    return list(folders.values()) if overlap else [list(images)]


def _volumes(images: Sequence[Header]) -> list[list[Header]]:
    """The headers of each volume of a series; the whole series where its geometry is bad, as reading says."""
    try:
        slices = [s for header in images for s in slices_of(header)]
        check_alike(slices)
    except DataError:
        return [list(images)]
    if len(slices) != len(images):
        return [list(images)]
    by_file = {h.file: h for h in images}
    _, volumes = volumes_of(slices)
    return [[by_file[s.file] for s in volume] for volume in volumes]


def _place(images: Sequence[Header]) -> Path:
    """The folder that holds a scan's files; the file itself where it is one (multi-frame objects)."""
    if len(images) == 1:
        return images[0].file
    return Path(os.path.commonpath([h.file.parent for h in images]))


def _subjects(headers: Sequence[Header]) -> list[str]:
    """Running numbers of patients (or of studies, where no more than one patient id is there)."""
    patients = [h.text("PatientID") for h in headers]
    several = len({p for p in patients if p}) > 1
    keys = [
        (p if several and p else h.text("StudyInstanceUID") or str(h.file.parent))
        for p, h in zip(patients, headers, strict=True)
    ]
    numbers: dict[str, int] = {}
    return [f"patient {numbers.setdefault(key, len(numbers) + 1)}" for key in keys]
