"""Reading a case: its scan, and its label on the same grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_sfda.catalog import Task
from monai_sfda.data.case import Case
from monai_sfda.data.chaos import read_ground
from monai_sfda.data.checks import (
    affine_difference,
    check_affine,
    check_intensities,
    describe_shape,
    same_affine,
)
from monai_sfda.data.dicom import read_grid, read_series, scan_headers, slice_grid
from monai_sfda.data.dicom_headers import read_headers
from monai_sfda.data.labels import known_values, read_label_volume, to_classes
from monai_sfda.data.picture import read_label_picture, read_picture
from monai_sfda.data.plausibility import check_modality, check_not_a_mask
from monai_sfda.data.scan import Scan
from monai_sfda.data.volume import read_volume
from monai_sfda.errors import DataError, report_errors_relative_to


def read_case(
    case: Case, task: Task, domain: str, *, with_label: bool
) -> tuple[Scan, NDArray[np.uint8] | None]:
    """A case's scan and, where asked for, its label.

    Args:
        case: of a list.
        task: whose labels are meant.
        domain: `source` or `target`; says what the stored label values of an official layout mean.
        with_label: whether the label is read; without, its path is not looked at.

    Returns:
        The scan; the label (X, Y, Z) uint8, contiguous classes (or `IGNORED`) on the scan's own voxel grid,
        or None.

    Raises:
        DataError: when an input is missing, damaged or unfit; names the file, the value and the remedy.
    """
    side = task.domain(domain)
    with nullcontext() if case.root is None else report_errors_relative_to(case.root):
        if task.pictures:
            scan = read_picture(case.image[0])
        else:
            channels = [_read_channel(case, path, side.kind) for path in case.image]
            scan = _stack(channels, case.image)
        if not with_label:
            return scan, None
        if case.label is None:
            raise DataError(
                "no label is listed for the scan", remedy="list cases with their labels", path=case.image[0]
            )
        if task.pictures:
            stored = read_label_picture(case.label, scan, case.reader)
        else:
            stored = _read_stored_label(case, case.label, scan)
        return scan, to_classes(
            stored, *known_values(case, task, side), path=case.label, ignored=side.ignored_values
        )


def raise_first(errors: Sequence[DataError], scans: int) -> None:
    """Raises the first of the errors that were met while all scans were looked at, with how many more are
    bad.

    Args:
        errors: of bad scans, in order; none: nothing is raised.
        scans: how many there are in all.
    """
    if not errors:
        return
    first, others = errors[0], len(errors) - 1
    more = f" ({others} more of {scans} scans {'are' if others > 1 else 'is'} bad too)" if others else ""
    raise DataError(first.what + more, remedy=first.remedy, path=first.path, root=first.root) from first


def _read_channel(case: Case, path: Path, kind: str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    values: NDArray[Any]
    if case.files and len(case.image) == 1:
        check_modality(read_headers(case.files[:1]).images, kind, path)
        values, affine = read_series(case.files)
    elif path.is_dir():
        headers = scan_headers(path, case.series_uid)
        check_modality(headers, kind, path)
        grid = slice_grid(headers)
        values, affine = read_grid(grid), grid.affine
    else:
        values, affine = read_volume(path)
    check_affine(affine, path)
    check_intensities(values, path)
    check_not_a_mask(values, path)
    return values, affine


def _stack(
    channels: Sequence[tuple[NDArray[np.float32], NDArray[np.float64]]], paths: Iterable[Path]
) -> Scan:
    """The channels as one scan; a single one is not copied."""
    first, affine = channels[0]
    for (values, other), path in zip(channels, paths, strict=True):
        if values.shape != first.shape:
            raise DataError(
                f"a channel of {describe_shape(values.shape)} voxels, the first has "
                f"{describe_shape(first.shape)}",
                remedy="resample the channels to one grid",
                path=path,
            )
        if not same_affine(affine, other):
            raise DataError(
                f"a channel on another grid than the first: {affine_difference(affine, other)}".replace(
                    "image's", "first's"
                ),
                remedy="register and resample the channels to one grid",
                path=path,
            )
    if len(channels) == 1:
        return Scan(first[np.newaxis], affine)
    array = np.empty((len(channels), *first.shape), dtype=np.float32)
    for index, (values, _) in enumerate(channels):
        array[index] = values
    return Scan(array, affine)


def _read_stored_label(case: Case, label: Path, scan: Scan) -> NDArray[Any]:
    if not label.is_dir():
        return read_label_volume(label, scan)
    if not case.image[0].is_dir():
        raise DataError(
            "a folder of label pictures for an image that is no DICOM folder",
            remedy="give the label as a volume",
            path=label,
        )
    return read_ground(label, slice_grid(scan_headers(case.image[0], case.series_uid)))
