"""Small files for the tests of the readers: one physical volume in every orientation and format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.case import Case
from monai_sfda.data.listing import CaseList, read_case
from monai_sfda.data.scan import Scan

MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4.1"
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def volume(shape: tuple[int, int, int] = (9, 8, 6), seed: int = 0) -> NDArray[np.int16]:
    """Noise in -200..200 with one voxel of 1000 at (2, 5, 1)."""
    array = np.random.default_rng(seed).integers(-200, 200, shape).astype(np.int16)
    array[2, 5, 1] = 1000
    return array


def affine(
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    origin: Sequence[float] = (-31.5, 12.25, 7.0),
    angles: Sequence[float] = (0.0, 0.0, 0.0),
) -> NDArray[np.float64]:
    """RAS+ affine, rotated by angles (degrees) about x, y, z."""
    result = np.eye(4)
    result[:3, :3] = nib.eulerangles.euler2mat(*np.deg2rad(angles)[::-1]) * np.asarray(spacing)
    result[:3, 3] = origin
    return result


def in_orientation(
    array: NDArray[Any], matrix: NDArray[np.float64], axes: str
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The same physical volume with its voxel axes towards `axes`; nibabel does the turning."""
    image = nib.Nifti1Image(array, matrix, dtype=array.dtype)
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(matrix), nib.orientations.axcodes2ornt(axes)
    )
    turned = image.as_reoriented(turn)
    return np.asarray(turned.dataobj), turned.affine


def write_nifti(path: Path, array: NDArray[Any], matrix: NDArray[np.float64]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, matrix, dtype=array.dtype), path)
    return path


def write_itk(path: Path, array: NDArray[Any], matrix: NDArray[np.float64]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    lps = LPS @ matrix
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


def dicom_dataset(path: Path, storage: str = MR_STORAGE, *, implicit: bool = False) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = storage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, implicit
    dataset.SOPClassUID, dataset.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    dataset.Modality = "MR"
    dataset.PatientID = "confidential"
    dataset.PatientName = "Doe^Jane"
    return dataset


def set_pixels(dataset: Dataset, frames: NDArray[np.int16]) -> None:
    """Pixels of one frame (rows, columns) or several (frames, rows, columns)."""
    dataset.Rows, dataset.Columns = frames.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.PixelData = np.ascontiguousarray(frames).tobytes()


def numbers(values: Sequence[float] | NDArray[np.float64]) -> list[str]:
    return [f"{float(v):.9g}"[:16] for v in values]


def dicom_slice(
    path: Path,
    picture: NDArray[np.int16],
    matrix: NDArray[np.float64],
    index: int,
    series: str,
    **elements: Any,
) -> FileDataset:
    """Slice `index` of a volume with RAS affine `matrix`; `picture` is (X, Y)."""
    lps = LPS @ matrix
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    dataset = dicom_dataset(path, implicit=bool(elements.pop("implicit", False)))
    dataset.SeriesInstanceUID = series
    dataset.StudyInstanceUID = elements.pop("StudyInstanceUID", "1.2.3")
    dataset.ImagePositionPatient = numbers(lps[:3, 3] + index * lps[:3, 2])
    dataset.ImageOrientationPatient = numbers(
        np.concatenate([lps[:3, 0] / spacing[0], lps[:3, 1] / spacing[1]])
    )
    dataset.PixelSpacing = numbers([spacing[1], spacing[0]])
    dataset.SliceThickness = numbers([spacing[2]])[0]
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    set_pixels(dataset, picture.T)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def write_dicom(
    folder: Path,
    array: NDArray[np.int16],
    matrix: NDArray[np.float64],
    *,
    series: str | None = None,
    name: str = "IMG-{:04d}.dcm",
    reverse: bool = True,
    skip: Sequence[int] = (),
    **elements: Any,
) -> list[Path]:
    """One file a slice, names counting against the slices' order; returns the paths in the slices' order."""
    folder.mkdir(parents=True, exist_ok=True)
    series = series or generate_uid()
    paths = []
    for index in range(array.shape[2]):
        if index in skip:
            continue
        number = array.shape[2] - index if reverse else index + 1
        path = folder / name.format(number)
        dicom_slice(path, array[:, :, index], matrix, index, series, **elements).save_as(path)
        paths.append(path)
    return paths


def write_enhanced(
    path: Path,
    array: NDArray[np.int16],
    matrix: NDArray[np.float64],
    order: Sequence[int],
    slope: float = 1.0,
) -> FileDataset:
    """An enhanced MR object whose frames are stored in the order given."""
    lps = LPS @ matrix
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = dicom_dataset(path, ENHANCED_MR_STORAGE)
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = generate_uid(), "1.2.3"
    set_pixels(dataset, np.stack([array[:, :, k].T for k in order]))
    dataset.NumberOfFrames = len(order)
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing = numbers([spacing[1], spacing[0]])
    measures.SliceThickness = numbers([spacing[2]])[0]
    orientation.ImageOrientationPatient = numbers(
        np.concatenate([lps[:3, 0] / spacing[0], lps[:3, 1] / spacing[1]])
    )
    shared = Dataset()
    shared.PixelMeasuresSequence = DicomSequence([measures])
    shared.PlaneOrientationSequence = DicomSequence([orientation])
    dataset.SharedFunctionalGroupsSequence = DicomSequence([shared])
    frames = []
    for k in order:
        position, transformation, frame = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = numbers(lps[:3, 3] + k * lps[:3, 2])
        transformation.RescaleSlope, transformation.RescaleIntercept = numbers([slope, 0.0])
        transformation.RescaleType = "US"
        frame.PlanePositionSequence = DicomSequence([position])
        frame.PixelValueTransformationSequence = DicomSequence([transformation])
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = DicomSequence(frames)
    dataset.save_as(path)
    return dataset


def write_chaos(root: Path, subject: int, label: NDArray[np.uint8], matrix: NDArray[np.float64]) -> Path:
    """A CHAOS T2SPIR subject; `label` (X, Y, Z) are the stored PNG values. Returns the sequence's folder."""
    base = root / "Train_Sets" / "MR" / str(subject) / "T2SPIR"
    paths = write_dicom(
        base / "DICOM_anon", volume(label.shape, subject), matrix, name=f"IMG-{subject:04d}-{{:05d}}.dcm"
    )
    (base / "Ground").mkdir(parents=True)
    for index, path in enumerate(paths):
        Image.fromarray(np.ascontiguousarray(label[:, :, index].T)).save(base / "Ground" / f"{path.stem}.png")
    return base


def write_btcv(root: Path, subject: int, label: NDArray[np.uint8], matrix: NDArray[np.float64]) -> Path:
    """A BTCV training case; returns its image."""
    training = root / "RawData" / "Training"
    write_nifti(training / "label" / f"label{subject:04d}.nii.gz", label, matrix)
    return write_nifti(training / "img" / f"img{subject:04d}.nii.gz", volume(label.shape, subject), matrix)


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def world(array: NDArray[Any], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """World position of the brightest voxel."""
    index = np.unravel_index(int(np.argmax(array)), array.shape)
    return np.asarray(matrix @ np.array([*index, 1.0]))[:3]


def load(path: Path) -> Dataset:
    return pydicom.dcmread(path)


def class_volume(dtype: type = np.uint8) -> np.ndarray:
    """Contiguous classes 0..4."""
    return (np.arange(np.prod((9, 8, 6))) % 5).reshape((9, 8, 6)).astype(dtype)


def subjects(listed: CaseList) -> list[str]:
    return [c.subject for c in listed.cases]


def case_of(
    root: Path, image: str | tuple[str, ...], label: str | None = None, reader: str = "folder"
) -> Case:
    names = (image,) if isinstance(image, str) else image
    return Case(1, "s", tuple(root / n for n in names), root / label if label else None, reader, root=root)


def read(
    root: Path, image: str | tuple[str, ...], label: str | None = None, reader: str = "folder"
) -> tuple[Scan, NDArray[np.uint8] | None]:
    """A case of the abdomen's target."""
    case = case_of(root, image, label, reader)
    return read_case(case, ABDOMEN, "target", with_label=label is not None)
