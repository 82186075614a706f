"""Datalists, in this package's form and as plain MONAI lists."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.listing import list_cases, read_case
from monai_sfda.errors import DataError

from . import build

MATRIX = build.affine((1.2, 1.2, 6.0))
SHAPE = (9, 8, 6)
CLASSES = (np.arange(np.prod(SHAPE)) % 5).reshape(SHAPE).astype(np.uint8)
CHAOS_VALUES = np.choose(CLASSES, [0, 63, 126, 189, 252]).astype(np.uint8)
BTCV_VALUES = np.choose(CLASSES, [0, 6, 2, 3, 1]).astype(np.uint8)


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
    assert build.subjects(listed) == ["p1", "2"]
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


def test_several_values_may_mean_one_name(own: Path) -> None:
    stored = CLASSES.copy()
    stored[0, 0, 0], stored[0, 0, 1] = 7, 9
    build.write_nifti(own / "a_label.nii.gz", stored, MATRIX)
    labels = STORED | {"background": [0, 7], "spleen": [4, 9]}
    datalist = build.write_json(own / "list.json", {"labels": labels, "source_train": [ITEM]})
    (case,) = list_cases(ABDOMEN, "source", "train", own, datalist=datalist).cases
    _, label = read_case(case, ABDOMEN, "source", with_label=True)
    assert label is not None
    assert label[0, 0, 0] == 0
    assert label[0, 0, 1] == 4


def test_without_a_data_folder_the_lists_own_is_taken(own: Path) -> None:
    datalist = build.write_json(own / "list.json", {"source_train": [ITEM]})
    alone = list_cases(ABDOMEN, "source", "train", Path("./data-that-is-not-there"), datalist=datalist)
    assert alone.cases[0].image[0].parent == own


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
    words = "1 subject is in the train list and in the test list of the target domain: scores there are not"
    assert listed.warnings == listed.overlaps == (f"{words} those of unseen subjects",)


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
    "one value in two lists": (
        {"labels": STORED | {"background": [0, 4]}, "target_train": [ITEM]},
        "one value to two names",
    ),
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
