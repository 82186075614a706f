"""Phantom subjects in the layout of the CHAOS challenge: DICOM slices with PNG masks.

    Train_Sets/MR/<id>/T2SPIR/{DICOM_anon/IMG-*.dcm, Ground/IMG-*.png}
    Train_Sets/MR/<id>/T1DUAL/{DICOM_anon/{InPhase,OutPhase}/IMG-*.dcm, Ground/IMG-*.png}

As there, a mask has its frame's pixels row by row, file names are not in slice order, and some series are
stored from the top down.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from monai_sfda.phantom.anatomy import Anatomy
from monai_sfda.phantom.draws import Seed, generators
from monai_sfda.phantom.geometry import Grid
from monai_sfda.phantom.mr import MrImage, MrScanner, MrSequence, image_mr
from monai_sfda.phantom.tissues import Organ

#: PNG values of the labelled organs.
MASK_VALUES: dict[Organ, int] = {
    Organ.LIVER: 63,
    Organ.RIGHT_KIDNEY: 126,
    Organ.LEFT_KIDNEY: 189,
    Organ.SPLEEN: 252,
}


def write_chaos_subject(
    folder: Path,
    subject: str,
    anatomy: Anatomy,
    grid: Grid,
    scanner: MrScanner,
    seed: Seed,
    *,
    t1dual: bool = False,
) -> None:
    """One subject into `folder`, which becomes `Train_Sets/MR/<id>`.

    Args:
        folder: is created.
        subject: the id, which enters the unique identifiers and the file names.
        anatomy: the subject.
        grid: right-handed, columns along its first index axis, rows along the second, slices along the third.
        scanner: protocol and imperfections.
        seed: of everything random in imaging and storing.
        t1dual: write the two-point gradient echo too.
    """
    (rng,) = generators(seed, 1)
    entropy = f"{subject}/{rng.integers(2**63)}"
    imaging = np.random.SeedSequence(int(rng.integers(2**63)))
    number, top_down = int(rng.integers(1, 80)), bool(rng.random() < 0.3)

    def series(sequence: MrSequence, images: Path, ground: Path | None, series_number: int) -> None:
        """One series with its masks."""
        image = image_mr(anatomy, grid, scanner, imaging, sequence)
        stem = f"IMG-{number + series_number:04d}-"
        names = write_mr_series(
            images, image, f"{entropy}/{sequence}", entropy, series_number, stem, top_down
        )
        if ground is not None:
            write_masks(ground, image.labels, names)

    series("T2SPIR", folder / "T2SPIR" / "DICOM_anon", folder / "T2SPIR" / "Ground", 1)
    if t1dual:
        dual = folder / "T1DUAL"
        series("InPhase", dual / "DICOM_anon" / "InPhase", dual / "Ground", 2)
        # both echoes share the names, as one mask serves both
        series("OutPhase", dual / "DICOM_anon" / "OutPhase", None, 2)


def write_mr_series(
    folder: Path, image: MrImage, series: str, study: str, series_number: int, stem: str, top_down: bool
) -> list[str]:
    """The slices of an image as single-frame MR Image Storage files.

    Args:
        folder: is created.
        image: columns along its first index axis, rows along the second, slices along the third.
        series: text from which the unique identifiers of the series are made.
        study: text from which those of the study are made.
        series_number: as written to the files.
        stem: of the file names.
        top_down: number the slices from the last to the first.

    Returns:
        The file stem of every slice, in the order of the image's third axis.
    """
    folder.mkdir(parents=True)
    count = image.grid.shape[2]
    order = list(range(count))[:: -1 if top_down else 1]
    names = [""] * count
    # names in another order than the slices, as in the original; the echoes of one series number share them
    shuffled = np.random.default_rng(zlib.crc32(f"{study}/{series_number}".encode())).permutation(count)
    uid = _uids(study, series)
    for instance, (k, label) in enumerate(zip(order, shuffled, strict=True), start=1):
        names[k] = f"{stem}{label + 1:05d}"
        _write_slice(folder / f"{names[k]}.dcm", image, k, instance, series_number, uid)
    return names


def write_masks(folder: Path, labels: NDArray[np.uint8], names: list[str]) -> None:
    """The CHAOS masks of (X, Y, Z) `Organ` labels: one PNG a slice, its rows the frame's rows."""
    folder.mkdir(parents=True)
    values = np.zeros(256, np.uint8)
    for organ, value in MASK_VALUES.items():
        values[organ] = value
    for k, name in enumerate(names):
        Image.fromarray(np.ascontiguousarray(values[labels[:, :, k].T])).save(folder / f"{name}.png")


def _uids(study: str, series: str) -> Callable[[str], UID]:
    """A function from what a unique identifier stands for to the identifier, always the same one."""

    def make(kind: str) -> UID:
        text = study if kind in ("study", "frame") else series
        return generate_uid(entropy_srcs=["monai_sfda phantom", kind, text])

    return make


def _write_slice(
    path: Path, image: MrImage, k: int, instance: int, series_number: int, uid: Callable[[str], UID]
) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = uid(f"instance {k}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid("implementation")
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.is_little_endian, data.is_implicit_VR = True, False
    data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = uid("study"), uid("series")
    data.FrameOfReferenceUID = uid("frame")
    data.Modality = "MR"
    data.ImageType = ["ORIGINAL", "PRIMARY", "M", "SE" if image.sequence == "T2SPIR" else "FFE"]
    data.PatientName = data.PatientID = "Anonymized"
    data.PatientBirthDate = data.PatientSex = data.StudyDate = data.StudyTime = data.StudyID = (
        data.AccessionNumber
    ) = ""
    data.ReferringPhysicianName = data.PositionReferenceIndicator = ""
    data.ImageComments = "phantom data, not patient data"
    data.QualityControlImage = "YES"  # DICOM's word for an image of a phantom
    data.SeriesDescription = image.sequence
    data.SeriesNumber, data.InstanceNumber = series_number, instance
    data.BodyPartExamined, data.PatientPosition = "ABDOMEN", "HFS"
    _set_protocol(data, image.scanner, image.sequence)
    _set_geometry(data, image.grid, k)
    frame = np.ascontiguousarray(image.array[:, :, k].T)
    data.Rows, data.Columns = frame.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.RescaleIntercept, data.RescaleSlope = "0", "1"
    data.WindowCenter, data.WindowWidth = (str(int(f * float(image.array.max()))) for f in (0.35, 0.7))
    data.PixelData = frame.astype("<u2").tobytes()
    data.save_as(path, write_like_original=False)


def _set_protocol(data: Dataset, scanner: MrScanner, sequence: MrSequence) -> None:
    data.Manufacturer, data.ManufacturerModelName = scanner.manufacturer, scanner.model
    data.MagneticFieldStrength = f"{scanner.field_tesla:g}"
    data.ScanningSequence, data.SequenceVariant = ("SE", "SK") if sequence == "T2SPIR" else ("GR", "SP")
    data.ScanOptions = "FS" if sequence == "T2SPIR" else ""
    data.MRAcquisitionType = "2D"
    data.EchoTrainLength = 24 if sequence == "T2SPIR" else 1
    if sequence == "T2SPIR":
        times = scanner.repetition_ms, scanner.echo_ms, 90.0
    else:
        echo = scanner.in_phase_ms if sequence == "InPhase" else scanner.out_phase_ms
        times = scanner.gradient_repetition_ms, echo, scanner.flip_degrees
    data.RepetitionTime, data.EchoTime, data.FlipAngle = (f"{value:g}" for value in times)


def _set_geometry(data: Dataset, grid: Grid, k: int) -> None:
    """Position and orientation in DICOM's patient coordinates, which are LPS+."""
    to_lps = np.array([-1.0, -1.0, 1.0])
    columns, rows, _ = (to_lps * grid.affine[:3, axis] / grid.spacing_mm[axis] for axis in range(3))
    position = to_lps * grid.world(np.array([0.0, 0.0, float(k)]))
    data.ImagePositionPatient = [_decimal(value) for value in position]
    data.ImageOrientationPatient = [_decimal(value) for value in (*columns, *rows)]
    data.PixelSpacing = [_decimal(grid.spacing_mm[1]), _decimal(grid.spacing_mm[0])]
    data.SpacingBetweenSlices = _decimal(grid.spacing_mm[2])
    data.SliceThickness = _decimal(grid.spacing_mm[2])
    normal = np.cross(columns, rows)
    data.SliceLocation = _decimal(float(position @ normal))


def _decimal(value: float) -> str:
    """A number as a DICOM decimal string, which has at most 16 characters."""
    for digits in range(12, 3, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    return f"{value:.8f}"[:16]
