"""BraTS as it is published: its traps in names, grades, time points, stored types and label values."""

from __future__ import annotations

import shutil

import nibabel as nib
import numpy as np
import pytest

from monai_sfda.catalog import BRAIN_GRADE, BRAIN_MODALITY
from monai_sfda.data.brats import find
from monai_sfda.data.listing import list_cases, list_folder, read_case
from monai_sfda.errors import DataError, SettingError
from monai_sfda.phantom import write_phantoms
from monai_sfda.phantom.brats import ROOT
from monai_sfda.workflow.check import check_data

SHAPE = (6, 5, 4)
SEQUENCES = ("t1", "t1ce", "t2", "flair")


def label() -> np.ndarray:
    """One voxel of each label of 2018."""
    array = np.zeros(SHAPE, np.int16)
    array[1, 1, 1], array[2, 1, 1], array[3, 1, 1] = 1, 2, 4
    return array


def write_case(folder, end=".nii.gz", seg="_seg", labels=None, slope=1.0):
    """A case whose voxels say which sequence they are of: 100 to 400, in stored units of `slope`."""
    folder.mkdir(parents=True)
    for number, name in enumerate(SEQUENCES, start=1):
        noise = np.random.default_rng(number).integers(0, 20, SHAPE)
        image = nib.Nifti1Image((100 * number + noise).astype(np.int16), np.diag([-1.0, -1.0, 1.0, 1.0]))
        image.header.set_slope_inter(slope, 0)
        nib.save(image, folder / f"{folder.name}_{name}{end}")
    stored = label() if labels is None else labels
    nib.save(nib.Nifti1Image(stored, np.diag([-1.0, -1.0, 1.0, 1.0])), folder / f"{folder.name}{seg}{end}")
    return folder


@pytest.fixture
def download(tmp_path):
    """Subject TCIA02_117 twice in HGG; 2013_7 of low grade and, later, of high grade."""
    root = tmp_path / "MICCAI_BraTS_2018_Data_Training"
    for name in ("HGG/Brats18_TCIA02_117_1", "HGG/Brats18_TCIA02_117_2", "HGG/Brats18_CBICA_AAB_1"):
        write_case(root / name)
    for name in ("HGG/Brats18_2013_7_2", "LGG/Brats18_2013_7_1", "LGG/Brats18_TCIA10_103_1"):
        write_case(root / name)
    (root / "survival_data.csv").write_text("", encoding="utf-8")
    return tmp_path


def test_time_points_and_grades_of_a_patient_are_one_subject(download):
    found = find(download, "t2")
    assert {name: scan.subject for name, scan in found.items()} == {
        "Brats18_TCIA02_117_1": "TCIA02_117",
        "Brats18_TCIA02_117_2": "TCIA02_117",
        "Brats18_CBICA_AAB_1": "CBICA_AAB",
        "Brats18_2013_7_2": "2013_7",
        "Brats18_2013_7_1": "2013_7",
        "Brats18_TCIA10_103_1": "TCIA10_103",
    }
    assert [path.name for path in found["Brats18_CBICA_AAB_1"].images] == ["Brats18_CBICA_AAB_1_t2.nii.gz"]


def test_a_grade_has_four_channels_and_a_patient_of_both_is_in_one_domain_alone(download):
    high, low = find(download, "HGG"), find(download, "LGG")
    assert sorted(low) == ["Brats18_TCIA10_103_1"]
    assert "Brats18_2013_7_2" in high
    assert not {s.subject for s in high.values()} & {s.subject for s in low.values()}
    names = [path.name.split("_")[-1] for path in low["Brats18_TCIA10_103_1"].images]
    assert names == ["t1.nii.gz", "t1ce.nii.gz", "t2.nii.gz", "flair.nii.gz"]


@pytest.mark.parametrize(
    ("case", "subject"),
    [
        ("Brats17_2013_2_1", "2013_2"),
        ("BraTS19_CBICA_AAB_1", "CBICA_AAB"),
        ("BraTS20_Training_001", "BraTS20_Training_001"),
        ("BraTS2021_00495", "BraTS2021_00495"),
    ],
)
def test_names_of_other_years(tmp_path, case, subject):
    write_case(tmp_path / "data" / case, ".nii")
    assert find(tmp_path, "flair")[case].subject == subject


def test_the_oddly_named_label_of_2020_is_found(tmp_path):
    folder = write_case(tmp_path / "BraTS20_Training_355", ".nii")
    (folder / "BraTS20_Training_355_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")
    assert find(tmp_path, "t1")["BraTS20_Training_355"].label.name == "W39_1998.09.19_Segm.nii"


@pytest.mark.parametrize(("enhancing", "slope"), [(4, 1.0), (3, 0.25)])
def test_values_are_scaled_and_labels_of_both_conventions_read(tmp_path, enhancing, slope):
    stored = label()
    stored[stored == 4] = enhancing
    for number in range(8):
        write_case(tmp_path / "LGG" / f"Brats18_TCIA10_{number}_1", labels=stored, slope=slope)
    case = list_cases(BRAIN_GRADE, "target", "train", tmp_path).cases[0]
    scan, classes = read_case(case, BRAIN_GRADE, "target", with_label=True)
    assert classes is not None
    assert classes[1:4, 1, 1].tolist() == [1, 2, 3]
    lowest = scan.array.reshape(4, -1).min(axis=1)
    np.testing.assert_allclose(lowest, slope * np.array([100, 200, 300, 400]), atol=20 * slope)
    case = list_cases(BRAIN_MODALITY, "target", "train", tmp_path).cases[0]
    scan, classes = read_case(case, BRAIN_MODALITY, "target", with_label=True)
    assert classes is not None
    assert scan.array.shape[0] == 1
    assert classes[1:4, 1, 1].tolist() == [1, 1, 1]


def test_a_missing_sequence_is_named_and_other_sequences_do_not_need_it(download):
    (gone,) = download.rglob("Brats18_CBICA_AAB_1_t1ce.nii.gz")
    gone.unlink()
    assert len(find(download, "flair")) == 6
    for modality in ("t1ce", "HGG"):
        found = find(download, modality)
        assert [name for name, scan in found.items() if scan.fault] == ["Brats18_CBICA_AAB_1"]
        assert "has no t1ce image" in str(found["Brats18_CBICA_AAB_1"].fault)


def test_the_four_files_of_a_plain_folder_are_one_scan_and_a_missing_one_is_named(download):
    listed = list_folder(download, BRAIN_GRADE.target.channels)
    assert len(listed.cases) == 6
    assert listed.warnings == ("7 other files are left out",)  # six labels and a table
    for case in listed.cases:
        assert [path.name.split("_")[-1].split(".")[0] for path in case.image] == list(SEQUENCES)
        assert read_case(case, BRAIN_GRADE, "target", with_label=False)[0].array.shape == (4, *SHAPE)
    next(download.rglob("*TCIA10_103_1_t2.nii.gz")).unlink()
    with pytest.raises(DataError, match="the scan has no t2 image"):
        list_folder(download, BRAIN_GRADE.target.channels)


def test_a_second_copy_of_a_case_is_refused(download):
    shutil.copytree(next(download.rglob("HGG")), download / "copy" / "HGG")
    with pytest.raises(DataError, match=r"there twice \(also .*/HGG/Brats18_"):
        list_cases(BRAIN_GRADE, "source", "train", download)
    assert list_cases(BRAIN_GRADE, "target", "train", download).cases


def test_one_examination_in_both_grades_is_refused_and_a_subject_of_both_is_noted(download):
    assert "examinations in HGG and in LGG" in str(find(download, "HGG")["Brats18_2013_7_2"].note)
    shutil.copytree(next(download.rglob("HGG/Brats18_CBICA_AAB_1")), download / "LGG" / "Brats18_CBICA_AAB_1")
    for grade, other in (("HGG", "LGG"), ("LGG", "HGG")):
        fault = find(download, grade)["Brats18_CBICA_AAB_1"].fault
        assert f"an examination in both grades (also in {other})" in str(fault)


def test_names_since_2023_are_read_and_time_points_are_one_subject(tmp_path):
    ends = {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f"}
    for case in ("BraTS-GLI-00001-000", "BraTS-GLI-00001-001", "BraTS-GLI-00002-000"):
        folder = write_case(tmp_path / "data" / case, seg="-seg")
        for name, end in ends.items():
            (folder / f"{case}_{name}.nii.gz").rename(folder / f"{case}-{end}.nii.gz")
    for name, end in ends.items():
        found = find(tmp_path, name)
        assert [scan.subject for scan in found.values()] == ["00001", "00001", "00002"]
        assert all(scan.images[0].name.endswith(f"-{end}.nii.gz") for scan in found.values())
        assert all(scan.label.is_file() for scan in found.values())


def test_an_unknown_sequence_lists_the_nearest():
    with pytest.raises(SettingError, match="'flare' is unknown: use one of flair"):
        BRAIN_MODALITY.with_modalities(target="flare")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    out = tmp_path_factory.mktemp("brain") / "data"
    write_phantoms("brain", out, subjects=6, seed=4, matrix=40, workers=1)
    return out


@pytest.mark.parametrize("task", [BRAIN_MODALITY, BRAIN_GRADE], ids=lambda task: task.name)
def test_no_subject_of_the_phantoms_is_in_two_lists(phantoms, task):
    """Unpaired domains, disjoint splits: by subject, not by case, of which two time points make two."""
    subjects = {}
    for domain, split in (("source", "train"), ("source", "val"), ("target", "train"), ("target", "test")):
        listed = list_cases(task, domain, split, phantoms)
        assert not listed.warnings
        for subject in {case.subject for case in listed.cases}:
            assert subjects.setdefault(subject, (domain, split)) == (domain, split)
    assert len(subjects) == 12
    assert len(list((phantoms / ROOT).glob("*/*"))) > 12


@pytest.mark.parametrize("task", [BRAIN_MODALITY, BRAIN_GRADE], ids=lambda task: task.name)
def test_check_finds_everything_ready(phantoms, task):
    result = check_data(task, phantoms)
    assert not any(result.problems.values())
    assert {summary.channels for split in result.splits for summary in split.summaries} == {
        1 if task is BRAIN_MODALITY else 4
    }
