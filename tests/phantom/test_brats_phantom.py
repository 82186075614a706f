"""The BraTS 2018 layout: what nibabel and SimpleITK read back, and the traps of such data."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from monai_sfda.errors import OutputError, SettingError
from monai_sfda.phantom import brats_grid, brats_subjects, write_phantoms
from monai_sfda.phantom.brats import brats_affine, find_brats_subject
from tests.builders import REPOSITORY

MATRIX = 64
ENDINGS = {"flair", "seg", "t1", "t1ce", "t2"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("brats") / "data"
    write_phantoms("brain", out, 2, 11, matrix=MATRIX, workers=2)
    return out


def cases(folder: Path) -> list[Path]:
    return sorted((folder / "MICCAI_BraTS_2018_Data_Training").glob("*/*"))


def volume(case: Path, ending: str) -> nibabel.Nifti1Image:
    return nibabel.load(case / f"{case.name}_{ending}.nii.gz")


def digests(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*.nii.gz")
    }


def test_names_are_those_of_the_original(folder: Path) -> None:
    grades = {"HGG", "LGG"}
    assert {c.parent.name for c in cases(folder)} == grades
    for case in cases(folder):
        assert re.fullmatch(r"Brats18_[A-Z0-9]+_[A-Z0-9]+_[12]", case.name)
        assert {p.name for p in case.iterdir()} == {f"{case.name}_{e}.nii.gz" for e in ENDINGS}
    assert not list(folder.rglob("*.tmp"))
    manifest = json.loads((folder / "phantom.json").read_text(encoding="utf-8"))
    assert manifest["notice"] == "phantom data, not patient data"
    assert manifest["complete"]
    assert set(manifest["subjects"]) == grades
    assert all(len(s["ids"]) == 2 for s in manifest["subjects"].values())


def test_a_full_size_grid_is_that_of_the_original() -> None:
    grid = brats_grid(240)
    assert grid.shape == (240, 240, 155)
    np.testing.assert_array_equal(grid.spacing_mm, 1.0)
    np.testing.assert_array_equal(
        brats_affine(240), [[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]]
    )


def test_other_matrices_cover_the_same_field_of_view() -> None:
    full, small = brats_affine(240), brats_affine(60)
    # outer corner of the first voxel
    np.testing.assert_allclose((full @ [-0.5, -0.5, -0.5, 1])[:3], (small @ [-0.5, -0.5, -0.5, 1])[:3])
    assert np.prod(brats_grid(60).shape) * 4.0**3 == pytest.approx(240 * 240 * 155, rel=0.02)


@pytest.mark.parametrize("matrix", [31, 241])
def test_an_impossible_matrix_is_refused_before_anything_is_written(tmp_path: Path, matrix: int) -> None:
    with pytest.raises(SettingError, match=f"matrix {matrix}"):
        write_phantoms("brain", tmp_path / "out", 1, 0, matrix=matrix, workers=1)
    assert not (tmp_path / "out").exists()


def test_readers_agree_on_geometry_and_type(folder: Path) -> None:
    for case in cases(folder):
        for ending in ENDINGS:
            nifti = volume(case, ending)
            assert nifti.get_data_dtype() == np.int16
            np.testing.assert_allclose(nifti.affine, brats_affine(MATRIX), atol=1e-4)
            assert nibabel.aff2axcodes(nifti.affine) == ("L", "P", "S")
            itk = SimpleITK.ReadImage(str(case / f"{case.name}_{ending}.nii.gz"))
            assert itk.GetSize() == nifti.shape
            np.testing.assert_allclose(itk.GetDirection(), np.eye(3).ravel(), atol=1e-6)
            # LPS turns x and y of RAS round
            np.testing.assert_allclose(itk.GetOrigin(), brats_affine(MATRIX)[:3, 3] * (-1, -1, 1), atol=1e-3)


def test_the_integers_count_with_their_slope(folder: Path) -> None:
    slopes = set()
    for case in cases(folder):
        nifti = volume(case, "t1")
        slope = nifti.dataobj.slope
        slopes.add(float(slope))
        stored = np.asarray(nifti.dataobj.get_unscaled())
        assert stored.dtype == np.int16
        np.testing.assert_allclose(nifti.get_fdata(), stored * slope)
        itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(case / f"{case.name}_t1.nii.gz")))
        np.testing.assert_allclose(itk.transpose(2, 1, 0), stored * slope)
        assert volume(case, "seg").dataobj.slope == 1.0
    assert slopes == {0.25, 1.0}


def test_labels_are_0_1_2_4_and_the_background_is_0_everywhere(folder: Path) -> None:
    for case in cases(folder):
        labels = np.asarray(volume(case, "seg").dataobj)
        wanted = {0, 1, 2, 4} if case.parent.name == "HGG" else {0, 1, 2}  # some low grades do not enhance
        assert wanted <= set(np.unique(labels)) <= {0, 1, 2, 4}
        brain = volume(case, "t1").get_fdata() > 0
        assert not labels[~brain].any()
        for ending in ("t1ce", "t2", "flair"):
            np.testing.assert_array_equal(volume(case, ending).get_fdata() > 0, brain)


def test_two_time_points_are_one_patient(folder: Path) -> None:
    for grade in ("HGG", "LGG"):
        subjects = brats_subjects(grade, 2)
        assert [s.time_points for s in subjects] == [1, 2]
        first, second = (folder / "MICCAI_BraTS_2018_Data_Training" / grade / c for c in subjects[1].cases())
        assert first.name[:-1] == second.name[:-1]
        before, after = (np.asarray(volume(c, "seg").dataobj) > 0 for c in (first, second))
        assert after.sum() > before.sum()
        images = [volume(c, "t1").get_fdata() for c in (first, second)]
        # the same head, imaged again
        inside = [i > 0 for i in images]
        assert (inside[0] & inside[1]).sum() > 0.97 * (inside[0] | inside[1]).sum()
        assert (images[0] != images[1]).mean() > 0.05
        other = folder / "MICCAI_BraTS_2018_Data_Training" / grade / subjects[0].cases()[0]
        apart = volume(other, "t1").get_fdata() > 0
        assert (inside[0] & apart).sum() < 0.97 * (inside[0] | apart).sum()


def test_ids_are_unique_and_a_larger_choice_contains_a_smaller_one() -> None:
    for grade in ("HGG", "LGG"):
        everyone = brats_subjects(grade, 75)
        assert len({s.id for s in everyone}) == 75
        assert brats_subjects(grade, 10) == everyone[:10]
        assert find_brats_subject(grade, everyone[7].id) == everyone[7]
    names = {c for g in ("HGG", "LGG") for s in brats_subjects(g, 75) for c in s.cases()}
    assert len(names) == 2 * (75 + 19)


def test_most_low_grade_patients_are_of_sites_with_older_scanners() -> None:
    older = {grade: np.mean([s.older for s in brats_subjects(grade, 75)]) for grade in ("HGG", "LGG")}
    assert older == {"HGG": 0, "LGG": pytest.approx(2 / 3)}
    # the site with patients of both grades has one protocol for them
    assert not any(s.older for grade in ("HGG", "LGG") for s in brats_subjects(grade, 75) if "2013" in s.id)


def test_phantoms_of_an_earlier_version_are_not_mixed_with_these(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    shutil.copytree(folder, out)
    manifest = json.loads((out / "phantom.json").read_text(encoding="utf-8"))
    assert manifest["phantom_version"] == 3
    (out / "phantom.json").write_text(json.dumps(manifest | {"phantom_version": 2}), encoding="utf-8")
    with pytest.raises(OutputError, match="phantom_version 2, not 3"):
        write_phantoms("brain", out, 2, 11, matrix=MATRIX, workers=1)


@pytest.mark.parametrize("count", [0, 76])
def test_impossible_numbers_of_subjects_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(SettingError, match="give 1 to 75"):
        write_phantoms("brain", tmp_path / "out", count, 0, matrix=MATRIX, workers=1)


def test_the_abdomens_gradient_echo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="gradient echo"):
        write_phantoms("brain", tmp_path / "out", 1, 0, matrix=MATRIX, workers=1, t1dual=True)


def test_an_interrupted_run_is_taken_up_and_writes_the_same(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(folder, out)
    wanted = digests(out)
    lost = cases(out)[-1]
    shutil.rmtree(lost)
    write_phantoms("brain", out, 2, 11, matrix=MATRIX, workers=1)
    assert digests(out) == wanted
    with pytest.raises(OutputError, match="task 'brain'"):
        write_phantoms("abdomen", out, 2, 11, matrix=MATRIX, workers=1)


def test_the_command_writes_it(tmp_path: Path) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "monai_sfda", "phantom", "--task", "brain", "--subjects", "1"]
        + ["--matrix", "40", "--out", str(tmp_path / "data")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert len(cases(tmp_path / "data")) == 2
