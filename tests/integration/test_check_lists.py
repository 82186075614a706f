"""`monai-sfda check` on datalists, plain folders and subjects of several examinations.

And that the jobs refuse what it names, since they share the readers.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_sfda.catalog import ABDOMEN, BRAIN_GRADE, SPINE, Task
from monai_sfda.data.stacks import StackDataset
from monai_sfda.errors import DataError, SettingError
from monai_sfda.phantom import write_phantoms
from monai_sfda.workflow.check import JOBS, check_data
from monai_sfda.workflow.check_page import check_page
from tests.builders import toy_abdomen, write_nifti
from tests.data_readers import build

CLEAN: dict[str, list[str]] = {job: [] for job in JOBS}


@pytest.fixture
def toy(tmp_path) -> Path:
    """A datalist of four training subjects and one test subject a domain; all on one grid."""
    (tmp_path / "data").mkdir()
    return toy_abdomen(tmp_path / "data", subjects=4)


def change(datalist: Path, key: str, number: int, **item: Any) -> None:
    content = json.loads(datalist.read_text(encoding="utf-8"))
    content[key][number] |= item
    content[key][number] = {name: value for name, value in content[key][number].items() if value is not None}
    datalist.write_text(json.dumps(content), encoding="utf-8")


def check(datalist: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Problems of the jobs that have any, and doubts; but for that of the toys, which are no CT."""
    result = check_data(ABDOMEN, datalist.parent, datalist=datalist)
    return {job: lines for job, lines in result.problems.items() if lines}, [
        line for line in map(str, result.doubts) if "is it CT" not in line
    ]


def test_a_sound_datalist_is_ready(toy) -> None:
    assert check(toy) == ({}, [])


@pytest.mark.parametrize(
    ("key", "item", "job", "words"),
    [
        (
            "target_train",
            {"subject": "target4"},
            "evaluate",
            "who is in the train list too (with target/s1_image",
        ),
        (
            "target_train",
            {"image": "target/s4_image.nii.gz"},
            "evaluate",
            "who is in the train list too (with",
        ),
        (
            "source_train",
            {"image": "gone.nii.gz"},
            "train",
            "image of the datalist is missing in gone.nii.gz",
        ),
        (
            "source_train",
            {"label": None},
            "train",
            "no label is listed for an image in source/s1_image.nii.gz",
        ),
        (
            "source_train",
            {"label": "gone.nii.gz"},
            "train",
            "label is missing of the image in source/s1_image",
        ),
        ("target_train", {"label": "gone.nii.gz"}, "train --domain target", "in target/s1_image.nii.gz"),
    ],
)
def test_what_is_wrong_in_a_datalist_is_named(toy, key, item, job, words) -> None:
    change(toy, key, 1, **item)
    problems, _ = check(toy)
    assert list(problems) == [job]
    (line,) = problems[job]
    assert words in line


def test_every_bad_item_is_named_and_not_the_first_alone(toy) -> None:
    for number in (0, 2):
        change(toy, "source_train", number, label="gone.nii.gz")
    problems, _ = check(toy)
    assert [line.split(":")[0][-22:] for line in problems["train"]] == [
        f"source/s{number}_image.nii.gz"[-22:] for number in (0, 2)
    ]


def test_a_test_scan_that_is_a_copy_of_a_training_scan_spoils_the_evaluation(toy) -> None:
    for kind in ("image", "label"):
        shutil.copy(toy.parent / f"target/s0_{kind}.nii.gz", toy.parent / f"target/s4_{kind}.nii.gz")
    problems, doubts = check(toy)
    assert list(problems) == ["evaluate"]
    assert problems["evaluate"][0].startswith(
        "the same scan as target/s0_image.nii.gz, voxel for voxel in target/s4_image.nii.gz"
    )
    assert doubts == []


def test_a_target_scan_that_is_a_source_scan_is_doubted(toy) -> None:
    for kind in ("image", "label"):
        shutil.copy(toy.parent / f"source/s0_{kind}.nii.gz", toy.parent / f"target/s1_{kind}.nii.gz")
    problems, doubts = check(toy)
    assert problems == {}
    assert any("the same scan as source/s0_image.nii.gz" in line for line in doubts)


def test_one_label_of_two_subjects_of_a_datalist_is_doubted(toy) -> None:
    """Two scans of one body in register may share it."""
    shutil.copy(toy.parent / "target/s0_label.nii.gz", toy.parent / "target/s1_label.nii.gz")
    problems, doubts = check(toy)
    assert problems == {}
    assert any(
        "the same label as that of target/s0_image.nii.gz in target/s1_image" in line for line in doubts
    )


@pytest.fixture(scope="module")
def spines(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("spines") / "data"
    write_phantoms("spine", out, 4, 105, matrix=32, workers=1)
    return out


def test_two_time_points_of_one_subject_are_never_in_two_lists(spines, tmp_path) -> None:
    """Whether `subjects.json` says whose the sets are or not."""
    data = tmp_path / "data"
    shutil.copytree(spines, data)
    assert check_data(SPINE, data).problems == CLEAN
    for _ in range(2):
        result = check_data(SPINE, data)
        lists = {
            s.split: {int(i.case.image[0].parent.name) for i in s.inspections}
            for s in result.splits
            if s.domain == "target"
        }
        assert all(
            number - 1 in numbers for numbers in lists.values() for number in numbers if number % 2 == 0
        )
        (data / "subjects.json").unlink(missing_ok=True)


def test_two_files_that_contradict_each_other_stop_every_job(spines, tmp_path) -> None:
    data = tmp_path / "data"
    shutil.copytree(spines, data)
    (data / "01" / "subjects.json").write_text('{"1": "somebody else"}', encoding="utf-8")
    problems = check_data(SPINE, data).problems
    for job in ("train", "adapt", "evaluate"):
        (line,) = problems[job]
        assert "set 1 is of subject" in line
        assert "in 01/subjects.json: name one subject for every set" in line


def test_a_subject_of_both_grades_is_said(tmp_path) -> None:
    """A glioma that was of low grade first: ready, and named."""
    write_phantoms("brain", tmp_path / "data", 4, 105, matrix=32, workers=1)
    top = tmp_path / "data" / "MICCAI_BraTS_2018_Data_Training"
    early = sorted((top / "LGG").iterdir())[0]
    later = early.name[:-1] + "9"
    shutil.copytree(sorted((top / "HGG").iterdir())[0], top / "HGG" / later)
    for path in list((top / "HGG" / later).iterdir()):
        values = np.asanyarray(build.nib.load(path).dataobj)
        write_nifti(path.with_name(f"{later}_{path.name.rsplit('_', 1)[1]}"), values[::-1].copy())
        path.unlink()
    result = check_data(BRAIN_GRADE, tmp_path / "data")
    assert result.problems == CLEAN
    (doubt,) = result.doubts
    assert "a subject with examinations in HGG and in LGG" in str(doubt)
    assert f"HGG/{later}" in str(doubt)


def test_a_plain_folder_of_unlabelled_scans(tmp_path) -> None:
    for number in range(2):
        build.write_nifti(tmp_path / "scans" / f"{number}.nii.gz", build.volume(seed=number), np.eye(4))
    build.write_dicom(tmp_path / "scans" / "series", build.volume(seed=2), np.eye(4), Modality="CT")
    result = check_data(ABDOMEN, tmp_path / "scans", plain=True)
    assert result.problems == CLEAN
    page = check_page(result, ABDOMEN, 100)
    assert "adapt: ready" in page
    assert "\ntrain:" not in page
    assert "evaluate" not in page
    (tmp_path / "scans" / "0.nii.gz").write_bytes(b"")
    shutil.copy(tmp_path / "scans" / "1.nii.gz", tmp_path / "scans" / "copy.nii.gz")
    result = check_data(ABDOMEN, tmp_path / "scans", plain=True)
    (fault,) = result.problems["adapt"]
    assert fault.startswith("the file is empty (0 bytes) in 0.nii.gz")
    assert [str(doubt).split(":")[0] for doubt in result.doubts] == [
        "the same scan as 1.nii.gz, voxel for voxel in copy.nii.gz"
    ]
    with pytest.raises(SettingError, match="a datalist for a plain folder"):
        check_data(ABDOMEN, tmp_path, datalist=tmp_path / "list.json", plain=True)
    (tmp_path / "empty").mkdir()
    assert "an empty folder" in check_data(ABDOMEN, tmp_path / "empty", plain=True).problems["adapt"][0]


def prepared(task: Task, datalist: Path, domain: str, *, labels: bool) -> None:
    """What every training and adaptation does before its first step."""
    StackDataset(
        task,
        domain,
        "train",
        datalist.parent,
        datalist=datalist,
        labels=labels,
        image_size=32,
        pixel_size_mm=4.0,
    ).prepare()


def test_the_jobs_refuse_the_same(toy) -> None:
    prepared(ABDOMEN, toy, "source", labels=True)
    image = toy.parent / "source/s1_image.nii.gz"
    for kind in ("image", "label"):
        shutil.copy(toy.parent / f"source/s0_{kind}.nii.gz", toy.parent / f"source/s1_{kind}.nii.gz")
    with pytest.raises(
        DataError, match=r"the same scan as source/s0_image.nii.gz, .* in source/s1_image.nii.gz"
    ):
        prepared(ABDOMEN, toy, "source", labels=True)
    shutil.copy(toy.parent / "source/s1_label.nii.gz", image)
    with pytest.raises(DataError, match=r"a mask, not a scan in source/s1_image.nii.gz"):
        prepared(ABDOMEN, toy, "source", labels=True)
    change(toy, "target_train", 0, label="gone.nii.gz")
    prepared(ABDOMEN, toy, "target", labels=False)
    with pytest.raises(DataError, match=r"label is missing of the image in target/s0_image.nii.gz"):
        prepared(ABDOMEN, toy, "target", labels=True)
