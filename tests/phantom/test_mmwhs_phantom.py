"""The MMWHS layout with its traps, written and read again."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from monai_sfda.catalog import find_task
from monai_sfda.data.listing import list_cases, read_case
from monai_sfda.errors import DataError
from monai_sfda.phantom import write_phantoms
from monai_sfda.phantom.mmwhs import ODD_CASE

TASK = find_task("cardiac")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hearts") / "data"
    write_phantoms("cardiac", out, 4, 100, matrix=64, workers=2)
    return out


def stored(path: Path) -> np.ndarray:
    return np.asanyarray(nibabel.load(path).dataobj)


def test_files_have_the_names_values_and_types_of_the_challenge(data: Path) -> None:
    for modality, ids in (("mr", (1001, 1002, 1003, 1007)), ("ct", (1001, 1002, 1003, 1004))):
        folder = data / f"{modality}_train"
        assert sorted(p.name for p in folder.iterdir()) == [
            f"{modality}_train_{i}_{kind}.nii.gz" for i in ids for kind in ("image", "label")
        ]
        for i in ids:
            image, label = (
                nibabel.load(folder / f"{modality}_train_{i}_{kind}.nii.gz") for kind in ("image", "label")
            )
            assert image.get_data_dtype() == label.get_data_dtype() == np.int16
            np.testing.assert_array_equal(image.affine, label.affine)
            atrium = 421 if (modality, str(i)) == ODD_CASE else 420
            values = set(np.unique(np.asanyarray(label.dataobj)).tolist())
            assert values == {0, 205, atrium, 500, 550, 600, 820, 850}
    assert stored(data / "ct_train" / "ct_train_1001_image.nii.gz").min() < -900


def test_scans_are_found_and_read_as_the_tasks_classes(data: Path) -> None:
    for domain, split, subjects in (
        ("source", "train", ["1001", "1002", "1003"]),
        ("source", "test", ["1007"]),
        ("target", "train", ["1001", "1002", "1004"]),
        ("target", "test", ["1003"]),
    ):
        listed = list_cases(TASK, domain, split, data)
        assert [case.subject for case in listed.cases] == subjects
        for case in listed.cases:
            scan, classes = read_case(case, TASK, domain, with_label=True)
            assert classes is not None
            assert case.label is not None
            labels = stored(case.label)
            assert scan.array.shape[1:] == labels.shape
            for value, index in ((205, 1), (500, 3), (820, 4)):
                np.testing.assert_array_equal(classes == index, labels == value)
            np.testing.assert_array_equal(classes == 2, (labels == 420) | (labels == 421))
            assert np.all(classes[np.isin(labels, (550, 600, 850))] == 0)


def test_downloads_are_found_as_they_lie(data: Path, tmp_path: Path) -> None:
    """A few folders down, uncompressed, with the challenge's test scans beside, which have no labels."""
    top = tmp_path / "a" / "MM-WHS 2017 Dataset"
    shutil.copytree(data / "mr_train", top / "mr_train")
    (top / "mr_test").mkdir()
    shutil.copy(
        data / "mr_train" / "mr_train_1001_image.nii.gz", top / "mr_test" / "mr_test_2001_image.nii.gz"
    )
    for kind in ("image", "label"):
        packed = top / "mr_train" / f"mr_train_1003_{kind}.nii.gz"
        nibabel.save(nibabel.load(packed), top / "mr_train" / f"mr_train_1003_{kind}.nii")
        packed.unlink()
    listed = list_cases(TASK, "source", "train", tmp_path)
    assert [case.subject for case in listed.cases] == ["1001", "1002", "1003"]
    last = listed.cases[-1]
    assert last.label is not None
    assert last.label.name == "mr_train_1003_label.nii"
    with pytest.raises(DataError, match=r"ct_train/ct_train_1001_image\.nii\.gz"):
        list_cases(TASK, "target", "train", tmp_path)
    (top / "mr_train" / "mr_train_1002_label.nii.gz").unlink()
    with pytest.raises(DataError, match="label is missing"):
        list_cases(TASK, "source", "train", tmp_path)
    assert len(list_cases(TASK, "source", "train", tmp_path, labels=False).cases) == 3


def test_a_subject_that_is_there_twice_is_refused(data: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(data / "ct_train", tmp_path / name / "ct_train")
    with pytest.raises(DataError, match="there twice"):
        list_cases(TASK, "target", "train", tmp_path)
