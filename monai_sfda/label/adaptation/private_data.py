"""The private folder of a job: links to its scans under numbers, and the datalist that names them.

Numbers take the place of names and ids, so that no message of the run can carry one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from monai_sfda.catalog import Task
from monai_sfda.data.case import Case, volume_suffix
from monai_sfda.data.inspection import inspect_cases
from monai_sfda.data.volume import read_volume
from monai_sfda.errors import DataError, SfdaError
from monai_sfda.files import write_json
from monai_sfda.label.adaptation.selection import Selection
from monai_sfda.workflow.report import PHANTOM_MANIFEST
from monai_sfda.workflow.run_folder import is_phantom

SCANS, DATALIST = "scans", "datalist.json"
NOT_FETCHED, UNREADABLE = "could not be fetched", "not readable or not fit for the model"
COPY, CHANNELS = "a copy of another", "with another number of channels"


class Stopped(Exception):  # noqa: N818 - no fault
    """Somebody asked to stop while the data were prepared."""


def gather_scans(
    folder: Path,
    datastore: Any,
    selection: Selection,
    task: Task,
    go_on: Callable[[], bool],
) -> tuple[Selection, dict[str, list[Path]]]:
    """Links the scans of a selection into the folder and reads each once.

    Args:
        folder: private one of the job.
        datastore: fetches a study where it is not on this machine.
        selection: what to take.
        task: that the scans are for.
        go_on: asked between studies.

    Returns:
        The selection without the studies that cannot be used, and study id to its channels' paths.

    Raises:
        Stopped: when `go_on` said no.
    """
    scans = folder / SCANS
    shutil.rmtree(scans, ignore_errors=True)
    scans.mkdir(parents=True, mode=0o700)
    bad: dict[str, str] = {}
    paths: dict[str, list[Path]] = {}
    contents: dict[str, str] = {}
    phantoms: list[bool] = []
    for number, study in enumerate(selection.studies, start=1):
        if not go_on():
            raise Stopped
        try:
            stored = Path(datastore.get_image_uri(study))
        except (SfdaError, OSError):
            bad[study] = NOT_FETCHED
            continue
        try:
            paths[study] = link_scan(stored, scans, number, task)
        except DataError:
            bad[study] = UNREADABLE
            continue
        case = Case(number, study, tuple(paths[study]), None, "datalist", root=scans)
        (seen,) = inspect_cases([case], task, "target", False)
        if seen.summary is None:
            bad[study] = UNREADABLE
        elif seen.summary.channels != max(1, len(task.target.channels)):
            bad[study] = CHANNELS
        elif seen.content in contents:
            bad[study] = COPY
        else:
            contents[seen.content] = study
            phantoms.append(is_phantom(_any_file(stored).resolve().parent))
    if phantoms and all(phantoms):
        write_json(scans / PHANTOM_MANIFEST, {"note": "all scans of this job are phantoms"})
    return selection.without(bad), {study: paths[study] for study in paths if study not in bad}


def link_scan(stored: Path, folder: Path, number: int, task: Task) -> list[Path]:
    """A study's files under a number: a link to a file, or a folder of links to a DICOM series.

    The files of a series are hard links where the file system allows it, since a cache of the PACS may drop
    them meanwhile. A task of several channels takes a file's fourth axis apart.

    Raises:
        DataError: when a file that must be read cannot be.
        OSError: when a link cannot be made.
    """
    name = f"{number:04d}"
    if stored.is_dir():
        place = folder / name
        place.mkdir()
        for index, source in enumerate(sorted(p for p in stored.rglob("*") if p.is_file()), start=1):
            _link(source.resolve(), place / f"{index:05d}.dcm")
        return [place]
    suffix = volume_suffix(stored) or ""
    if len(task.target.channels) > 1 and suffix in (".nii", ".nii.gz"):
        with suppress(ValueError, OSError, nib.filebasedimages.ImageFileError):
            return _split_channels(stored, folder / name)
    if suffix in (".mhd", ".nhdr"):  # its values are in a file beside it
        values, affine = read_volume(stored)
        place = folder / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(values, affine), place)
        return [place]
    place = folder / f"{name}{suffix}"
    place.symlink_to(stored.resolve())
    return [place]


def write_datalist(folder: Path, lists: Mapping[str, Sequence[Mapping[str, Any]]], **more: Any) -> Path:
    """The datalist of a job.

    Args:
        folder: private one of the job.
        lists: `target_train` and so on to their items, with absolute paths.
        more: further entries, such as `labels`.
    """
    path = folder / DATALIST
    scans = folder / SCANS

    def relative(item: Mapping[str, Any]) -> dict[str, Any]:
        """An item with its files as they lie below the folder of the scans."""
        images = [p.relative_to(scans).as_posix() for p in item["image"]]
        content: dict[str, Any] = {"image": images if len(images) > 1 else images[0]}
        if "label" in item:
            content["label"] = item["label"].relative_to(scans).as_posix()
        return content | {"subject": item["subject"]}

    write_json(path, {**more, **{name: [relative(item) for item in items] for name, items in lists.items()}})
    return path


def subject_numbers(selection: Selection) -> dict[str, str]:
    """Study id to its subject's number, S1, S2, ... in the selection's order."""
    known = {subject: f"S{n}" for n, subject in enumerate(dict.fromkeys(selection.subjects), start=1)}
    return {
        study: known[subject] for study, subject in zip(selection.studies, selection.subjects, strict=True)
    }


def forget_scans(folder: Path) -> None:
    """Removes the links when a job needs them no more."""
    shutil.rmtree(folder / SCANS, ignore_errors=True)


def forget_weights(folder: Path) -> None:
    """Removes the weights of a run whose version in the store holds them; record, report and log stay."""
    for name in ("run/bundle", "run/candidates", "trained/release", "trained/bundle"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("run/model.pt", "run/adapted.pt"):
        (folder / name).unlink(missing_ok=True)


def _any_file(stored: Path) -> Path:
    return next((p for p in stored.rglob("*") if p.is_file()), stored) if stored.is_dir() else stored


def _link(source: Path, place: Path) -> None:
    try:
        os.link(source, place)
    except OSError:  # another file system, or one without hard links
        place.symlink_to(source)


def _split_channels(stored: Path, place: Path) -> list[Path]:
    image = nib.load(stored)
    if not isinstance(image, nib.spatialimages.SpatialImage) or len(image.shape) != 4:
        raise ValueError("no fourth axis")
    found = []
    for channel in range(image.shape[3]):
        path = place.with_name(f"{place.name}_{channel}.nii.gz")
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj[..., channel], np.float32), image.affine), path)
        found.append(path)
    return found
