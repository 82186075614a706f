"""DICOM slices in space: one record a frame, of a classic header or of a multi-frame object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from monai_sfda.data.dicom_headers import UNREADABLE, Header
from monai_sfda.data.quiet import quiet
from monai_sfda.errors import DataError

TELLING = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "EchoTime",
    "EffectiveEchoTime",
    "EchoNumbers",
    "InversionTime",
    "DiffusionBValue",
    "ImageType",
    "AcquisitionNumber",
    "AcquisitionTime",
)
"""Elements that may tell apart several images of one slice position, the most meaningful first."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One frame and where it lies.

    Attributes:
        file: its file.
        frame: its index in a multi-frame file; 0 otherwise.
        shape: rows, columns.
        position: centre of the first pixel, LPS, mm.
        row_direction: unit vector along a row (growing column index), LPS.
        column_direction: unit vector along a column (growing row index), LPS.
        row_spacing, column_spacing: distance between rows and between columns, mm.
        thickness: SliceThickness (or SpacingBetweenSlices), mm; None when the header has neither.
        slope, intercept: stored value to the scanner's unit.
        telling: the `TELLING` elements, as text.
        instance_uid: SOPInstanceUID.
    """

    file: Path
    frame: int
    shape: tuple[int, int]
    position: NDArray[np.float64]
    row_direction: NDArray[np.float64]
    column_direction: NDArray[np.float64]
    row_spacing: float
    column_spacing: float
    thickness: float | None
    slope: float
    intercept: float
    telling: tuple[str, ...]
    instance_uid: str

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector across the slice, LPS."""
        normal = np.cross(self.row_direction, self.column_direction)
        return np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)


def slices_of(header: Header) -> tuple[Slice, ...]:
    """All frames of a DICOM image file.

    Raises:
        DataError: when the geometry is missing or malformed, the image is in colour, or its values need a
            lookup table.
    """
    if header.is_colour:
        raise DataError("a colour image (RGB)", remedy="export the grey-value series", path=header.file)
    try:
        with quiet():
            return tuple(_slice(header, frame, groups) for frame, groups in enumerate(_frame_groups(header)))
    except UNREADABLE as error:
        raise DataError(
            "a malformed DICOM header", remedy="export the series again", path=header.file
        ) from error


def _frame_groups(header: Header) -> Iterator[Sequence[Dataset]]:
    """For each frame, the datasets that hold its attributes, the most specific first."""
    dataset = header.dataset
    frames = int(dataset.get("NumberOfFrames") or 1)
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    if per_frame is None:
        if frames > 1:
            raise DataError(
                f"{frames} frames in one file without a position for each",
                remedy="export the series as single slices or as an enhanced multi-frame object",
                path=header.file,
            )
        yield (dataset,)
        return
    if len(per_frame) != frames:
        raise DataError(
            f"{frames} frames but {len(per_frame)} descriptions of frames",
            remedy="export the series again",
            path=header.file,
        )
    shared = _members(dataset.get("SharedFunctionalGroupsSequence") or ())
    for item in per_frame:
        yield (*_members((item,)), *shared, dataset)


def _members(groups: Sequence[Dataset]) -> list[Dataset]:
    """The datasets inside functional groups (`PlanePositionSequence`, `PixelMeasuresSequence` ...)."""
    found = []
    for group in groups:
        for element in group:
            if element.VR == "SQ" and len(element.value) > 0:
                found.append(element.value[0])
    return found


def _slice(header: Header, frame: int, groups: Sequence[Dataset]) -> Slice:
    file = header.file
    rows_cols = (int(header.dataset.Rows), int(header.dataset.Columns))
    orientation = _numbers(groups, "ImageOrientationPatient", 6, file)
    position = _numbers(groups, "ImagePositionPatient", 3, file)
    spacing = _numbers(groups, "PixelSpacing", 2, file)
    if spacing.min() <= 0:
        raise DataError(
            f"PixelSpacing is {spacing[0]:g} x {spacing[1]:g}", remedy="export the series again", path=file
        )
    row, column = orientation[:3], orientation[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(length - 1) for length in lengths) > 0.01 or abs(float(row @ column)) > 0.01:
        raise DataError(
            "ImageOrientationPatient is not two perpendicular unit vectors",
            remedy="export the series again",
            path=file,
        )
    slope = _optional(groups, "RescaleSlope", file)
    if slope == 0:
        raise DataError("RescaleSlope is 0", remedy="export the series again", path=file)
    between = _optional(groups, "SpacingBetweenSlices", file)
    return Slice(
        file=file,
        frame=frame,
        shape=rows_cols,
        position=position,
        row_direction=row / lengths[0],
        column_direction=column / lengths[1],
        row_spacing=float(spacing[0]),
        column_spacing=float(spacing[1]),
        thickness=_optional(groups, "SliceThickness", file) or (abs(between) if between else None),
        slope=1.0 if slope is None else slope,
        intercept=_optional(groups, "RescaleIntercept", file) or 0.0,
        telling=tuple(str(_find(groups, keyword, "")) for keyword in TELLING),
        instance_uid=header.text("SOPInstanceUID"),
    )


def _find(groups: Sequence[Dataset], keyword: str, default: object = None) -> object:
    for group in groups:
        value = group.get(keyword)
        if value is not None and value != "":
            return value
    return default


def _numbers(groups: Sequence[Dataset], keyword: str, count: int, file: Path) -> NDArray[np.float64]:
    try:
        value = _find(groups, keyword)
        if value is None:
            raise DataError(
                f"the header has no {keyword}", remedy="export the series with its geometry", path=file
            )
        numbers = np.array(value, dtype=np.float64)
    except UNREADABLE as error:
        raise DataError(
            f"{keyword} is not a list of numbers", remedy="export the series again", path=file
        ) from error
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise DataError(
            f"{keyword} is not {count} finite numbers", remedy="export the series again", path=file
        )
    return numbers


def _optional(groups: Sequence[Dataset], keyword: str, file: Path) -> float | None:
    try:
        value = _find(groups, keyword)
        number = None if value is None else float(str(value))
    except UNREADABLE as error:
        raise DataError(f"{keyword} is not a number", remedy="export the series again", path=file) from error
    if number is not None and not np.isfinite(number):
        raise DataError(f"{keyword} is not finite", remedy="export the series again", path=file)
    return number
