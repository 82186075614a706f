"""DICOM segmentations: every voxel where the scan has it, what they refer to, and what is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from monai_sfda.catalog import ABDOMEN, SOFT_TISSUE
from monai_sfda.data import dicom_segmentation
from monai_sfda.data.dicom_reference import NotReferableError
from monai_sfda.data.dicom_segmentation import (
    SegmentationDescription,
    find_dcmqi,
    write_dicom_segmentation,
)
from monai_sfda.data.listing import list_folder, read_case, write_segmentation
from monai_sfda.data.scan import Scan
from monai_sfda.errors import OutputError, SettingError
from tests.builders import real

from . import build

SHAPE = (14, 11, 7)
OBLIQUE = build.affine((1.2, 0.9, 4.0), angles=(20, -15, 30))
DESCRIPTION = SegmentationDescription(
    "Segmentation", "Phantom segmentation", "Research", "monai_sfda 0 abdomen sfs", "monai_sfda"
)


def sheared(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The grid of a tilted gantry: each slice is moved along its columns."""
    out = matrix.copy()
    out[:3, 2] += 1.5 * matrix[:3, 1]
    return out


def flipped(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    out = matrix.copy()
    out[:3, 2] *= -1
    return out


def classes(shape: tuple[int, int, int], empty: tuple[int, ...] = ()) -> NDArray[np.uint8]:
    """Noise of the classes 0..4 without those named; the first slice is background."""
    array = np.random.default_rng(0).integers(0, 5, shape).astype(np.uint8)
    array[np.isin(array, empty)] = 0
    array[:, :, 0] = 0
    return array


def segment(
    folder: Path, out: Path, *, which: int = 0, domain: str = "target", empty: tuple[int, ...] = ()
) -> tuple[list[str], NDArray[np.uint8], Scan, tuple[Path, ...]]:
    """Writes a segmentation of a folder's series; what was written, and of what."""
    case = list_folder(folder).cases[which]
    scan, _ = read_case(case, SOFT_TISSUE, domain, with_label=False)
    array = classes(scan.shape, empty)
    names = write_dicom_segmentation(out, array, scan, case.files, ABDOMEN.structures, DESCRIPTION)
    return names, array, scan, case.files


def voxels(segmentation: Dataset, scan: Scan) -> NDArray[np.uint8]:
    """A segmentation's frames put into the scan's grid by their own geometry; numbers are the segments'."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    row, column = np.reshape(
        np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float), (2, 3)
    )
    rows_mm, columns_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    out = np.zeros(scan.shape, np.uint8)
    frames = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    for picture, frame in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        r, c = np.nonzero(picture)
        lps = position[:, None] + row[:, None] * columns_mm * c + column[:, None] * rows_mm * r
        index = nib.affines.apply_affine(np.linalg.inv(scan.affine) @ build.LPS, lps.T)
        assert np.abs(index - np.rint(index)).max() < 1e-3
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        out[tuple(np.rint(index).astype(int).T)] = number
    return out


def check_references(segmentation: Dataset, files: tuple[Path, ...]) -> None:
    """Patient, study and images are those of the series; every frame's image lies where the frame does."""
    headers = {str(h.SOPInstanceUID): h for h in map(pydicom.dcmread, files)}
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName"):
        assert {segmentation[keyword].value} == {h[keyword].value for h in headers.values()}
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        (image,) = frame.DerivationImageSequence[0].SourceImageSequence
        source = headers[str(image.ReferencedSOPInstanceUID)]
        assert image.ReferencedSOPClassUID == source.SOPClassUID
        np.testing.assert_allclose(
            np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float),
            np.array(source.ImagePositionPatient, float),
            atol=1e-3,
        )
    (series,) = segmentation.ReferencedSeriesSequence
    assert {series.SeriesInstanceUID} == {h.SeriesInstanceUID for h in headers.values()}
    assert {str(i.ReferencedSOPInstanceUID) for i in series.ReferencedInstanceSequence} <= set(headers)


@pytest.mark.parametrize(
    ("matrix", "elements"),
    [
        (build.affine((2.0, 2.0, 5.0)), {}),
        (OBLIQUE, {"reverse": False}),
        (OBLIQUE, {"reverse": True, "implicit": True}),
        (flipped(OBLIQUE), {}),
        (sheared(OBLIQUE), {}),
        (build.affine((1.0, 1.0, 4.0)), {"SliceThickness": "2.5"}),
        (OBLIQUE, {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Jürgen"}),
        (OBLIQUE, {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^T=山田^太郎"}),
        (OBLIQUE, {"StudyInstanceUID": "1.2.03", "FrameOfReferenceUID": "1.2.04", "StudyDate": "20120000"}),
    ],
    ids=["straight", "ordered", "reversed", "flipped", "tilted", "gaps", "utf8", "japanese", "invalid"],
)
def test_every_voxel_of_a_series_and_what_it_refers_to(tmp_path, matrix, elements):
    build.write_dicom(tmp_path / "in", build.volume(SHAPE), matrix, **elements)
    names, array, scan, files = segment(tmp_path / "in", tmp_path / "out_seg.dcm")
    segmentation = pydicom.dcmread(tmp_path / "out_seg.dcm")
    assert names == ["liver", "right_kidney", "left_kidney", "spleen"]
    np.testing.assert_array_equal(voxels(segmentation, scan), array)
    check_references(segmentation, files)
    if "FrameOfReferenceUID" in elements:
        assert segmentation.FrameOfReferenceUID == elements["FrameOfReferenceUID"]
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["out_seg.dcm"]


def test_compressed_series(tmp_path):
    """dcmqi never sees pixels, so their compression does not matter."""
    for path in build.write_dicom(tmp_path / "in", build.volume(SHAPE), OBLIQUE):
        stored = pydicom.dcmread(path)
        stored.PhotometricInterpretation = "MONOCHROME2"
        stored.compress(RLELossless)
        stored.save_as(path)
    _, array, scan, files = segment(tmp_path / "in", tmp_path / "out_seg.dcm")
    segmentation = pydicom.dcmread(tmp_path / "out_seg.dcm")
    np.testing.assert_array_equal(voxels(segmentation, scan), array)
    check_references(segmentation, files)


def test_segments_say_what_they_are(tmp_path):
    """A structure that was not found has no segment; the others are numbered from 1."""
    build.write_dicom(tmp_path / "in", build.volume(SHAPE), OBLIQUE, FrameOfReferenceUID="1.2.3.4")
    names, array, scan, _ = segment(tmp_path / "in", tmp_path / "out_seg.dcm", empty=(1,))
    segmentation = pydicom.dcmread(tmp_path / "out_seg.dcm")
    assert names == ["right_kidney", "left_kidney", "spleen"]
    assert [s.SegmentLabel for s in segmentation.SegmentSequence] == names
    assert [s.SegmentNumber for s in segmentation.SegmentSequence] == [1, 2, 3]
    np.testing.assert_array_equal(voxels(segmentation, scan), np.where(array > 0, array - 1, 0))
    assert (segmentation.Modality, segmentation.SegmentationType) == ("SEG", "BINARY")
    assert segmentation.FrameOfReferenceUID == "1.2.3.4"
    assert segmentation.SeriesDescription == "Segmentation"
    assert segmentation.ContentDescription == "Research"
    assert segmentation.ContentCreatorName == "monai_sfda"
    for segment_item, side in zip(segmentation.SegmentSequence, ("24028007", "7771000"), strict=False):
        assert segment_item.SegmentAlgorithmType == "AUTOMATIC"
        assert segment_item.SegmentAlgorithmName == "monai_sfda 0 abdomen sfs"
        assert segment_item.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "123037004"
        (kind,) = segment_item.SegmentedPropertyTypeCodeSequence
        assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == (
            "64033007",
            "SCT",
            "Kidney",
        )
        assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == side
    assert "ClinicalTrialSeriesID" not in segmentation


@pytest.mark.parametrize(("said", "series"), [("YES", "Phantom segmentation"), ("NO", "Segmentation")])
def test_a_phantom_stays_one(tmp_path, said, series):
    build.write_dicom(tmp_path / "in", build.volume(SHAPE), OBLIQUE, QualityControlImage=said)
    segment(tmp_path / "in", tmp_path / "out_seg.dcm")
    segmentation = pydicom.dcmread(tmp_path / "out_seg.dcm")
    assert segmentation.QualityControlImage == said
    assert segmentation.SeriesDescription == series


def test_identifiers_are_fresh_and_the_series_stays_as_it_was(tmp_path):
    build.write_dicom(tmp_path / "in", build.volume(SHAPE), OBLIQUE)
    before = {p: p.read_bytes() for p in (tmp_path / "in").iterdir()}
    seen = set()
    for _ in range(2):
        segment(tmp_path / "in", tmp_path / "out_seg.dcm")
        segmentation = pydicom.dcmread(tmp_path / "out_seg.dcm")
        assert segmentation.SOPInstanceUID == segmentation.file_meta.MediaStorageSOPInstanceUID
        seen |= {segmentation.SOPInstanceUID, segmentation.SeriesInstanceUID}
    assert len(seen) == 4
    assert {p: p.read_bytes() for p in (tmp_path / "in").iterdir()} == before


def test_nothing_found_is_no_object(tmp_path):
    build.write_dicom(tmp_path / "in", build.volume(SHAPE), OBLIQUE)
    names, *_ = segment(tmp_path / "in", tmp_path / "out_seg.dcm", empty=(1, 2, 3, 4))
    assert names == []
    assert not (tmp_path / "out_seg.dcm").exists()


def test_multi_frame_objects_are_refused(tmp_path):
    build.write_enhanced(tmp_path / "in" / "e.dcm", build.volume(SHAPE), OBLIQUE, list(range(SHAPE[2])))
    with pytest.raises(
        NotReferableError, match=r"multi-frame object.* in e\.dcm: export the series as single"
    ):
        segment(tmp_path / "in", tmp_path / "out_seg.dcm")


def test_without_dcmqi(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingError, match=r"not installed: install it: pip install 'monai_sfda\[dicom\]'"):
        find_dcmqi()


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("kill -9 $$", "ended by signal 9 .* with more free memory"),
        ("exit 1", "exit status 1.*check the headers"),
        ("exit 0", "exit status 0"),
        ("echo broken > segmentation.dcm", "does not refer to the series"),
    ],
)
def test_what_a_failed_dcmqi_prints_stays_inside(tmp_path, monkeypatch, capfd, ending, message):
    program = tmp_path / "dcmqi"
    program.write_text(f"#!/bin/sh\necho 'Doe^Jane in' $PWD | tee /dev/stderr\n{ending}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(dicom_segmentation, "find_dcmqi", lambda: program)
    build.write_dicom(tmp_path / "in", build.volume(SHAPE), OBLIQUE)
    (tmp_path / "out_seg.dcm").write_text("old", encoding="utf-8")
    with pytest.raises(OutputError, match=message) as caught:
        segment(tmp_path / "in", tmp_path / "out_seg.dcm")
    assert "Doe" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "out_seg.dcm").read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize(
    ("folder", "which", "domain"),
    [
        ("ibsi_sts/dicom/STS_008/CT", 0, "source"),
        ("ibsi_sts/dicom/STS_008/MR_T1", 0, "target"),
        ("sunnybrook/dicoms", 1, "target"),
    ],
)
def test_real_series(tmp_path, folder, which, domain):
    """Sunnybrook's headers break the standard: invalid identifiers, a study date of 20120000."""
    root = real(folder.split("/", maxsplit=1)[0])
    series = root.parent / folder
    _, array, scan, files = segment(series, tmp_path / "out_seg.dcm", which=which, domain=domain)
    segmentation = pydicom.dcmread(tmp_path / "out_seg.dcm")
    np.testing.assert_array_equal(voxels(segmentation, scan), array)
    check_references(segmentation, files)
    frames = {pydicom.dcmread(f, stop_before_pixels=True).FrameOfReferenceUID for f in files}
    assert segmentation.FrameOfReferenceUID in frames


def test_another_reader_finds_the_nifti_mask(tmp_path):
    """pydicom-seg's volumes and the NIfTI mask agree at every voxel's place in the room."""
    pydicom_seg = pytest.importorskip("pydicom_seg")
    series = real("ibsi_sts") / "dicom" / "STS_008" / "MR_T1"
    _, array, scan, _ = segment(series, tmp_path / "out_seg.dcm")
    write_segmentation(tmp_path / "out_seg.nii.gz", array, scan)
    mask = sitk.ReadImage(str(tmp_path / "out_seg.nii.gz"))
    read = pydicom_seg.SegmentReader().read(pydicom.dcmread(tmp_path / "out_seg.dcm"))
    assert set(read.available_segments) == {1, 2, 3, 4}
    for number in read.available_segments:
        volume = sitk.Resample(read.segment_image(number), mask, sitk.Transform(), sitk.sitkNearestNeighbor)
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(volume) > 0, sitk.GetArrayFromImage(mask) == number
        )
