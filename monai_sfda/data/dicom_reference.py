"""The headers of a DICOM series as a segmentation of it refers to them, without pixels.

dcmqi takes the patient, the study and the images referred to from the files of a series, and refuses headers
that break their value representation, as real ones do. It gets copies: the headers alone, on the regular grid
that the scan was read on, with valid identifiers in the place of invalid ones, which
`ReferenceHeaders.restore` exchanges back in what dcmqi wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from monai_sfda.data.dicom import slice_grid
from monai_sfda.data.dicom_grid import LPS_TO_RAS
from monai_sfda.data.dicom_headers import UNREADABLE, read_headers
from monai_sfda.data.quiet import quiet
from monai_sfda.errors import DataError

_GROUPS = (0x0008, 0x0010, 0x0020, 0x0028)
"""Identification, patient, relationship and image size: what a segmentation takes over."""
_PIXELS = 0x7FE00010
_IDENTIFIERS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
)
_FROM_SOURCE = (
    *("SpecificCharacterSet", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
    *("StudyDescription", "StudyID", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate"),
    *("PatientSex", "PatientAge", "PatientSize", "PatientWeight", "QualityControlImage"),
)
"""Elements of patient and study that stand in the segmentation as they stand in the series."""
_PLACEHOLDERS = ("ClinicalTrialTimePointID", "ClinicalTrialSeriesID")
"""What dcmqi writes of a clinical trial where nobody has named one."""


class NotReferableError(DataError):
    """A scan that no DICOM segmentation of ours can refer to, for a reason that is no fault."""


@dataclass(frozen=True)
class ReferenceHeaders:
    """Copies of a series' headers in a folder.

    Attributes:
        first: the header of the first slice, as stored.
        originals: invalid identifiers of the series by the valid ones in the copies.
        instances: SOP instance UIDs in the copies.
    """

    first: Dataset
    originals: dict[str, str]
    instances: frozenset[str]

    @property
    def phantom(self) -> bool:
        """Whether the series says that it shows a phantom (Quality Control Image, DICOM PS3.3 C.7.6.1)."""
        return str(self.first.get("QualityControlImage") or "").strip().upper() == "YES"

    def restore(self, segmentation: Dataset) -> None:
        """Gives a segmentation that dcmqi made of the copies what the series itself says."""
        for keyword in _FROM_SOURCE:
            if keyword in self.first:
                segmentation[keyword] = self.first[keyword]
            elif keyword in segmentation and keyword != "SpecificCharacterSet":
                segmentation[keyword].value = None
        for keyword in _PLACEHOLDERS:
            if keyword in segmentation:
                del segmentation[keyword]
        if self.originals:
            _exchange(segmentation, self.originals)


def copy_headers(files: Sequence[Path], folder: Path) -> ReferenceHeaders:
    """Writes the headers of a series' slices as `00000.dcm` ... in the order of the slices.

    Args:
        files: the files of one scan.
        folder: to write to.

    Raises:
        NotReferableError: for enhanced multi-frame objects, whose frames dcmqi cannot refer to.
        DataError: when a header cannot be read or copied.
    """
    grid = slice_grid(read_headers(files).images)
    if len({item.file for item in grid.slices}) != len(grid.slices):
        raise NotReferableError(
            "an enhanced multi-frame object, which dcmqi cannot refer to",
            remedy="export the series as single slices",
            path=grid.slices[0].file,
        )
    lps = LPS_TO_RAS @ grid.affine
    placeholders: dict[str, str] = {}
    first: Dataset | None = None
    instances: set[str] = set()
    for number, item in enumerate(grid.slices):
        try:
            with quiet():
                header = pydicom.dcmread(item.file, stop_before_pixels=True, force=True)
                if first is None:
                    first = pydicom.dcmread(
                        item.file, stop_before_pixels=True, force=True, specific_tags=list(_FROM_SOURCE)
                    )
                _valid_identifiers(header, placeholders)
                instances.add(str(header.SOPInstanceUID))
                header.ImagePositionPatient = _decimals(lps[:3, 3] + number * lps[:3, 2])
                header.ImageOrientationPatient = _decimals([*item.row_direction, *item.column_direction])
                header.PixelSpacing = _decimals([item.row_spacing, item.column_spacing])
                header.PixelData = b"\0\0"  # dcmqi passes over files without any, and reads none
                _bare(header).save_as(folder / f"{number:05d}.dcm", write_like_original=False)
        except UNREADABLE as error:
            raise DataError(
                "a malformed DICOM header, which no segmentation can refer to",
                remedy="export the series again, or leave dicom_seg out",
                path=item.file,
            ) from error
    assert first is not None
    return ReferenceHeaders(
        first, {valid: invalid for invalid, valid in placeholders.items()}, frozenset(instances)
    )


def _valid_identifiers(header: Dataset, placeholders: dict[str, str]) -> None:
    """Puts a valid identifier in the place of each invalid one, the same for the same."""
    for keyword in _IDENTIFIERS:
        value = str(header.get(keyword) or "")
        if value and not UID(value).is_valid:
            setattr(header, keyword, placeholders.setdefault(value, str(generate_uid())))


def _decimals(numbers: Iterable[float]) -> list[str]:
    """Numbers as DICOM's decimal strings, 16 characters at most."""
    return [f"{number:.9g}" for number in numbers]


def _bare(header: Dataset) -> FileDataset:
    """The elements of `_GROUPS`, in an uncompressed syntax."""
    syntax = UID(str(header.file_meta.get("TransferSyntaxUID") or ImplicitVRLittleEndian))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = header.SOPClassUID
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    kept: dict[Any, Any] = {
        tag: header.get_item(tag)
        for tag in header.keys()  # noqa: SIM118, a dataset's own iteration yields elements
        if tag.group in _GROUPS or tag == _PIXELS
    }
    bare = FileDataset("", kept, file_meta=meta, preamble=b"\0" * 128)
    bare.is_implicit_VR = syntax == ImplicitVRLittleEndian
    bare.is_little_endian = syntax != ExplicitVRBigEndian
    meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian
        if bare.is_implicit_VR
        else ExplicitVRLittleEndian
        if bare.is_little_endian
        else ExplicitVRBigEndian
    )
    return bare


def _exchange(dataset: Dataset, originals: dict[str, str]) -> None:
    """Puts the original identifiers back, at every depth."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _exchange(item, originals)
        elif element.VR == "UI" and str(element.value) in originals:
            element.value = originals[str(element.value)]
