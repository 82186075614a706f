"""What a PACS holds of a segmentation, checked against the labelmap that was sent and the series it is of."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset

from monai_sfda.catalog import Task

_SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read(files: Sequence[bytes]) -> list[Dataset]:
    """DICOM datasets of files."""
    return [pydicom.dcmread(BytesIO(file)) for file in files]


def check(
    segmentation: Dataset,
    images: Sequence[Dataset],
    labelmap: Path,
    task: Task,
    *,
    algorithm: str,
    version: int,
) -> None:
    """A DICOM SEG shows what the labelmap shows, frame by frame, and refers to the images that it is of.

    dcmqi writes a frame for each slice from the first to the last that shows a structure, and for no other.

    Args:
        segmentation: from the PACS.
        images: of its series.
        labelmap: NIfTI that was saved, contiguous classes of the task.
        task: names and codes of its structures.
        algorithm: DICOM's word for who drew it; of a corrected mask SEMIAUTOMATIC.
        version: of the model, which the algorithm's name ends with.
    """
    assert segmentation.SOPClassUID == _SEGMENTATION_STORAGE
    assert segmentation.Modality == "SEG"
    assert segmentation.StudyInstanceUID == images[0].StudyInstanceUID
    assert segmentation.PatientID == images[0].PatientID
    assert segmentation.FrameOfReferenceUID == images[0].FrameOfReferenceUID
    assert segmentation.SeriesInstanceUID != images[0].SeriesInstanceUID
    assert [s.SeriesInstanceUID for s in segmentation.ReferencedSeriesSequence] == [
        images[0].SeriesInstanceUID
    ]
    by_uid = {image.SOPInstanceUID: image for image in images}
    structures = {structure.index: structure for structure in task.structures}
    nifti = nibabel.load(labelmap)
    values = np.asarray(nifti.dataobj)
    shown = {int(value) for value in np.unique(values)} - {0}
    described = {int(segment.SegmentNumber): segment for segment in segmentation.SegmentSequence}
    names = {structures[index].name: structures[index] for index in shown}
    by_label = {}
    for number, segment in described.items():
        name = segment.SegmentLabel.strip().lower().replace(" ", "_")
        assert name in names, f"segment '{segment.SegmentLabel}' is none of {sorted(names)}"
        by_label[number] = names[name].index
        code = segment.SegmentedPropertyTypeCodeSequence[0]
        assert code.CodingSchemeDesignator == "SCT"
        assert segment.SegmentAlgorithmType == algorithm
        assert segment.SegmentAlgorithmName.endswith(f"version {version}")
    assert set(by_label.values()) == shown
    to_voxel = np.linalg.inv(_RAS_TO_LPS @ nifti.affine)
    frames = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    seen = set()
    for frame, place in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        index = by_label[int(place.SegmentIdentificationSequence[0].ReferencedSegmentNumber)]
        source = place.DerivationImageSequence[0].SourceImageSequence[0]
        image = by_uid[source.ReferencedSOPInstanceUID]
        position = np.array(place.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        np.testing.assert_allclose(position, np.array(image.ImagePositionPatient, dtype=float), atol=0.01)
        np.testing.assert_array_equal(frame > 0, _plane(values, to_voxel, image) == index)
        seen.add((index, image.SOPInstanceUID))
    assert len(frames) == len(seen)
    ordered = sorted(images, key=_height)
    expected = set()
    for index in shown:
        holding = [k for k, image in enumerate(ordered) if (_plane(values, to_voxel, image) == index).any()]
        expected |= {(index, image.SOPInstanceUID) for image in ordered[holding[0] : holding[-1] + 1]}
    assert seen == expected


def _height(image: Dataset) -> float:
    """Position along the normal of its slice."""
    row, column = np.array(image.ImageOrientationPatient, dtype=float).reshape(2, 3)
    return float(np.cross(row, column) @ np.array(image.ImagePositionPatient, dtype=float))


def _plane(values: np.ndarray, to_voxel: np.ndarray, image: Dataset) -> np.ndarray:
    """The labelmap in the plane of an image, (rows, columns), by the image's own position and orientation."""
    orientation = np.array(image.ImageOrientationPatient, dtype=float)
    down, across = (float(x) for x in image.PixelSpacing)
    columns, rows = np.meshgrid(np.arange(image.Columns), np.arange(image.Rows))
    points = (
        np.array(image.ImagePositionPatient, dtype=float)
        + columns[..., None] * across * orientation[:3]
        + rows[..., None] * down * orientation[3:]
    )
    homogeneous = np.concatenate([points, np.ones((*points.shape[:2], 1))], axis=-1)
    voxels = np.rint(homogeneous @ to_voxel.T)[..., :3].astype(int)
    assert (voxels >= 0).all()
    assert (voxels < values.shape).all()
    return values[tuple(np.moveaxis(voxels, -1, 0))]
