"""`uda.json` by prior matching: from both data sets to a run folder that the other commands read."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from monai_sfda.workflow.report import report_of_run
from tests.builders import REPOSITORY, toy_abdomen
from tests.integration.commands import ABDOMEN, bundle_command, run_in_process
from tests.integration.test_bad_input import failure

AUGMENTATION_NOISE = 0.125
QUICK_UDA = {
    "max_epochs": 1,
    "uda#source_epochs": 1,
    "uda#epoch_length": 2,
    "uda#discriminator_width": 2,
    "uda_network_def#backbone#width": 2,
    "batch_size": 2,
    "image_size": 64,
    "pixel_size_mm": 6.4,
    "uda_augmentation#noise": AUGMENTATION_NOISE,
}


def uda(data, out, **overrides):
    run_in_process(ABDOMEN, ("uda", "small"), dataset_dir=data, output_dir=out, **(QUICK_UDA | overrides))
    return json.loads((out / "adaptation.json").read_text(encoding="utf-8"))


def weights(path):
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def run(phantoms, tmp_path_factory):
    """One run, and the files of the data set that it opened."""
    opened: list[str] = []
    out = tmp_path_factory.mktemp("uda") / "run"

    def watch(event, arguments):
        if event == "open" and isinstance(arguments[0], str) and not out.with_name("done").exists():
            opened.append(arguments[0])

    sys.addaudithook(watch)
    uda(phantoms, out)
    out.with_name("done").touch()
    return out, [Path(p) for p in opened if p.startswith(str(phantoms))]


def test_one_target_scan_and_no_target_label_is_opened(run, phantoms):
    _, opened = run
    target = [p for p in opened if "RawData" in p.parts]
    assert {p.parent.name for p in target} == {"img"}
    assert len({p.name for p in target}) == 1
    assert any("Ground" in p.parts for p in opened)


def test_both_stages_have_the_augmentation_of_prior_matching_not_the_unet_s(run):
    out, _ = run
    small = json.loads((ABDOMEN / "configs" / "small.json").read_text(encoding="utf-8"))
    small["uda_augmentation"]["noise"] = AUGMENTATION_NOISE
    for record in (out / "adaptation.json", out / "source" / "source.json"):
        used = json.loads(record.read_text(encoding="utf-8"))["settings"]["augmentation"]
        assert used.items() >= small["uda_augmentation"].items()


def test_run_folder_is_whole_and_says_what_was_read(run):
    out, _ = run
    record = json.loads((out / "adaptation.json").read_text(encoding="utf-8"))
    assert record["method"] == "prior_matching"
    assert record["source_data_read"] is True
    assert record["target_labels_read"] is False
    assert record["target_images"] == 1
    assert any("not source-free" in reason for reason in record["reasons"])
    assert record["adapted_sha256"] == hashlib.sha256((out / "adapted.pt").read_bytes()).hexdigest()
    unadapted = (out / "source" / "unadapted.pt").read_bytes()
    assert record["source_model_sha256"] == hashlib.sha256(unadapted).hexdigest()
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "It is not source-free" in report
    assert not (out / "checkpoint.pt").exists()
    assert not (out / "source" / "checkpoint.pt").exists()
    before, after = weights(out / "source" / "unadapted.pt"), weights(out / "adapted.pt")
    moved = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert moved >= {"encoder", "mean", "segmenter"}


def evaluate(bundle, data, checkpoint, out):
    run_in_process(
        bundle,
        ("train", "evaluate"),
        dataset_dir=data,
        checkpoint=checkpoint,
        domain="target",
        split="train",
        output_dir=out,
    )


def test_its_bundle_evaluates_segments_and_reports(run, phantoms, tmp_path):
    out, _ = run
    evaluate(out / "bundle", phantoms, out / "adapted.pt", tmp_path / "adapted")
    evaluate(out / "source" / "bundle", phantoms, out / "source" / "unadapted.pt", tmp_path / "unadapted")
    summary = json.loads((tmp_path / "adapted" / "summary.json").read_text(encoding="utf-8"))
    assert summary["domain"] == "target"
    copy = tmp_path / "run"
    shutil.copytree(out, copy)
    results = {"unadapted": tmp_path / "unadapted", "adapted": tmp_path / "adapted"}
    report = report_of_run(copy, results).read_text(encoding="utf-8")
    assert "was not checked" not in report
    run_in_process(
        out / "bundle",
        ("inference",),
        dataset_dir=next(phantoms.rglob("img")),
        output_dir=tmp_path / "masks",
    )
    assert len(list((tmp_path / "masks").glob("*_seg.nii.gz"))) == 4


def test_a_finished_source_model_is_adapted_again_to_the_same_weights(run, phantoms, tmp_path):
    out, _ = run
    uda(phantoms, tmp_path / "again", source_model=out / "source")
    first, second = weights(out / "adapted.pt"), weights(tmp_path / "again" / "adapted.pt")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not (tmp_path / "again" / "source").exists()


def test_the_source_model_alone(run, phantoms, tmp_path):
    out, _ = run
    run_in_process(
        ABDOMEN,
        ("uda", "small"),
        dataset_dir=phantoms,
        output_dir=tmp_path,
        stage="source",
        **QUICK_UDA,
    )
    first, second = weights(out / "source" / "unadapted.pt"), weights(tmp_path / "unadapted.pt")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not (tmp_path / "adaptation.json").exists()


def test_three_slices_and_early_stopping(tmp_path):
    path = toy_abdomen(tmp_path / "toy")
    lists = json.loads(path.read_text(encoding="utf-8"))
    lists["source_val"] = lists.pop("source_test")
    path.write_text(json.dumps(lists), encoding="utf-8")
    settings = {"target_slices": 3, "uda#patience": 1, "max_epochs": 2, "datalist": path}
    record = uda(path.parent, tmp_path / "run", **settings)
    first, end = record["settings"]["target_slices_used"]
    assert end - first == 3
    assert record["settings"]["patience"] == 1
    assert record["best_epoch"] in (1, 2)
    assert any(row["name"] == "held_out_dice" for row in record["history"])


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"target_scan": 9}, "target_scan cannot be 9: 3 scans are listed"),
        (
            {"method": "sfs"},
            "method 'sfs' needs no source scans: run adapt.json, or use adasource, prior_matching",
        ),
        ({"release": "x"}, "method 'prior_matching' has no use for a release"),
        ({"method": "adasource"}, "no release is given, and method 'adasource' adapts one: add --release"),
        ({"method": "adasource", "stage": "source"}, "method 'adasource' has no use for stage"),
        ({"method": "adasource", "source_model": "x"}, "method 'adasource' has no use for source_model"),
        ({"stage": "target"}, "stage cannot be 'target': use both, source"),
        ({"source_model": "nowhere"}, "no source model can be read"),
        ({"uda#patients": 3}, "uda has no setting 'patients': did you mean patience?"),
    ],
)
def test_refusals_in_one_line(phantoms, tmp_path, overrides, line):
    last = failure(
        ABDOMEN, ("uda", "small"), dataset_dir=phantoms, output_dir=tmp_path / "out", **QUICK_UDA | overrides
    )
    assert line in last


@pytest.mark.parametrize("method", ["adasource", "prior_matching"])
def test_adapt_json_refuses_and_says_where_to_go(phantoms, source_run, tmp_path, method):
    last = failure(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=phantoms,
        release=source_run / "release",
        method=method,
        output_dir=tmp_path / "out",
    )
    assert f"method '{method}' needs the source's labelled scans, and adapt.json opens none" in last
    assert "run uda.json" in last


@pytest.mark.long
def test_stopped_in_either_stage_it_goes_on_to_the_same_weights(phantoms, tmp_path):
    settings = QUICK_UDA | {"uda#epoch_length": 30, "dataset_dir": phantoms}

    def start(out):
        words = bundle_command(ABDOMEN, ("uda", "small"), output_dir=out, **settings)
        return subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start(tmp_path / "whole").wait(timeout=300) == 0
    out = tmp_path / "parts"
    for stage in (out / "source", out):
        process = start(out)
        deadline = time.monotonic() + 200
        while not list((stage / "tensorboard").glob("events*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=200) != 0
        assert (stage / "checkpoint.pt").is_file()
    assert start(out).wait(timeout=300) == 0
    first, second = weights(tmp_path / "whole" / "adapted.pt"), weights(out / "adapted.pt")
    assert all(torch.equal(first[name], second[name]) for name in first)
