"""A release with a class-ratio regressor, from `train.json` to an AdaEnt run that uses it."""

from __future__ import annotations

import json

from monai_sfda.release import Release
from tests.builders import toy_abdomen
from tests.integration.commands import ABDOMEN, QUICK, QUICK_ADAPT, run_in_process
from tests.integration.test_bad_input import failure

SMALL = {"backbone": "resnet10", "width": 4, "max_epochs": 1, "epoch_length": 3}


def test_trained_with_the_source_and_used_by_adaent(phantoms, source_run, tmp_path):
    out, out2 = tmp_path / "train", tmp_path / "adapt"
    asked = {"training#class_ratio_regressor": SMALL} | QUICK | {"max_epochs": 1, "training#epoch_length": 4}
    run_in_process(ABDOMEN, ("train", "small"), dataset_dir=phantoms, output_dir=out, **asked)
    release = Release.read(out / "release")
    assert release.class_ratio_regressor.definition["backbone"] == "resnet10"
    assert release.training["class_ratio_regressor"]["max_epochs"] == 1

    chosen = {"method": "adaent", "method_settings": {"prior": "regressor"}}
    run_in_process(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=phantoms,
        release=out / "release",
        output_dir=out2,
        **chosen,
        **QUICK_ADAPT,
    )
    record = json.loads((out2 / "adaptation.json").read_text(encoding="utf-8"))
    assert record["settings"]["method_settings"]["prior"] == "regressor"
    assert record["target_labels_read"] is False
    sent = (out2 / "bundle" / "models" / "source_class_ratio.pt").read_bytes()
    assert sent == (out / "release" / "class_ratio.pt").read_bytes()

    line = failure(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=phantoms,
        release=source_run / "release",
        output_dir=tmp_path / "without",
        **chosen,
        **QUICK_ADAPT,
    )
    assert "prior 'regressor' needs the release's network" in line
    assert "--training#class_ratio_regressor" in line


def test_the_release_states_its_error_on_held_out_source_slices(tmp_path):
    path = toy_abdomen(tmp_path / "toy", subjects=6)
    lists = json.loads(path.read_text(encoding="utf-8"))
    lists["source_val"] = lists["source_train"][3:]
    lists["source_train"] = lists["source_train"][:3]
    path.write_text(json.dumps(lists), encoding="utf-8")
    asked = {"training#class_ratio_regressor": SMALL} | QUICK | {"max_epochs": 1, "training#epoch_length": 2}
    run_in_process(
        ABDOMEN,
        ("train", "small"),
        dataset_dir=path.parent,
        datalist=path,
        output_dir=tmp_path / "run",
        **asked,
    )
    found = Release.read(tmp_path / "run" / "release").validation["class_ratio_regressor"]
    assert found["slices"] == 3 * 6
    # The mean is that of slices like these, and an all but untrained network knows nothing better.
    assert 0 < found["squared_error_of_the_mean"] < found["squared_error"] < 2


def test_wrong_settings_name_the_setting(phantoms, tmp_path):
    line = failure(
        ABDOMEN,
        ("train", "small"),
        dataset_dir=phantoms,
        output_dir=tmp_path / "out",
        **({"training#class_ratio_regressor": {"width": 0}} | QUICK),
    )
    assert "setting 'class_ratio_regressor.width' of training cannot be 0" in line
