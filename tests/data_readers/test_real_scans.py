"""Real, openly licensed scans, where the folder with them is there."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from monai_sfda.catalog import ABDOMEN, SOFT_TISSUE
from monai_sfda.data.case import Case
from monai_sfda.data.listing import check_cases, list_cases, list_folder, read_case, write_segmentation
from monai_sfda.errors import DataError
from tests.builders import real


@pytest.mark.parametrize(("modality", "domain"), [("CT", "source"), ("MR_T1", "target")])
def test_dicom_and_nifti_of_one_scan_agree(modality: str, domain: str) -> None:
    root = real("ibsi_sts")
    mask = root / "nifti" / "STS_008" / f"{modality}_mask.nii.gz"
    files = (root / "dicom" / "STS_008" / modality, root / "nifti" / "STS_008" / f"{modality}_image.nii.gz")
    (dicom, label), (nifti, expected) = (
        read_case(Case(1, "s", (file,), mask, "folder"), SOFT_TISSUE, domain, with_label=True)
        for file in files
    )
    np.testing.assert_array_equal(dicom.array, nifti.array)
    np.testing.assert_allclose(dicom.affine, nifti.affine, atol=1e-4)
    assert label is not None
    assert label.any()
    np.testing.assert_array_equal(label, expected)


@pytest.mark.parametrize("modality", ["CT", "MR_T1"])
def test_dicom_agrees_with_itk(modality: str) -> None:
    folder = real("ibsi_sts") / "dicom" / "STS_008" / modality
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    (case,) = list_folder(folder).cases
    domain = "source" if modality == "CT" else "target"
    scan, _ = read_case(case, SOFT_TISSUE, domain, with_label=False)
    np.testing.assert_allclose(scan.array[0], sitk.GetArrayFromImage(image).T, atol=1e-4)
    last = [n - 1 for n in image.GetSize()]
    for index in ([0, 0, 0], last):
        expected = np.array([-1, -1, 1]) * image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose((scan.affine @ [*index, 1])[:3], expected, atol=1e-3)


@pytest.mark.parametrize("with_list", [False, True])
def test_soft_tissue_layout_and_datalist(with_list: bool) -> None:
    root = real("ibsi_sts")
    datalist = root / "datalist.json" if with_list else None
    for domain, split, count in (
        ("source", "train", 5),
        ("source", "val", 1),
        ("target", "train", 5),
        ("target", "test", 2),
    ):
        listed = list_cases(SOFT_TISSUE, domain, split, root, datalist=datalist)
        assert len(listed.cases) == count
        assert listed.warnings == ()
        for summary in check_cases(listed.cases, SOFT_TISSUE, domain, True):
            assert summary.classes == (1,)
            assert summary.orientation == "LPS"


def test_abdomen_examples_come_back_on_their_grid(tmp_path: Path) -> None:
    root = real("abdomen_examples")
    for case in list_folder(root).cases:
        scan, _ = read_case(case, ABDOMEN, "target", with_label=False)
        stored = nib.load(case.image[0])
        np.testing.assert_array_equal(scan.array[0], np.asarray(stored.dataobj))
        out = tmp_path / f"{case.name}_seg.nii.gz"
        write_segmentation(out, (scan.array[0] > scan.array.mean()).astype(np.uint8), scan)
        np.testing.assert_array_equal(nib.load(out).affine, stored.affine)


def test_values_of_another_numbering_are_named() -> None:
    root = real("abdomen_examples")
    case = Case(1, "s", (root / "ct_image.nii.gz",), root / "ct_pseudo_label.nii.gz", "folder", root=root)
    with pytest.raises(DataError, match=r"unknown label values \(5, 6, .*in ct_pseudo_label.nii.gz"):
        read_case(case, ABDOMEN, "target", with_label=True)


def test_cine_with_invalid_headers(capfd: pytest.CaptureFixture[str]) -> None:
    root = real("sunnybrook") / "dicoms"
    with warnings.catch_warnings(record=True) as caught_warnings:
        warnings.simplefilter("always")
        listed = list_folder(root)
        assert [c.name.rsplit("_", 1)[1] for c in listed.cases] == ["1", "2"] * 3
        assert len({c.subject for c in listed.cases}) == 3
        for summary in check_cases(listed.cases, SOFT_TISSUE, "target", False):
            assert summary.shape[:2] == (256, 256)
            assert summary.shape[2] in (9, 10)
            assert summary.spacing_mm[2] == pytest.approx(10 if summary.shape[2] == 9 else 8, abs=0.01)
        folder = Case(1, "s", (root / "SCD0000101",), None, "folder", root=root)
        with pytest.raises(DataError, match="2 volumes that differ in TriggerTime in SCD0000101"):
            read_case(folder, SOFT_TISSUE, "target", with_label=False)
    assert not caught_warnings
    assert capfd.readouterr() == ("", "")


def test_threads_read_the_same() -> None:
    cases = list_folder(real("ibsi_sts") / "dicom" / "STS_008" / "MR_T1").cases * 8
    alone = [read_case(c, SOFT_TISSUE, "target", with_label=False)[0].array for c in cases[:1]] * 8
    with ThreadPoolExecutor(4) as readers:
        together = readers.map(
            lambda c: read_case(c, SOFT_TISSUE, "target", with_label=False)[0].array, cases
        )
        for first, second in zip(alone, together, strict=True):
            np.testing.assert_array_equal(first, second)
