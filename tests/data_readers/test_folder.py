"""Plain folders of volume files and DICOM series."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.case import Case, with_unique_names
from monai_sfda.data.listing import list_cases, list_folder, read_case
from monai_sfda.errors import DataError

from . import build

MATRIX = build.affine((1.2, 1.2, 6.0))
SHAPE = (9, 8, 6)
CLASSES = (np.arange(np.prod(SHAPE)) % 5).reshape(SHAPE).astype(np.uint8)
CHAOS_VALUES = np.choose(CLASSES, [0, 63, 126, 189, 252]).astype(np.uint8)
BTCV_VALUES = np.choose(CLASSES, [0, 6, 2, 3, 1]).astype(np.uint8)


def test_plain_folder(tmp_path: Path) -> None:
    expected = {}
    for index, name in enumerate(("a.nii", "x/b.nii.gz", "x/y/c.nrrd", "x/y/d.mha", "x/y/e.mhd")):
        writer = build.write_nifti if ".nii" in name else build.write_itk
        writer(tmp_path / name, build.volume(seed=index), MATRIX)
        expected[name.split("/")[-1].split(".")[0]] = index
    build.write_dicom(tmp_path / "x" / "study" / "s1", build.volume(seed=11), MATRIX)
    for seed in (12, 13):
        build.write_dicom(
            tmp_path / "two", build.volume(seed=seed), MATRIX, name=f"{seed}-{{}}", series=f"1.{seed}"
        )
    build.write_dicom(
        tmp_path / "two", build.volume(seed=14), MATRIX, name="scout{}", ImageType=["ORIGINAL", "LOCALIZER"]
    )
    (tmp_path / "._a.nii").write_bytes(b"resource fork")
    (tmp_path / "readme.txt").write_text("hello", encoding="utf-8")
    expected |= {"s1": 11, "two_1": 12, "two_2": 13}

    listed = list_folder(tmp_path)
    assert {c.name for c in listed.cases} == set(expected)
    assert [c.number for c in listed.cases] == list(range(1, 9))
    assert listed.warnings == ("1 DICOM series localizer left out",)
    for case in listed.cases:
        assert case.label is None
        scan, _ = read_case(case, ABDOMEN, "source", with_label=False)
        np.testing.assert_array_equal(scan.array[0], build.volume(seed=expected[case.name]))


def test_a_series_spread_over_folders_is_one_scan(tmp_path: Path) -> None:
    array = build.volume()
    for index, path in enumerate(build.write_dicom(tmp_path / "disc", array, MATRIX)):
        (tmp_path / "disc" / f"part{index % 2}").mkdir(exist_ok=True)
        path.rename(tmp_path / "disc" / f"part{index % 2}" / path.name)
    (case,) = list_folder(tmp_path).cases
    assert case.name == "disc"
    np.testing.assert_array_equal(read_case(case, ABDOMEN, "source", with_label=False)[0].array[0], array)


def test_copies_of_a_series_in_two_folders_are_two_scans(tmp_path: Path) -> None:
    build.write_dicom(tmp_path / "x" / "scan", build.volume(), MATRIX)
    shutil.copytree(tmp_path / "x", tmp_path / "y")
    assert [c.name for c in list_folder(tmp_path).cases] == ["x_scan", "y_scan"]


def test_subjects_of_a_folder(tmp_path: Path) -> None:
    for patient, study in (("A", "1"), ("A", "2"), ("B", "3")):
        build.write_dicom(
            tmp_path / study, build.volume(), MATRIX, PatientID=patient, StudyInstanceUID=f"1.{study}"
        )
    assert build.subjects(list_folder(tmp_path)) == ["patient 1", "patient 1", "patient 2"]
    for study in ("1", "2", "3"):
        build.write_dicom(
            tmp_path / study, build.volume(), MATRIX, PatientID="ANON", StudyInstanceUID=f"1.{study}"
        )
        for old in list((tmp_path / study).iterdir())[6:]:
            old.unlink()
    assert len(set(build.subjects(list_folder(tmp_path)))) == 3
    for name in ("sub-01_T1w.nii.gz", "sub-01_T2w.nii.gz", "sub-02_T1w.nii.gz"):
        build.write_nifti(tmp_path / "bids" / name, build.volume(), MATRIX)
    assert build.subjects(list_folder(tmp_path / "bids")) == ["sub-01", "sub-01", "sub-02"]


def test_own_segmentations_are_no_scans(tmp_path: Path) -> None:
    own = tmp_path / "own"
    for name in ("a", "b"):
        build.write_nifti(own / f"{name}.nii.gz", build.volume(), MATRIX)
        build.write_nifti(own / f"{name}_label.nii.gz", CLASSES, MATRIX)
    build.write_nifti(own / "out" / "a_seg.nii.gz", CLASSES, MATRIX)
    build.write_nifti(own / "patient_seg.nii.gz", build.volume(), MATRIX)
    listed = list_folder(own)
    assert [c.name for c in listed.cases] == ["a", "a_label", "b", "b_label", "patient_seg"]
    assert listed.warnings == ("1 segmentations beside their scans are left out",)


def test_labels_beside_images_are_no_scans(tmp_path: Path) -> None:
    """MMWHS keeps `1001_label` beside `1001_image`."""
    for name in ("1001_image", "1002_image", "note_label"):
        build.write_nifti(tmp_path / f"{name}.nii.gz", build.volume(), MATRIX)
    build.write_nifti(tmp_path / "1001_label.nii.gz", CLASSES, MATRIX)
    listed = list_folder(tmp_path)
    assert [c.name for c in listed.cases] == ["1001_image", "1002_image", "note_label"]
    assert listed.warnings == ("1 segmentations beside their scans are left out",)


def test_folders_without_scans(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the folder is missing in none"):
        list_folder(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="an empty folder in empty"):
        list_folder(tmp_path / "empty")
    (tmp_path / "empty" / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match="no scans among 1 files in empty"):
        list_folder(tmp_path / "empty")
    with pytest.raises(DataError, match="a file stands where a folder is expected"):
        list_folder(tmp_path / "empty" / "notes.txt")


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.write_nifti(tmp_path / "a.nii", build.volume(), MATRIX)
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def locked(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(DataError, match=r"folder cannot be read \(Permission denied\) in locked"):
        list_folder(tmp_path)
    with pytest.raises(DataError, match=r"folder cannot be read \(Permission denied\) in locked"):
        list_cases(ABDOMEN, "source", "train", tmp_path)


def test_pipes_and_links_to_nowhere(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "note").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"no scans among 2 files \(2 cannot be opened\)"):
        list_folder(tmp_path)
    build.write_nifti(tmp_path / "a.nii", build.volume(), MATRIX)
    (tmp_path / "b.nii").symlink_to(tmp_path / "gone.nii")
    good, linked = list_folder(tmp_path).cases
    assert read_case(good, ABDOMEN, "target", with_label=False)[0].shape == SHAPE
    with pytest.raises(DataError, match="the file is missing"):
        read_case(linked, ABDOMEN, "target", with_label=False)
    paths = build.write_dicom(tmp_path / "s", build.volume(), MATRIX)
    paths[-1].unlink()
    paths[-1].symlink_to(tmp_path / "gone.dcm")
    with pytest.raises(DataError, match=r"1 damaged DICOM file, perhaps slices"):
        read_case(
            Case(1, "s", (tmp_path / "s",), None, "folder", root=tmp_path),
            ABDOMEN,
            "target",
            with_label=False,
        )


def test_a_folder_linked_into_itself(tmp_path: Path) -> None:
    build.write_nifti(tmp_path / "x" / "a.nii", build.volume(), MATRIX)
    (tmp_path / "x" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert [c.name for c in list_folder(tmp_path).cases] == ["a"]
    with pytest.raises(DataError, match="no BTCV CT scans"):
        list_cases(ABDOMEN, "target", "train", tmp_path)


def test_a_damaged_slice_makes_its_scan_bad_and_no_other(tmp_path: Path) -> None:
    paths = build.write_dicom(tmp_path / "bad", build.volume(), MATRIX)
    paths[-1].write_bytes(paths[-1].read_bytes()[:240])
    build.write_dicom(tmp_path / "good", build.volume(), MATRIX)
    listed = list_folder(tmp_path)
    assert listed.warnings == ("1 damaged DICOM files, a series may lack slices",)
    bad, good = listed.cases
    assert read_case(good, ABDOMEN, "source", with_label=False)[0].shape == SHAPE
    with pytest.raises(DataError, match=r"damaged DICOM file or no image in bad/IMG-0001.dcm"):
        read_case(bad, ABDOMEN, "source", with_label=False)


@pytest.mark.parametrize(
    ("images", "names"),
    [
        (["x/a.nii.gz", "y/a.nii.gz", "z/b.nii"], ["x_a", "y_a", "b"]),
        (["x/a.nii", "x/a.nii.gz"], ["a_1", "a_2"]),
        (["x/A.nii", "y/a.nii"], ["x_A", "y_a"]),
        (["p/x/a.nii", "q/x/a.nii"], ["p_x_a", "q_x_a"]),
        (["a_1.nii", "x/a.nii", "x/a.nii.gz"], ["a_1", "a_2", "a_3"]),
        (["1.2.840", "1.2.841"], ["1.2.840", "1.2.841"]),
    ],
)
def test_names_are_unique(images: list[str], names: list[str]) -> None:
    cases = [Case(1, "s", (Path("/data", image),), None, "folder") for image in images]
    named = with_unique_names(cases)
    assert [c.name for c in named] == names
    assert [c.number for c in named] == list(range(1, len(images) + 1))
