"""The source release: round trip, verification, fit to a configuration, nothing of a single subject."""

from __future__ import annotations

import json

import pytest
import torch

from monai_sfda.atlas import CELLS, Atlas
from monai_sfda.catalog import ABDOMEN, SOFT_TISSUE
from monai_sfda.checkpoints import load_into, load_weights
from monai_sfda.errors import CheckpointError, ReleaseError
from monai_sfda.networks import ClassRatioRegressor
from monai_sfda.release import Release
from monai_sfda.transforms import preprocessing_for
from monai_sfda.workflow.bundle_folder import adapted_models
from tests.builders import release, small_network


def test_round_trip(tmp_path):
    network = small_network()
    written = release(network)
    digest = written.write(tmp_path / "release")
    back = Release.read(tmp_path / "release")
    assert back.sha256 == digest
    assert (back.task, back.labels, back.preprocessing) == (
        written.task,
        written.labels,
        written.preprocessing,
    )
    assert back.class_ratio == written.class_ratio
    assert all(torch.equal(back.state_dict[k], v) for k, v in network.state_dict().items())
    assert torch.equal(back.prototypes.mean, written.prototypes.mean)
    assert {p.name for p in (tmp_path / "release").iterdir()} == {
        "model.pt",
        "prototypes.safetensors",
        "release.json",
    }


def test_a_class_ratio_regressor_goes_along_and_comes_back(tmp_path):
    torch.manual_seed(0)
    regressor = ClassRatioRegressor(3, 5, "resnet10", width=4).eval()
    release(small_network(), class_ratio_regressor=regressor).write(tmp_path / "release")
    manifest = json.loads((tmp_path / "release" / "release.json").read_text(encoding="utf-8"))
    assert manifest["class_ratio_regressor"] == regressor.definition
    assert set(manifest["files"]) == {"model.pt", "prototypes.safetensors", "class_ratio.pt"}
    back = Release.read(tmp_path / "release").class_ratio_regressor
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(back(image), regressor(image).detach())
    assert not any(p.requires_grad for p in back.parameters())
    weights = torch.load(tmp_path / "release" / "class_ratio.pt", weights_only=True)
    assert set(weights) == set(regressor.state_dict())
    (tmp_path / "release" / "class_ratio.pt").write_bytes(b"altered")
    with pytest.raises(ReleaseError, match=r"altered.*class_ratio\.pt"):
        Release.read(tmp_path / "release")


def test_an_atlas_goes_along_and_comes_back(tmp_path):
    p = torch.rand(5, CELLS, CELLS, 3, generator=torch.Generator().manual_seed(0)).mul(255).round() / 255
    atlas = Atlas(p, torch.tensor([5, 5, 5, 0, 5]), anchored=True, warnings=("class 3: left out",))
    folder = tmp_path / "release"
    release(small_network(), atlas=atlas).write(folder)
    manifest = json.loads((folder / "release.json").read_text(encoding="utf-8"))
    assert manifest["atlas"]["subjects"] == [5, 5, 5, 0, 5]
    assert manifest["atlas"]["warnings"] == ["class 3: left out"]
    back = Release.read(folder).atlas
    torch.testing.assert_close(back.probabilities, atlas.probabilities)
    assert (back.subjects.tolist(), back.anchored, back.warnings) == ([5, 5, 5, 0, 5], True, atlas.warnings)
    assert adapted_models(folder / "model.pt", folder)["source_atlas.safetensors"].is_file()
    (folder / "atlas.safetensors").write_bytes(b"altered")
    with pytest.raises(ReleaseError, match=r"altered.*atlas\.safetensors"):
        Release.read(folder)


def test_releases_without_an_atlas_are_read(tmp_path):
    """As of an earlier version: `release.json` does not name one."""
    folder = tmp_path / "release"
    release(small_network()).write(folder)
    path = folder / "release.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    assert manifest.pop("atlas") is None
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert Release.read(folder).atlas is None
    assert "source_atlas.safetensors" not in adapted_models(folder / "model.pt", folder)
    path.write_text(json.dumps(manifest | {"atlas": {"cells": [16, 16, 3]}}), encoding="utf-8")
    with pytest.raises(ReleaseError, match="names not all files"):
        Release.read(folder)


def test_a_regressor_without_its_file_is_refused(tmp_path):
    release(small_network()).write(tmp_path / "release")
    path = tmp_path / "release" / "release.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["class_ratio_regressor"] = ClassRatioRegressor(3, 5, "resnet10", width=4).definition
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ReleaseError, match="names not all files"):
        Release.read(tmp_path / "release")


def test_model_file_is_a_bare_state_dict(tmp_path):
    release(small_network()).write(tmp_path / "release")
    content = torch.load(tmp_path / "release" / "model.pt", weights_only=True)
    assert set(content) == set(small_network().state_dict())


def test_a_newer_release_takes_the_place_of_the_older(tmp_path):
    release(small_network(seed=0)).write(tmp_path / "release")
    digest = release(small_network(seed=1)).write(tmp_path / "release")
    assert Release.read(tmp_path / "release").sha256 == digest
    assert [p.name for p in tmp_path.iterdir()] == ["release"]


@pytest.mark.parametrize("name", ["model.pt", "prototypes.safetensors"])
def test_altered_and_missing_files_are_refused(tmp_path, name):
    release(small_network()).write(tmp_path / "release")
    path = tmp_path / "release" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ReleaseError, match=f"altered.*{name}"):
        Release.read(tmp_path / "release")
    path.unlink()
    with pytest.raises(ReleaseError, match="missing"):
        Release.read(tmp_path / "release")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 99}', '{"schema_version": 1}'])
def test_damaged_manifest_is_a_release_error(tmp_path, text):
    release(small_network()).write(tmp_path / "release")
    (tmp_path / "release" / "release.json").write_text(text, encoding="utf-8")
    with pytest.raises(ReleaseError):
        Release.read(tmp_path / "release")


def test_no_release_names_the_command(tmp_path):
    with pytest.raises(ReleaseError, match=r"train\.json"):
        Release.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "task", "network_def", "pixel", "message"),
    [
        ({}, SOFT_TISSUE, {"name": "small"}, 3.2, "task 'abdomen'"),
        ({}, ABDOMEN, {"name": "large"}, 3.2, r"another network.*small\.json"),
        ({}, ABDOMEN, {"name": "small"}, 1.6, r"pixel_size_mm is 3\.2.*small\.json"),
        ({"domain": "target"}, ABDOMEN, {"name": "small"}, 3.2, "target domain's labels"),
    ],
)
def test_release_of_something_else_is_refused(changes, task, network_def, pixel, message):
    asked = preprocessing_for(ABDOMEN, ABDOMEN.target, pixel_size_mm=pixel)
    with pytest.raises(ReleaseError, match=message):
        release(small_network(), **changes).require(task, network_def, asked)


def test_manifest_holds_no_path_and_no_subject(tmp_path):
    release(small_network()).write(tmp_path / "release")
    text = (tmp_path / "release" / "release.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    manifest = json.loads(text)
    assert "not for diagnosis" in manifest["intended_use"]
    assert set(manifest["class_ratio"]) == {"mean", "std", "subjects", "where_present", "shown_by"}


def test_checkpoint_of_another_network_names_small_json(tmp_path):
    torch.save(small_network(embedding=6).state_dict(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"another network.*small\.json"):
        load_into(small_network(), load_weights(tmp_path / "model.pt"))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04"])
def test_damaged_checkpoint(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.pt"):
        load_weights(tmp_path / "model.pt")


def test_checkpoint_that_is_no_state_dict(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="bare state dict"):
        load_weights(tmp_path / "model.pt")
