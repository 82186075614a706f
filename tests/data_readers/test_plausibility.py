"""Scans of another modality and masks among scans: refused where the file says so, doubted by values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.case import Case
from monai_sfda.data.listing import list_folder, read_case
from monai_sfda.data.plausibility import doubt
from monai_sfda.errors import DataError
from tests.builders import real

from . import build

MATRIX = build.affine((1.2, 1.2, 6.0))


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("stated", ["CT", "PT"])
def test_dicom_of_another_modality_is_refused(tmp_path: Path, stated: str, listed: bool) -> None:
    build.write_dicom(tmp_path / "series", build.volume(), MATRIX, Modality=stated)
    case = Case(1, "s", (tmp_path / "series",), None, "folder", root=tmp_path)
    if listed:
        (case,) = list_folder(tmp_path).cases
    with pytest.raises(DataError, match=f"modality {stated} where MR is meant in series: leave it out"):
        read_case(case, ABDOMEN, "source", with_label=False)


@pytest.mark.parametrize("stated", ["MR", "", "OT"])
def test_dicom_that_says_the_same_or_nothing_is_read(tmp_path: Path, stated: str) -> None:
    build.write_dicom(tmp_path / "series", build.volume(), MATRIX, Modality=stated)
    case = Case(1, "s", (tmp_path / "series",), None, "folder", root=tmp_path)
    scan, _ = read_case(case, ABDOMEN, "source", with_label=False)
    np.testing.assert_array_equal(scan.array[0], build.volume())


def test_a_mask_is_no_scan(tmp_path: Path) -> None:
    build.write_nifti(tmp_path / "mask.nii.gz", build.class_volume(), MATRIX)
    (case,) = list_folder(tmp_path).cases
    with pytest.raises(
        DataError, match=r"only 5 different values, all integers: a mask, not a scan in mask.nii.gz"
    ):
        read_case(case, ABDOMEN, "target", with_label=False)


@pytest.mark.parametrize(
    ("low", "kind", "words"),
    [(0.0, "CT", "is it CT"), (-1000.0, "CT", None), (-1000.0, "MR", "is it MR"), (-3.0, "MR", None)],
)
def test_values_of_the_other_modality_are_doubted(low: float, kind: str, words: str | None) -> None:
    said = doubt(np.linspace(low, 2000, 100).reshape(4, 5, 5), kind)
    assert said is None if words is None else words in str(said)


@pytest.mark.parametrize(("name", "kind", "other"), [("ct_image", "CT", "MR"), ("mr_image", "MR", "CT")])
def test_real_scans_are_doubted_only_as_the_other(name: str, kind: str, other: str) -> None:
    path = real("abdomen_examples") / f"{name}.nii.gz"
    scan, _ = read_case(Case(1, "s", (path,), None, "folder"), ABDOMEN, "target", with_label=False)
    assert doubt(scan.array, kind) is None
    assert doubt(scan.array, other) is not None
