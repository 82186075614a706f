"""Official layouts; and that no label is opened where none is wanted."""

from __future__ import annotations

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
from monai_sfda.data.listing import list_cases, read_case
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


def test_official_layouts(downloads: Path) -> None:
    listed = list_cases(ABDOMEN, "source", "train", downloads)
    assert build.subjects(listed) == ["2", "10"]
    assert [c.number for c in listed.cases] == [1, 2]
    assert [c.name for c in listed.cases] == ["2_T2SPIR_DICOM_anon", "10_T2SPIR_DICOM_anon"]
    assert listed.warnings == (
        "2 of the 16 subjects of the official train split of CHAOS T2-SPIR MR are there, 14 are missing",
    )
    assert len(listed.missing) == 14
    assert listed.split_source == ABDOMEN.source.split_source
    assert build.subjects(list_cases(ABDOMEN, "source", "test", downloads)) == ["1", "13"]

    listed = list_cases(ABDOMEN, "target", "train", downloads)
    assert build.subjects(listed) == ["2", "40"]
    assert [c.name for c in listed.cases] == ["img0002", "img0040"]
    for domain in ("source", "target"):
        for case in list_cases(ABDOMEN, domain, "train", downloads).cases:
            scan, label = read_case(case, ABDOMEN, domain, with_label=True)
            np.testing.assert_array_equal(scan.array[0], build.volume(SHAPE, int(case.subject)))
            np.testing.assert_array_equal(label, CLASSES)


@pytest.mark.parametrize("below", ["CHAOS", "CHAOS/unpacked", "CHAOS/unpacked/Train_Sets/MR"])
def test_layout_from_inside(downloads: Path, below: str) -> None:
    assert build.subjects(list_cases(ABDOMEN, "source", "train", downloads / below)) == ["2", "10"]


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
    assert build.subjects(listed) == ["STS_024"]
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
        DataError, match=r"no scans for the val split of BTCV CT: there is none.*train 24, val 0"
    ):
        list_cases(ABDOMEN, "target", "val", downloads)
    with pytest.raises(SettingError, match="split 'trian' is unknown: use one of train"):
        list_cases(ABDOMEN, "target", "trian", downloads)
    with pytest.raises(SettingError, match="domain 'sauce' is unknown"):
        list_cases(ABDOMEN, "sauce", "train", downloads)


def test_a_subject_that_is_there_twice(downloads: Path) -> None:
    shutil.copytree(downloads / "a", downloads / "copy")
    there = "b/c/d/RawData/Training/img/img0002.nii.gz"
    with pytest.raises(DataError, match=rf"there twice \(also a/{there}\) \(1 more .* in copy/{there}"):
        list_cases(ABDOMEN, "target", "train", downloads)


def test_a_missing_label_names_the_image(downloads: Path) -> None:
    training = downloads / "a/b/c/d/RawData/Training"
    (training / "label" / "label0040.nii.gz").unlink()
    with pytest.raises(
        DataError, match=r"label is missing of the image in a/b/c/d/RawData/Training/img/img0040.nii.gz"
    ):
        list_cases(ABDOMEN, "target", "train", downloads)
    assert build.subjects(list_cases(ABDOMEN, "target", "train", downloads, labels=False)) == ["2", "40"]


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
