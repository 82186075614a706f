"""What a request may ask of a job, and that nothing else of it goes anywhere."""

import json

import pytest

from monai_sfda.errors import SettingError
from monai_sfda.label.adaptation.options import (
    METHODS,
    AdaptOptions,
    FineTuneOptions,
    default_method,
    read_options,
)
from monai_sfda.methods import METHODS as KNOWN

UNSPEAKABLE = [
    ("method", "$__import__('os').system('true')"),
    ("method", "@bundle_root"),
    ("method", "%/etc/passwd"),
    ("method", "../../evil"),
    ("method", "package.module:Class"),
    ("method", "uda"),
    ("method", 3),
    ("method", {"_target_": "os.system"}),
    ("budget", "$1"),
    ("budget", "forever"),
    ("epochs", "$10**9"),
    ("epochs", -1),
    ("epochs", 10**12),
    ("epochs", "9" * 5000),
    ("epochs", 1.5),
    ("epochs", True),
    ("epochs", "1e3"),
    ("epochs", {"a": 1}),
    ("seed", 2**31),
    ("seed", float("nan")),
    ("min_studies", 0),
    ("device", "cuda:$0"),
    ("device", "cuda:0'); import os"),
    ("device", "meta"),
    ("device", "/dev/null"),
    ("studies", {"$or": 1}),
    ("studies", [{"id": 1}]),
    ("studies", ["x" * 500]),
    ("studies", ["x"] * 5 + [""]),
    ("studies", 7),
    ("scanner", "a" * 1000),
    ("scanner", "GE\nX: y"),
    ("scanner", {"Manufacturer": "GE"}),
]


@pytest.mark.parametrize(("name", "value"), UNSPEAKABLE, ids=range(len(UNSPEAKABLE)))
def test_what_is_not_listed_is_refused(name, value):
    with pytest.raises(SettingError) as error:
        read_options(AdaptOptions, {name: value})
    assert f"option '{name}'" in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("given", [[], "text", 3])
def test_options_that_are_no_object_are_refused(given):
    with pytest.raises(SettingError, match="no JSON object"):
        read_options(AdaptOptions, given)


def test_keys_of_clients_are_passed_over_and_reach_nothing():
    given = {"client_id": "x", "network_def": {"_target_": "os.system"}, "run": "$1", "output_dir": "/etc"}
    assert read_options(AdaptOptions, given) == AdaptOptions()


def test_panels_send_texts_and_whole_lists():
    found = read_options(
        AdaptOptions,
        {
            "method": ["adaent", "sfs"],
            "budget": ["quick", "standard"],
            "epochs": "12",
            "studies": "scan-a, scan-b scan-a",
            "scanner": ["any", "GE, Signa"],
            "device": ["auto", "cpu"],
            "min_studies": "3",
        },
    )
    assert found.model_dump() == {
        "budget": "quick",
        "epochs": 12,
        "studies": ["scan-a", "scan-b"],
        "device": "auto",
        "seed": 0,
        "method": "adaent",
        "scanner": None,
        "min_studies": 3,
    }
    assert found.public()["studies"] == 2


@pytest.mark.parametrize("given", ["all", "", [], ["all"], None])
def test_all_studies(given):
    assert read_options(FineTuneOptions, {"studies": given}).studies == []


def test_ids_of_studies_are_not_repeated_in_an_error():
    with pytest.raises(SettingError) as error:
        read_options(AdaptOptions, {"studies": ["1.2.840.MUSTER" * 20]})
    assert "MUSTER" not in str(error.value)


def test_offered_methods_need_neither_source_scans_nor_labels():
    for name in METHODS:
        assert "source_data" not in KNOWN[name].requires
        assert not KNOWN[name](None).target_labels_read


def test_the_bundles_own_method_is_the_default(tmp_path):
    (tmp_path / "configs").mkdir()
    path = tmp_path / "configs" / "adapt.json"
    path.write_text(json.dumps({"method": "tent"}), encoding="utf-8")
    assert default_method(tmp_path) == "tent"
    path.write_text(json.dumps({"method": "$1"}), encoding="utf-8")
    assert default_method(tmp_path) == METHODS[0]
