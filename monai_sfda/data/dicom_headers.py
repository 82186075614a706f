"""DICOM headers: which files are images and of which series, whatever the files are called."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from monai_sfda.data.checks import check_folder
from monai_sfda.data.quiet import quiet
from monai_sfda.errors import DataError

UNREADABLE = (
    InvalidDicomError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    NotImplementedError,
    RuntimeError,
    struct.error,
)
"""What pydicom raises on damaged files and on values that break their value representation."""

_PREAMBLE = 128
_DICOMDIR = "1.2.840.10008.1.3.10"
_NO_IMAGES = frozenset(
    {"SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "RTRECORD", "PR", "KO", "SR", "REG", "DOC", "FID", "AU", "ECG"}
)
_TAGS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "PatientID",
    "Modality",
    "ImageType",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "RescaleSlope",
    "RescaleIntercept",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TriggerTime",
    "EchoTime",
    "EchoNumbers",
    "InversionTime",
    "DiffusionBValue",
    "AcquisitionNumber",
    "AcquisitionTime",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


@dataclass(frozen=True, eq=False)
class Header:
    """The header of one DICOM image file.

    Attributes:
        file: where it was read.
        dataset: the elements needed here, without pixels.
        series_uid: SeriesInstanceUID, or an empty string.
    """

    file: Path
    dataset: Dataset = field(repr=False)
    series_uid: str

    @property
    def is_localizer(self) -> bool:
        """Whether ImageType says that this is a scout image."""
        return "LOCALIZER" in self.text("ImageType").upper()

    @property
    def has_geometry(self) -> bool:
        """Whether the image says where it lies in the patient (secondary captures and projections do not)."""
        return any(k in self.dataset for k in ("ImagePositionPatient", "PerFrameFunctionalGroupsSequence"))

    @property
    def is_colour(self) -> bool:
        """Whether a pixel is more than one number."""
        return self.text("SamplesPerPixel") not in ("", "1")

    def text(self, keyword: str) -> str:
        """An element as text; empty where there is none or where it breaks its value representation."""
        try:
            with quiet():
                value = self.dataset.get(keyword)
                return "" if value is None else str(value).strip()
        except UNREADABLE:
            return ""


@dataclass(frozen=True)
class Headers:
    """What lies in a folder.

    Attributes:
        images: headers of all DICOM images with pixels of their own, in the order of their paths.
        damaged: DICOM files whose header cannot be read.
        others: number of DICOM files that are no images (DICOMDIR, reports, segmentations, dose).
        unreadable: files that cannot be opened, of whatever kind.
    """

    images: tuple[Header, ...]
    damaged: tuple[Path, ...]
    others: int
    unreadable: tuple[Path, ...]

    def series(self) -> dict[str, list[Header]]:
        """The images by SeriesInstanceUID, in order of first appearance."""
        groups: dict[str, list[Header]] = {}
        for header in self.images:
            groups.setdefault(header.series_uid, []).append(header)
        return groups


def files_below(folder: Path) -> Iterator[Path]:
    """All files at any depth of a folder, by name; hidden ones are left out, linked folders followed once.

    Raises:
        DataError: when a folder cannot be read.
    """
    seen: set[str] = set()
    for base, folders, files in os.walk(folder, followlinks=True, onerror=_unreadable_folder):
        real = os.path.realpath(base)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__MACOSX")
        yield from (Path(base, f) for f in sorted(files) if not f.startswith("."))


def _unreadable_folder(error: OSError) -> None:
    raise DataError(
        f"the folder cannot be read ({error.strerror or error})",
        remedy="check its permissions",
        path=error.filename,
    ) from error


def is_dicom(path: Path) -> bool:
    """Whether a file's first bytes are those of DICOM, with or without the preamble.

    Raises:
        OSError: when the file cannot be opened.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    with path.open("rb") as stream:
        start = stream.read(_PREAMBLE + 4)
    return start[_PREAMBLE:] == b"DICM" or _starts_without_preamble(start)


def _starts_without_preamble(start: bytes) -> bool:
    """Whether bytes begin with one of the first elements of group 0002 or 0008."""
    if len(start) < 8:
        return False
    group, element = struct.unpack("<HH", start[:4])
    plausible = start[4:6] in (b"UL", b"CS", b"UI", b"DA", b"TM") or struct.unpack("<I", start[4:8])[0] <= 64
    return group in (0x0002, 0x0008) and element <= 0x0018 and plausible


def read_headers(files: Sequence[Path] | Iterator[Path]) -> Headers:
    """The headers of the DICOM images among some files; other files are left aside by their content.

    A file that is too short for DICOM or cannot be opened (a link to nowhere) counts as damaged where it lies
    beside images and has their ending, and any other where its name is one of theirs but for the digits.
    """
    images: list[Header] = []
    damaged: list[Path] = []
    short: list[Path] = []
    strangers: list[Path] = []
    unreadable: list[Path] = []
    others = 0
    for path in files:
        try:
            if not is_dicom(path):
                if path.stat().st_size < _PREAMBLE + 4:
                    short.append(path)
                else:
                    strangers.append(path)
                continue
        except OSError:
            unreadable.append(path)
            continue
        try:
            with quiet():
                dataset = pydicom.dcmread(
                    path, stop_before_pixels=True, force=True, specific_tags=list(_TAGS)
                )
                header = Header(path, dataset, str(dataset.get("SeriesInstanceUID") or "").strip())
                is_image = _is_image(dataset)
        except UNREADABLE:
            damaged.append(path)
            continue
        if is_image:
            images.append(header)
        else:
            others += 1
    beside = {(h.file.parent, h.file.suffix) for h in images}
    damaged += [path for path in (*short, *unreadable) if (path.parent, path.suffix) in beside]
    alike = {(h.file.parent, _without_digits(h.file.name)) for h in images}
    damaged += [path for path in strangers if (path.parent, _without_digits(path.name)) in alike]
    return Headers(tuple(images), tuple(damaged), others, tuple(unreadable))


def _without_digits(name: str) -> str:
    """What the names of a series' files have in common."""
    return re.sub(r"\d+", "#", name)


def find_series(folder: Path) -> Headers:
    """The headers of all DICOM images below a folder.

    Raises:
        DataError: when the folder is missing or a folder in it cannot be read.
    """
    check_folder(folder)
    return read_headers(files_below(folder))


def _is_image(dataset: Dataset) -> bool:
    """Whether a header is that of an image with pixels of its own.

    Raises:
        EOFError: when the header of an image breaks off (for pydicom a file's end is the header's end).
    """
    meta = getattr(dataset, "file_meta", {})
    media = str(meta.get("MediaStorageSOPClassUID") or dataset.get("SOPClassUID") or "")
    if media == _DICOMDIR or str(dataset.get("Modality", "")).strip().upper() in _NO_IMAGES:
        return False
    if dataset.get("Rows") and dataset.get("Columns"):
        return True
    if not media or "Image Storage" in UID(media).name:
        raise EOFError("the header ends before the image's size")
    return False
