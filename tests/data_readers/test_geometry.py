"""The same physical volume in every orientation and format: a marker voxel lies at one point of the body."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.case import Case
from monai_sfda.data.listing import read_case, write_segmentation
from monai_sfda.data.scan import Scan

from . import build

GRIDS = {
    "isotropic": build.affine(),
    "anisotropic": build.affine((0.7, 0.9, 5.0)),
    "oblique": build.affine((0.8, 0.8, 3.0), angles=(11.0, -7.0, 23.0)),
}
FORMATS = ("nii", "nii.gz", "nrrd", "mha", "dicom")


def read(path: Path, label: Path | None = None) -> Scan:
    scan, _ = read_case(Case(1, "s", (path,), label, "folder"), ABDOMEN, "source", with_label=False)
    return scan


def write(folder: Path, kind: str, array: np.ndarray, matrix: np.ndarray) -> Path:
    if kind == "dicom":
        build.write_dicom(folder / "series", array, matrix)
        return folder / "series"
    writer = build.write_nifti if kind.startswith("nii") else build.write_itk
    return writer(folder / f"scan.{kind}", array, matrix)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "PIR", "SAL"])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", FORMATS)
def test_marker_has_one_world_position(tmp_path: Path, kind: str, grid: str, axes: str) -> None:
    original, matrix = build.volume(), GRIDS[grid]
    array, turned = build.in_orientation(original, matrix, axes)
    scan = read(write(tmp_path, kind, array, turned))
    assert scan.array.dtype == np.float32
    assert min(scan.array[0].strides) > 0
    assert scan.array.flags.writeable
    np.testing.assert_allclose(
        build.world(scan.array[0], scan.affine), build.world(original, matrix), atol=1e-4
    )
    assert scan.spacing_mm == pytest.approx(tuple(np.linalg.norm(turned[:3, :3], axis=0)), rel=1e-5)
    if kind != "dicom":
        np.testing.assert_array_equal(scan.array[0], array)
        np.testing.assert_allclose(scan.affine, turned, atol=1e-5)


@pytest.mark.parametrize("grid", GRIDS)
def test_dicom_agrees_with_itk(tmp_path: Path, grid: str) -> None:
    array, matrix = build.in_orientation(build.volume(), GRIDS[grid], "LPS")
    build.write_dicom(tmp_path, array, matrix, RescaleSlope="2", RescaleIntercept="-5")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    scan = read(tmp_path)
    np.testing.assert_array_equal(scan.array[0], sitk.GetArrayFromImage(image).T)
    for index in ((0, 0, 0), (8, 0, 0), (0, 7, 0), (0, 0, 5), (2, 5, 1)):
        expected = np.array([-1, -1, 1]) * image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose((scan.affine @ [*index, 1])[:3], expected, atol=1e-4)


def test_dicom_voxel_axes_are_column_row_slice(tmp_path: Path) -> None:
    array = build.volume()
    build.write_dicom(tmp_path, array, build.LPS @ build.affine((0.5, 0.75, 4.0)))
    scan = read(tmp_path)
    np.testing.assert_array_equal(scan.array[0], array)
    assert scan.spacing_mm == pytest.approx((0.5, 0.75, 4.0))


def test_tilted_gantry_gives_a_sheared_affine(tmp_path: Path) -> None:
    matrix = build.affine((1.0, 1.0, 5.0))
    matrix[1, 2] = 1.5
    array = build.volume()
    build.write_dicom(tmp_path, array, matrix)
    scan = read(tmp_path)
    np.testing.assert_allclose(build.world(scan.array[0], scan.affine), build.world(array, matrix), atol=1e-5)


def test_single_slice_takes_its_thickness(tmp_path: Path) -> None:
    build.write_dicom(tmp_path, build.volume()[:, :, 1:2], build.affine((1.0, 1.0, 6.0)))
    scan = read(tmp_path)
    assert scan.shape == (9, 8, 1)
    assert scan.spacing_mm[2] == pytest.approx(6.0)


def test_qform_is_taken_where_the_sform_has_no_code(tmp_path: Path) -> None:
    import nibabel as nib

    matrix = GRIDS["oblique"]
    image = nib.Nifti1Image(build.volume(), None)
    image.set_sform(np.diag([9.0, 9.0, 9.0, 1.0]), code=0)
    image.set_qform(matrix, code=1)
    nib.save(image, tmp_path / "scan.nii")
    np.testing.assert_allclose(read(tmp_path / "scan.nii").affine, matrix, atol=1e-4)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR"])
def test_written_segmentation_lies_on_the_scan(tmp_path: Path, axes: str) -> None:
    array, matrix = build.in_orientation(build.volume(), GRIDS["oblique"], axes)
    matrix = matrix.astype(np.float32).astype(np.float64)
    scan = read(build.write_nifti(tmp_path / "scan.nii.gz", array, matrix))
    label = (array > 500).astype(np.uint8)
    out = tmp_path / "new" / "scan_seg.nii.gz"
    write_segmentation(out, label, scan)

    import nibabel as nib

    written = nib.load(out)
    assert int(written.header["sform_code"]) == int(written.header["qform_code"]) == 1
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(written.affine, scan.affine)
    np.testing.assert_allclose(written.get_qform(), scan.affine, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(written.dataobj), label)
    image = sitk.ReadImage(str(out))
    index = [int(i) for i in np.unravel_index(label.argmax(), label.shape)]
    point = np.array([-1, -1, 1]) * image.TransformIndexToPhysicalPoint(index)
    np.testing.assert_allclose(point, build.world(build.volume(), GRIDS["oblique"]), atol=1e-3)
    assert [p.name for p in out.parent.iterdir()] == ["scan_seg.nii.gz"]
