"""Settings as users type them, and inputs that a network cannot take."""

from __future__ import annotations

import json
import shutil

import pytest

from monai_sfda.data.scan import Scan
from monai_sfda.workflow.configuration import check_value
from monai_sfda.workflow.experiment import Experiment
from tests.builders import toy_abdomen
from tests.integration.commands import ABDOMEN, QUICK, QUICK_ADAPT, SAMPLING, run_in_process
from tests.integration.test_bad_input import failure


@pytest.mark.parametrize(
    ("key", "typed", "meant"),
    [
        ("largest_component", "false", False),
        ("largest_component", "True", True),
        ("largest_component", True, True),
        ("learning_rate", "null", None),
        ("learning_rate", None, None),
        ("learning_rate", 1e-3, 1e-3),
        ("datalist", "None", None),
        ("max_epochs", "@training#max_epochs", "@training#max_epochs"),
        ("pixel_size_mm", "null", None),
    ],
)
def test_values_mean_what_the_command_line_says(key, typed, meant):
    assert check_value(key, typed) == meant


def test_null_and_false_reach_the_run(phantoms, source_run, tmp_path):
    for name, typed in (("typed", "false"), ("left_out", None)):
        extra = {} if typed is None else {"largest_component": typed, "learning_rate": "null"}
        run_in_process(
            ABDOMEN,
            ("train", "evaluate", "small"),
            dataset_dir=phantoms,
            domain="target",
            checkpoint=source_run / "release" / "model.pt",
            output_dir=tmp_path / name,
            **SAMPLING,
            **extra,
        )
    first = (tmp_path / "typed" / "summary.json").read_text(encoding="utf-8")
    assert first == (tmp_path / "left_out" / "summary.json").read_text(encoding="utf-8")
    assert json.loads(first)["protocol"]["largest_component"] is False


def test_training_refuses_settings_of_adaptation(phantoms, tmp_path):
    line = failure(
        ABDOMEN, ("train", "small"), dataset_dir=phantoms, release="x", output_dir=tmp_path / "out", **QUICK
    )
    assert "train has no use for setting 'release'" in line


def test_evaluation_alone_says_what_it_is_stacked_on(phantoms, tmp_path):
    line = failure(ABDOMEN, ("evaluate",), dataset_dir=phantoms, output_dir=tmp_path / "out")
    assert "['train.json','evaluate.json']" in line


def test_two_channels_for_a_network_of_one(source_run, tmp_path):
    path = toy_abdomen(tmp_path / "data")
    content = json.loads(path.read_text(encoding="utf-8"))
    for key in ("target_train", "target_test"):
        for item in content[key]:
            item["image"] = [item["image"], item["image"]]
    path.write_text(json.dumps(content), encoding="utf-8")
    line = failure(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=tmp_path / "data",
        datalist=path,
        release=source_run / "release",
        output_dir=tmp_path / "out",
        **QUICK_ADAPT,
    )
    assert "6 channels" in line
    assert not (tmp_path / "out").exists()


def test_missing_validation_label_is_not_swallowed(phantoms, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    for subject in ("1", "13", "32", "38"):
        for folder in data.rglob(f"MR/{subject}/T2SPIR/Ground"):
            shutil.rmtree(folder)
    line = failure(ABDOMEN, ("train", "small"), dataset_dir=data, output_dir=tmp_path / "out", **QUICK)
    assert "label" in line
    assert not (tmp_path / "out").exists()


def test_a_release_never_rests_on_two_subjects(tmp_path):
    path = toy_abdomen(tmp_path / "data", subjects=2)
    line = failure(
        ABDOMEN,
        ("train", "small"),
        dataset_dir=tmp_path / "data",
        datalist=path,
        output_dir=tmp_path / "out",
        **QUICK,
    )
    assert "2 source subjects" in line
    assert not (tmp_path / "out").exists()


def test_plain_monai_datalist(tmp_path):
    path = toy_abdomen(tmp_path / "data")
    content = json.loads(path.read_text(encoding="utf-8"))
    plain = {"training": content["source_train"], "test": content["source_test"], "labels": content["labels"]}
    path.write_text(json.dumps(plain), encoding="utf-8")
    run_in_process(
        ABDOMEN,
        ("train", "small"),
        dataset_dir=tmp_path / "data",
        datalist=path,
        output_dir=tmp_path / "out",
        **(QUICK | {"image_size": 32, "pixel_size_mm": 2.5}),
    )
    manifest = json.loads((tmp_path / "out" / "release" / "release.json").read_text(encoding="utf-8"))
    assert manifest["validation"] == {}
    assert manifest["minimum_subjects"] == 3
    assert manifest["class_ratio"]["subjects"] == 3


def test_report_of_phantoms_says_so(phantoms, source_run, tmp_path):
    run_in_process(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=phantoms,
        release=source_run / "release",
        method="none",
        output_dir=tmp_path / "out",
        **QUICK_ADAPT,
    )
    assert "phantom" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8").lower()
    assert (
        json.loads((tmp_path / "out" / "adaptation.json").read_text(encoding="utf-8"))["domain"] == "target"
    )


def test_experiment_refuses_a_folder_of_other_settings(tmp_path):
    experiment = Experiment("abdomen", tmp_path / "data", tmp_path / "out", seed=0)
    experiment.commands.claim_folder()
    experiment.commands.claim_folder()
    with pytest.raises(Exception, match="other settings"):
        Experiment("abdomen", tmp_path / "data", tmp_path / "out", seed=1).commands.claim_folder()


def test_scan_reports_its_spacing():
    import numpy as np

    scan = Scan(np.zeros((1, 2, 3, 4), np.float32), np.diag([2.0, 3.0, 4.0, 1.0]))
    assert scan.shape == (2, 3, 4)
    assert scan.spacing_mm == (2.0, 3.0, 4.0)
