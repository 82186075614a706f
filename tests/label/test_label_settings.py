"""What `--conf` and clients send, typed; and the way to MONAI Label."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field

from monai_sfda.errors import SettingError
from monai_sfda.label.settings import AppSettings
from monai_sfda.label.values import Flag, Options, TextList, as_bool, as_list, read_options


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("False", False),
        (" no ", False),
        ("ON", True),
        (1, True),
        (0.0, False),
        ("", False),
        (None, False),
        (["false", "true"], False),
        ([], False),
    ],
)
def test_booleans_however_they_are_written(value, meant):
    assert as_bool(value) is meant


@pytest.mark.parametrize("value", ["perhaps", 2, {"a": 1}, "truefalse"])
def test_what_is_no_boolean(value):
    with pytest.raises(ValueError, match="true or false"):
        as_bool(value)


def test_lists_however_they_are_written():
    assert as_list("a, b,,c") == as_list(["a", "b", "c"]) == as_list(("a", "b", "c"))


class Asked(Options):
    keep: Flag = False
    epochs: int = Field(default=3, ge=1, le=10)
    names: TextList = Field(default_factory=list)


def test_an_untouched_choice_is_its_first_entry_and_a_said_nothing_the_default():
    assert read_options(Asked, {"epochs": ["7", "3"], "keep": "false", "names": "a,b"}).epochs == 7
    assert read_options(Asked, {"epochs": "None", "other": object()}) == Asked()


@pytest.mark.parametrize("value", ["11", -1, "$__import__('os')", [[1]], "nan", 1e300])
def test_a_value_out_of_bounds_is_an_error_that_names_it(value):
    with pytest.raises(SettingError, match="epochs") as error:
        read_options(Asked, {"epochs": value})
    assert len(str(error.value)) < 500


def test_settings_have_their_places_in_the_apps_folder(tmp_path):
    settings = AppSettings.read({"models": "abdomen, spine", "server_mode": "true", "threads": ""}, tmp_path)
    assert settings.store == tmp_path / "store"
    assert settings.models == ["abdomen", "spine"]
    assert settings.serves("spine")
    assert not settings.serves("cardiac")
    assert settings.activation == "manual"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("bundels", "x", "bundels is unknown: use one of bundles"),
        ("activation", "sometimes", "activation 'sometimes'.*manual"),
        ("cached_models", "0", "cached_models '0'"),
        ("device", "cuda; rm", "device"),
        ("score_every", "nan", "score_every"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, key, value, message):
    with pytest.raises(SettingError, match=message):
        AppSettings.read({key: value}, tmp_path)


def test_the_label_floor_is_light():
    words = "import sys, monai_sfda.label; assert not {'torch', 'monailabel'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0


@pytest.mark.long
def test_monai_label_is_reached_whatever_torchvision_is_there():
    words = (
        "from monai_sfda.label.stock import prepare; prepare();"
        "import monailabel.transform.post, monailabel.tasks.infer.bundle;"
        "from monailabel.config import settings as s;"
        "print(s.MONAI_LABEL_TRACKING_ENABLED, s.MONAI_LABEL_DICOMWEB_SEARCH_FILTER)"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["False", "{}"]
