"""CHAOS `Ground` folders: pictures as a label."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.case import Case
from monai_sfda.data.listing import list_cases, read_case
from monai_sfda.errors import DataError

from . import build

MATRIX = build.affine((1.0, 1.0, 3.0))
SHAPE = (9, 8, 6)


def test_label_pictures(tmp_path: Path) -> None:
    stored = np.choose(build.class_volume(), [0, 63, 126, 189, 252]).astype(np.uint8)
    base = build.write_chaos(tmp_path, 5, stored, MATRIX)
    case = Case(1, "5", (base / "DICOM_anon",), base / "Ground", "chaos", root=tmp_path)
    scan, classes = read_case(case, ABDOMEN, "source", with_label=True)
    np.testing.assert_array_equal(scan.array[0], build.volume(SHAPE, 5))
    np.testing.assert_array_equal(classes, build.class_volume())


def _remove(picture: Path) -> None:
    picture.unlink()


def _cut(picture: Path) -> None:
    picture.write_bytes(picture.read_bytes()[:40])


def _crop(picture: Path) -> None:
    Image.fromarray(np.zeros((8, 7), np.uint8)).save(picture)


def _colour(picture: Path) -> None:
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(picture)


def _rename(picture: Path) -> None:
    picture.rename(picture.with_name("IMG-9999-00001.png"))


def _unknown(picture: Path) -> None:
    Image.fromarray(np.full((8, 9), 80, np.uint8)).save(picture)


def _remove_all(picture: Path) -> None:
    for path in picture.parent.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_remove, r"1 of 6 slices have no label picture in .*Ground"),
        (_cut, r"the PNG file is damaged in .*00003.png"),
        (_crop, r"a label of 7 x 8 pixels for an image of 9 x 8 in .*00003.png"),
        (_colour, r"a label picture of mode RGB in .*00003.png"),
        (_rename, r"1 of 6 label pictures belong to no slice of the scan in .*IMG-9999"),
        (_unknown, r"unknown label values \(80\)"),
        (_remove_all, r"no PNG files in .*Ground"),
    ],
)
def test_bad_label_pictures(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    base = build.write_chaos(tmp_path, 5, np.zeros(SHAPE, np.uint8), MATRIX)
    spoil(base / "Ground" / "IMG-0005-00003.png")
    case = Case(1, "5", (base / "DICOM_anon",), base / "Ground", "chaos", root=tmp_path)
    with pytest.raises(DataError, match=message):
        read_case(case, ABDOMEN, "source", with_label=True)


def test_greys_within_the_published_ranges_are_the_organs(tmp_path: Path) -> None:
    """Of the four organs the published values vary round 63, 126, 189 and 252."""
    greys = [0, 55, 63, 70, 110, 126, 135, 175, 189, 200, 240, 252, 255]
    stored = np.zeros(SHAPE, np.uint8)
    stored[: len(greys[:9]), 0, 2], stored[: len(greys[9:]), 1, 2] = greys[:9], greys[9:]
    base = build.write_chaos(tmp_path, 2, stored, MATRIX)
    (case,) = list_cases(ABDOMEN, "source", "train", tmp_path).cases
    _, classes = read_case(case, ABDOMEN, "source", with_label=True)
    assert classes is not None
    assert [*classes[:9, 0, 2], *classes[:4, 1, 2]] == [0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    shutil.rmtree(base)
    stored[0, 0, 3] = 54
    build.write_chaos(tmp_path, 2, stored, MATRIX)
    with pytest.raises(DataError, match=r"unknown label values \(54\) in .*/Ground/.*\.png: "):
        read_case(case, ABDOMEN, "source", with_label=True)
