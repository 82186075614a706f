"""Bad inputs: each is refused with the file, the value and a remedy."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.listing import check_cases
from monai_sfda.errors import DataError

from . import build

MATRIX = build.affine((1.0, 1.0, 3.0))
SHAPE = (9, 8, 6)


def nan_image() -> np.ndarray:
    array = build.volume().astype(np.float32)
    array[0, 0, :3] = np.nan
    array[1, 1, 1] = np.inf
    return array


def save(array: np.ndarray, matrix: np.ndarray | None = None) -> Callable[[Path], None]:
    return lambda path: void(build.write_nifti(path, array, MATRIX if matrix is None else matrix))


def void(_: object) -> None:
    """Lets an expression stand as a statement in a table."""


def truncated(fraction: float, array: np.ndarray | None = None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        writer = build.write_nifti if ".nii" in path.name else build.write_itk
        writer(path, build.volume() if array is None else array, MATRIX)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * fraction)])

    return write


def without_checksum(path: Path) -> None:
    build.write_nifti(path, build.volume(), MATRIX)
    path.write_bytes(path.read_bytes()[:-4])


def damaged_inside(path: Path) -> None:
    build.write_nifti(path, build.volume((30, 30, 30)), MATRIX)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def singular(path: Path) -> None:
    image = nib.Nifti1Image(build.volume(), None)
    matrix = MATRIX.copy()
    matrix[:3, 1] = matrix[:3, 0]
    image.set_sform(matrix, code=1)
    nib.save(image, path)


def not_a_number_affine(path: Path) -> None:
    image = nib.Nifti1Image(build.volume(), None)
    matrix = MATRIX.copy()
    matrix[0, 3] = np.nan
    image.set_sform(matrix, code=1)
    nib.save(image, path)


def rgb(path: Path) -> None:
    colour = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colour, MATRIX), path)


def itk_rgb(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True), str(path))


def itk_flat(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(build.volume()[:, :, 0]), str(path))


def without_data_file(path: Path) -> None:
    build.write_itk(path, build.volume(), MATRIX)
    path.with_suffix(".raw").unlink()


BAD_IMAGES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "missing": ("a.nii.gz", void, "the file is missing"),
    "empty": ("a.nii.gz", lambda p: void(p.touch()), r"empty \(0 bytes\)"),
    "gzip cut": ("a.nii.gz", truncated(0.5), "truncated or damaged"),
    "gzip without its checksum": ("a.nii.gz", without_checksum, "truncated or damaged"),
    "gzip damaged": ("a.nii.gz", damaged_inside, "truncated or damaged"),
    "plain cut": ("a.nii", truncated(0.7), "truncated or is no NIfTI"),
    "header cut": ("a.nii", truncated(0.05), "truncated or is no NIfTI"),
    "text": (
        "a.nii.gz",
        lambda p: void(p.write_text("<html>404</html>", encoding="utf-8")),
        "truncated or is no NIfTI",
    ),
    "gzipped text": ("a.nii.gz", lambda p: void(p.write_bytes(gzip.compress(b"x" * 999))), "no NIfTI"),
    "NaN": ("a.nii.gz", save(nan_image()), r"4 of 432 voxels are NaN or infinite"),
    "constant": ("a.nii.gz", save(np.full(SHAPE, 7, np.int16)), r"constant image \(every voxel is 7\)"),
    "four dimensions": ("a.nii.gz", save(np.zeros((*SHAPE, 2), np.int16)), r"4 dimensions \(9 x 8 x 6 x 2\)"),
    "two dimensions": ("a.nii.gz", save(build.volume()[:, :, 0]), r"2 dimensions \(9 x 8\)"),
    "complex": ("a.nii.gz", save(build.volume().astype(np.complex64)), "complex values"),
    "colour": ("a.nii.gz", rgb, "colour values"),
    "singular affine": ("a.nii.gz", singular, "singular affine"),
    "affine of NaN": ("a.nii.gz", not_a_number_affine, "NaN or infinite numbers in the affine"),
    "unknown format": ("a.tif", lambda p: void(p.write_bytes(b"II*" + b"\0" * 500)), "no known format"),
    "NRRD cut": ("a.nrrd", truncated(0.6), "truncated or is no NRRD"),
    "MetaImage cut": ("a.mha", truncated(0.6), "truncated or is no NRRD"),
    "MetaImage without data": ("a.mhd", without_data_file, "data file that its header names"),
    "NRRD of text": (
        "a.nrrd",
        lambda p: void(p.write_text("hello", encoding="utf-8")),
        "truncated or is no NRRD",
    ),
    "MetaImage in colour": ("a.mha", itk_rgb, "3 numbers a voxel"),
    "MetaImage of two dimensions": ("a.mha", itk_flat, "2 dimensions"),
    "folder without images": ("a", lambda p: void(p.mkdir()), "no DICOM images"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_image(tmp_path: Path, name: str) -> None:
    file, spoil, message = BAD_IMAGES[name]
    (tmp_path / "sub").mkdir()
    spoil(tmp_path / "sub" / file)
    with pytest.raises(DataError, match=message) as caught:
        build.read(tmp_path, f"sub/{file}")
    assert f" in sub/{file}: " in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
def test_name_and_content_may_disagree_about_compression(tmp_path: Path, name: str) -> None:
    array = build.volume()
    data = nib.Nifti1Image(array, MATRIX).to_bytes()
    (tmp_path / name).write_bytes(data if name.endswith("gz") else gzip.compress(data))
    np.testing.assert_array_equal(build.read(tmp_path, name)[0].array[0], array)


def test_a_fourth_axis_of_one_is_dropped_and_values_are_scaled(tmp_path: Path) -> None:
    array = build.volume()
    image = nib.Nifti1Image(array[..., None], MATRIX)
    image.header.set_slope_inter(0.5, 3)
    (tmp_path / "a.nii").write_bytes(image.to_bytes())
    nib.save(image, tmp_path / "a.nii")
    expected = np.asarray(nib.load(tmp_path / "a.nii").dataobj)[..., 0]
    scan, _ = build.read(tmp_path, "a.nii")
    np.testing.assert_allclose(scan.array[0], expected)


def test_big_endian(tmp_path: Path) -> None:
    array = build.volume()
    image = nib.Nifti1Image(array.astype(">i2"), MATRIX, header=nib.Nifti1Header(endianness=">"))
    nib.save(image, tmp_path / "a.nii.gz")
    scan, _ = build.read(tmp_path, "a.nii.gz")
    assert scan.array.dtype.isnative
    np.testing.assert_array_equal(scan.array[0], array)


def test_channels_are_stacked(tmp_path: Path) -> None:
    for name, seed in (("t1.nii.gz", 1), ("t2.nii.gz", 2)):
        build.write_nifti(tmp_path / name, build.volume(seed=seed), MATRIX)
    scan, _ = build.read(tmp_path, ("t1.nii.gz", "t2.nii.gz"))
    assert scan.array.shape == (2, *SHAPE)
    np.testing.assert_array_equal(scan.array[1], build.volume(seed=2))


@pytest.mark.parametrize(
    ("array", "matrix", "message"),
    [
        (build.volume((9, 8, 5)), MATRIX, r"a channel of 9 x 8 x 5 voxels, the first has 9 x 8 x 6 in t2"),
        (build.volume(), build.affine((1.0, 1.0, 3.1)), r"voxel size 1 x 1 x 3.1 mm.* in t2"),
        (build.volume(), build.affine((1.0, 1.0, 3.0), (0, 0, 0)), r"origin is .* mm from .* in t2"),
    ],
)
def test_channels_that_do_not_fit(
    tmp_path: Path, array: np.ndarray, matrix: np.ndarray, message: str
) -> None:
    build.write_nifti(tmp_path / "t1.nii.gz", build.volume(), MATRIX)
    build.write_nifti(tmp_path / "t2.nii.gz", array, matrix)
    with pytest.raises(DataError, match=message):
        build.read(tmp_path, ("t1.nii.gz", "t2.nii.gz"))


def with_value(value: float, dtype: type = np.float32) -> np.ndarray:
    array = build.class_volume(dtype)
    array[0, 0, 0] = value
    return array


MOVED = build.affine((1.0, 1.0, 3.0), (-31.5, 12.25, 7.1))
BAD_LABELS: dict[str, tuple[np.ndarray, np.ndarray, str]] = {
    "another shape": (
        build.class_volume()[:-1],
        MATRIX,
        r"a label of 8 x 8 x 6 voxels for an image of 9 x 8 x 6",
    ),
    "another origin": (build.class_volume(), MOVED, r"another grid than its image: its origin is 0.1 mm"),
    "another voxel size": (
        build.class_volume(),
        build.affine((1.0, 1.0, 3.01)),
        r"voxel size 1 x 1 x 3.01 mm",
    ),
    "rotated": (
        build.class_volume(),
        build.affine((1.0, 1.0, 3.0), angles=(0, 0, 2)),
        r"point in other directions",
    ),
    "mirrored": (build.class_volume(), MATRIX @ np.diag([-1.0, 1.0, 1.0, 1.0]), r"another grid"),
    "unknown values": (with_value(9, np.uint8), MATRIX, r"unknown label values \(9\).*known: 0, 1, 2, 3, 4"),
    "negative values": (with_value(-1, np.int16), MATRIX, r"unknown label values \(-1\)"),
    "fractions": (with_value(0.5), MATRIX, r"not integers \(0.5\)"),
    "NaN": (with_value(np.nan), MATRIX, r"NaN or infinite label values"),
    "four dimensions": (np.stack([build.class_volume()] * 2, axis=-1), MATRIX, r"4 dimensions"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_bad_label(tmp_path: Path, name: str) -> None:
    array, matrix, message = BAD_LABELS[name]
    build.write_nifti(tmp_path / "a.nii.gz", build.volume(), MATRIX)
    build.write_nifti(tmp_path / "a_label.nii.gz", array, matrix)
    with pytest.raises(DataError, match=message) as caught:
        build.read(tmp_path, "a.nii.gz", "a_label.nii.gz")
    assert " in a_label.nii.gz: " in str(caught.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_label_types(tmp_path: Path, dtype: type) -> None:
    build.write_nifti(tmp_path / "a.nii.gz", build.volume(), MATRIX)
    build.write_nifti(tmp_path / "a_label.nii.gz", build.class_volume(dtype), MATRIX)
    _, classes = build.read(tmp_path, "a.nii.gz", "a_label.nii.gz")
    assert classes.dtype == np.uint8
    np.testing.assert_array_equal(classes, build.class_volume())


@pytest.mark.parametrize("axes", ["LPS", "RAS", "SRA", "PIL"])
def test_label_with_turned_axes_comes_back_on_the_scans_grid(tmp_path: Path, axes: str) -> None:
    matrix = build.affine((0.7, 0.9, 3.0), angles=(8.0, -5.0, 12.0))
    build.write_nifti(tmp_path / "a.nii.gz", build.volume(), matrix)
    build.write_nifti(tmp_path / "a_label.nii.gz", *build.in_orientation(build.class_volume(), matrix, axes))
    _, classes = build.read(tmp_path, "a.nii.gz", "a_label.nii.gz")
    np.testing.assert_array_equal(classes, build.class_volume())
    assert min(classes.strides) > 0


def test_official_values_become_classes_and_others_background(tmp_path: Path) -> None:
    stored = (np.arange(np.prod(SHAPE)) % 14).reshape(SHAPE).astype(np.uint8)
    build.write_btcv(tmp_path, 1, stored, MATRIX)
    _, classes = build.read(
        tmp_path, "RawData/Training/img/img0001.nii.gz", "RawData/Training/label/label0001.nii.gz", "btcv"
    )
    for value, expected in {1: 4, 2: 2, 3: 3, 6: 1, 4: 0, 5: 0, 13: 0, 0: 0}.items():
        assert set(np.unique(classes[stored == value])) == {expected}


def test_check_cases_counts_the_bad_ones_and_summarises_the_good(tmp_path: Path) -> None:
    cases = []
    for number in (1, 2, 3, 4):
        build.write_nifti(tmp_path / f"{number}.nii.gz", build.volume(seed=number), MATRIX)
        build.write_nifti(tmp_path / f"{number}_label.nii.gz", build.class_volume(), MATRIX)
        cases.append(
            replace(build.case_of(tmp_path, f"{number}.nii.gz", f"{number}_label.nii.gz"), number=number)
        )
    seen: list[tuple[int, int]] = []
    summaries = check_cases(cases, ABDOMEN, "target", True, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [s.number for s in summaries] == [1, 2, 3, 4]
    first = summaries[0]
    assert (first.channels, first.shape, first.orientation, first.classes) == (1, SHAPE, "RAS", (1, 2, 3, 4))
    assert first.spacing_mm == (1.0, 1.0, 3.0)

    (tmp_path / "2.nii.gz").write_bytes(b"")
    (tmp_path / "4_label.nii.gz").unlink()
    with pytest.raises(DataError, match=r"empty \(0 bytes\) \(1 more of 4 scans is bad too\) in 2.nii.gz"):
        check_cases(cases, ABDOMEN, "target", True)
    with pytest.raises(DataError, match=r"empty \(0 bytes\) in 2.nii.gz"):
        check_cases(cases, ABDOMEN, "target", False)


def test_check_cases_wants_one_number_of_channels(tmp_path: Path) -> None:
    build.write_nifti(tmp_path / "1.nii.gz", build.volume(), MATRIX)
    cases = [build.case_of(tmp_path, "1.nii.gz"), build.case_of(tmp_path, ("1.nii.gz", "1.nii.gz"))]
    with pytest.raises(DataError, match="2 channels where the first scan has 1"):
        check_cases(cases, ABDOMEN, "target", False)
