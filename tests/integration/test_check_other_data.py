"""`monai-sfda check` where another data set lies than the one asked for: what it is instead."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from monai_sfda.catalog import (
    ABDOMEN,
    BRAIN_GRADE,
    BRAIN_MODALITY,
    CARDIAC,
    SPINE,
    STREET,
)
from monai_sfda.workflow.check import JOBS, check_data


def zipped(data: Path) -> None:
    shutil.rmtree(data)
    data.mkdir()
    for name in ("CHAOS_Train_Sets.zip", "RawData.zip"):
        (data / name).write_bytes(b"PK\x03\x04")


def nothing(data: Path) -> None:
    shutil.rmtree(data)
    data.mkdir()


def only_test_sets(data: Path) -> None:
    (data / "Train_Sets").rename(data / "Test_Sets")
    (data / "RawData" / "Training").rename(data / "RawData" / "Testing")
    images = data / "RawData" / "Testing" / "img"
    for image in list(images.iterdir()):
        image.rename(images / image.name.replace("img000", "img006"))


def decathlon(data: Path) -> None:
    training = data / "RawData" / "Training"
    (training / "img").rename(data / "imagesTr")
    (training / "label").rename(data / "labelsTr")
    for folder in ("imagesTr", "labelsTr"):
        for path in list((data / folder).iterdir()):
            path.rename(path.with_name(f"spleen_{path.name[-9:-7]}.nii.gz"))
    shutil.rmtree(data / "Train_Sets")


def without_grades(data: Path) -> None:
    """As in 2020: all cases in one folder."""
    top = data / "BraTS2020_TrainingData" / "MICCAI_BraTS2020_TrainingData"
    top.mkdir(parents=True)
    for number, case in enumerate(sorted((data / "MICCAI_BraTS_2018_Data_Training").glob("*/*")), start=1):
        name = f"BraTS20_Training_{number:03d}"
        for file in case.iterdir():
            file.rename(file.with_name(file.name.replace(case.name, name)))
        case.rename(top / name)
    shutil.rmtree(data / "MICCAI_BraTS_2018_Data_Training")


def one_data_set(data: Path) -> None:
    shutil.rmtree(data / "RawData")


def slices_as_records(data: Path) -> None:
    nothing(data)
    (data / "mr_train_slice1.tfrecords").write_bytes(b"x")


OTHERS = [
    (
        CARDIAC,
        ABDOMEN,
        None,
        "found here: 4 CHAOS T2-SPIR MR scans (--task abdomen); 4 BTCV CT scans (--task",
    ),
    (
        ABDOMEN,
        CARDIAC,
        None,
        "found here: 4 MMWHS MR scans (--task cardiac); 4 MMWHS CT scans (--task cardiac)",
    ),
    (SPINE, STREET, None, "32 GTA5 pictures (--task street)"),
    (BRAIN_GRADE, SPINE, None, "IVDM3Seg water scans (--task spine)"),
    (STREET, BRAIN_MODALITY, None, "BraTS T2 MR scans"),
    (ABDOMEN, ABDOMEN, zipped, "found here: CHAOS_Train_Sets.zip, RawData.zip: unpack first"),
    (CARDIAC, CARDIAC, slices_as_records, "PnP-AdaNet's slices of MMWHS: download the NIfTI scans"),
    (ABDOMEN, ABDOMEN, nothing, "found here: no file"),
    (ABDOMEN, ABDOMEN, only_test_sets, "CHAOS test scans, which have no labels: download the training scans"),
    (ABDOMEN, ABDOMEN, only_test_sets, "BTCV test scans, which have no labels: download the training scans"),
    (ABDOMEN, ABDOMEN, decathlon, "the layout of the Medical Segmentation Decathlon or nnU-Net"),
    (BRAIN_GRADE, BRAIN_GRADE, without_grades, "sort them into HGG and LGG by name_mapping.csv"),
    (ABDOMEN, ABDOMEN, one_data_set, "found here: 4 CHAOS T2-SPIR MR scans (--task abdomen)"),
]


@pytest.mark.parametrize(("task", "there", "change", "words"), OTHERS)
def test_another_data_set_is_recognised(copy_of, task, there, change, words) -> None:
    data = copy_of(there)
    if change is not None:
        change(data)
    problems = check_data(task, data).problems
    assert set(problems["train"] + problems["adapt"] + problems["evaluate"]) != set()
    assert any(words in line for line in problems["adapt"]), problems["adapt"]
    assert problems["train"] == [] if change is one_data_set else problems["train"] != []


def test_the_names_of_2020_are_read_where_no_grade_is_needed(copy_of) -> None:
    data = copy_of(BRAIN_MODALITY)
    without_grades(data)
    assert check_data(BRAIN_MODALITY, data).problems == {job: [] for job in JOBS}
