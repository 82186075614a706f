"""The segmentation task: right to the voxel however a scan lies, typed options, files that clients read."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from monai_sfda.data.volume import read_volume
from monai_sfda.errors import DataError, SettingError, StoreError
from monai_sfda.label.models import Models
from monai_sfda.label.segmentation import UncertaintyMaps, segmentation_tasks
from tests.builders import write_nifti
from tests.integration.commands import run_in_process


@pytest.fixture(scope="module")
def task(installed):
    maps = UncertaintyMaps()
    yield segmentation_tasks(installed.models(), maps)["abdomen"]
    maps.close()


@pytest.fixture(scope="module")
def image(installed):
    return next(iter(installed.scans.values()))


@pytest.fixture
def ask(task, image):
    """Runs the task and takes its file away at the end."""
    files = []

    def run(**request):
        file, said = task({"image": str(image)} | request)
        files.append(file)
        return file, said

    yield run
    for file in files:
        Path(file).unlink(missing_ok=True)


def turned(image, kind):
    """The scan as another scanner stores it: other axes, oblique, coarser along one axis."""
    values, affine = np.asarray(image.dataobj), image.affine
    if kind == "oblique":
        angle = np.deg2rad(9)
        turn = np.eye(4)
        turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        return values, turn @ affine
    if kind == "anisotropic":
        affine = affine.copy()
        affine[:3, 0] *= 2
        return values[::2], affine
    wanted = nib.orientations.axcodes2ornt(kind)
    change = nib.orientations.ornt_transform(nib.io_orientation(affine), wanted)
    back = nib.orientations.inv_ornt_aff(change, values.shape)
    return nib.orientations.apply_orientation(values, change), affine @ back


KINDS = ("RAS", "LPS", "LAS", "SPL", "oblique", "anisotropic")


@pytest.fixture(scope="module")
def own(installed, image, tmp_path_factory):
    """Scans in every orientation, and what inference.json of the bundle itself says of them."""
    folder, out = tmp_path_factory.mktemp("turned"), tmp_path_factory.mktemp("own")
    for kind in KINDS:
        values, affine = turned(nib.load(image), kind)
        write_nifti(folder / f"{kind}.nii.gz", values.astype(np.float32), affine)
    bundle = installed.models()["abdomen"].active().bundle
    settings = {"dataset_dir": folder, "output_dir": out, "domain": "target", "device": "cpu"}
    run_in_process(bundle, ("inference",), **settings)
    return folder, out


@pytest.mark.parametrize("kind", KINDS)
def test_it_segments_to_the_voxel_as_the_bundle_itself(ask, own, kind):
    folder, out = own
    file, said = ask(image=str(folder / f"{kind}.nii.gz"))
    expected, found = nib.load(out / f"{kind}_seg.nii.gz"), nib.load(file)
    assert np.array_equal(np.asarray(found.dataobj), np.asarray(expected.dataobj))
    assert np.allclose(found.affine, nib.load(folder / f"{kind}.nii.gz").affine, atol=1e-5)
    record = json.loads((out / "inference.json").read_text(encoding="utf-8"))
    number = sorted(KINDS).index(kind)
    assert said["volumes_ml"] == record["scans"][number]["volume_ml"]
    assert said["confidence"] == record["scans"][number]["confidence"]
    assert said["familiarity"] == record["scans"][number]["familiarity"]


@pytest.mark.parametrize(
    ("extension", "dtype", "compress"),
    [
        (".nrrd", "uint8", False),
        ("nrrd", "uint16", "true"),
        (".nii", "int16", True),
        (".nii.gz", "float32", 0),
    ],
)
def test_files_of_other_formats_hold_the_same_labels_on_the_same_grid(ask, own, extension, dtype, compress):
    folder, out = own
    options = {"result_extension": extension, "result_dtype": dtype, "result_compress": compress}
    file, _ = ask(image=str(folder / "oblique.nii.gz"), **options)
    values, affine = read_volume(Path(file), as_float32=False)
    expected = nib.load(out / "oblique_seg.nii.gz")
    assert file.endswith(extension.lstrip("."))
    assert values.dtype == dtype
    assert np.array_equal(values, np.asarray(expected.dataobj))
    assert np.allclose(affine, expected.affine, atol=1e-4)
    if file.endswith(".nrrd"):
        header = nrrd.read_header(file)
        assert header["encoding"] == ("raw" if compress is False else "gzip")


def test_parameters_are_plain_json_with_what_a_radiologist_needs(ask):
    _, said = ask()
    again = json.loads(json.dumps(said, allow_nan=False))
    assert again["label_names"] == {"liver": 1, "right_kidney": 2, "left_kidney": 3, "spleen": 4}
    assert set(again["volumes_ml"]) == set(again["label_names"])
    assert (again["model"], again["model_version"], again["verdict"]) == ("abdomen", 1, None)
    assert again["intended_use"] == "research; not for diagnosis"


def test_another_version_is_served_on_request(ask):
    assert ask(version="2")[1]["model_version"] == 2
    assert ask(version=["active", "2", "1"])[1]["model_version"] == 1
    with pytest.raises(StoreError, match="no version 7"):
        ask(version=7)


def test_the_largest_component_alone(ask):
    file, said = ask(largest_component="true")
    plain, _ = ask(largest_component="false")
    kept, all_ = (sitk.GetArrayFromImage(sitk.ReadImage(f)) for f in (file, plain))
    assert set(np.unique(kept)) <= set(np.unique(all_))
    for index in said["label_names"].values():
        parts = sitk.ConnectedComponent(sitk.GetImageFromArray((kept == index).astype(np.uint8)), True)
        assert int(sitk.GetArrayFromImage(parts).max()) <= 1


def test_the_uncertainty_map_is_offered_at_an_address(ask, task):
    _, said = ask(uncertainty=True)
    address = said["uncertainty"]["map"]
    values = np.asarray(nib.load(task.maps.find(address.rsplit("/", 1)[1])).dataobj)
    assert values.min() >= 0
    assert values.max() <= np.log(5) + 1e-5
    with pytest.raises(DataError, match="not there"):
        task.maps.find("../../etc/passwd")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("version", "$import os", "version.*cannot be used"),
        ("version", 0, "version '0' cannot be used"),
        ("result_extension", "/../x", "result_extension"),
        ("result_dtype", "object", "result_dtype.*uint8"),
        ("largest_component", "perhaps", "largest_component 'perhaps' cannot be used: use true or false"),
        ("device", "abacus", "device 'abacus' is unknown: use one of cpu"),
    ],
)
def test_options_that_cannot_be_had_are_refused_by_name(ask, key, value, message):
    with pytest.raises(SettingError, match=message):
        ask(**{key: value})


def test_keys_of_the_clients_own_are_not_looked_at(ask, own):
    assert (
        ask(logging="INFO", restore_label_idx=False, network="$1/0", roi_size=[1, 2])[1]["model"] == "abdomen"
    )


def test_a_card_that_is_not_there_computes_on_the_apps_own_device(ask):
    assert ask(device="cuda:3")[1]["model_version"] == 1


def test_values_of_another_modality_are_doubted(ask, tmp_path):
    values = np.random.default_rng(0).uniform(0, 900, (40, 40, 8)).astype(np.float32)
    _, said = ask(image=str(write_nifti(tmp_path / "mr.nii.gz", values)))
    assert "lowest" in said["warning"] or "as CT has" in said["warning"]


def test_a_scan_unlike_those_that_the_model_knows_is_warned_of(ask, tmp_path):
    values = np.random.default_rng(0).uniform(-1000, 2000, (64, 64, 8)).astype(np.float32)
    _, said = ask(image=str(write_nifti(tmp_path / "noise.nii.gz", values)))
    assert said["familiarity"]["verdict"] != "familiar"
    assert "compared with those that the model knows" in said["warning"]


def test_info_names_version_verdict_and_use_and_offers_the_versions(task):
    found = json.loads(json.dumps(task.info()))
    assert found["type"] == "segmentation"
    assert found["dimension"] == 3
    assert list(found["labels"].values()) == [1, 2, 3, 4]
    assert "version 1: source model" in found["description"]
    assert "not for diagnosis" in found["description"]
    assert found["config"]["version"] == ["active", "2", "1"]
    assert found["sfda"]["versions"][1]["method"] == "adabn"
    assert found["sfda"]["versions"][0]["active"] is True


def test_info_follows_an_activation(installed, tmp_path):
    store = installed.copy_store(tmp_path / "store")
    maps = UncertaintyMaps()
    task = segmentation_tasks(Models(store, device="cpu"), maps)["abdomen"]
    store.activate("abdomen", 2, force=True, reason="a test")
    assert "version 2" in task.info()["description"]
    assert task.info()["sfda"]["active_version"] == 2
    maps.close()
