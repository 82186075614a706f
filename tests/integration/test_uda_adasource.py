"""`uda.json` by AdaSource: from a release and both data sets to a run folder that the other commands read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from monai_sfda.release import Release
from tests.integration.commands import ABDOMEN, QUICK_ADAPT, run_in_process


def adasource(data, release, out, **overrides):
    settings = {"dataset_dir": data, "release": release, "method": "adasource", "output_dir": out}
    run_in_process(ABDOMEN, ("uda", "small"), **(settings | QUICK_ADAPT | overrides))
    return json.loads((out / "adaptation.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(phantoms, source_run, tmp_path_factory):
    """One run, and the files of the data set that it opened."""
    opened: list[str] = []
    out = tmp_path_factory.mktemp("adasource") / "run"

    def watch(event, arguments):
        if event == "open" and isinstance(arguments[0], str) and not out.with_name("done").exists():
            opened.append(arguments[0])

    sys.addaudithook(watch)
    adasource(phantoms, source_run / "release", out)
    out.with_name("done").touch()
    return out, [Path(p) for p in opened if p.startswith(str(phantoms))]


def test_source_labels_are_opened_and_no_target_label(run):
    _, opened = run
    assert any("Ground" in p.parts for p in opened)
    target = [p for p in opened if "RawData" in p.parts]
    assert {p.parent.name for p in target} == {"img"}


def test_run_folder_is_whole_and_says_what_was_read(run, source_run):
    out, opened = run
    record = json.loads((out / "adaptation.json").read_text(encoding="utf-8"))
    release = Release.read(source_run / "release")
    assert record["method"] == "adasource"
    assert record["source_data_read"] is True
    assert record["target_labels_read"] is False
    assert record["target_images"] == len({p for p in opened if "RawData" in p.parts}) > 1
    assert record["source_model_sha256"] == release.model_sha256
    assert record["release_sha256"] == release.sha256
    assert record["settings"]["target_scan"] == "all"
    assert any("not source-free" in reason for reason in record["reasons"])
    assert {row["name"] for row in record["history"]} >= {"cross_entropy", "class_ratio"}
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "It is not source-free" in report
    assert "No label of the target was read" in report
    assert not (out / "checkpoint.pt").exists()
    before, after = release.state_dict, torch.load(out / "adapted.pt", weights_only=True)
    assert after.keys() == before.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_its_bundle_segments_and_is_adapted_again_without_the_source(run, phantoms, source_run, tmp_path):
    out, _ = run
    images = next(phantoms.rglob("img"))
    run_in_process(out / "bundle", ("inference",), dataset_dir=images, output_dir=tmp_path / "masks")
    assert len(list((tmp_path / "masks").glob("*_seg.nii.gz"))) == 4
    run_in_process(
        out / "bundle",
        ("adapt",),
        dataset_dir=phantoms,
        release=source_run / "release",
        method="adabn",
        output_dir=tmp_path / "adabn",
    )
    assert (tmp_path / "adabn" / "adapted.pt").is_file()


def test_one_target_scan_where_one_is_asked_for(phantoms, source_run, tmp_path):
    record = adasource(phantoms, source_run / "release", tmp_path, max_epochs=1, target_scan=1)
    assert record["target_images"] == 1
