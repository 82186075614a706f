"""The served models: which version, read how, and what a damaged one does to the others."""

from __future__ import annotations

import gzip
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_sfda.catalog import ABDOMEN, BRAIN_GRADE
from monai_sfda.errors import DataError, SettingError, StoreError
from monai_sfda.label.models import Models, publish_bundles
from monai_sfda.label.models.reading import read_scan
from monai_sfda.store import ModelStore
from tests.builders import write_nifti
from tests.integration.commands import run_in_process
from tests.label.dicom_phantoms import write_study


@pytest.fixture(scope="module")
def loaded(installed):
    return installed.models().load("abdomen")


@pytest.fixture(scope="module")
def scan(installed, loaded):
    return loaded.read(next(iter(installed.scans.values())))


def test_the_active_version_is_served_until_another_is_activated(installed, tmp_path):
    store = installed.copy_store(tmp_path / "store")
    models = Models(store, device="cpu")
    first = models.load("abdomen")
    assert first.version.number == 1
    assert models.load("abdomen") is first
    store.activate("abdomen", 2)
    second = models.load("abdomen")
    assert second.version.number == 2
    assert second.sha256 != first.sha256
    assert models.load("abdomen", 1) is first
    store.rollback("abdomen")
    assert models.load("abdomen") is first


def test_the_labels_are_contiguous_and_in_order(installed):
    labels = installed.models()["abdomen"].labels
    assert list(labels.values()) == list(range(1, len(labels) + 1))


def test_a_loaded_version_segments_as_its_own_bundle_does(installed, loaded, scan, tmp_path):
    bundle = loaded.version.bundle
    images = next(iter(installed.scans.values())).parent
    settings = {"dataset_dir": images, "output_dir": tmp_path / "out", "domain": "target", "device": "cpu"}
    run_in_process(bundle, ("inference",), **settings)
    name = next(iter(installed.scans))
    own = np.asarray(nib.load(tmp_path / "out" / name.replace(".nii.gz", "_seg.nii.gz")).dataobj)
    record = json.loads((tmp_path / "out" / "inference.json").read_text(encoding="utf-8"))["scans"][0]
    found = loaded.segment(scan)
    assert np.array_equal(found.prediction.classes, own)
    assert found.volumes_ml == record["volume_ml"]
    assert found.familiarity.to_json() == record["familiarity"]
    assert np.array_equal(loaded.probabilities(scan).argmax(0), own)


def test_probabilities_sum_to_one(loaded, scan):
    p = loaded.probabilities(scan)
    assert p.shape == (5, *scan.shape)
    assert p.dtype == np.float32
    assert np.allclose(p.sum(0), 1, atol=1e-5)


def test_a_damaged_version_is_an_error_and_the_other_serves(installed, tmp_path):
    store = installed.copy_store(tmp_path / "store")
    weights = store.version("abdomen", 2).bundle / "models" / "model.pt"
    weights.write_bytes(weights.read_bytes()[:-7])
    models = Models(store, device="cpu")
    with pytest.raises(StoreError, match=r"version 2 of 'abdomen' is damaged.*model.pt was altered"):
        models.load("abdomen", 2)
    assert models.load("abdomen").version.number == 1


def test_a_model_whose_configuration_is_gone_is_left_out(installed, tmp_path):
    store = installed.copy_store(tmp_path / "store")
    (store.active("abdomen").bundle / "configs" / "inference.json").unlink()
    models = Models(store, device="cpu")
    assert list(models) == []
    assert "abdomen" in models.faults


def test_a_name_that_is_not_in_the_store_is_refused(installed):
    with pytest.raises(SettingError, match=r"abdomn.*there are: abdomen"):
        Models(ModelStore(installed.store), ["abdomn"], device="cpu")


def test_bundles_are_published_once(installed, tmp_path):
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    (bundles / "adapted").symlink_to(installed.adapted_run)
    (bundles / "source").symlink_to(installed.source_run)
    (bundles / "other").mkdir()
    store = ModelStore(tmp_path / "store")
    assert [v.number for v in publish_bundles(bundles, store)] == [1, 2]
    assert publish_bundles(bundles, store) == []
    assert store.active("abdomen").number == 1


def test_a_scan_of_another_shape_and_a_missing_one_are_refused_without_a_name(loaded, tmp_path):
    path = tmp_path / "name_of_a_patient.nii.gz"
    with pytest.raises(DataError, match="missing") as missing:
        loaded.read(path)
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 4, 2), np.float32), np.eye(4)), path)
    with pytest.raises(DataError) as shaped:
        loaded.read(path)
    for error in (missing, shaped):
        assert "patient" not in str(error.value)


def test_an_unadapted_and_an_adapted_version_are_of_one_network(installed):
    models = installed.models()
    first, second = (models.load("abdomen", n).segmenter.network.state_dict() for n in (1, 2))
    assert first.keys() == second.keys()
    assert any(not torch.equal(first[k], second[k]) for k in first)


def test_an_altered_manifest_is_found_by_the_log(installed, tmp_path):
    store = installed.copy_store(tmp_path / "store")
    path = store.version("abdomen", 2).folder / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"accept"', '"ACCEPT"') + " ", encoding="utf-8")
    with pytest.raises(StoreError, match=r"manifest.json was altered"):
        Models(store, device="cpu").load("abdomen", 2)


def test_a_dicom_series_is_read_as_its_values_lie(loaded, tmp_path):
    series = write_study(tmp_path, modality="CT").series[0]
    scan = loaded.read(series.folder)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    assert np.linalg.det((lps @ scan.affine)[:3, :3]) > 0  # z ascends along row x column, as OHIF has it
    inside = np.linalg.inv(scan.affine) @ series.affine
    index = np.rint(inside @ [5, 7, 3, 1])[:3].astype(int)
    assert scan.array[0][tuple(index)] == series.array[5, 7, 3]


def test_series_that_cannot_be_segmented_say_why(loaded, tmp_path):
    mr = write_study(tmp_path / "mr", modality="MR").series[0]
    with pytest.raises(DataError, match=r"modality MR where CT is meant: choose a CT study"):
        loaded.read(mr.folder)
    for number in range(2):
        series = write_study(tmp_path / f"ct{number}", modality="CT").series[0]
        for file in series.files:
            (tmp_path / "two").mkdir(exist_ok=True)
            shutil.copyfile(file, tmp_path / "two" / f"{number}_{file.name}")
    with pytest.raises(DataError, match=r"2 series .* where one scan is expected: choose a single series"):
        loaded.read(tmp_path / "two")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError):
        loaded.read(tmp_path / "none")


def test_a_task_of_several_channels_takes_them_along_the_fourth_axis(tmp_path):
    values = np.random.default_rng(0).normal(size=(8, 9, 5, 4)).astype(np.float32)
    path = write_nifti(tmp_path / "brain.nii.gz", values)
    scan = read_scan(path, BRAIN_GRADE)
    assert scan.array.shape == (4, 8, 9, 5)
    assert np.array_equal(scan.array[2], values[..., 2])
    with pytest.raises(DataError, match=r"takes 4 images of a scan at once.*order t1, t1ce, t2, flair"):
        read_scan(write_nifti(tmp_path / "one.nii.gz", values[..., 0]), BRAIN_GRADE)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(DataError, match=r"truncated"):
        read_scan(path, BRAIN_GRADE)


def test_a_scan_that_does_not_fit_is_refused(installed):
    with pytest.raises(DataError, match=r"voxels, the server takes 1000"):
        read_scan(next(iter(installed.scans.values())), ABDOMEN, most_voxels=1000)


def test_threads_share_a_loaded_version(installed):
    models = installed.models()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: models.load("abdomen"), range(4)))
        assert all(one is found[0] for one in found)
        scans = [found[0].read(path) for path in installed.scans.values()]
        alone = [found[0].segment(scan) for scan in scans]
        together = list(threads.map(found[0].segment, scans))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.prediction.classes, other.prediction.classes)
        assert one.familiarity == other.familiarity


def test_only_the_last_used_versions_stay_in_memory(installed):
    models = Models(ModelStore(installed.store), device="cpu", cached=1)
    first = models.load("abdomen", 1)
    models.load("abdomen", 2)
    again = models.load("abdomen", 1)
    assert again is not first
    assert again.sha256 == first.sha256


def test_a_model_that_the_store_has_under_another_name_is_not_published_again(installed, tmp_path):
    store = ModelStore(tmp_path / "store")
    store.publish(installed.source_run, model="ours")
    assert publish_bundles(installed.source_run, store) == []
    assert store.models() == ["ours"]


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_before_it_is_read(tmp_path):
    declared = nib.Nifti1Header()
    declared.set_data_shape((30_000, 30_000, 10))
    declared.set_data_dtype(np.uint8)
    huge = tmp_path / "huge.nii.gz"
    huge.write_bytes(gzip.compress(declared.binaryblock + bytes(4) + bytes(1 << 20)))
    with pytest.raises(DataError, match=r"a scan of 9000000000 voxels, the server takes 1000000"):
        read_scan(huge, ABDOMEN, most_voxels=10**6)
    small = nib.Nifti1Image(np.zeros((8, 8, 8), np.uint8), np.eye(4)).to_bytes()
    for name in ("longer.nii.gz", "longer.nii"):  # what is packed is told by the content
        path = tmp_path / name
        path.write_bytes(gzip.compress(small, 9) + gzip.compress(bytes(64 << 20), 9))
        with pytest.raises(DataError, match=r"unpacks to more than its header says"):
            read_scan(path, ABDOMEN, most_voxels=10**6)
    header = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 40000 40000 40000\nencoding: gzip\n\n"
    (tmp_path / "huge.nrrd").write_bytes(header.encode() + gzip.compress(bytes(1000)))
    with pytest.raises(DataError, match=r"the server takes 1000000"):
        read_scan(tmp_path / "huge.nrrd", ABDOMEN, most_voxels=10**6)
