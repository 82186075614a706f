"""The CHAOS layout: what SimpleITK (GDCM) and Pillow read back is what was imaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image

from monai_sfda.phantom import Organ, draw_mr_scanner, image_mr, make_abdomen, mr_grid, write_chaos_subject
from monai_sfda.phantom.chaos import MASK_VALUES, write_masks, write_mr_series

MATRIX = 64
TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_series(folder: Path) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    series = reader.GetGDCMSeriesIDs(str(folder))
    assert len(series) == 1
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), series[0]))
    return reader.Execute()


def affine_of(image: SimpleITK.Image) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return TO_LPS @ affine


def oblique_seed() -> int:
    return next(seed for seed in range(40) if np.abs(mr_grid(seed, MATRIX).affine[:2, 2]).max() > 0.1)


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("oblique", [False, True])
def test_gdcm_reads_the_same_geometry_and_values(tmp_path: Path, top_down: bool, oblique: bool) -> None:
    grid = mr_grid(oblique_seed() if oblique else 0, MATRIX)
    if not oblique:
        assert np.abs(grid.affine[:2, 2]).max() == 0
    image = image_mr(make_abdomen(1), grid, draw_mr_scanner(2), 3)
    write_mr_series(tmp_path / "DICOM_anon", image, "series", "study", 1, "IMG-0004-", top_down)
    read = read_series(tmp_path / "DICOM_anon")
    np.testing.assert_allclose(affine_of(read), grid.affine, atol=1e-3)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(read).transpose(2, 1, 0), image.array)


def test_masks_are_the_frames_of_the_same_stem(tmp_path: Path) -> None:
    grid = mr_grid(0, MATRIX)
    image = image_mr(make_abdomen(1), grid, draw_mr_scanner(2), 3)
    names = write_mr_series(tmp_path / "dicom", image, "series", "study", 1, "IMG-0004-", True)
    write_masks(tmp_path / "ground", image.labels, names)
    assert sorted(p.stem for p in (tmp_path / "dicom").iterdir()) == sorted(names)
    assert names != sorted(names)
    assert names != sorted(names, reverse=True)
    for k, name in enumerate(names):
        frame = pydicom.dcmread(tmp_path / "dicom" / f"{name}.dcm").pixel_array
        mask = np.asarray(Image.open(tmp_path / "ground" / f"{name}.png"))
        np.testing.assert_array_equal(frame, image.array[:, :, k].T)
        assert mask.dtype == np.uint8
        assert mask.shape == frame.shape
        for organ, value in MASK_VALUES.items():
            np.testing.assert_array_equal(mask == value, organ == image.labels[:, :, k].T)


@pytest.mark.parametrize("grid_seed", [0, oblique_seed()])
def test_a_subject_has_its_liver_on_the_right_in_world_coordinates(tmp_path: Path, grid_seed: int) -> None:
    write_chaos_subject(
        tmp_path / "1", "1", make_abdomen(1), mr_grid(grid_seed, MATRIX), draw_mr_scanner(2), 3
    )
    points: dict[int, list[np.ndarray]] = {value: [] for value in MASK_VALUES.values()}
    values = set()
    for path in sorted((tmp_path / "1" / "T2SPIR" / "DICOM_anon").glob("IMG-*.dcm")):
        data = pydicom.dcmread(path)
        mask = np.asarray(Image.open(tmp_path / "1" / "T2SPIR" / "Ground" / f"{path.stem}.png"))
        values |= set(np.unique(mask).tolist())
        along = np.array(data.ImageOrientationPatient, float)
        for value, found in points.items():
            rows, columns = np.nonzero(mask == value)
            lps = np.array(data.ImagePositionPatient, float) + np.outer(
                columns * data.PixelSpacing[1], along[:3]
            )
            found.append(lps + np.outer(rows * data.PixelSpacing[0], along[3:]))
    assert values == {0, 63, 126, 189, 252}
    left_of_patient = {value: np.concatenate(found)[:, 0].mean() for value, found in points.items()}
    assert left_of_patient[MASK_VALUES[Organ.LIVER]] < -20
    assert left_of_patient[MASK_VALUES[Organ.RIGHT_KIDNEY]] < -35
    assert left_of_patient[MASK_VALUES[Organ.LEFT_KIDNEY]] > 35
    assert left_of_patient[MASK_VALUES[Organ.SPLEEN]] > 60


def test_the_header_is_that_of_an_anonymous_mr_image(tmp_path: Path) -> None:
    scanner, grid = draw_mr_scanner(2), mr_grid(0, MATRIX)
    write_chaos_subject(tmp_path / "8", "8", make_abdomen(1), grid, scanner, 3)
    headers = [pydicom.dcmread(p) for p in (tmp_path / "8" / "T2SPIR" / "DICOM_anon").iterdir()]
    assert len({h.SOPInstanceUID for h in headers}) == len(headers) == grid.shape[2]
    assert len({h.SeriesInstanceUID for h in headers}) == 1
    assert sorted(h.InstanceNumber for h in headers) == list(range(1, len(headers) + 1))
    first = headers[0]
    assert first.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.4"
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    assert (first.Rows, first.Columns, first.BitsAllocated, first.BitsStored) == (MATRIX, MATRIX, 16, 12)
    assert float(first.RepetitionTime) == pytest.approx(scanner.repetition_ms)
    assert float(first.EchoTime) == pytest.approx(scanner.echo_ms)
    assert float(first.MagneticFieldStrength) == 1.5
    assert float(first.SpacingBetweenSlices) == pytest.approx(grid.spacing_mm[2])
    assert str(first.PatientID) == "Anonymized"
    assert "phantom" in str(first.ImageComments)
    assert first.QualityControlImage == "YES"
    # instances follow one direction through the body
    positions = [h.ImagePositionPatient[2] for h in sorted(headers, key=lambda h: int(h.InstanceNumber))]
    assert len(set(np.sign(np.diff(positions)))) == 1


def test_another_subject_has_other_identifiers(tmp_path: Path) -> None:
    for subject in ("1", "2"):
        write_chaos_subject(
            tmp_path / subject, subject, make_abdomen(1), mr_grid(0, 32), draw_mr_scanner(2), 3
        )
    uids = [
        {pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID for p in (tmp_path / s).rglob("*.dcm")}
        for s in ("1", "2")
    ]
    assert not uids[0] & uids[1]


def test_the_two_point_gradient_echo_shares_one_mask(tmp_path: Path) -> None:
    write_chaos_subject(
        tmp_path / "1", "1", make_abdomen(1), mr_grid(0, 32), draw_mr_scanner(2), 3, t1dual=True
    )
    dual = tmp_path / "1" / "T1DUAL"
    stems = [
        {p.stem for p in folder.iterdir()}
        for folder in (dual / "DICOM_anon" / "InPhase", dual / "DICOM_anon" / "OutPhase", dual / "Ground")
    ]
    assert stems[0] == stems[1] == stems[2] != set()
    for stem in stems[0]:
        echoes = [
            pydicom.dcmread(dual / "DICOM_anon" / echo / f"{stem}.dcm") for echo in ("InPhase", "OutPhase")
        ]
        assert echoes[0].ImagePositionPatient == echoes[1].ImagePositionPatient
        assert echoes[0].SeriesInstanceUID != echoes[1].SeriesInstanceUID
        assert float(echoes[0].EchoTime) == 2 * float(echoes[1].EchoTime)
