"""Which study the strategies give: unlabelled, the most useful first, each once a day."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_sfda.errors import SettingError
from monai_sfda.label.next_study import strategies_of
from monai_sfda.label.next_study.scores import KEY
from monai_sfda.store import ModelStore
from tests.label.next_study import SmallApp, put_score, put_shift, small_app


@pytest.fixture
def app(installed, tmp_path) -> SmallApp:
    """Four unlabelled studies without scores."""
    studies = installed.copy_studies(tmp_path / "studies", 4)
    return small_app(ModelStore(installed.store), studies, tmp_path / "cache")


def ask(app: SmallApp, strategy: str, **request) -> dict:
    """What the strategy answers; that it was given is forgotten again, so that the tests say what was."""
    before = {i: app.datastore().get_image_info(i).get("strategy", {}) for i in app.ids()}
    found = strategies_of(app)[strategy]({"strategy": strategy, **request}, app.datastore())
    for image_id, given in before.items():
        app.datastore().update_image_info(image_id, {"strategy": given})
    return found


def give(app: SmallApp, image_id: str, strategy: str, *, hours_ago: float = 0.0) -> None:
    """Notes that somebody was given the study, as MONAI Label's endpoint does."""
    given = {strategy: {"ts": int(time.time() - 3600 * hours_ago), "client_id": "somebody"}}
    app.datastore().update_image_info(image_id, {"strategy": given})


def label(app: SmallApp, folder: Path, image_id: str) -> None:
    """Saves a final label: the first structure, in the first voxels."""
    image = nib.load(app.datastore().get_image_uri(image_id))
    mask = np.zeros(image.shape[:3], np.uint8)
    mask[:8, :8, :2] = 1
    nib.save(nib.Nifti1Image(mask, image.affine), folder / "label.nii.gz")
    app.datastore().save_label(image_id, str(folder / "label.nii.gz"), "final", {"model": "abdomen"})


def test_the_default_comes_first_and_the_panel_shows_the_models(app):
    found = strategies_of(app)
    assert list(found) == ["domain_shift", "uncertainty", "random"]
    assert all(s.info()["config"] == {"model": ["abdomen"]} for s in found.values())


def test_the_most_unlike_comes_first(app):
    for image_id, intensity in zip(app.ids(), (0.5, 7.0, 3.0, 1.0), strict=True):
        put_shift(app, image_id, intensity=intensity)
    found = ask(app, "domain_shift")
    assert found["id"] == app.ids()[1]
    assert found["next_study"]["shift"] == 7.0
    assert found["next_study"]["verdict"] == "unlike"
    assert found["next_study"]["scored"] == found["next_study"]["unlabelled"] == 4


def test_one_of_another_kind_comes_before_a_second_of_the_same(app):
    first, second, other, usual = app.ids()
    put_shift(app, first, intensity=7.0)
    put_shift(app, second, intensity=6.9)
    put_shift(app, other, volumes=2.0)
    put_shift(app, usual, intensity=0.2)
    given = []
    for _ in range(4):
        given.append(ask(app, "domain_shift")["id"])
        give(app, given[-1], "domain_shift")
    assert given[:2] == [first, other]


def test_the_least_sure_comes_first(app):
    for image_id, uncertainty in zip(app.ids(), (0.1, 0.2, 0.4, 0.3), strict=True):
        put_score(app, image_id, uncertainty=uncertainty)
    found = ask(app, "uncertainty")
    assert found["id"] == app.ids()[2]
    assert found["next_study"]["uncertainty"] == 0.4


@pytest.mark.parametrize("strategy", ["domain_shift", "uncertainty"])
def test_scored_studies_come_before_unscored_ones_and_bad_ones_last(app, strategy):
    bad, scored, *_ = app.ids()
    put_score(app, bad, error="it cannot be read")
    put_shift(app, scored, intensity=0.1)
    order = []
    for _ in range(4):
        order.append(ask(app, strategy)["id"])
        give(app, order[-1], strategy)
    assert order[0] == scored
    assert order[-1] == bad


@pytest.mark.parametrize("strategy", ["domain_shift", "uncertainty", "random"])
def test_a_seed_decides_between_equals_and_all_of_them_get_their_turn(app, strategy):
    for image_id in app.ids():
        put_shift(app, image_id, intensity=1.5)
    first = [ask(app, strategy, seed=seed)["id"] for seed in range(12)]
    assert first == [ask(app, strategy, seed=str(seed))["id"] for seed in range(12)]
    assert len(set(first)) > 2


@pytest.mark.parametrize("strategy", ["domain_shift", "uncertainty", "random"])
def test_a_study_that_somebody_has_today_comes_again_only_when_all_others_were_given(app, strategy):
    studies = app.ids()
    put_shift(app, studies[0], intensity=9.0)
    put_score(app, studies[0], uncertainty=0.9, shift=9.0, verdict="unlike", aspects={"intensity": 9.0})
    give(app, studies[0], "random", hours_ago=1)
    assert {ask(app, strategy, seed=seed)["id"] for seed in range(6)} <= set(studies[1:])
    for hours, image_id in enumerate(studies[1:], start=2):
        give(app, image_id, strategy, hours_ago=hours)
    assert ask(app, strategy)["id"] == studies[-1], "the one that was given the longest ago"
    give(app, studies[0], "random", hours_ago=25)
    assert ask(app, strategy)["id"] == studies[0]


def test_labelled_studies_are_left_out_and_when_all_are_there_is_none(app, tmp_path):
    studies = app.ids()
    for image_id in studies:
        put_shift(app, image_id, intensity=2.0)
    label(app, tmp_path, studies[0])
    assert {ask(app, "random", seed=seed)["id"] for seed in range(9)} <= set(studies[1:])
    for image_id in studies[1:]:
        label(app, tmp_path, image_id)
    assert [ask(app, name) for name in strategies_of(app)] == [None] * 3


@pytest.mark.parametrize("name", ["domain_shift", "uncertainty", "random"])
def test_people_who_ask_at_once_get_different_studies(app, name):
    put_shift(app, app.ids()[0], intensity=9.0)
    strategy = strategies_of(app)[name]
    with ThreadPoolExecutor(4) as people:
        given = list(people.map(lambda _: strategy({"strategy": name}, app.datastore())["id"], range(4)))
    assert sorted(given) == app.ids()


@pytest.mark.parametrize("strategy", ["domain_shift", "uncertainty", "random"])
def test_studies_of_another_modality_are_left_out(app, strategy):
    for image_id in app.ids()[1:]:
        app.datastore().update_image_info(image_id, {"Modality": "MR"})
    assert {ask(app, strategy, seed=seed)["id"] for seed in range(5)} == {app.ids()[0]}


def test_a_score_of_another_version_counts_as_none(app):
    first, second, *_ = app.ids()
    put_shift(app, first, intensity=1.0)
    put_shift(app, second, intensity=9.0)
    entry = app.datastore().get_image_info(second)[KEY]
    entry["abdomen"] = entry["abdomen"] | {"version": 2}
    app.datastore().update_image_info(second, {KEY: entry})
    assert ask(app, "domain_shift")["id"] == first


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"model": "abdomne"}, "abdomen"),
        ({"model": "../../etc/passwd"}, "no model"),
        ({"model": {"$eval": "1"}}, "model"),
        ({"seed": "$import os"}, "seed"),
        ({"seed": -1}, "seed"),
        ({"seed": 1e30}, "seed"),
    ],
)
def test_options_are_typed_and_bounded(app, request_, words):
    with pytest.raises(SettingError, match=words):
        ask(app, "domain_shift", **request_)


@pytest.mark.parametrize(
    "request_",
    [{"model": ["abdomen"]}, {"model": "abdomen"}, {"model": ""}, {"client_id": "x", "seed": ""}, {}],
)
def test_what_clients_send_besides_is_left_aside(app, request_):
    assert ask(app, "random", **request_)["id"] in app.ids()


def test_it_answers_at_once_with_a_thousand_studies(app, monkeypatch):
    """No scan is opened, and the work is linear: the answer is there in a moment."""
    put_shift(app, app.ids()[0], intensity=2.0)
    info = app.datastore().get_image_info(app.ids()[0])
    many = [f"scan-{n:04d}" for n in range(1000)]
    monkeypatch.setattr(app.studies, "list_images", lambda: many)
    monkeypatch.setattr(app.studies, "get_image_info", lambda image_id: info)
    monkeypatch.setattr(app.studies, "update_image_info", lambda image_id, info: None)
    monkeypatch.setattr(app.studies, "get_labels_by_image_id", lambda image_id: {})
    monkeypatch.setattr(app.studies, "get_image_uri", lambda image_id: pytest.fail("a scan was asked for"))
    start = time.process_time()
    assert strategies_of(app)["domain_shift"]({}, app.datastore())["id"] in many
    assert time.process_time() - start < 2
