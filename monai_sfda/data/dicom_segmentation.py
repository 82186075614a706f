"""Segmentations as DICOM SEG objects, written by dcmqi, that refer to the series they were made of.

The object holds the patient's and the study's identification, as every DICOM object of the study does;
nothing of it goes into messages.
"""

# mypy: untyped-calls-exclude="SimpleITK"

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from monai_sfda.catalog import Code, Structure
from monai_sfda.data.dicom_grid import LPS_TO_RAS
from monai_sfda.data.dicom_headers import UNREADABLE
from monai_sfda.data.dicom_reference import ReferenceHeaders, copy_headers
from monai_sfda.data.quiet import quiet
from monai_sfda.data.scan import Scan
from monai_sfda.errors import OutputError, SettingError
from monai_sfda.files import whole_file

_TOOL = "itkimage2segimage"
_LONGEST = 64
"""Characters that DICOM's long strings (LO) hold."""
_SECONDS = 1800
"""How long dcmqi may take for one scan."""


@dataclass(frozen=True)
class SegmentationDescription:
    """What a DICOM segmentation says of itself, beside its segments.

    Attributes:
        series: description of its series, which viewers list.
        phantom_series: the same, of a series that says that it shows a phantom.
        content: of the object.
        algorithm: name and version of what made it.
        creator: name of its creator.
        algorithm_type: DICOM's word for how the segments were made: `AUTOMATIC`, `SEMIAUTOMATIC` (a person
            corrected them) or `MANUAL`, which names no algorithm.
    """

    series: str
    phantom_series: str
    content: str
    algorithm: str
    creator: str
    algorithm_type: Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"] = "AUTOMATIC"


def find_dcmqi() -> Path:
    """The program of dcmqi that writes segmentations.

    Raises:
        SettingError: when dcmqi is not installed.
    """
    found = importlib.util.find_spec("dcmqi")
    if found is not None and found.origin is not None:
        program = shutil.which(_TOOL, path=str(Path(found.origin).parent / "bin"))
        if program is not None:
            return Path(program)
    program = shutil.which(_TOOL, path=sysconfig.get_path("scripts")) or shutil.which(_TOOL)
    if program is None:
        raise SettingError(
            "dcmqi, which writes DICOM segmentations, is not installed",
            remedy="install it: pip install 'monai_sfda[dicom]', or leave dicom_seg out",
        )
    return Path(program)


def write_dicom_segmentation(
    path: Path,
    array: NDArray[np.uint8],
    scan: Scan,
    files: Sequence[Path],
    structures: Sequence[Structure],
    description: SegmentationDescription,
) -> list[str]:
    """Writes a segmentation of a DICOM series as a DICOM SEG object, whole or not at all.

    Segments are numbered from 1 in the order of the structures; one that is not there has no segment, as the
    object holds what was found. Identifiers are fresh ones.

    Args:
        path: ends in `.dcm`. An older file of that name is replaced.
        array: (X, Y, Z) classes on the scan's grid.
        scan: the series as it was read.
        files: the files of the series.
        structures: the classes, with their coded terms.
        description: of the object.

    Returns:
        The names of the segments, in the order of their numbers; nothing is written when there is none.

    Raises:
        NotReferableError: when the series is an enhanced multi-frame object.
        DataError: when its headers cannot be used.
        SettingError: when dcmqi is not installed.
        OutputError: when dcmqi fails, or the file cannot be written.
    """
    program = find_dcmqi()
    present = set(np.unique(array).tolist())
    segments = [s for s in structures if s.index in present]
    if not segments:
        return []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "series").mkdir()
        headers = copy_headers(files, folder / "series")
        with quiet():
            sitk.WriteImage(_image(array, scan), str(folder / "mask.nrrd"), True)
        series = description.phantom_series if headers.phantom else description.series
        terms = json.dumps(_terms(segments, description, series))
        (folder / "terms.json").write_text(terms, encoding="utf-8")
        _run(program, folder)
        segmentation = _finish(folder / "segmentation.dcm", headers, len(segments))
        segmentation.ContentLabel = "SEGMENTATION"
        segmentation.ContentDescription = description.content[:_LONGEST]
        with whole_file(path) as beside, quiet():
            segmentation.save_as(beside)
    return [s.name for s in segments]


def _image(array: NDArray[np.uint8], scan: Scan) -> sitk.Image:
    """The segmentation for ITK, on the scan's grid in double precision; a tilted gantry keeps its shear."""
    lps = LPS_TO_RAS @ scan.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def _terms(
    segments: Sequence[Structure], description: SegmentationDescription, series: str
) -> dict[str, Any]:
    """What dcmqi reads beside the image."""
    return {
        "ContentCreatorName": description.creator[:_LONGEST],
        "SeriesDescription": series[:_LONGEST],
        "SeriesNumber": "300",
        "InstanceNumber": "1",
        "segmentAttributes": [[_segment(s, description) for s in segments]],
    }


def _segment(structure: Structure, description: SegmentationDescription) -> dict[str, Any]:
    coding = structure.coding
    if coding is None:
        raise SettingError(
            f"structure '{structure.name}' has no coded terms", remedy="leave dicom_seg out for this task"
        )
    segment = {
        "labelID": structure.index,
        "SegmentLabel": structure.name,
        "SegmentDescription": f"{structure.name}, label {structure.index}"[:_LONGEST],
        "SegmentAlgorithmType": description.algorithm_type,
        "SegmentedPropertyCategoryCodeSequence": _code(coding.category),
        "SegmentedPropertyTypeCodeSequence": _code(coding.type),
        "recommendedDisplayRGBValue": list(structure.color),
    }
    if description.algorithm_type != "MANUAL":
        segment["SegmentAlgorithmName"] = description.algorithm[:_LONGEST]
    if coding.modifier is not None:
        segment["SegmentedPropertyTypeModifierCodeSequence"] = _code(coding.modifier)
    if coding.region is not None:
        segment["AnatomicRegionSequence"] = _code(coding.region)
    return segment


def _code(code: Code) -> dict[str, str]:
    return {
        "CodeValue": code.value,
        "CodingSchemeDesignator": code.scheme,
        "CodeMeaning": code.meaning,
    }


def _run(program: Path, folder: Path) -> None:
    """Runs dcmqi inside a folder; what it prints names files and values of headers, and is dropped."""
    words = (
        *("--inputImageList", "mask.nrrd", "--inputDICOMDirectory", "series"),
        *("--inputMetadata", "terms.json", "--outputDICOM", "segmentation.dcm", "--noDicomValueChecks"),
    )
    try:
        status: int | None = subprocess.run(
            [program, *words], cwd=folder, capture_output=True, check=False, timeout=_SECONDS
        ).returncode
    except subprocess.TimeoutExpired:
        status = None
    except OSError as error:
        raise OutputError(
            f"dcmqi cannot be started ({error.strerror})",
            remedy="install it again: pip install --force-reinstall dcmqi",
        ) from None
    if status is None or status < 0:
        ended = f"after {_SECONDS} s" if status is None else f"by signal {-status}"
        raise OutputError(
            f"dcmqi was ended {ended} and wrote no DICOM segmentation",
            remedy="run again with more free memory and disk space; the NIfTI mask is there",
        )
    if status or not (folder / "segmentation.dcm").is_file():
        raise OutputError(
            f"dcmqi wrote no DICOM segmentation (exit status {status})",
            remedy="check the headers of the series (patient, study, identifiers); the NIfTI mask is there",
        )


def _finish(path: Path, headers: ReferenceHeaders, segments: int) -> pydicom.Dataset:
    """What dcmqi wrote, with the series' own identification, after a look at what it refers to.

    Raises:
        OutputError: when it is not what was asked for.
    """
    try:
        with quiet():
            segmentation = pydicom.dcmread(path)
            referred = {
                str(image.ReferencedSOPInstanceUID)
                for frame in segmentation.PerFrameFunctionalGroupsSequence
                for derivation in frame.DerivationImageSequence
                for image in derivation.SourceImageSequence
            }
            good = bool(referred) and referred <= headers.instances
            good = good and len(segmentation.SegmentSequence) == segments
            headers.restore(segmentation)
    except UNREADABLE:
        good = False
    if not good:
        raise OutputError(
            "dcmqi wrote a DICOM segmentation that does not refer to the series",
            remedy="check the identifiers and positions of the series; the NIfTI mask is there",
        )
    return segmentation
