"""The guard in adapt.json: what it keeps back, what it publishes, and what the run folder says of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from monai_sfda.errors import StoreError
from monai_sfda.store import ModelStore
from tests.integration.commands import ABDOMEN, QUICK_ADAPT, run_in_process


def adapt(source_run, out, **overrides):
    """Runs adapt.json and returns its record."""
    settings = {"release": source_run / "release", "output_dir": out, **QUICK_ADAPT} | overrides
    run_in_process(ABDOMEN, ("adapt", "small"), **settings)
    return json.loads((out / "adaptation.json").read_text(encoding="utf-8"))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def images(phantoms):
    """The folder of the four target scans."""
    return next(phantoms.rglob("img"))


@pytest.fixture(scope="module")
def harmful(images, source_run, tmp_path_factory):
    """A run whose class-ratio prior is so heavy, and whose steps are so long, that structures vanish."""
    out = tmp_path_factory.mktemp("harmful") / "run"
    settings = {"ratio_weight": 1000.0, "learning_rate": 0.1}
    adapt(
        source_run,
        out,
        target_images=images,
        method="adaent",
        method_settings=settings,
        max_epochs=4,
        **{"guard#keep_candidates": True},
    )
    return out


def test_a_harmful_run_publishes_the_unadapted_weights(harmful, source_run):
    record = json.loads((harmful / "adaptation.json").read_text(encoding="utf-8"))
    source = source_run / "release" / "model.pt"
    assert record["verdict"] == "reject"
    assert record["reasons"]
    assert record["guard"]["chosen"] == "unadapted"
    for published in (harmful / "model.pt", harmful / "bundle" / "models" / "model.pt"):
        assert published.read_bytes() == source.read_bytes()
    assert record["model_sha256"] == record["source_model_sha256"] == sha256(source)
    assert record["adapted_sha256"] == sha256(harmful / "adapted.pt") != record["model_sha256"]
    origin = harmful / "bundle" / "models" / "adaptation.json"
    assert not origin.exists()  # its weights are no adapted ones


def test_the_unadapted_model_that_stays_knows_the_sources_scans(harmful, source_run):
    known = json.loads((harmful / "bundle" / "models" / "reference_scans.json").read_text(encoding="utf-8"))
    manifest = json.loads((source_run / "release" / "release.json").read_text(encoding="utf-8"))
    assert known["model_sha256"] == manifest["files"]["model.pt"]
    assert known["reference_scans"] == manifest["reference_scans"]


def test_candidates_are_evenly_along_the_run_and_each_has_its_numbers(harmful):
    guard = json.loads((harmful / "adaptation.json").read_text(encoding="utf-8"))["guard"]
    names = ["unadapted", "epoch_0001", "epoch_0002", "epoch_0003", "last"]
    assert [c["name"] for c in guard["candidates"]] == names
    assert [c["epoch"] for c in guard["candidates"]] == [0, 1, 2, 3, 4]
    assert set(guard["signals"]) == set(guard["estimates"]) == set(names)
    kept = {p.stem: torch.load(p, weights_only=True) for p in (harmful / "candidates").iterdir()}
    last = torch.load(harmful / "adapted.pt", weights_only=True)
    assert set(kept) >= {"epoch_0001", "epoch_0002", "epoch_0003"}
    assert not torch.equal(kept["epoch_0001"]["classifier.weight"], last["classifier.weight"])


def test_an_ordinary_run_keeps_the_methods_last_weights_and_publishes_a_candidate(
    images, source_run, tmp_path
):
    out = tmp_path / "run"
    record = adapt(source_run, out, target_images=images, **{"guard#keep_candidates": True})
    guard = record["guard"]
    files = {
        "unadapted": source_run / "release" / "model.pt",
        "epoch_0001": out / "candidates" / "epoch_0001.pt",
        "last": out / "adapted.pt",
    }
    assert guard["chosen"] in files
    assert (guard["chosen"] == "unadapted") == (record["verdict"] != "accept")
    assert (out / "model.pt").read_bytes() == files[guard["chosen"]].read_bytes()
    assert (out / "bundle" / "models" / "model.pt").read_bytes() == (out / "model.pt").read_bytes()
    assert record["model_sha256"] == sha256(out / "model.pt")
    plain = adapt(
        source_run, tmp_path / "plain", target_images=images, **{"guard#candidates": 1, "guard#share": 0.2}
    )
    assert plain["adapted_sha256"] == record["adapted_sha256"]  # keeping candidates changes nothing
    assert not (tmp_path / "plain" / "candidates").exists()


def test_the_guards_scans_are_kept_from_the_method(images, source_run, tmp_path):
    """With and without the guard's scan in the folder the method ends with the same weights."""
    guard = adapt(source_run, tmp_path / "run", target_images=images)["guard"]
    assert (guard["subjects"], guard["adaptation_subjects"], guard["guard_subjects"]) == (4, 3, 1)
    assert sorted(guard["adaptation_scans"] + guard["guard_scans"]) == [1, 2, 3, 4]
    assert guard["guard_scans_adapted_to"] is False
    folder = tmp_path / "fewer"
    shutil.copytree(images, folder)
    sorted(folder.iterdir())[guard["guard_scans"][0] - 1].unlink()
    off = adapt(source_run, tmp_path / "off", target_images=folder, **{"guard#enabled": False})
    first, second = (torch.load(tmp_path / name / "adapted.pt", weights_only=True) for name in ("run", "off"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert off["guard"] == {"enabled": False}
    assert off["verdict"] == "unsure"
    assert any("switched off" in reason for reason in off["reasons"])
    assert off["model_sha256"] == off["adapted_sha256"]


@pytest.mark.parametrize("subjects", [1, 2])
def test_one_or_two_subjects_are_never_more_than_unsure(images, source_run, tmp_path, subjects, caplog):
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted(images.iterdir())[:subjects]:
        shutil.copy(path, folder)
    record = adapt(source_run, tmp_path / "run", target_images=folder)
    assert record["verdict"] in ("unsure", "reject")
    guard = record["guard"]
    assert guard["guard_scans_adapted_to"] is True
    assert guard["guard_scans"] == guard["adaptation_scans"] == list(range(1, subjects + 1))
    assert record["model_sha256"] == record["source_model_sha256"]
    assert "model.pt is the UNADAPTED model" in caplog.text


@pytest.mark.parametrize("method", ["none", "adabn"])
def test_a_method_without_steps_has_its_result_as_the_one_candidate(images, source_run, tmp_path, method):
    guard = adapt(source_run, tmp_path / "run", target_images=images, method=method)["guard"]
    assert [c["name"] for c in guard["candidates"]] == ["unadapted", "last"]
    assert not (tmp_path / "run" / "candidates").exists()


def test_a_rejected_run_in_the_model_store_is_a_candidate_with_the_sources_weights(
    harmful, source_run, tmp_path
):
    store = ModelStore(tmp_path / "store")
    store.publish(source_run)
    version = store.publish(harmful)
    assert (version.parent, version.verdict, version.is_unadapted) == (1, "reject", True)
    assert store.active("abdomen").number == 1
    with pytest.raises(StoreError, match="the guard rejected"):
        store.activate("abdomen", version.number)
    last = store.publish(harmful, last_weights=True)
    assert last.manifest["model_sha256"] == sha256(harmful / "adapted.pt")
    assert store.verify("abdomen") == {}


def test_a_run_says_nothing_of_who_the_guards_subjects_are(harmful, images):
    for name in ("adaptation.json", "report.html"):
        text = (harmful / name).read_text(encoding="utf-8")
        assert not [path.name for path in images.iterdir() if path.name.split(".")[0] in text]


def test_no_label_is_opened_to_judge(phantoms, source_run, tmp_path):
    opened: list[str] = []

    def watch(event, arguments):
        if event == "open" and isinstance(arguments[0], str):
            opened.append(arguments[0])

    sys.addaudithook(watch)
    guard = adapt(source_run, tmp_path / "run", dataset_dir=phantoms)["guard"]
    assert guard["guard_subjects"] == 1
    mine = [Path(p) for p in opened if p.startswith(str(phantoms))]
    assert {p.parent.name for p in mine} == {"img"}
    assert len(set(mine)) == guard["subjects"] == 3


def test_a_mistyped_setting_of_the_guard_is_named(images, source_run, tmp_path):
    for given, words in (
        ({"guard": {"shares": 0.5}}, ("guard has no setting 'shares'", "did you mean share")),
        ({"guard#share": 1.5}, ("setting 'share' of guard cannot be 1.5",)),
        ({"gaurd": {}}, ("setting 'gaurd' is unknown", "did you mean guard")),
    ):
        with pytest.raises(Exception) as caught:
            adapt(source_run, tmp_path / "run", target_images=images, **given)
        error = caught.value.__cause__ or caught.value
        assert all(word in str(error) for word in words), error
