"""Lists of cases: an official layout, a datalist or a plain folder; with the reading of what is listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from monai_sfda.catalog import Domain, Task
from monai_sfda.data import brats, btcv, chaos, ibsi, ivdm3seg, mmwhs, street
from monai_sfda.data.case import Case, with_unique_names
from monai_sfda.data.channels import find_channel_scans
from monai_sfda.data.checks import check_folder
from monai_sfda.data.datalist import SPLIT_KEYS, read_datalist
from monai_sfda.data.dicom_headers import files_below
from monai_sfda.data.folder import find_scans
from monai_sfda.data.inspection import CaseSummary, check_cases
from monai_sfda.data.layout import FoundScan, Layout
from monai_sfda.data.picture import find_pictures
from monai_sfda.data.reading import raise_first, read_case
from monai_sfda.data.recognition import describe_folder
from monai_sfda.data.writing import write_segmentation
from monai_sfda.errors import DataError, NoScansError, SettingError, nearest, report_errors_relative_to

__all__ = [
    "CaseList",
    "CaseSummary",
    "check_cases",
    "list_cases",
    "list_folder",
    "read_case",
    "write_segmentation",
]


LAYOUTS: dict[str, Layout] = {
    "brats": brats,
    "btcv": btcv,
    "chaos": chaos,
    "cityscapes": street.CITYSCAPES,
    "gta5": street.GTA5,
    "ibsi": ibsi,
    "ivdm3seg": ivdm3seg,
    "mmwhs": mmwhs,
    "synthia": street.SYNTHIA,
}


@dataclass(frozen=True)
class CaseList:
    """The cases of one split.

    Attributes:
        cases: numbered from 1, with unique names.
        warnings: what a user should know, in counts; no file, no subject is named.
        split: `train`, `val`, `test`, or `all` for a plain folder.
        split_source: where the split comes from, for reports.
        missing: subject ids of an official split that are not there, for `monai-sfda check`.
        overlaps: in words and counts, lists of the same domain that share subjects with this one.
    """

    cases: tuple[Case, ...]
    warnings: tuple[str, ...]
    split: str
    split_source: str
    missing: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundCases:
    """What was found of a split, good and bad.

    Attributes:
        list: the cases whose images are there; without a label where it is missing.
        faults: why scans cannot be listed: there twice, a channel missing.
        label_faults: of the cases whose label is missing.
        notes: of cases that are used, what a user should know.
    """

    list: CaseList
    faults: tuple[DataError, ...] = ()
    label_faults: tuple[DataError, ...] = ()
    notes: tuple[DataError, ...] = ()


def list_cases(
    task: Task,
    domain: str,
    split: str,
    dataset_dir: Path,
    *,
    datalist: Path | None = None,
    labels: bool = True,
) -> CaseList:
    """The cases of a split, from a datalist or from the domain's official layout.

    An official split is cut to the subjects that are there, with a warning.

    Args:
        task: of the catalog.
        domain: `source` or `target`.
        split: `train`, `val` or `test`.
        dataset_dir: folder that holds the unpacked downloads, at any depth up to four; first folder of a
            datalist's relative paths, which need none: the datalist's own folder is the second.
        datalist: JSON that replaces the official layout.
        labels: whether labels are wanted; without, every label is None and no label's path is looked at.

    Raises:
        DataError: when nothing is found, the split is empty, a scan is there twice or lacks a channel, or
            (with `labels`) a label is missing; the first, with how many more are bad.
        SettingError: when the domain or the split is unknown.
    """
    found = find_cases(task, domain, split, dataset_dir, datalist=datalist, labels=labels)
    faults = (*found.faults, *found.label_faults)
    raise_first(faults, len(found.list.cases) + len(found.faults))
    return found.list


def find_cases(
    task: Task,
    domain: str,
    split: str,
    dataset_dir: Path,
    *,
    datalist: Path | None = None,
    labels: bool = True,
) -> FoundCases:
    """As `list_cases`, with the scans that cannot be used beside the others; arguments as there.

    Raises:
        DataError: when nothing is found or the split is empty.
        SettingError: when the domain or the split is unknown.
    """
    side = task.domain(domain)
    if split not in SPLIT_KEYS:
        raise SettingError(
            f"split '{split}' is unknown", remedy=f"use one of {', '.join(nearest(split, SPLIT_KEYS))}"
        )
    dataset_dir = Path(dataset_dir)
    if datalist is not None and not dataset_dir.exists() and Path(datalist).is_file():
        dataset_dir = Path(datalist).parent
    with report_errors_relative_to(dataset_dir):
        check_folder(dataset_dir)
        if datalist is not None:
            listed = read_datalist(Path(datalist), task, domain, split, dataset_dir, labels=labels)
            found = FoundCases(
                CaseList(
                    with_unique_names(listed.cases),
                    (*listed.warnings, *listed.overlaps),
                    split,
                    f"the {split} list of the datalist given",
                    overlaps=listed.overlaps,
                ),
                listed.faults,
                listed.label_faults,
            )
        else:
            found = _official(side, split, dataset_dir, labels=labels)
    for error in (*found.faults, *found.label_faults, *found.notes):
        error.root = error.root or dataset_dir
    return found


def list_folder(folder: Path, channels: Sequence[str] = (), *, pictures: bool = False) -> CaseList:
    """All scans of a plain folder, without labels; see `monai_sfda.data.folder.find_scans`.

    Args:
        folder: to look through, subfolders too.
        channels: where a scan is several files, see `monai_sfda.data.channels.find_channel_scans`.
        pictures: look for colour pictures instead of scans.

    Raises:
        DataError: when the folder is missing, cannot be read or holds no scan.
    """
    folder = Path(folder)
    with report_errors_relative_to(folder):
        check_folder(folder)
        if pictures:
            scans, warnings = find_pictures(folder, list(files_below(folder)))
        elif channels:
            scans, warnings = find_channel_scans(folder, channels)
        else:
            scans, warnings = find_scans(folder)
    return CaseList(with_unique_names(scans), tuple(warnings), "all", "all scans of the folder given")


def _official(side: Domain, split: str, dataset_dir: Path, *, labels: bool) -> FoundCases:
    layout = LAYOUTS[side.dataset]
    found = layout.find(dataset_dir, side.modality)
    if not found:
        there = describe_folder(dataset_dir, side, LAYOUTS)
        raise DataError(
            f"no {side.scans}",
            remedy=f"expected {layout.expected(side.modality)}, up to four folders down, or give a datalist"
            f"{there and '; '}{there}",
            path=dataset_dir,
        )
    owner = {scan: found[scan].subject or scan for scan in found}
    splits = side.splits_of(owner.values())
    subjects = splits.get(split, ())
    present = [scan for subject in subjects for scan in found if owner[scan] == subject]
    if not present:
        sizes = ", ".join(f"{name} {len(ids)}" for name, ids in splits.items())
        others = f"it has {len(subjects)} subjects, and the {len(set(owner.values()))} found are others"
        raise NoScansError(
            f"no scans for the {split} split of {side.title}: {others if subjects else 'there is none'}",
            remedy=f"use another split (subjects: {sizes}), complete the download, or give a datalist",
            path=dataset_dir,
        )
    missing = tuple(s for s in subjects if s not in owner.values())
    warnings = _warnings(side, split, len(subjects), len(missing))
    listed = CaseList((), warnings, split, side.split_source, missing)
    return _sorted_out(listed, side, [(owner[name], found[name]) for name in present], dataset_dir, labels)


def _sorted_out(
    listed: CaseList, side: Domain, present: Sequence[tuple[str, FoundScan]], root: Path, labels: bool
) -> FoundCases:
    """The scans of a split as cases of `listed`, and the faults of those that cannot be used."""
    cases: list[Case] = []
    faults: list[DataError] = []
    label_faults: list[DataError] = []
    notes: list[DataError] = []
    for subject, scan in present:
        if scan.fault is not None:
            faults.append(scan.fault)
            continue
        labelled = labels and scan.label.exists()
        if labels and not labelled:
            label_faults.append(
                DataError(
                    "the label is missing of the image",
                    remedy=f"complete the download; expected {LAYOUTS[side.dataset].expected(side.modality)}",
                    path=scan.images[0],
                )
            )
        if scan.note is not None:
            notes.append(scan.note)
        label = scan.label if labelled else None
        cases.append(Case(len(cases) + 1, subject, scan.images, label, side.dataset, root=root))
    found = replace(listed, cases=with_unique_names(cases))
    return FoundCases(found, tuple(faults), tuple(label_faults), tuple(notes))


def _warnings(side: Domain, split: str, subjects: int, missing: int) -> tuple[str, ...]:
    if not missing:
        return ()
    return (
        f"{subjects - missing} of the {subjects} subjects of the official {split} split of {side.title} are "
        f"there, {missing} are missing",
    )
