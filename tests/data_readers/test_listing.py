"""Official layouts, datalists and plain folders."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import generate_uid

from monai_sfda.catalog import ABDOMEN, SOFT_TISSUE, Task
from monai_sfda.data.case import Case, with_unique_names
from monai_sfda.data.listing import CaseList, list_cases, list_folder, read_case
from monai_sfda.errors import DataError, SettingError

from . import build

MATRIX = build.affine((1.2, 1.2, 6.0))
SHAPE = (9, 8, 6)
CLASSES = (np.arange(np.prod(SHAPE)) % 5).reshape(SHAPE).astype(np.uint8)
CHAOS_VALUES = np.choose(CLASSES, [0, 63, 126, 189, 252]).astype(np.uint8)
BTCV_VALUES = np.choose(CLASSES, [0, 6, 2, 3, 1]).astype(np.uint8)


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """CHAOS subjects 1, 2, 10 and 13 and BTCV cases 1, 2 and 40, a few folders down."""
    for subject in (1, 2, 10, 13):
        build.write_chaos(tmp_path / "data" / "CHAOS" / "unpacked", subject, CHAOS_VALUES, MATRIX)
    for subject in (1, 2, 40):
        build.write_btcv(tmp_path / "data" / "a" / "b" / "c" / "d", subject, BTCV_VALUES, MATRIX)
    build.write_nifti(tmp_path / "data/a/b/c/d/RawData/Testing/img/img0061.nii.gz", build.volume(), MATRIX)
    return tmp_path / "data"


def subjects(listed: CaseList) -> list[str]:
    return [c.subject for c in listed.cases]


def test_official_layouts(downloads: Path) -> None:
    listed = list_cases(ABDOMEN, "source", "train", downloads)
    assert subjects(listed) == ["2", "10"]
    assert [c.number for c in listed.cases] == [1, 2]
    assert [c.name for c in listed.cases] == ["2_T2SPIR_DICOM_anon", "10_T2SPIR_DICOM_anon"]
    assert listed.warnings == (
        "2 of the 16 subjects of the official train split of CHAOS T2-SPIR MR are there, 14 are missing",
    )
    assert len(listed.missing) == 14
    assert listed.split_source == ABDOMEN.source.split_source
    assert subjects(list_cases(ABDOMEN, "source", "test", downloads)) == ["1", "13"]

    listed = list_cases(ABDOMEN, "target", "train", downloads)
    assert subjects(listed) == ["2", "40"]
    assert [c.name for c in listed.cases] == ["img0002", "img0040"]
    for domain in ("source", "target"):
        for case in list_cases(ABDOMEN, domain, "train", downloads).cases:
            scan, label = read_case(case, ABDOMEN, domain, with_label=True)
            np.testing.assert_array_equal(scan.array[0], build.volume(SHAPE, int(case.subject)))
            np.testing.assert_array_equal(label, CLASSES)


@pytest.mark.parametrize("below", ["CHAOS", "CHAOS/unpacked", "CHAOS/unpacked/Train_Sets/MR"])
def test_layout_from_inside(downloads: Path, below: str) -> None:
    assert subjects(list_cases(ABDOMEN, "source", "train", downloads / below)) == ["2", "10"]


def test_layout_too_deep(downloads: Path) -> None:
    deep = downloads.parent / "1" / "2" / "3" / "4" / "5" / "6"
    deep.mkdir(parents=True)
    shutil.move(downloads / "CHAOS", deep)
    with pytest.raises(
        DataError, match=r"no CHAOS T2-SPIR MR scans in 1: expected Train_Sets/MR/<id>/T2SPIR"
    ):
        list_cases(ABDOMEN, "source", "train", downloads.parent / "1")


def test_ibsi(tmp_path: Path) -> None:
    for subject, values in (("STS_024", 1), ("STS_042", 1)):
        mask = np.where(CLASSES == 1, values, 0).astype(np.uint8)
        build.write_nifti(tmp_path / "x/nifti" / subject / "MR_T1_image.nii.gz", build.volume(), MATRIX)
        build.write_nifti(tmp_path / "x/nifti" / subject / "MR_T1_mask.nii.gz", mask, MATRIX)
    listed = list_cases(SOFT_TISSUE, "target", "train", tmp_path)
    assert subjects(listed) == ["STS_024"]
    _, label = read_case(listed.cases[0], SOFT_TISSUE, "target", with_label=True)
    np.testing.assert_array_equal(label, CLASSES == 1)
    with pytest.raises(DataError, match="no IBSI soft-tissue sarcoma CT scans"):
        list_cases(SOFT_TISSUE, "source", "train", tmp_path)


def test_two_phases_of_t1dual_share_one_ground(tmp_path: Path) -> None:
    base, series = tmp_path / "Train_Sets" / "MR" / "2" / "T1DUAL", generate_uid()
    base.parent.mkdir(parents=True)
    shutil.move(build.write_chaos(tmp_path / "other", 2, CHAOS_VALUES, MATRIX), base)
    shutil.rmtree(base / "DICOM_anon")
    build.write_dicom(
        base / "DICOM_anon/InPhase", build.volume(seed=1), MATRIX, series=series, name="IMG-0002-{:05d}.dcm"
    )
    build.write_dicom(
        base / "DICOM_anon/OutPhase",
        build.volume(seed=2),
        MATRIX,
        series=series,
        name="IMG-0003-{:05d}.dcm",
        reverse=False,
    )
    for phase, seed in (("InPhase", 1), ("OutPhase", 2)):
        task = replace(ABDOMEN, source=replace(ABDOMEN.source, modality=f"T1DUAL_{phase}"))
        (case,) = list_cases(task, "source", "train", tmp_path).cases
        scan, label = read_case(case, task, "source", with_label=True)
        np.testing.assert_array_equal(scan.array[0], build.volume(seed=seed))
        np.testing.assert_array_equal(label, CLASSES)
    unknown = replace(ABDOMEN, source=replace(ABDOMEN.source, modality="T1DUAL"))
    with pytest.raises(SettingError, match="CHAOS modality 'T1DUAL' is unknown"):
        list_cases(unknown, "source", "train", tmp_path)


def test_nothing_there(tmp_path: Path, downloads: Path) -> None:
    with pytest.raises(DataError, match="the folder is missing in nowhere"):
        list_cases(ABDOMEN, "source", "train", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no BTCV CT scans in empty: expected RawData/Training/img"):
        list_cases(ABDOMEN, "target", "train", tmp_path / "empty")
    with pytest.raises(
        DataError, match=r"no scans for the val split of BTCV CT: it has 0 subjects.*train 24, val 0"
    ):
        list_cases(ABDOMEN, "target", "val", downloads)
    with pytest.raises(SettingError, match="split 'trian' is unknown: use one of train"):
        list_cases(ABDOMEN, "target", "trian", downloads)
    with pytest.raises(SettingError, match="domain 'sauce' is unknown"):
        list_cases(ABDOMEN, "sauce", "train", downloads)


def test_a_subject_that_is_there_twice(downloads: Path) -> None:
    shutil.copytree(downloads / "a", downloads / "copy")
    with pytest.raises(DataError, match=r"there twice .* in copy/b/c/d/RawData/Training/img/img0001.nii.gz"):
        list_cases(ABDOMEN, "target", "train", downloads)


def test_a_missing_label_names_the_image(downloads: Path) -> None:
    training = downloads / "a/b/c/d/RawData/Training"
    (training / "label" / "label0040.nii.gz").unlink()
    with pytest.raises(
        DataError, match=r"label is missing of the image in a/b/c/d/RawData/Training/img/img0040.nii.gz"
    ):
        list_cases(ABDOMEN, "target", "train", downloads)
    assert subjects(list_cases(ABDOMEN, "target", "train", downloads, labels=False)) == ["2", "40"]


_WATCHERS: list[list[str]] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _WATCHERS and event in ("open", "os.listdir", "os.scandir", "os.stat") and arguments:
        _WATCHERS[-1].append(str(arguments[0]))


sys.addaudithook(_watch)


@contextmanager
def opened() -> Iterator[list[str]]:
    """The paths that are opened or listed inside the block, as Python's audit hook sees them."""
    _WATCHERS.append([])
    try:
        yield _WATCHERS[-1]
    finally:
        _WATCHERS.pop()


def everything(task: Task, root: Path, datalist: Path) -> list[tuple[str, np.ndarray]]:
    found = []
    for domain in ("source", "target"):
        for given in (None, datalist):
            for case in list_cases(task, domain, "train", root, datalist=given, labels=False).cases:
                assert case.label is None
                scan, label = read_case(case, task, domain, with_label=False)
                assert label is None
                found.append((case.name, scan.array))
    return found


def test_without_labels_no_label_is_opened_and_deleting_them_changes_nothing(
    downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chaos, btcv = "CHAOS/unpacked/Train_Sets/MR/2/T2SPIR", "a/b/c/d/RawData/Training"
    datalist = build.write_json(
        downloads / "list.json",
        {
            "source_train": [{"image": f"{chaos}/DICOM_anon", "label": f"{chaos}/Ground"}],
            "target_train": [
                {"image": f"{btcv}/img/img0002.nii.gz", "label": f"{btcv}/label/label0002.nii.gz"}
            ],
        },
    )
    looked_at: list[str] = []
    for name in ("stat", "exists", "is_dir", "is_file"):
        original = getattr(Path, name)

        def spy(self: Path, *args: Any, _original: Any = original, **kwargs: Any) -> Any:
            looked_at.append(str(self))
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(Path, name, spy)
    with opened() as paths:
        before = everything(ABDOMEN, downloads, datalist)
    assert paths
    assert looked_at
    assert not [p for p in (*paths, *looked_at) if "Ground" in p or "label" in Path(p).name]
    monkeypatch.undo()
    for folder in [*downloads.rglob("Ground"), *downloads.rglob("label")]:
        shutil.rmtree(folder)
    after = everything(ABDOMEN, downloads, datalist)
    assert [name for name, _ in before] == [name for name, _ in after]
    for (_, first), (_, second) in zip(before, after, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Two scans with contiguous labels in `own/`."""
    for name in ("a", "b"):
        build.write_nifti(tmp_path / "own" / f"{name}.nii.gz", build.volume(), MATRIX)
        build.write_nifti(tmp_path / "own" / f"{name}_label.nii.gz", CLASSES, MATRIX)
    return tmp_path / "own"


ITEM = {"image": "a.nii.gz", "label": "a_label.nii.gz", "subject": "p1"}
OTHER = {"image": "b.nii.gz", "label": "b_label.nii.gz", "subject": 2}
STORED = {"background": 0, "liver": 1, "right_kidney": 2, "left_kidney": 3, "spleen": 4}


def test_datalist_of_both_domains(own: Path) -> None:
    datalist = build.write_json(own / "list.json", {"source_train": [ITEM], "target_test": [ITEM, OTHER]})
    listed = list_cases(ABDOMEN, "target", "test", own, datalist=datalist)
    assert subjects(listed) == ["p1", "2"]
    assert [c.name for c in listed.cases] == ["a", "b"]
    assert listed.warnings == ()
    _, label = read_case(listed.cases[1], ABDOMEN, "target", with_label=True)
    np.testing.assert_array_equal(label, CLASSES)
    with pytest.raises(
        DataError,
        match=r"train split of the target domain in list.json: add 'target_train'.*target_test \(2\)",
    ):
        list_cases(ABDOMEN, "target", "train", own, datalist=datalist)


def test_plain_monai_list(own: Path, tmp_path: Path) -> None:
    content = {
        "name": "Task99",
        "modality": {"0": "CT"},
        "numTraining": 1,
        "labels": {"0": "background", "1": "liver", "2": "right_kidney", "3": "left_kidney", "4": "spleen"},
        "training": [{"image": "./a.nii.gz", "label": "./a_label.nii.gz"}],
        "test": ["./b.nii.gz"],
    }
    datalist = build.write_json(own / "dataset.json", content)
    (case,) = list_cases(ABDOMEN, "target", "train", tmp_path, datalist=datalist).cases
    _, label = read_case(case, ABDOMEN, "target", with_label=True)
    np.testing.assert_array_equal(label, CLASSES)
    (case,) = list_cases(ABDOMEN, "source", "test", tmp_path, datalist=datalist, labels=False).cases
    assert case.name == "b"
    with pytest.raises(DataError, match=r"no label is listed for an image in own/b.nii.gz"):
        list_cases(ABDOMEN, "target", "test", tmp_path, datalist=datalist)


def test_dataset_dir_comes_before_the_lists_folder(own: Path, tmp_path: Path) -> None:
    datalist = build.write_json(tmp_path / "lists" / "list.json", {"target_train": [ITEM]})
    shutil.copy(own / "b.nii.gz", tmp_path / "lists" / "a.nii.gz")
    (case,) = list_cases(ABDOMEN, "target", "train", own, datalist=datalist).cases
    assert case.image[0] == own / "a.nii.gz"


def test_stored_values_are_those_of_the_list(own: Path) -> None:
    build.write_nifti(own / "a_label.nii.gz", BTCV_VALUES, MATRIX)
    stored = {"liver": 6, "right_kidney": 2, "left_kidney": 3, "spleen": 1}
    datalist = build.write_json(own / "list.json", {"labels": stored, "target_train": [ITEM]})
    (case,) = list_cases(ABDOMEN, "target", "train", own, datalist=datalist).cases
    _, label = read_case(case, ABDOMEN, "target", with_label=True)
    np.testing.assert_array_equal(label, CLASSES)


@pytest.mark.parametrize("labels", [None, STORED])
def test_chaos_folders_in_a_datalist(tmp_path: Path, labels: dict[str, int] | None) -> None:
    base = build.write_chaos(tmp_path, 7, CHAOS_VALUES, MATRIX)
    content: dict[str, Any] = {
        "source_train": [{"image": str(base / "DICOM_anon"), "label": str(base / "Ground")}]
    }
    if labels:
        content["labels"] = labels
    (case,) = list_cases(
        ABDOMEN, "source", "train", tmp_path, datalist=build.write_json(tmp_path / "list.json", content)
    ).cases
    _, label = read_case(case, ABDOMEN, "source", with_label=True)
    np.testing.assert_array_equal(label, CLASSES)


def test_channel_files_in_a_datalist(own: Path) -> None:
    item = {"image": ["a.nii.gz", "b.nii.gz"], "label": "a_label.nii.gz"}
    datalist = build.write_json(own / "list.json", {"target_train": [item]})
    (case,) = list_cases(ABDOMEN, "target", "train", own, datalist=datalist).cases
    assert read_case(case, ABDOMEN, "target", with_label=True)[0].array.shape == (2, *SHAPE)


def test_shared_subjects_are_warned_of(own: Path) -> None:
    datalist = build.write_json(own / "list.json", {"target_train": [ITEM], "target_test": [ITEM, OTHER]})
    listed = list_cases(ABDOMEN, "target", "train", own, datalist=datalist)
    assert listed.warnings == ("1 subjects are in the train list and in the test list of the target domain",)


BAD_LISTS: dict[str, tuple[object, str]] = {
    "unknown key": ({"targt_train": [ITEM]}, r"unknown key 'targt_train' in list.json: .*target_train"),
    "unknown key of an item": (
        {"target_train": [{"imag": "a"}]},
        r"unknown key 'imag' of an item.*: .*image",
    ),
    "a list": ([ITEM], "no JSON object"),
    "no list": ({"target_train": ITEM}, "'target_train' is no list"),
    "no image": ({"target_train": [{"label": "x"}]}, "'image' is None"),
    "a number": ({"target_train": [3]}, "an item is a int"),
    "empty": ({"target_train": []}, "no scans for the train split of the target domain"),
    "nothing": ({}, "the datalist has no lists"),
    "both forms": ({"target_train": [ITEM], "training": [ITEM]}, "two forms"),
    "missing image": (
        {"target_train": [ITEM | {"image": "c/x.nii"}]},
        r"image of the datalist is missing in c/x.nii",
    ),
    "missing label": (
        {"target_train": [ITEM | {"label": "x.nii"}]},
        r"label is missing of the image in a.nii.gz",
    ),
    "no label": ({"target_train": [{"image": "a.nii.gz"}]}, "no label is listed for an image in a.nii.gz"),
    "mistyped label": (
        {"labels": {"livr": 1}, "target_train": [ITEM]},
        "the label 'livr' is none of the task's in list.json: the nearest of abdomen: liver",
    ),
    "label left out": (
        {"labels": {"liver": 1}, "target_train": [ITEM]},
        "lacks right_kidney, left_kidney, spleen",
    ),
    "one value twice": ({"labels": STORED | {"spleen": 1}, "target_train": [ITEM]}, "one value to two names"),
    "value no integer": ({"labels": STORED | {"spleen": "4"}, "target_train": [ITEM]}, "has the value '4'"),
}


@pytest.mark.parametrize("name", BAD_LISTS)
def test_bad_datalist(own: Path, name: str) -> None:
    content, message = BAD_LISTS[name]
    datalist = build.write_json(own / "list.json", content)
    with pytest.raises(DataError, match=message):
        list_cases(ABDOMEN, "target", "train", own, datalist=datalist)


def test_datalist_that_cannot_be_read(own: Path) -> None:
    (own / "list.json").write_text('{"target_train": [\n{]}', encoding="utf-8")
    with pytest.raises(DataError, match=r"no JSON at line 2, column 2"):
        list_cases(ABDOMEN, "target", "train", own, datalist=own / "list.json")
    with pytest.raises(DataError, match=r"the datalist is missing in gone.json"):
        list_cases(ABDOMEN, "target", "train", own, datalist=own / "gone.json")
    (own / "list.json").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(DataError, match="no UTF-8 text"):
        list_cases(ABDOMEN, "target", "train", own, datalist=own / "list.json")


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
        scan, _ = read_case(case, ABDOMEN, "target", with_label=False)
        np.testing.assert_array_equal(scan.array[0], build.volume(seed=expected[case.name]))


def test_a_series_spread_over_folders_is_one_scan(tmp_path: Path) -> None:
    array = build.volume()
    for index, path in enumerate(build.write_dicom(tmp_path / "disc", array, MATRIX)):
        (tmp_path / "disc" / f"part{index % 2}").mkdir(exist_ok=True)
        path.rename(tmp_path / "disc" / f"part{index % 2}" / path.name)
    (case,) = list_folder(tmp_path).cases
    assert case.name == "disc"
    np.testing.assert_array_equal(read_case(case, ABDOMEN, "target", with_label=False)[0].array[0], array)


def test_copies_of_a_series_in_two_folders_are_two_scans(tmp_path: Path) -> None:
    build.write_dicom(tmp_path / "x" / "scan", build.volume(), MATRIX)
    shutil.copytree(tmp_path / "x", tmp_path / "y")
    assert [c.name for c in list_folder(tmp_path).cases] == ["x_scan", "y_scan"]


def test_subjects_of_a_folder(tmp_path: Path) -> None:
    for patient, study in (("A", "1"), ("A", "2"), ("B", "3")):
        build.write_dicom(
            tmp_path / study, build.volume(), MATRIX, PatientID=patient, StudyInstanceUID=f"1.{study}"
        )
    assert subjects(list_folder(tmp_path)) == ["patient 1", "patient 1", "patient 2"]
    for study in ("1", "2", "3"):
        build.write_dicom(
            tmp_path / study, build.volume(), MATRIX, PatientID="ANON", StudyInstanceUID=f"1.{study}"
        )
        for old in list((tmp_path / study).iterdir())[6:]:
            old.unlink()
    assert len(set(subjects(list_folder(tmp_path)))) == 3
    for name in ("sub-01_T1w.nii.gz", "sub-01_T2w.nii.gz", "sub-02_T1w.nii.gz"):
        build.write_nifti(tmp_path / "bids" / name, build.volume(), MATRIX)
    assert subjects(list_folder(tmp_path / "bids")) == ["sub-01", "sub-01", "sub-02"]


def test_own_segmentations_are_no_scans(own: Path) -> None:
    build.write_nifti(own / "out" / "a_seg.nii.gz", CLASSES, MATRIX)
    build.write_nifti(own / "patient_seg.nii.gz", build.volume(), MATRIX)
    listed = list_folder(own)
    assert [c.name for c in listed.cases] == ["a", "a_label", "b", "b_label", "patient_seg"]
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
    with pytest.raises(DataError, match=r"1 damaged DICOM files, which may be slices"):
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
    assert read_case(good, ABDOMEN, "target", with_label=False)[0].shape == SHAPE
    with pytest.raises(DataError, match=r"damaged DICOM file or no image in bad/IMG-0001.dcm"):
        read_case(bad, ABDOMEN, "target", with_label=False)


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
