"""Scoring: every study once for each version, bad ones apart, stopped at any moment, in a thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_sfda.errors import DataError, SettingError
from monai_sfda.label import next_study
from monai_sfda.label.next_study.measure import StoppedError
from monai_sfda.label.next_study.runs import ScoringRuns, runs_of
from monai_sfda.label.next_study.scores import KEY, read_score
from monai_sfda.label.studies.errors import PacsError, StillArrivingError, UnknownImageError
from tests.label.next_study import SmallApp, small_app

METHOD = "score_abdomen"


@pytest.fixture
def app(installed, tmp_path) -> SmallApp:
    """Three studies, of which one is no scan."""
    studies = installed.copy_studies(tmp_path / "studies", 3)
    Path(sorted(studies.iterdir())[1]).write_bytes(b"no scan")
    app = small_app(installed.copy_store(tmp_path / "store"), studies, tmp_path / "cache")
    yield app
    next_study.close(app)


def score(app: SmallApp, **options) -> dict[str, int]:
    return next_study.scorings_of(app)[METHOD]({"method": METHOD, **options}, app.datastore())


def entries(app: SmallApp) -> list[dict]:
    return [app.datastore().get_image_info(i).get(KEY, {}).get("abdomen", {}) for i in app.ids()]


def test_every_study_is_scored_by_the_active_version_and_a_bad_one_stops_no_other(app):
    done = score(app)
    found = entries(app)
    good = [entry for entry in found if "error" not in entry]
    assert done["scored"] == len(good) == len(app.ids()) - done["failed"]
    active = app.models["abdomen"].active()
    loaded = app.models.load("abdomen")
    for image_id, entry in zip(app.ids(), found, strict=True):
        assert entry["version"] == active.number == 1
        assert entry["model_sha256"] == loaded.sha256
        assert entry["scored_at"].endswith("Z")
        if "error" in entry:
            assert "img" not in entry["error"], "it does not name the file"
            continue
        scan = loaded.read(Path(app.datastore().get_image_uri(image_id)))
        familiarity = loaded.familiarity(scan)
        assert 0 < entry["uncertainty"] < 1
        if familiarity is not None:
            assert entry["shift"] == pytest.approx(familiarity.score, abs=1e-3)
            assert entry["verdict"] == familiarity.verdict


def test_a_second_run_has_nothing_to_do_and_a_new_version_scores_again(app):
    score(app)
    before = entries(app)
    assert score(app)["done"] == 0
    assert entries(app) == before
    app.models.store.activate("abdomen", 2)
    assert score(app)["skipped"] == 0
    assert {entry["version"] for entry in entries(app)} == {2}
    assert score(app, rescore="true")["done"] == len(app.ids())


def test_scores_of_other_models_and_other_keys_stay(app):
    first = app.ids()[0]
    app.datastore().update_image_info(first, {KEY: {"another": {"version": 7}}, "noted": "by hand"})
    score(app)
    info = app.datastore().get_image_info(first)
    assert info["noted"] == "by hand"
    assert info[KEY]["another"] == {"version": 7}
    assert "abdomen" in info[KEY]


def test_what_was_scored_stays_when_it_is_stopped(app):
    asked = []

    def stopped() -> bool:
        asked.append(1)
        return any(entries(app))

    with pytest.raises(StoppedError):
        next_study.scorings_of(app)[METHOD]({}, app.datastore(), stopped)
    assert sum(bool(entry) for entry in entries(app)) == 1
    assert score(app)["skipped"] == 1


def test_a_pacs_that_is_away_ends_the_run_and_marks_no_study(app, monkeypatch):
    monkeypatch.setattr(app.studies, "list_images", lambda: [f"1.2.{n}" for n in range(9)])
    monkeypatch.setattr(app.studies, "get_image_info", lambda image_id: {})
    monkeypatch.setattr(app.studies, "get_image_uri", _raises(PacsError("away", remedy="try again")))
    monkeypatch.setattr(app.studies, "update_image_info", lambda *_: pytest.fail("a study was marked"))
    with pytest.raises(DataError, match="3 studies one after the other"):
        score(app)


@pytest.mark.parametrize(
    ("error", "tally"),
    [
        (StillArrivingError("it is arriving", remedy="wait"), {"studies": 3, "put_off": 3}),
        (UnknownImageError(), {"studies": 0, "put_off": 0}),
        (DataError("slices are missing", remedy="send them again"), {"studies": 3, "failed": 3}),
    ],
)
def test_studies_that_arrive_go_or_are_no_scans_end_no_run(app, monkeypatch, error, tally):
    monkeypatch.setattr(app.studies, "get_image_uri", _raises(error))
    assert tally.items() <= score(app).items()
    assert [entry.get("error") for entry in entries(app)] == [
        "slices are missing: send them again" if "failed" in tally else None
    ] * 3


def test_an_inference_leaves_its_familiarity_and_scoring_adds_the_uncertainty(app):
    loaded = app.models.load("abdomen")
    good = next(i for i in app.ids() if Path(app.datastore().get_image_uri(i)).stat().st_size > 100)
    familiarity = loaded.familiarity(loaded.read(Path(app.datastore().get_image_uri(good))))
    if familiarity is None:
        pytest.skip("the model of this site says not what scans it knows")
    about = {"model": "abdomen", "version": 1, "sha256": loaded.sha256, "familiarity": familiarity}
    next_study.record_familiarity(app.datastore(), good, **about)
    found = read_score(app.datastore().get_image_info(good), "abdomen")
    assert found is not None
    assert (found.shift, found.uncertainty) == (round(familiarity.score, 3), None)
    assert score(app)["skipped"] == 0
    scored = read_score(app.datastore().get_image_info(good), "abdomen")
    assert scored is not None
    assert scored.uncertainty is not None
    next_study.record_familiarity(app.datastore(), good, **about)
    again = read_score(app.datastore().get_image_info(good), "abdomen")
    assert again is not None
    assert again.uncertainty == scored.uncertainty


@pytest.mark.parametrize(
    "options", [{"studies": "/etc"}, {"rescore": "perhaps"}, {"most": 0}, {"most": "$1"}]
)
def test_options_are_typed_and_bounded(app, options):
    with pytest.raises(SettingError):
        score(app, **options)


def test_a_run_in_the_servers_thread_tells_how_far_it_is(app):
    runs = runs_of(app)
    assert runs_of(app) is runs
    run = runs.submit(METHOD, {"rescore": "false"}, by="somebody")
    assert run.ended.wait(120)
    record = run.to_json()
    assert record["status"] == "DONE"
    assert record["result"]["done"] == record["result"]["studies"] == len(app.ids())
    assert record["details"][-1].startswith(f"{len(app.ids())} of {len(app.ids())} studies looked at")
    assert not any(image_id in str(record) for image_id in app.ids())
    assert runs.running() is None


def test_a_run_is_stopped_in_the_midst_of_a_scan_and_those_behind_it_as_well(app, monkeypatch):
    runs = runs_of(app)
    loaded = app.models.load("abdomen")
    with loaded.lock:  # the network is busy: the run waits at its first batch
        first, second = runs.submit(METHOD), runs.submit(METHOD)
        deadline = time.monotonic() + 60
        while first.status != "RUNNING" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert runs.running() is first
        stopped = runs.stop()
    assert stopped is first
    assert first.ended.wait(60)
    assert second.ended.wait(60)
    assert (first.status, second.status) == ("STOPPED", "STOPPED")
    assert runs.stop() is None


def test_the_end_of_the_server_ends_scoring_and_no_other_begins(app):
    runs = runs_of(app)
    run = runs.submit(METHOD)
    assert next_study.close(app, patience=60)
    assert run.status in ("STOPPED", "DONE")
    with pytest.raises(SettingError, match="ending"):
        runs.submit(METHOD)


def test_new_studies_are_scored_by_the_clock(app):
    next_study.start(app, score_every=0.001)
    deadline = time.monotonic() + 120
    while not all(entries(app)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(entries(app))


def test_without_an_interval_nothing_is_scored_by_itself(app):
    next_study.start(app)
    assert runs_of(app).all() == []


def test_an_unknown_method_is_refused_with_the_nearest_name(app):
    with pytest.raises(SettingError, match="score_abdomen"):
        ScoringRuns(app).submit("score_abdomne")


def _raises(error: Exception) -> Callable[[str], str]:
    def raise_it(image_id: str) -> str:
        raise error

    return raise_it
