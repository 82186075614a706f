"""DICOM studies of a phantom abdomen with its labels, as clinics have them: several series a study.

    study = write_study(folder, modality="MR", manufacturer="Phantom", model="A1", private=True)
    study.series[0].folder, study.series[0].labels, study.series[0].affine

The bodies are cheap ellipsoids on small grids (a second for a study); `monai_sfda.label.demo.studies` writes
whole phantoms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from monai_sfda.catalog import ABDOMEN
from tests.data_readers import build

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
CENTRES = {
    "liver": (0.3, 0.5),
    "right_kidney": (0.35, 0.25),
    "left_kidney": (0.65, 0.25),
    "spleen": (0.75, 0.5),
}
RADII = {"liver": 0.17, "right_kidney": 0.08, "left_kidney": 0.08, "spleen": 0.09}
MR_VALUES = {"liver": 300, "right_kidney": 700, "left_kidney": 700, "spleen": 600}
CT_VALUES = {"liver": 60, "right_kidney": 160, "left_kidney": 160, "spleen": 110}


@dataclass(frozen=True)
class Series:
    """A written series."""

    uid: str
    folder: Path
    files: list[Path] = field(repr=False)
    array: NDArray[np.int16] = field(repr=False)
    labels: NDArray[np.uint8] = field(repr=False)
    affine: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True)
class Study:
    """A written study; its scans are the first of `series`, `localizer` and `private` beside them."""

    uid: str
    folder: Path
    series: list[Series]


def abdomen(
    modality: str, shape: tuple[int, int, int] = (48, 40, 12), seed: int = 0
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Values and labels (the catalog's indices) of an abdomen, on a grid in RAS."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*((np.arange(n) + 0.5) / n for n in shape), indexing="ij")
    values = MR_VALUES if modality == "MR" else CT_VALUES
    outside, body = (0, 150) if modality == "MR" else (-1000, -20)
    array = np.where(((x - 0.5) / 0.46) ** 2 + ((y - 0.45) / 0.42) ** 2 < 1, body, outside).astype(np.float64)
    labels = np.zeros(shape, dtype=np.uint8)
    for structure in ABDOMEN.structures:
        cx, cy = CENTRES[structure.name]
        radius = RADII[structure.name] * (1 + 0.1 * rng.normal())
        inside = (x - cx) ** 2 + (y - cy) ** 2 + 0.15 * (z - 0.5) ** 2 < radius**2
        labels[inside] = structure.index
        array[inside] = values[structure.name]
    array += rng.normal(0, 12, shape)
    low = 0 if modality == "MR" else -1024
    return np.clip(np.rint(array), low, 3000).astype(np.int16), labels


def same_place(
    first: NDArray[Any],
    first_affine: NDArray[np.float64],
    second: NDArray[Any],
    second_affine: NDArray[np.float64],
) -> bool:
    """Whether two volumes have the same value at every point, however their axes are stored."""
    turned = [build.in_orientation(a, m, "RAS") for a, m in ((first, first_affine), (second, second_affine))]
    return np.array_equal(turned[0][0], turned[1][0]) and np.allclose(turned[0][1], turned[1][1], atol=1e-4)


def write_study(
    folder: Path,
    *,
    modality: str = "MR",
    scans: int = 1,
    manufacturer: str = "Phantom",
    model: str = "A1",
    patient: str = "PHANTOM-1",
    private: bool = False,
    malformed: bool = False,
    localizer: bool = False,
    echoes: int = 1,
    orientation: str = "LPS",
    shape: tuple[int, int, int] = (48, 40, 12),
    seed: int = 0,
) -> Study:
    """Writes a study.

    Args:
        folder: a folder a series is made in it.
        modality: `MR` or `CT`.
        scans: series that are scans.
        manufacturer, model: of the scanner.
        patient: its id.
        private: write private elements with binary values into every header.
        malformed: write values that break their representations (a date, an integer string, an age).
        localizer: write a localizer series beside the scans.
        echoes: images at each slice position of a scan's series.
        orientation: of the voxel axes, as stored.
        shape: of the scans, in RAS.
        seed: of the noise.
    """
    study = generate_uid(entropy_srcs=["study", str(folder.name), patient, str(seed)])
    frame = generate_uid(entropy_srcs=["frame", study])
    written = []
    for number in range(1, scans + 1):
        array, labels = abdomen(modality, shape, seed + number)
        matrix = build.affine((3.0, 3.5, 5.0), (-70.0, -60.0, 20.0 * number))
        array, _ = build.in_orientation(array, matrix, orientation)
        labels, matrix = build.in_orientation(labels, matrix, orientation)
        uid = generate_uid(entropy_srcs=["series", study, str(number)])
        place = folder / f"series_{number}"
        files = []
        for echo in range(echoes):
            common: dict[str, Any] = {
                "StudyInstanceUID": study,
                "FrameOfReferenceUID": frame,
                "Modality": modality,
                "Manufacturer": manufacturer,
                "ManufacturerModelName": model,
                "PatientID": patient,
                "PatientName": f"Name^{patient}",
                "SeriesNumber": number,
                "QualityControlImage": "YES",
            }
            if modality == "CT":
                common |= {"SOPClassUID": CT_STORAGE}
            if echoes > 1:
                common |= {"EchoTime": f"{5 + 10 * echo}", "EchoNumbers": echo + 1}
            name = f"IMG-{echo}-{{:04d}}.dcm"
            files += build.write_dicom(place, array + echo, matrix, series=uid, name=name, **common)
        for file in files:
            _finish(file, modality, private=private, malformed=malformed)
        written.append(Series(uid, place, files, array, labels, matrix))
    if localizer:
        _write_localizer(folder / "localizer", modality, study, frame, patient)
    return Study(study, folder, written)


def _finish(file: Path, modality: str, *, private: bool, malformed: bool) -> None:
    data = build.load(file)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    if private:
        block = data.private_block(0x0019, "PHANTOM PRIVATE", create=True)
        block.add_new(0x10, "OB", b"\x00\xff\x07odd!")
        block.add_new(0x11, "UN", b"\\\x00\xfe")
        block.add_new(0x12, "SQ", [Dataset()])
    data.save_as(file)
    if malformed:
        raw = file.read_bytes()
        raw = raw.replace(b"PHANTOM PRIVATE ", b"PHANTOM \xe9\xff RIVX ")
        file.write_bytes(raw)
        data = build.load(file)
        data.add_new(0x00080020, "LO", "20120000")  # a date that is none, under another representation
        data.save_as(file)


def _write_localizer(folder: Path, modality: str, study: str, frame: str, patient: str) -> None:
    array, _ = abdomen(modality, (32, 32, 3), 99)
    files = build.write_dicom(
        folder,
        array,
        build.affine((9.0, 9.0, 40.0)),
        StudyInstanceUID=study,
        FrameOfReferenceUID=frame,
        Modality=modality,
        PatientID=patient,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    for file in files:
        _finish(file, modality, private=False, malformed=False)
