"""Every fault that a download can have: how it is planted, on which layouts, and what is said of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import generate_uid

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
from monai_sfda.data.case import Case
from tests.damage import (
    change,
    change_dicom,
    empty,
    exchange,
    put,
    slices,
    truncate,
    unknown_value,
    unsupported_syntax,
    web_page,
    with_nan,
    without_pixels,
)


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
