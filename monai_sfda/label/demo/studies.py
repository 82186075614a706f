"""Phantom scans as DICOM studies, as a PACS would hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

_CT_INTERCEPT = -1024
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class PhantomStudy:
    """How a phantom's study is labelled.

    Attributes:
        number: of the patient who does not exist, from 1.
        modality: `CT` or `MR`.
        body_part: DICOM's word, such as `HEART`.
        manufacturer, model: of the simulated scanner.
        series: number of the series within the study.
        description: of the series.
        seed: text that the unique identifiers are made from, beside the numbers.
    """

    number: int
    modality: str
    body_part: str
    manufacturer: str = "Phantom Imaging"
    model: str = "Simulator 1"
    series: int = 1
    description: str = "phantom"
    seed: str = "demo"

    def uid(self, kind: str, instance: int = 0) -> UID:
        """An identifier of the study, the series, the frame of reference or an instance; always the same."""
        parts = ["monai_sfda phantom study", self.seed, kind, str(self.number)]
        if kind in ("series", "instance"):
            parts += [str(self.series), str(instance)]
        # one text with separators: pydicom joins several without, so that 1 and 12 would be 11 and 2
        return generate_uid(entropy_srcs=["/".join(parts)])


def write_series(image: Path, folder: Path, study: PhantomStudy, *, across: int = 2) -> list[Path]:
    """A NIfTI scan as a DICOM series, on the same grid to the voxel.

    Values of CT are stored with an intercept of -1024, all values rounded. One index axis becomes the slices,
    the two others, in their order, columns and rows.

    Args:
        image: (X, Y, Z) with orthogonal axes.
        folder: of the files, made.
        study: what the headers say.
        across: the body's axis that slices lie across: 0 for sagittal ones, 1 coronal, 2 axial. The index
            axis that is nearest to it becomes that of the slices.

    Returns:
        The files in the order of the slice axis.
    """
    nifti = nibabel.nifti1.Nifti1Image.from_filename(image)
    affine = _TO_LPS @ nifti.affine
    directions = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    slices = int(directions[across].argmax())
    values = np.moveaxis(np.asarray(nifti.dataobj, dtype=np.float64), slices, 2)
    affine = affine[:, [*(axis for axis in (0, 1, 2) if axis != slices), slices, 3]]
    stored = np.clip(np.rint(values) - (_CT_INTERCEPT if study.modality == "CT" else 0), 0, 32767)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for k in range(stored.shape[2]):
        path = folder / f"{study.series:02d}_{k + 1:04d}.dcm"
        data = _header(path, study, k + 1)
        _set_place(data, affine, k)
        _set_pixels(data, stored[:, :, k].T.astype("<u2"), study)
        data.save_as(path, write_like_original=False)
        files.append(path)
    return files


def write_studies(
    images: Sequence[Path],
    out: Path,
    modality: str,
    body_part: str,
    *,
    across: int = 2,
    seed: str = "demo",
) -> list[Path]:
    """Every scan as a study of its own, every second one from another scanner; returns the folders."""
    folders = []
    for number, image in enumerate(images, start=1):
        study = PhantomStudy(
            number, modality, body_part, model=f"Simulator {1 + (number - 1) % 2}", seed=seed
        )
        folders.append(out / f"study_{number:03d}")
        write_series(image, folders[-1], study, across=across)
    return folders


def _header(path: Path, study: PhantomStudy, instance: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage if study.modality == "CT" else MRImageStorage
    meta.MediaStorageSOPInstanceUID = study.uid("instance", instance)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = study.uid("implementation")
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.is_little_endian, data.is_implicit_VR = True, False
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = study.uid("study"), study.uid("series")
    data.FrameOfReferenceUID = study.uid("frame")
    data.Modality, data.BodyPartExamined = study.modality, study.body_part
    data.Manufacturer, data.ManufacturerModelName = study.manufacturer, study.model
    data.PatientName, data.PatientID = f"Phantom^{study.number:03d}", f"PHANTOM-{study.number:03d}"
    data.PatientBirthDate = data.PatientSex = data.ReferringPhysicianName = ""
    # a date, as viewers sort by it and some leave out studies without one
    data.StudyDate, data.StudyTime = f"2026{1 + study.number // 28:02d}{1 + study.number % 28:02d}", "120000"
    data.StudyID, data.AccessionNumber = str(study.number), ""
    data.StudyDescription = f"{study.body_part.capitalize()} {study.modality}, phantom"
    data.SeriesDescription, data.SeriesNumber = study.description, study.series
    data.InstanceNumber, data.PatientPosition = instance, "HFS"
    data.PositionReferenceIndicator = ""
    data.ImageComments = "phantom data, not patient data"
    data.QualityControlImage = "YES"  # DICOM's word for an image of a phantom
    if study.modality == "CT":
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.KVP = "120"
    else:
        data.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        data.ScanningSequence, data.SequenceVariant, data.ScanOptions = "GR", "SP", ""
        data.MRAcquisitionType, data.RepetitionTime, data.EchoTime = "3D", "10", "4.8"
        data.EchoTrainLength = 1
    return data


def _set_place(data: Dataset, affine: NDArray[np.float64], k: int) -> None:
    """Position and orientation of a slice; `affine` is voxel index to LPS in mm."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    columns, rows = (affine[:3, axis] / spacing[axis] for axis in (0, 1))
    position = affine[:3, 3] + k * affine[:3, 2]
    data.ImagePositionPatient = [_decimal(value) for value in position]
    data.ImageOrientationPatient = [_decimal(value) for value in (*columns, *rows)]
    data.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]
    data.SliceThickness = data.SpacingBetweenSlices = _decimal(spacing[2])
    data.SliceLocation = _decimal(float(position @ np.cross(columns, rows)))


def _set_pixels(data: Dataset, frame: NDArray[np.uint16], study: PhantomStudy) -> None:
    data.Rows, data.Columns = frame.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleIntercept = str(_CT_INTERCEPT) if study.modality == "CT" else "0"
    data.RescaleSlope = "1"
    if study.modality == "CT":
        data.RescaleType = "HU"
        data.WindowCenter, data.WindowWidth = "150", "700"
    else:
        high = int(frame.max())
        data.WindowCenter, data.WindowWidth = str(max(1, int(0.35 * high))), str(max(1, int(0.7 * high)))
    data.PixelData = np.ascontiguousarray(frame).tobytes()


def _decimal(value: float) -> str:
    """A number as a DICOM decimal string, which has at most 16 characters."""
    for digits in range(12, 3, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    return f"{value:.8f}"[:16]
