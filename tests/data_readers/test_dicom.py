"""DICOM as scanners and archives write it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import RLELossless, generate_uid

from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.case import Case
from monai_sfda.data.listing import list_folder, read_case
from monai_sfda.data.scan import Scan
from monai_sfda.errors import DataError

from . import build

MATRIX = build.affine((0.8, 0.9, 4.0), angles=(5.0, 3.0, 0.0))


def read(path: Path) -> Scan:
    return read_case(
        Case(1, "s", (path,), None, "folder", root=path.parent), ABDOMEN, "source", with_label=False
    )[0]


def change(path: Path, **elements: Any) -> None:
    dataset = build.load(path)
    for keyword, value in elements.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path)


def test_rescaling_is_applied_per_slice(tmp_path: Path) -> None:
    array = build.volume()
    paths = build.write_dicom(tmp_path / "s", array, MATRIX)
    for index, path in enumerate(paths):
        change(path, RescaleSlope=str(1 + index), RescaleIntercept=str(-10 * index))
    expected = array * (1.0 + np.arange(6)) - 10.0 * np.arange(6)
    np.testing.assert_array_equal(read(tmp_path / "s").array[0], expected)


def test_names_endings_and_strangers_mean_nothing(tmp_path: Path) -> None:
    array, folder = build.volume(), tmp_path / "s"
    paths = build.write_dicom(folder, array, MATRIX, name="{}", implicit=True)
    (folder / "deep").mkdir()
    paths[0].rename(folder / "deep" / "report.txt")
    paths[1].rename(folder / "picture.png")
    (folder / "notes.dcm").write_text("no image", encoding="utf-8")
    (folder / "empty.dcm").touch()
    (folder / ".hidden.dcm").write_bytes(paths[2].read_bytes())
    report = build.dicom_dataset(folder / "SR0001")
    report.Modality, report.SeriesInstanceUID = "SR", generate_uid()
    report.save_as(folder / "SR0001")
    directory = build.dicom_dataset(folder / "DICOMDIR", "1.2.840.10008.1.3.10")
    directory.save_as(folder / "DICOMDIR")
    np.testing.assert_array_equal(read(folder).array[0], array)


def test_localizer_and_screenshot_beside_a_scan(tmp_path: Path) -> None:
    array = build.volume()
    build.write_dicom(tmp_path / "s", array, MATRIX)
    build.write_dicom(
        tmp_path / "s", array, MATRIX, name="scout{}", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
    )
    for path in build.write_dicom(tmp_path / "s", array[:, :, :1], MATRIX, name="dose{}"):
        change(path, ImagePositionPatient=None, ImageOrientationPatient=None)
    np.testing.assert_array_equal(read(tmp_path / "s").array[0], array)
    assert list_folder(tmp_path).warnings == (
        "1 DICOM series without a position in the patient left out",
        "1 DICOM series localizer left out",
    )


def test_files_without_preamble(tmp_path: Path) -> None:
    array = build.volume()
    for path in build.write_dicom(tmp_path / "s", array, MATRIX):
        dataset = build.load(path)
        del dataset.file_meta
        dataset.preamble = None
        dataset.is_implicit_VR = True
        dataset.save_as(path)
        assert path.read_bytes()[:2] == b"\x08\x00"
    np.testing.assert_array_equal(read(tmp_path / "s").array[0], array)


def test_overlay_bits_are_cut_and_signs_extended(tmp_path: Path) -> None:
    array = build.volume()
    for path in build.write_dicom(tmp_path / "s", array, MATRIX):
        dataset = build.load(path)
        dataset.BitsStored, dataset.HighBit = 12, 11
        stored = np.frombuffer(dataset.PixelData, dtype=np.uint16) & 0x0FFF
        dataset.PixelData = (stored | 0x4000).tobytes()
        dataset.save_as(path)
    np.testing.assert_array_equal(read(tmp_path / "s").array[0], array)


@pytest.mark.parametrize("compressor", ["JPEG2000", "JPEG"])
def test_compressed_by_gdcm(tmp_path: Path, compressor: str) -> None:
    array, folder = build.volume((32, 24, 4)), tmp_path / "s"
    for path in build.write_dicom(folder, array, MATRIX):
        image = sitk.ReadImage(str(path))
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.KeepOriginalImageUIDOn()
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        writer.SetFileName(str(path))
        writer.Execute(image)
        compressed = build.load(path)
        assert compressed.file_meta.TransferSyntaxUID.is_compressed
        compressed.RescaleSlope, compressed.RescaleIntercept = "3", "-7"
        compressed.save_as(path)
    scan = read(folder)
    np.testing.assert_array_equal(scan.array[0], array * 3.0 - 7.0)
    np.testing.assert_allclose(build.world(scan.array[0], scan.affine), build.world(array, MATRIX), atol=1e-4)


def test_compressed_by_run_length(tmp_path: Path) -> None:
    array = build.volume()
    for path in build.write_dicom(tmp_path / "s", array, MATRIX):
        dataset = build.load(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)
    np.testing.assert_array_equal(read(tmp_path / "s").array[0], array)


@pytest.mark.parametrize("compress", [False, True])
def test_enhanced_multi_frame(tmp_path: Path, compress: bool) -> None:
    array, path = build.volume(), tmp_path / "s" / "enhanced"
    dataset = build.write_enhanced(path, array, MATRIX, order=(3, 0, 5, 1, 4, 2), slope=0.5)
    if compress:
        dataset = build.load(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)
    for place in (path, path.parent):
        scan = read(place)
        np.testing.assert_array_equal(scan.array[0], array * 0.5)
        np.testing.assert_allclose(
            build.world(scan.array[0], scan.affine), build.world(array, MATRIX), atol=1e-4
        )
    listed = list_folder(path.parent)
    assert [c.name for c in listed.cases] == ["enhanced"]
    np.testing.assert_array_equal(
        read_case(listed.cases[0], ABDOMEN, "source", with_label=False)[0].array[0], array * 0.5
    )


def test_invalid_headers_do_not_chatter(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    array = build.volume()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = build.write_dicom(
            tmp_path / "s",
            array,
            MATRIX,
            series="2.16.124.113543.6006.99.08975550791105350405",
            StudyDate="20120000",
        )
        for path in paths:
            change(path, SliceThickness=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (case,) = list_folder(tmp_path).cases
        np.testing.assert_array_equal(read_case(case, ABDOMEN, "source", with_label=False)[0].array[0], array)
    assert not caught
    assert capfd.readouterr() == ("", "")


def _drop_slices(paths: list[Path]) -> None:
    paths[2].unlink()
    paths[3].unlink()


def _shift(paths: list[Path]) -> None:
    position = np.array(build.load(paths[2]).ImagePositionPatient, dtype=float)
    normal = (build.LPS @ MATRIX)[:3, 2]
    change(paths[2], ImagePositionPatient=build.numbers(position + 0.3 * normal))


def _slide(paths: list[Path]) -> None:
    position = np.array(build.load(paths[2]).ImagePositionPatient, dtype=float)
    change(paths[2], ImagePositionPatient=build.numbers(position + (build.LPS @ MATRIX)[:3, 0]))


def _resize(paths: list[Path]) -> None:
    dataset = build.load(paths[2])
    build.set_pixels(dataset, np.zeros((4, 4), dtype=np.int16))
    dataset.save_as(paths[2])


def _turn(paths: list[Path]) -> None:
    change(paths[2], ImageOrientationPatient=["0", "1", "0", "0", "0", "-1"])


def _copy(paths: list[Path]) -> None:
    for path in paths[:2]:
        path.with_suffix(".copy").write_bytes(path.read_bytes())


def _truncate_pixels(paths: list[Path]) -> None:
    paths[1].write_bytes(paths[1].read_bytes()[:-20])


def _truncate_header(paths: list[Path]) -> None:
    paths[1].write_bytes(paths[1].read_bytes()[:230])


def _empty(paths: list[Path]) -> None:
    paths[-1].write_bytes(b"")


def _no_pixels(paths: list[Path]) -> None:
    change(paths[1], PixelData=None)


def _two_series(paths: list[Path]) -> None:
    build.write_dicom(paths[0].parent / "other", build.volume(), MATRIX)


def _lookup_table(paths: list[Path]) -> None:
    change(paths[0], ModalityLUTSequence=DicomSequence([Dataset()]))


def _colour(paths: list[Path]) -> None:
    for path in paths:
        change(path, SamplesPerPixel=3)


BAD = {
    "missing slices": (_drop_slices, r"2 slices are missing \(4 are there", "s"),
    "uneven": (_shift, "unevenly spaced", "s"),
    "shifted sideways": (_slide, "sideways by up to 0.8 mm", "s"),
    "two sizes": (_resize, "mixed series: frames of .* pixels", "s/IMG"),
    "two orientations": (_turn, "mixed series: frames of several orientations", "s/IMG"),
    "copies": (_copy, r"2 of 6 slice positions are there more than once \(8 images\).*copies", "s"),
    "cut pixels": (_truncate_pixels, "pixel data are cut short", "s/IMG-0005.dcm"),
    "cut header": (_truncate_header, "damaged DICOM file", "s/IMG-0005.dcm"),
    "empty last slice": (_empty, "damaged DICOM file", "s/IMG-0001.dcm"),
    "no pixels": (_no_pixels, "holds no pixels", "s/IMG-0005.dcm"),
    "two series": (_two_series, r"2 series \(6, 6 images\)", "s"),
    "lookup table": (_lookup_table, "Modality LUT", "s/IMG-0006.dcm"),
    "colour": (_colour, "colour image", "s/IMG"),
    "no position": (
        lambda p: change(p[2], ImagePositionPatient=None),
        "no ImagePositionPatient",
        "s/IMG-0004.dcm",
    ),
    "no orientation": (
        lambda p: change(p[2], ImageOrientationPatient=None),
        "no ImageOrientationPatient",
        "s/IMG",
    ),
    "no pixel spacing": (lambda p: change(p[2], PixelSpacing=None), "no PixelSpacing", "s/IMG"),
    "zero spacing": (lambda p: change(p[2], PixelSpacing=["0", "1"]), "PixelSpacing is 0 x 1", "s/IMG"),
    "zero slope": (lambda p: change(p[2], RescaleSlope="0"), "RescaleSlope is 0", "s/IMG"),
    "bad orientation": (
        lambda p: change(p[0], ImageOrientationPatient=["1", "0", "0", "1", "0", "0"]),
        "two perpendicular unit vectors",
        "s/IMG",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_series(tmp_path: Path, name: str) -> None:
    spoil, message, file = BAD[name]
    spoil(build.write_dicom(tmp_path / "s", build.volume(), MATRIX))
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / "s")
    assert f"in {file}" in str(caught.value)
    assert "confidential" not in str(caught.value)
    assert "Doe" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_single_slice_without_thickness(tmp_path: Path) -> None:
    (path,) = build.write_dicom(tmp_path / "s", build.volume()[:, :, 1:2], MATRIX)
    change(path, SliceThickness=None)
    with pytest.raises(DataError, match="single slice without SliceThickness"):
        read(tmp_path / "s")


def test_multi_frame_without_positions(tmp_path: Path) -> None:
    build.write_enhanced(tmp_path / "x", build.volume(), MATRIX, order=range(6))
    change(tmp_path / "x", PerFrameFunctionalGroupsSequence=None)
    with pytest.raises(DataError, match="6 frames in one file without a position"):
        read(tmp_path / "x")


def write_cine(folder: Path, series: str) -> list[np.ndarray]:
    """Two phases of one series, trigger times a little different at each slice."""
    phases = [build.volume(seed=1), build.volume(seed=2)]
    for phase, array in enumerate(phases):
        for index, path in enumerate(
            build.write_dicom(
                folder, array, MATRIX, series=series, name=f"{phase}-{{}}", StudyInstanceUID="1.9"
            )
        ):
            change(path, TriggerTime=str(90 + 400 * phase + index))
    return phases


def test_cine_as_one_scan_is_refused(tmp_path: Path) -> None:
    write_cine(tmp_path / "cine", generate_uid())
    with pytest.raises(
        DataError, match=r"6 of 6 slice positions .* \(12 images\): 2 volumes that differ in TriggerTime"
    ):
        read(tmp_path / "cine")


def test_cine_in_a_folder_is_a_scan_a_phase(tmp_path: Path) -> None:
    phases = write_cine(tmp_path / "cine", generate_uid())
    listed = list_folder(tmp_path)
    assert [c.name for c in listed.cases] == ["cine_1", "cine_2"]
    assert len({c.subject for c in listed.cases}) == 1
    assert len(listed.warnings) == 1
    for case, phase in zip(listed.cases, phases, strict=True):
        np.testing.assert_array_equal(read_case(case, ABDOMEN, "source", with_label=False)[0].array[0], phase)
