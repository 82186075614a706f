"""A DICOM series as one volume: which files make it, and its values after rescaling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_sfda.data.dicom_grid import SliceGrid, regular_grid
from monai_sfda.data.dicom_headers import Header, Headers, find_series, read_headers
from monai_sfda.data.dicom_pixels import stored_frames
from monai_sfda.data.dicom_slices import slices_of
from monai_sfda.errors import DataError


def scan_headers(folder: Path, series_uid: str | None = None) -> tuple[Header, ...]:
    """The headers of the one series that a folder (or file) holds, or of the one asked for.

    Localizers, screenshots and projections beside a scan are left out.

    Raises:
        DataError: when there is no series, more than one, or a damaged file that may be one of its slices.
    """
    headers = find_series(folder) if folder.is_dir() else read_headers([folder])
    if headers.damaged:
        raise DataError(
            f"{len(headers.damaged)} damaged DICOM file{'s' if len(headers.damaged) > 1 else ''}, perhaps "
            "slices",
            remedy="transfer the series again or remove the file",
            path=headers.damaged[0],
        )
    series = _scans_alone(headers)
    if series_uid is not None:
        if series_uid not in series:
            raise DataError(
                f"the series asked for is not among the {len(series)} found",
                remedy="list the folder again",
                path=folder,
            )
        return tuple(series[series_uid])
    if not series:
        found = [f"{headers.others} DICOM files are no images"] if headers.others else []
        found += [f"{len(headers.unreadable)} files cannot be opened"] if headers.unreadable else []
        what = f"no DICOM images ({', '.join(found)})" if found else "no DICOM images"
        raise DataError(what, remedy="name the folder that holds the series", path=folder)
    if len(series) > 1:
        counts = ", ".join(str(len(images)) for images in series.values())
        raise DataError(
            f"{len(series)} series ({counts} images) where one scan is expected",
            remedy="put each series into a folder of its own and name that",
            path=folder,
        )
    return tuple(next(iter(series.values())))


def _scans_alone(headers: Headers) -> dict[str, list[Header]]:
    """The series that are scans; all of them where none is."""
    series = headers.series()
    return {uid: images for uid, images in series.items() if why_no_scan(images) is None} or series


def why_no_scan(images: Sequence[Header]) -> str | None:
    """Why a series is no scan (a localizer, a screenshot, a projection), in words; None when it is one."""
    if all(h.is_localizer for h in images):
        return "localizer"
    if all(h.is_colour for h in images):
        return "in colour"
    if not any(h.has_geometry for h in images):
        return "without a position in the patient"
    return None


def slice_grid(headers: Sequence[Header]) -> SliceGrid:
    """The slices of one series' headers on their grid.

    Raises:
        DataError: see `regular_grid`; also when a header has no or a malformed geometry.
    """
    return regular_grid([s for header in headers for s in slices_of(header)])


def read_series(files: Sequence[Path]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A series' values and affine.

    Args:
        files: the files of one series, in any order.

    Returns:
        Values (columns, rows, slices) float32 after rescaling (per slice where the header says so); affine
        (4, 4) float64, voxel index to RAS+ mm.

    Raises:
        DataError: see `slice_grid`; also when pixels cannot be decoded.
    """
    headers = read_headers(files)
    if headers.damaged or len(headers.images) != len(files):
        known = {h.file for h in headers.images}
        bad = next(iter(headers.damaged), None) or next(f for f in files if f not in known)
        raise DataError("a damaged DICOM file or no image", remedy="transfer the series again", path=bad)
    grid = slice_grid(headers.images)
    return read_grid(grid), grid.affine


def read_grid(grid: SliceGrid) -> NDArray[np.float32]:
    """The values of sorted slices, (columns, rows, slices) float32 after rescaling.

    Raises:
        DataError: when pixels cannot be decoded.
    """
    columns, rows, count = grid.shape
    volume = np.empty((count, rows, columns), dtype=np.float32)
    by_file: dict[Path, list[int]] = {}
    for index, item in enumerate(grid.slices):
        by_file.setdefault(item.file, []).append(index)
    for file, indices in by_file.items():
        frames = stored_frames(file)
        for index in indices:
            item = grid.slices[index]
            values = frames[item.frame].astype(np.float64)
            volume[index] = values * item.slope + item.intercept
    return volume.transpose(2, 1, 0)
