"""Saved labels: names and grids are checked, values become the model's, and DICOM SEG says what it must."""

import json
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from monai_sfda.catalog import ABDOMEN, SPINE
from monai_sfda.data import dicom_segmentation
from monai_sfda.data.dicom import scan_headers, slice_grid
from monai_sfda.errors import DataError, SettingError
from monai_sfda.label.studies import open_datastore, unlabelled_images
from monai_sfda.label.studies.segment_objects import read_segmentation
from tests.data_readers import build
from tests.label.dicom_phantoms import same_place, write_study

TASKS = {"abdomen": ABDOMEN}
KILLED = """
import os, signal, sys
from pathlib import Path
from monai_sfda.catalog import ABDOMEN
from monai_sfda.label.studies import open_datastore, saved
root, image = Path(sys.argv[1]), sys.argv[2]
saved.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
studies = open_datastore(str(root / "root"), cache=root / "cache", tasks={"abdomen": ABDOMEN})
studies.save_label(image, str(root / "spleen.nii.gz"), "final", {"label_info": [{"name": "spleen"}]})
"""
NAMES = [structure.name for structure in ABDOMEN.structures]


@pytest.fixture
def studies(tmp_path):
    """A datastore with one oblique-free MR series and one volume file; the volume's id, the series' id."""
    root = tmp_path / "root"
    study = write_study(root / "mr", orientation="LPS").series[0]
    build.write_nifti(root / "ct.nii.gz", study.array, study.affine)
    datastore = open_datastore(str(root), cache=tmp_path / "cache", tasks=TASKS)
    datastore.series = study
    datastore.volume = datastore.resolve("ct")
    datastore.dicom = datastore.resolve(study.uid)
    return datastore


def label_file(path, labels, affine):
    return str(build.write_nifti(path, labels.astype(np.uint8), affine))


def saved(datastore, image):
    return np.asarray(nib.load(datastore.get_label_uri(image, "final")).dataobj)


def test_a_label_is_kept_with_who_and_when(studies, tmp_path):
    source = studies.series
    file = label_file(tmp_path / "l.nii.gz", source.labels, source.affine)
    assert set(unlabelled_images(studies)) == {studies.volume, studies.dicom}
    assert (
        studies.save_label(studies.volume, file, "final", {"saved_by": "dr", "client_id": "c"})
        == studies.volume
    )
    assert np.array_equal(saved(studies, studies.volume), source.labels)
    info = studies.get_label_info(studies.volume, "final")
    assert (info["saved_by"], info["model"], info["made"]) == ("dr", "abdomen", "MANUAL")
    assert info["saved_at"].endswith("+00:00")
    assert info["label_names"] == {name: n for n, name in enumerate(NAMES, 1)}
    assert studies.get_labels_by_image_id(studies.volume) == {"final": studies.volume}
    assert studies.get_labeled_images() == [studies.volume]
    assert studies.status() == {"total": 2, "completed": 1, "label_tags": {"final": 1}}
    assert unlabelled_images(studies, "abdomen") == [studies.dicom]
    assert (
        studies.get_label(studies.volume, "final").getvalue()
        == Path(studies.get_label_uri(studies.volume, "final")).read_bytes()
    )
    assert [Path(p["label"]).is_file() for p in studies.datalist()] == [True]
    studies.remove_label(studies.volume, "final")
    assert studies.get_labels_by_image_id(studies.volume) == {}


def test_segments_in_the_clients_order_become_the_models_classes(studies, tmp_path):
    source = studies.series
    order = ["spleen", "Left Kidney", "liver"]
    stored = np.zeros_like(source.labels)
    for value, name in enumerate(("spleen", "left_kidney", "liver"), 1):
        stored[source.labels == NAMES.index(name) + 1] = value
    file = label_file(tmp_path / "l.nii.gz", stored, source.affine)
    studies.save_label(
        studies.volume, file, "final", {"label_info": [{"name": n, "color": [1, 2, 3]} for n in order]}
    )
    expected = np.where(source.labels == NAMES.index("right_kidney") + 1, 0, source.labels)
    assert np.array_equal(saved(studies, studies.volume), expected)
    assert "right_kidney" not in studies.get_label_info(studies.volume, "final")["label_names"]
    kept_by_slicer = [{"name": n, "idx": i} for n, i in zip(order, (1, 3, 6), strict=True)]
    studies.save_label(studies.volume, file, "final", {"label_info": kept_by_slicer})
    assert np.array_equal(saved(studies, studies.volume), expected)
    numbered = np.array([0, 1, 3, 6], np.uint8)[stored]
    file = label_file(tmp_path / "l2.nii.gz", numbered, source.affine)
    studies.save_label(studies.volume, file, "final", {"label_info": kept_by_slicer})
    assert np.array_equal(saved(studies, studies.volume), expected)


@pytest.mark.parametrize(
    ("info", "error", "words"),
    [
        ({"label_info": [{"name": "liver"}, {"name": "heart"}]}, DataError, "'heart'"),
        ({"label_info": [{"name": "liver"}]}, DataError, "unknown label values"),
        ({"label_info": [{"name": "liver"}, {"name": "Liver"}]}, DataError, "two segments"),
        ({"label_info": [{"name": "spleen", "idx": 2}, {"name": "liver", "idx": 1}]}, DataError, "order"),
        ({"label_info": [{"name": "tumour"}, {"name": "x"}]}, DataError, "'tumour'"),
        ({"label_info": [{"nom": "liver"}]}, SettingError, "label_info"),
        ({"label_info": "liver"}, SettingError, "label_info"),
        ({"model": "abdomn"}, SettingError, "abdomen"),
        ({"model": "../../x"}, SettingError, "not served"),
    ],
)
def test_names_that_do_not_fit_are_refused(studies, tmp_path, info, error, words):
    stored = np.zeros(studies.series.labels.shape, np.uint8)
    stored[2:5, 3:6, 1:4], stored[7, 7, 7] = 1, 2
    file = label_file(tmp_path / "l.nii.gz", stored, studies.series.affine)
    with pytest.raises(error, match=words):
        studies.save_label(studies.volume, file, "final", info)
    assert studies.get_labeled_images() == []


def test_a_label_lies_on_its_images_grid(studies, tmp_path):
    source = studies.series
    turned, affine = build.in_orientation(source.labels, source.affine, "ASL")
    file = label_file(tmp_path / "turned.nii.gz", turned, affine)
    studies.save_label(studies.volume, file, "final", {})
    assert np.array_equal(saved(studies, studies.volume), source.labels)
    moved = source.affine.copy()
    moved[0, 3] += 1.0
    for name, array, matrix in (
        ("moved", source.labels, moved),
        ("smaller", source.labels[:-1], source.affine),
        ("fractions", source.labels * 0.5, source.affine),
    ):
        path = build.write_nifti(tmp_path / f"{name}.nii.gz", array, matrix)
        with pytest.raises(DataError) as error:
            studies.save_label(studies.volume, str(path), "final", {})
        assert str(tmp_path) not in str(error.value)
        assert name not in str(error.value)
    (tmp_path / "raw.bin").write_bytes(source.labels.tobytes(order="F"))
    studies.save_label(studies.volume, str(tmp_path / "raw.bin"), "final", {})
    assert np.array_equal(saved(studies, studies.volume), source.labels)
    with pytest.raises(SettingError):
        studies.save_label(studies.volume, file, "../../etc", {})


def test_a_dicom_image_gets_a_segmentation_object(studies, tmp_path):
    source = studies.series
    file = label_file(tmp_path / "l.nii.gz", np.where(source.labels == 2, 0, source.labels), source.affine)
    studies.note_segmented(studies.dicom, "abdomen", 3)
    studies.save_label(studies.dicom, file, "final", {"saved_by": "dr"})
    (path,) = (studies.labels.folder / "final").glob("*.dcm")
    data = pydicom.dcmread(path)
    present = [name for name in NAMES if name != NAMES[1]]
    assert [s.SegmentLabel for s in data.SegmentSequence] == present
    assert {s.SegmentAlgorithmType for s in data.SegmentSequence} == {"SEMIAUTOMATIC"}
    assert all(s.SegmentAlgorithmName.endswith("abdomen version 3") for s in data.SegmentSequence)
    codes = [str(s.SegmentedPropertyTypeCodeSequence[0].CodeValue) for s in data.SegmentSequence]
    assert codes == [s.coding.type.value for s in ABDOMEN.structures if s.name in present]
    assert data.ReferencedSeriesSequence[0].SeriesInstanceUID == source.uid
    grid = slice_grid(scan_headers(source.folder))
    numbers, names = read_segmentation(path, grid)
    back = np.zeros_like(numbers)
    for number, name in names.items():
        back[numbers == number] = NAMES.index(name) + 1
    assert np.array_equal(back, saved(studies, studies.dicom))
    made = studies.dicom_seg(studies.dicom, file, {"model": "abdomen", "model_version": 2})
    assert {s.SegmentAlgorithmType for s in pydicom.dcmread(made).SegmentSequence} == {"AUTOMATIC"}
    said = {"model": "abdomen", "label_names": {"spleen": 1}, "corrected": ["spleen"]}
    one = label_file(tmp_path / "one.nii.gz", source.labels == 4, source.affine)
    segments = pydicom.dcmread(studies.dicom_seg(studies.dicom, one, said)).SegmentSequence
    assert [(s.SegmentLabel, s.SegmentAlgorithmType) for s in segments] == [("spleen", "SEMIAUTOMATIC")]
    studies.save_label(studies.dicom, one, "original", {"model": "abdomen", "params": said})
    original = np.asarray(nib.load(studies.get_label_uri(studies.dicom, "original")).dataobj)
    assert np.array_equal(original, np.where(source.labels == 4, 4, 0))
    with pytest.raises(DataError, match="no DICOM series"):
        studies.dicom_seg(studies.volume, file, {"model": "abdomen"})


def test_an_object_that_cannot_be_written_leaves_the_one_before(studies, tmp_path, monkeypatch):
    source = studies.series
    file = label_file(tmp_path / "l.nii.gz", source.labels, source.affine)
    sent = []
    monkeypatch.setattr(studies, "stored_elsewhere", lambda label, objects: sent.append(objects) or {})
    studies.save_label(studies.dicom, file, "final", {})
    monkeypatch.setattr(dicom_segmentation, "_SECONDS", 0.0001)  # dcmqi is ended before it has written
    studies.save_label(studies.dicom, file, "final", {})
    assert len(sent) == 1
    label = studies.label_of(studies.dicom)
    assert label.info["segmentation"]["pending"]
    assert not list((studies.labels.folder / "final").glob("*.dcm"))
    monkeypatch.undo()
    studies.saver.send_again(label)
    assert label.object_file.is_file()


def test_a_server_killed_while_it_saves_leaves_the_label_as_it_was(studies, tmp_path):
    """Its new mask is written and its info is not: the old mask still stands under the old names."""
    source = studies.series
    file = label_file(tmp_path / "l.nii.gz", source.labels, source.affine)
    studies.save_label(studies.volume, file, "final", {"saved_by": "dr"})
    before = studies.get_label_info(studies.volume, "final")
    mask = (source.labels == NAMES.index("spleen") + 1).astype(np.uint8)
    label_file(tmp_path / "spleen.nii.gz", mask, source.affine)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), studies.volume],
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder = Path(studies.get_label_uri(studies.volume, "final")).parent
    assert len(list(folder.glob("*.nii.gz"))) == 2, "the new mask was written"
    again = open_datastore(str(tmp_path / "root"), cache=tmp_path / "cache", tasks=TASKS)
    assert np.array_equal(saved(again, studies.volume), source.labels)
    assert again.get_label_info(studies.volume, "final") == before
    again.save_label(
        studies.volume, str(tmp_path / "spleen.nii.gz"), "final", {"label_info": [{"name": "spleen"}]}
    )
    assert np.array_equal(saved(again, studies.volume) > 0, mask > 0)
    assert set(again.get_label_info(studies.volume, "final")["label_names"]) == {"spleen"}
    assert len(list(folder.glob("*.nii.gz"))) == 1, "what the killed one left is gone"


def test_tags_are_a_few_plain_words(studies, tmp_path):
    """A client that makes a tag for each label would fill the disk with folders."""
    source = studies.series
    file = label_file(tmp_path / "l.nii.gz", source.labels, source.affine)
    for number in range(16):
        studies.save_label(studies.volume, file, f"round_{number}", {})
    with pytest.raises(SettingError, match="beyond 16"):
        studies.save_label(studies.volume, file, "round_16", {})
    studies.save_label(studies.volume, file, "round_3", {"saved_by": "again"})
    assert studies.get_label_info(studies.volume, "round_3")["saved_by"] == "again"
    with pytest.raises(SettingError, match="no plain word"):
        studies.save_label(studies.volume, file, "../final", {})


def test_an_empty_label_has_no_object_and_manual_ones_name_no_algorithm(studies, tmp_path):
    source = studies.series
    file = label_file(tmp_path / "l.nii.gz", source.labels, source.affine)
    studies.save_label(studies.dicom, file, "final", {})
    (path,) = (studies.labels.folder / "final").glob("*.dcm")
    segments = pydicom.dcmread(path).SegmentSequence
    assert {s.SegmentAlgorithmType for s in segments} == {"MANUAL"}
    assert not any(s.get("SegmentAlgorithmName") for s in segments)
    empty = label_file(tmp_path / "e.nii.gz", np.zeros_like(source.labels), source.affine)
    studies.save_label(studies.dicom, empty, "final", {})
    assert not list((studies.labels.folder / "final").glob("*.dcm"))
    assert "empty" in studies.get_label_info(studies.dicom, "final")["segmentation"]["reason"]


def test_each_model_has_its_own_label(tmp_path):
    root = tmp_path / "root"
    study = write_study(root / "mr").series[0]
    datastore = open_datastore(
        str(root), cache=tmp_path / "cache", tasks={"abdomen": ABDOMEN, "spine": SPINE}
    )
    (image,) = datastore.list_images()
    one = label_file(tmp_path / "l.nii.gz", (study.labels == 1).astype(np.uint8), study.affine)
    with pytest.raises(SettingError, match="'model'"):
        datastore.save_label(image, one, "final", {})
    datastore.save_label(image, one, "final", {"label_info": [{"name": "liver"}]})
    datastore.save_label(image, one, "final", {"label_info": [{"name": SPINE.structures[0].name}]})
    datastore.save_label(image, one, "original", {"model": "spine", "params": {"volumes_ml": {}}})
    assert datastore.label_of(image, "abdomen").info["label_names"] == {"liver": 1}
    assert datastore.get_label_info(image, "final")["model"] == "spine"
    assert unlabelled_images(datastore, "abdomen") == []
    assert datastore.get_labels_by_image_id(image) == {"final": image, "original": image}
    datastore.update_label_info(image, "final", {"saved_by": "somebody else", "remark": "look again"})
    info = datastore.get_label_info(image, "final")
    assert (info["saved_by"], info["remark"]) == ("unknown", "look again")
    with pytest.raises(DataError, match="too much"):
        datastore.update_label_info(image, "final", {"remark": "x" * (1 << 19)})


def test_the_archive_holds_images_labels_and_what_is_known(studies, tmp_path):
    with pytest.raises(DataError, match="no labelled images"):
        studies.get_dataset_archive()
    file = label_file(tmp_path / "l.nii.gz", studies.series.labels, studies.series.affine)
    studies.save_label(studies.dicom, file, "final", {})
    with zipfile.ZipFile(studies.get_dataset_archive(5)) as archive:
        assert sorted(archive.namelist()) == [
            f"image/{studies.dicom}.nii.gz",
            f"label/{studies.dicom}.nii.gz",
            "metadata.json",
        ]
        assert str(tmp_path) not in archive.read("metadata.json").decode()
        assert json.loads(archive.read("metadata.json"))["objects"][studies.dicom]["labels"]


@pytest.mark.parametrize("orientation", ["RAS", "LAI", "PIR", "SPL"])
def test_objects_are_read_back_to_the_voxel_in_every_orientation(tmp_path, orientation):
    root = tmp_path / "root"
    study = write_study(root / "mr", orientation=orientation, modality="CT").series[0]
    datastore = open_datastore(str(root), cache=tmp_path / "cache", tasks=TASKS)
    (image,) = datastore.list_images()
    file = label_file(tmp_path / "l.nii.gz", study.labels, study.affine)
    datastore.save_label(image, file, "final", {})
    (path,) = (datastore.labels.folder / "final").glob("*.dcm")
    numbers, _ = read_segmentation(path, slice_grid(scan_headers(study.folder)))
    kept = nib.load(datastore.get_label_uri(image, "final"))
    assert np.array_equal(numbers, np.asarray(kept.dataobj))
    assert same_place(np.asarray(kept.dataobj), kept.affine, study.labels, study.affine)


def test_a_multi_frame_object_keeps_its_label_and_says_why_it_has_no_segmentation(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    array, matrix = build.volume(), build.affine()
    build.write_enhanced(root / "one.dcm", array, matrix, (3, 1, 0, 5, 2, 4))
    datastore = open_datastore(str(root), cache=tmp_path / "cache", tasks=TASKS)
    (image,) = datastore.list_images()
    volume = nib.load(datastore.image_file(image))
    assert same_place(np.asarray(volume.dataobj), volume.affine, array, matrix)
    file = label_file(tmp_path / "l.nii.gz", (array > 0).astype(np.uint8), matrix)
    datastore.save_label(image, file, "final", {})
    assert "multi-frame" in datastore.get_label_info(image, "final")["segmentation"]["reason"]
