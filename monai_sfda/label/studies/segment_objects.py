"""Saved labels as DICOM SEG objects, and DICOM SEG objects as labels on their series' grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

import monai_sfda
from monai_sfda.catalog import Task
from monai_sfda.data.dicom_grid import POSITION_TOLERANCE_MM, SliceGrid
from monai_sfda.data.dicom_headers import UNREADABLE
from monai_sfda.data.dicom_segmentation import SegmentationDescription, write_dicom_segmentation
from monai_sfda.data.quiet import quiet
from monai_sfda.data.scan import Scan
from monai_sfda.errors import DataError

SEG_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
Made = Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]
_REMEDY = "save the label again, or leave the segmentation out"


def describe(task: Task, model: str, version: int | None, made: Made) -> SegmentationDescription:
    """What the object of a label says of itself.

    Args:
        task: whose structures are segmented.
        model: name of the model.
        version: of the model that the label began with; None where it is not known.
        made: automatically, corrected by a person, or by a person alone.
    """
    numbered = model if version is None else f"{model} version {version}"
    return SegmentationDescription(
        series=f"Segmentation ({task.name}), research, not for diagnosis",
        phantom_series=f"Segmentation of a phantom ({task.name}), not for diagnosis",
        content=f"Research, not for diagnosis; {numbered}",
        algorithm=f"monai_sfda {monai_sfda.__version__} {numbered}",
        creator="monai_sfda",
        algorithm_type=made,
    )


def write_label(
    path: Path,
    classes: NDArray[np.uint8],
    grid: Scan,
    files: Sequence[Path],
    task: Task,
    description: SegmentationDescription,
) -> Dataset | None:
    """Writes a label of a DICOM series as a DICOM SEG; returns its header, None where nothing is segmented.

    Raises:
        NotReferableError, DataError, SettingError, OutputError: as `write_dicom_segmentation`.
    """
    if not write_dicom_segmentation(path, classes, grid, files, task.structures, description):
        return None
    with quiet():
        return pydicom.dcmread(path, stop_before_pixels=True)


def segment_names(header: Dataset) -> dict[int, str]:
    """Names of an object's segments by number; empty for what is no segmentation."""
    try:
        return {int(s.SegmentNumber): str(s.SegmentLabel) for s in header.get("SegmentSequence") or ()}
    except UNREADABLE:
        return {}


def is_corrected(header: Dataset) -> bool:
    """Whether a person made or corrected every segment."""
    kinds = {str(s.get("SegmentAlgorithmType", "")) for s in header.get("SegmentSequence") or ()}
    return bool(kinds) and kinds <= {"SEMIAUTOMATIC", "MANUAL"}


def referenced_series(header: Dataset) -> str:
    """UID of the series that an object segments; empty where it does not say, or not readably."""
    try:
        referenced = header.get("ReferencedSeriesSequence") or ()
        return str(referenced[0].SeriesInstanceUID) if referenced else ""
    except UNREADABLE:
        return ""


def read_segmentation(path: Path, grid: SliceGrid) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """A DICOM SEG object's segments on the grid of the series that it segments, to the voxel.

    Args:
        path: of the object.
        grid: of its series.

    Returns:
        (columns, rows, slices) numbers of the segments, the higher one where two overlap; their names.

    Raises:
        DataError: when it is no segmentation of that series, on its slices.
    """
    try:
        with quiet():
            data = pydicom.dcmread(path)
            names = segment_names(data)
            if str(data.get("SOPClassUID")) != SEG_STORAGE or not names:
                raise DataError("no DICOM segmentation", remedy=_REMEDY, path=path.name)
            frames = data.pixel_array.reshape(-1, int(data.Rows), int(data.Columns)) != 0
            groups = list(data.PerFrameFunctionalGroupsSequence)
            shared = (data.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
            columns, rows, count = grid.shape
            if frames.shape[1:] != (rows, columns) or len(groups) != len(frames):
                raise DataError("a segmentation of another grid", remedy=_REMEDY, path=path.name)
            _check_orientation(groups, shared, grid, path)
            label = np.zeros((count, rows, columns), dtype=np.uint8)
            slices = {item.instance_uid: index for index, item in enumerate(grid.slices)}
            if len(slices) < count:  # frames of one multi-frame object share its identifier
                slices = {}
            for frame, group in sorted(zip(frames, groups, strict=True), key=lambda pair: _segment(pair[1])):
                label[_slice_of(group, grid, slices, path)][frame] = _segment(group)
    except UNREADABLE as error:
        raise DataError("a damaged DICOM segmentation", remedy=_REMEDY, path=path.name) from error
    return np.ascontiguousarray(label.transpose(2, 1, 0)), names


def _segment(group: Dataset) -> int:
    return int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _slice_of(group: Dataset, grid: SliceGrid, slices: dict[str, int], path: Path) -> int:
    """The slice that a frame lies on: by the image that it refers to, else by its position."""
    for derivation in group.get("DerivationImageSequence") or ():
        for image in derivation.get("SourceImageSequence") or ():
            index = slices.get(str(image.ReferencedSOPInstanceUID))
            if index is not None:
                return index
    position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=np.float64)
    distances = [float(np.linalg.norm(item.position - position)) for item in grid.slices]
    nearest = int(np.argmin(distances))
    if distances[nearest] > POSITION_TOLERANCE_MM * 10:
        raise DataError("a segmentation with frames off its series' slices", remedy=_REMEDY, path=path.name)
    return nearest


def _check_orientation(groups: Sequence[Any], shared: Dataset, grid: SliceGrid, path: Path) -> None:
    """Rows and columns point as the series' do."""
    wanted = np.concatenate([grid.slices[0].row_direction, grid.slices[0].column_direction])
    for group in (shared, *groups):
        for plane in group.get("PlaneOrientationSequence") or ():
            if np.abs(np.array(plane.ImageOrientationPatient, dtype=np.float64) - wanted).max() > 1e-3:
                raise DataError(
                    "a segmentation in another orientation than its series", remedy=_REMEDY, path=path.name
                )
