"""`monai-sfda check` on every layout with every fault that a download of it can have.

The fault is named, with its file and what to do, the job that it concerns is not ready, and nothing else is
said.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import JPEG2000, generate_uid
from typer.testing import CliRunner

from monai_sfda.catalog import (
    ABDOMEN,
    BRAIN_GRADE,
    BRAIN_MODALITY,
    CARDIAC,
    SOFT_TISSUE,
    SPINE,
    STREET,
    STREET_SYNTHIA_16,
    Task,
)
from monai_sfda.cli import app
from monai_sfda.data.case import Case
from monai_sfda.data.listing import list_cases
from monai_sfda.phantom import write_phantoms
from monai_sfda.workflow.check import BOUND, JOBS, SOURCE_TEST, check_data
from tests.builders import write_nifti

PHANTOMS = {
    "abdomen": (4, 64),
    "cardiac": (4, 48),
    "brain": (6, 40),
    "spine": (4, 48),
    "street": (2, 64),
}
TASKS = {
    task.name: task
    for task in (
        *(ABDOMEN, CARDIAC, BRAIN_MODALITY, BRAIN_GRADE, SPINE, STREET),
        STREET_SYNTHIA_16,
        SOFT_TISSUE,
    )
}


@pytest.fixture(scope="session")
def sound(tmp_path_factory) -> Callable[[Task], Path]:
    """The sound phantoms of a task, written when first asked for."""
    written: dict[str, Path] = {}

    def of(task: Task) -> Path:
        if task.phantom_name not in written:
            out = tmp_path_factory.mktemp("sound") / "data"
            if task is SOFT_TISSUE:
                soft_tissue(out)
            else:
                subjects, matrix = PHANTOMS[task.phantom_name]
                write_phantoms(task.phantom_name, out, subjects, 105, matrix=matrix, workers=1)
            written[task.phantom_name] = out
        return written[task.phantom_name]

    return of


@pytest.fixture
def copy_of(sound, tmp_path) -> Callable[[Task], Path]:
    """A copy of a task's phantoms; the files are the same on disk until they are written anew."""

    def of(task: Task) -> Path:
        shutil.copytree(sound(task), tmp_path / "data", copy_function=os.link)
        return tmp_path / "data"

    return of


def soft_tissue(root: Path) -> None:
    """A bright ball in each scan, in the layout of the IBSI data; no scan has another's grid."""
    subjects = [(s, "CT") for s in ("STS_002", "STS_003", "STS_008", "STS_019")]
    subjects += [(s, "MR_T1") for s in ("STS_024", "STS_032", "STS_042", "STS_034")]
    for number, (subject, modality) in enumerate(subjects):
        random = np.random.default_rng(number)
        shape = (20 + number, 22, 12)
        x, y, z = np.indices(shape)
        ball = (x - 10) ** 2 + (y - 11) ** 2 + (2 * z - 12) ** 2 < 30 + number
        values = random.normal(40, 10, shape) + 60 * ball
        values[:3] = -1000 if modality == "CT" else 0
        folder = root / "nifti" / subject
        write_nifti(folder / f"{modality}_image.nii.gz", values.astype(np.float32))
        write_nifti(folder / f"{modality}_mask.nii.gz", ball.astype(np.uint8))


# What befalls files. Each is written anew, since the copies of the phantoms are links.


def write_bytes(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def truncate(path: Path) -> None:
    write_bytes(path, path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    write_bytes(path, b"")


def web_page(path: Path) -> None:
    """What a download without a log-in leaves under the file's name."""
    write_bytes(path, b"<!DOCTYPE html><title>Sign in</title>" + b" " * 200)


def put(source: Path, path: Path) -> None:
    """Another file's content under this name."""
    write_bytes(path, source.read_bytes())


def exchange(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    write_bytes(one, second)
    write_bytes(other, first)


def change(path: Path, how: Callable[[np.ndarray], np.ndarray]) -> None:
    """A NIfTI file with other values."""
    image = nib.load(path)
    array, affine = how(np.asanyarray(image.dataobj).copy()), image.affine
    path.unlink()
    write_nifti(path, array, affine)


def with_nan(path: Path) -> None:
    def spoil(array: np.ndarray) -> np.ndarray:
        array = array.astype(np.float32)
        array[3, 3, 3] = np.nan
        return array

    change(path, spoil)


def unknown_value(path: Path, value: int = 777) -> None:
    if path.suffix == ".png":
        with Image.open(path) as picture:
            values = np.asarray(picture).copy()
        values[2, 2] = 99
        path.unlink()
        Image.fromarray(values).save(path)
        return

    def spoil(array: np.ndarray) -> np.ndarray:
        array = array.astype(np.int16)
        array[2, 2, 2] = value
        return array

    change(path, spoil)


def change_dicom(path: Path, how: Callable[[pydicom.Dataset], None]) -> None:
    dataset = pydicom.dcmread(path)
    how(dataset)
    path.unlink()
    dataset.save_as(path)


def slices(series: Path) -> list[Path]:
    return sorted(series.glob("*.dcm"))


def unsupported_syntax(path: Path) -> None:
    """Says JPEG 2000 and holds something else."""

    def compress(dataset: pydicom.Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = JPEG2000
        dataset.PixelData = pydicom.encaps.encapsulate([b"\x00\x01\x02\x03" * 50])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True

    change_dicom(path, compress)


def without_pixels(path: Path) -> None:
    change_dicom(path, lambda dataset: dataset.__delitem__("PixelData"))


@dataclass(frozen=True)
class Fault:
    """One row of the table.

    Attributes:
        name: for people.
        tasks: in whose layouts it is planted.
        plant: does it, to the phantoms and a case of the list asked for; gives the file that must be named.
        words: that the message must have, a regular expression.
        where: domains and splits in which it is planted, one a task, in turns.
        of_label: whether it concerns the label, which adaptation does not need.
        doubt: whether it is only doubted.
    """

    name: str
    tasks: tuple[Task, ...]
    plant: Callable[[list[Case]], Path]
    words: str
    of_label: bool = False
    doubt: bool = False
    where: tuple[tuple[str, str], ...] = (("source", "train"), ("target", "train"), ("target", "test"))


FILES = (CARDIAC, BRAIN_MODALITY, BRAIN_GRADE, SPINE, SOFT_TISSUE)
STREETS = (STREET, STREET_SYNTHIA_16)
ONE_GRID = (BRAIN_GRADE, STREET)
SOURCE = (("source", "train"),)
TARGET = (("target", "train"), ("target", "test"))
TARGET_TRAIN = (("target", "train"),)


def label_of(case: Case) -> Path:
    assert case.label is not None
    return case.label


def at_image(damage: Callable[[Path], None]) -> Callable[[list[Case]], Path]:
    """Damages the first case's image, the last file where it has several."""

    def plant(cases: list[Case]) -> Path:
        damage(cases[0].image[-1])
        return cases[0].image[-1]

    return plant


def at_label(damage: Callable[[Path], None]) -> Callable[[list[Case]], Path]:
    def plant(cases: list[Case]) -> Path:
        damage(label_of(cases[0]))
        return label_of(cases[0])

    return plant


def missing_label(cases: list[Case]) -> Path:
    label = label_of(cases[0])
    shutil.rmtree(label) if label.is_dir() else label.unlink()
    return cases[0].image[0]


def label_of_another_shape(cases: list[Case]) -> Path:
    change(label_of(cases[0]), lambda array: array[:-1])
    return label_of(cases[0])


def image_and_label_exchanged(cases: list[Case]) -> Path:
    exchange(cases[0].image[0], label_of(cases[0]))
    return cases[0].image[0]


def scan_as_label(cases: list[Case]) -> Path:
    put(cases[0].image[0], label_of(cases[0]))
    return label_of(cases[0])


def labels_exchanged(cases: list[Case]) -> Path:
    """Of the first two subjects."""
    other = next(case for case in cases if case.subject != cases[0].subject)
    exchange(label_of(cases[0]), label_of(other))
    return cases[0].image[0]


def labels_of_other_grids(cases: list[Case]) -> Path:
    labels_exchanged(cases)
    return label_of(cases[0])


def same_scan_twice(cases: list[Case]) -> Path:
    """Under two ids, with its label."""
    for source, path in zip(cases[0].image, cases[1].image, strict=True):
        put(source, path)
    put(label_of(cases[0]), label_of(cases[1]))
    return cases[1].image[0]


def label_of_another(cases: list[Case]) -> Path:
    other = next(case for case in cases if case.subject != cases[0].subject)
    put(label_of(cases[0]), label_of(other))
    return other.image[0]


def missing_channel(cases: list[Case]) -> Path:
    cases[0].image[-1].unlink()
    return cases[0].image[-1].parent


def the_same_id_twice(cases: list[Case]) -> Path:
    """A second copy in another folder."""
    case = cases[0]
    for path in (*case.image, label_of(case)):
        copy = path.parents[1] / "copy" / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(path, copy) if path.is_dir() else shutil.copy(path, copy)
    return case.image[0].parents[1] / "copy" / case.image[0].parent.name


def at_slice(damage: Callable[[Path], None], number: int = 5) -> Callable[[list[Case]], Path]:
    def plant(cases: list[Case]) -> Path:
        path = slices(cases[0].image[0])[number]
        damage(path)
        return path

    return plant


def missing_slice(cases: list[Case]) -> Path:
    slices(cases[0].image[0])[5].unlink()
    return cases[0].image[0]


def computed_tomography(cases: list[Case]) -> Path:
    for path in slices(cases[0].image[0]):
        change_dicom(path, lambda dataset: setattr(dataset, "Modality", "CT"))
    return cases[0].image[0]


def slices_of_two_patients(cases: list[Case]) -> Path:
    series = generate_uid()

    def stray(dataset: pydicom.Dataset) -> None:
        dataset.SeriesInstanceUID = series

    for path in slices(cases[0].image[0])[:4]:
        change_dicom(path, stray)
    return cases[0].image[0]


def ground(cases: list[Case]) -> list[Path]:
    return sorted(label_of(cases[0]).glob("*.png"))


def at_ground(damage: Callable[[Path], None]) -> Callable[[list[Case]], Path]:
    def plant(cases: list[Case]) -> Path:
        damage(ground(cases)[5])
        return ground(cases)[5]

    return plant


def unknown_grey(path: Path) -> None:
    with Image.open(path) as picture:
        values = np.asarray(picture).copy()
    values[2, 2] = 99
    path.unlink()
    Image.fromarray(values).save(path)


def a_label_picture_missing(cases: list[Case]) -> Path:
    ground(cases)[5].unlink()
    return label_of(cases[0])


def ground_of_another(cases: list[Case]) -> Path:
    one, other = label_of(cases[0]), label_of(cases[1])
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
    return one


FAULTS = (
    Fault("missing label", (*FILES, ABDOMEN, *STREETS), missing_label, "the label is missing", of_label=True),
    Fault("empty label", (*FILES, STREET), at_label(empty), r"the file is empty \(0 bytes\)", of_label=True),
    Fault("truncated label", FILES, at_label(truncate), "truncated", of_label=True, where=SOURCE),
    Fault(
        "unknown label value",
        (*FILES, STREET),
        at_label(unknown_value),
        r"unknown label values \((777|99)\)",
        of_label=True,
    ),
    Fault(
        "label of another shape",
        FILES,
        label_of_another_shape,
        "a label of .* voxels for an image of",
        of_label=True,
    ),
    Fault(
        "scan as label",
        (CARDIAC,),
        scan_as_label,
        "a scan, not a label",
        of_label=True,
        where=SOURCE,
    ),
    Fault(
        "exchanged labels",
        ONE_GRID,
        labels_exchanged,
        "fits this scan far better than its own",
        where=SOURCE,
        doubt=True,
    ),
    Fault(
        "exchanged labels of other grids",
        (CARDIAC, SPINE, SOFT_TISSUE),
        labels_of_other_grids,
        "a label (of|on another grid)",
        of_label=True,
        where=SOURCE,
    ),
    Fault("label of another", (BRAIN_GRADE,), label_of_another, "the same label as", of_label=True),
    Fault(
        "image and label exchanged",
        (CARDIAC, BRAIN_MODALITY, SOFT_TISSUE),
        image_and_label_exchanged,
        "a mask, not a scan",
        where=TARGET,
    ),
    Fault(
        "picture and label exchanged",
        STREETS,
        image_and_label_exchanged,
        "a label, not a picture",
        where=TARGET,
    ),
    Fault("truncated image", (*FILES, *STREETS), at_image(truncate), "truncated"),
    Fault("empty image", (*FILES, STREET), at_image(empty), r"the file is empty \(0 bytes\)", where=TARGET),
    Fault("web page", (CARDIAC, STREET), at_image(web_page), "truncated or is no", where=SOURCE),
    Fault("NaN", FILES, at_image(with_nan), "are NaN or infinite", where=TARGET),
    Fault(
        "same scan twice",
        (CARDIAC, BRAIN_GRADE, SOFT_TISSUE),
        same_scan_twice,
        "the same scan as",
        where=SOURCE,
    ),
    Fault("missing channel", (BRAIN_GRADE,), missing_channel, "the case has no flair image"),
    Fault(
        "same id twice",
        (CARDIAC, BRAIN_MODALITY, BRAIN_GRADE, SPINE, SOFT_TISSUE),
        the_same_id_twice,
        "a scan that is there twice",
        where=TARGET,
    ),
    Fault("truncated DICOM", (ABDOMEN,), at_slice(truncate), "cut short or damaged", where=SOURCE),
    Fault("wrong bytes", (ABDOMEN,), at_slice(web_page), "1 damaged DICOM file", where=SOURCE),
    Fault(
        "wrong bytes in the first slice",
        (ABDOMEN,),
        at_slice(web_page, 0),
        "1 damaged DICOM file",
        where=SOURCE,
    ),
    Fault("empty DICOM", (ABDOMEN,), at_slice(empty), "1 damaged DICOM file", where=SOURCE),
    Fault(
        "unsupported transfer syntax",
        (ABDOMEN,),
        at_slice(unsupported_syntax),
        r"compressed pixels \(JPEG 2000",
        where=SOURCE,
    ),
    Fault("DICOM without pixels", (ABDOMEN,), at_slice(without_pixels), "holds no pixels", where=SOURCE),
    Fault("missing slice", (ABDOMEN,), missing_slice, "1 slice is missing", where=SOURCE),
    Fault(
        "CT in the MR folder", (ABDOMEN,), computed_tomography, "modality CT where MR is meant", where=SOURCE
    ),
    Fault(
        "slices of two series",
        (ABDOMEN,),
        slices_of_two_patients,
        r"2 series \(\d+, \d+ images\) where one",
        where=SOURCE,
    ),
    Fault(
        "unreadable label picture",
        (ABDOMEN,),
        at_ground(truncate),
        "the PNG file is damaged",
        of_label=True,
        where=SOURCE,
    ),
    Fault(
        "unknown grey of a label picture",
        (ABDOMEN,),
        at_ground(unknown_grey),
        r"unknown label values \(99\)",
        of_label=True,
        where=SOURCE,
    ),
    Fault(
        "label picture missing",
        (ABDOMEN,),
        a_label_picture_missing,
        "1 of .* slices have no label picture",
        of_label=True,
        where=SOURCE,
    ),
    Fault("truncated CT", (ABDOMEN,), at_image(truncate), "truncated", where=TARGET),
    Fault(
        "unknown value in CT label",
        (ABDOMEN,),
        at_label(unknown_value),
        r"unknown label values \(777\)",
        of_label=True,
        where=TARGET,
    ),
)
JOBS_OF = {
    ("source", "train"): ("train", "train"),
    ("target", "train"): ("adapt", BOUND),
    ("target", "test"): ("evaluate", "evaluate"),
}
TABLE = [
    pytest.param(fault, task, *place, id=f"{task.name}-{fault.name}-{'-'.join(place)}".replace(" ", "_"))
    for number, fault in enumerate(FAULTS)
    for turn, task in enumerate(fault.tasks)
    for place in [fault.where[(number + turn) % len(fault.where)]]
]


@pytest.mark.parametrize(("fault", "task", "domain", "split"), TABLE)
def test_a_planted_fault_is_named_and_nothing_else(copy_of, fault, task, domain, split) -> None:
    data = copy_of(task)
    cases = list(list_cases(task, domain, split, data).cases)
    named = fault.plant(cases).relative_to(data)
    result = check_data(task, data)
    blocked = {job: problems for job, problems in result.problems.items() if problems}
    said = (
        [str(doubt) for doubt in result.doubts] if fault.doubt else [p for ps in blocked.values() for p in ps]
    )
    for line in said:
        assert re.search(fault.words, line), line
        assert len(line.split(": ", 1)[1]) > 10, "a remedy"
        assert str(data.parent) not in line
    assert any(str(named) in line for line in said), said
    if fault.doubt:
        assert not blocked
        return
    expected = {JOBS_OF[domain, split][fault.of_label]}
    if task is SPINE and fault.of_label:  # one label for the image of either domain
        expected |= {"train", BOUND} if split == "train" else {"evaluate", SOURCE_TEST}
    assert set(blocked) == expected
    assert not result.doubts


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_nothing_is_said_of_sound_phantoms(sound, task) -> None:
    result = check_data(task, sound(task))
    assert result.problems == {job: [] for job in JOBS}
    assert result.doubts == []


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_command_names_the_fault_on_every_layout(copy_of, task) -> None:
    data = copy_of(task)
    cases = list(list_cases(task, "target", "test", data).cases)
    image = missing_label(cases).relative_to(data)
    done = CliRunner().invoke(app, ["check", "--task", task.name, str(data)], env={"COLUMNS": "80"})
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    _, faults = done.stdout.split("\nevaluate: not ready\n")
    fault, *_ = faults.split(f"\n{SOURCE_TEST}")  # of the spine: one label for the images of both domains
    assert " ".join(fault.split()).startswith(
        "- the label is missing of the image: complete the download; expected"
    )
    assert fault.splitlines()[-1].strip() == str(image)
    assert "train: ready" in done.stdout
    assert "adapt: ready" in done.stdout
    assert all(len(line) <= 80 or " " not in line.strip() for line in done.stdout.splitlines())


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
