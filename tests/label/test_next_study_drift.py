"""Drift: tests of the scores since the activation, as JSON, as a page, in `/info`; numbers alone."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from monai_sfda.errors import SfdaError
from monai_sfda.guard.drift import DriftTest
from monai_sfda.label import next_study
from monai_sfda.label.next_study.drift import drift_of_model, scores_of_model
from monai_sfda.label.next_study.drift_page import chart, drift_page
from monai_sfda.label.next_study.routes import router, the_app
from monai_sfda.label.next_study.runs import runs_of
from monai_sfda.label.next_study.times import in_time
from monai_sfda.label.server.roles import LOCAL, User, remember_user
from tests.label.next_study import SmallApp, put_score, put_shift, small_app

USUAL, STRANGE = {"intensity": 0.4}, {"intensity": 6.0}


class Studies:
    """A datastore of nothing but information: more studies than a test could write as scans."""

    def __init__(self, count: int, arrived: float) -> None:
        self.infos = {f"1.2.3.{n}": {"ts": arrived + n} for n in range(count)}

    def list_images(self) -> list[str]:
        return list(self.infos)

    def get_image_info(self, image_id: str) -> dict:
        return dict(self.infos[image_id])

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        return {}

    def update_image_info(self, image_id: str, info: dict) -> None:
        self.infos[image_id] |= info

    def acquired_at(self, image_id: str) -> datetime | None:
        return None


@pytest.fixture
def app(installed, tmp_path) -> SmallApp:
    """The adapted version is active; forty studies came an hour later."""
    store = installed.copy_store(tmp_path / "store")
    store.activate("abdomen", 2)
    (tmp_path / "none").mkdir()
    app = small_app(store, tmp_path / "none", tmp_path / "cache")
    app.studies = Studies(40, time.time() + 3600)
    yield app
    next_study.close(app)


def score_all(app: SmallApp, strange_from: int = 40) -> None:
    for place, image_id in enumerate(app.studies.list_images()):
        put_shift(app, image_id, **(STRANGE if place >= strange_from else USUAL))


def drift(app: SmallApp, **how) -> dict:
    return drift_of_model(app.models["abdomen"], app.studies, **how)


def test_studies_like_those_that_the_model_knows_do_not_drift(app):
    score_all(app)
    found = drift(app)
    assert found["drift"]["detected"] is False
    assert found["verdicts"] == {"familiar": 40}
    assert (found["studies"], found["scored"], found["unscored"], found["tested"]) == (40, 40, 0, 40)
    assert found["order"] == "arrived"


def test_strange_studies_are_an_alarm_where_the_test_says(app):
    score_all(app, strange_from=25)
    found = drift(app)["drift"]
    expected = DriftTest()([place >= 25 for place in range(40)])
    assert found["detected"]
    assert found["unfamiliar"]["alarm"] == expected.alarm
    assert found["unfamiliar"]["began"] == expected.began


def test_studies_from_before_the_activation_are_left_out(app):
    for place, image_id in enumerate(app.studies.list_images()):
        if place < 30:
            app.studies.infos[image_id]["ts"] -= 2 * 3600
    score_all(app)
    found = drift(app)
    assert (found["tested"], found["before"]) == (10, 30)
    assert drift(app, since="ever")["tested"] == 40


def test_scores_of_another_version_are_stale_and_after_activation_it_begins_anew(app):
    score_all(app, strange_from=10)
    app.models.store.rollback("abdomen")
    found = drift(app)
    assert (found["version"], found["scored"], found["unscored"]) == (1, 0, 40)
    assert scores_of_model(app.models["abdomen"], app.studies)["stale"] == 40


def test_a_source_model_tells_no_drift_and_says_why(app):
    app.models.store.rollback("abdomen")
    score_all(app, strange_from=0)
    found = drift(app)
    assert found["drift"] is None
    assert found["words"].startswith("no drift can be told")


def test_times_of_acquisition_go_before_those_of_arrival_where_all_are_known(app):
    ids = app.studies.list_images()
    day = datetime(2020, 1, 1)
    times = {image_id: day + timedelta(days=40 - n) for n, image_id in enumerate(ids)}
    app.studies.acquired_at = times.get
    infos = app.studies.infos
    by, chosen, before = in_time(app.studies, ids, infos, None, None)
    assert (by, chosen, before) == ("acquired", ids[::-1], 0)
    assert in_time(app.studies, ids, infos, "arrived", None)[1] == ids
    since = (day + timedelta(days=31)).astimezone(timezone.utc)
    assert in_time(app.studies, ids, infos, "acquired", since)[1:] == (ids[9::-1], 30)
    times.pop(ids[3])
    other = Studies(40, 0)
    other.acquired_at = times.get
    assert in_time(other, ids, infos, None, None)[0] == "arrived"


def test_studies_of_another_modality_are_none_of_the_models(app):
    score_all(app, strange_from=25)
    for image_id in app.studies.list_images()[25:]:
        app.studies.infos[image_id]["Modality"] = "MR"
    found = drift(app)
    assert (found["studies"], found["tested"], found["drift"]["detected"]) == (25, 25, False)
    assert scores_of_model(app.models["abdomen"], app.studies)["other_modality"] == 15


def test_what_could_not_be_scored_is_counted_with_its_reason(app):
    score_all(app)
    first, second, *_ = app.studies.list_images()
    put_score(app, first, error="it cannot be read")
    put_score(app, second, error="it cannot be read")
    found = scores_of_model(app.models["abdomen"], app.studies)
    assert found["errors"] == {"it cannot be read": 2}
    assert (found["scored"], found["failed"]) == (38, 2)
    assert drift(app)["tested"] == 38


def test_info_has_a_light_summary(app):
    score_all(app, strange_from=25)
    first = next_study.summary_of(app)
    start = time.process_time()
    again = next_study.summary_of(app)
    assert time.process_time() - start < 0.5
    assert again == first == json.loads(json.dumps(first))
    assert again["abdomen"]["drift"] is True
    assert again["abdomen"]["words"].startswith("the model drifts")


def test_a_model_whose_store_is_damaged_is_told_of_apart(app):
    (app.models.store.root / "abdomen" / "active.json").write_text("{", encoding="utf-8")
    assert "active.json cannot be read" in next_study.summary_of(app)["abdomen"]["error"]


@pytest.mark.parametrize("strange_from", [40, 25])
def test_the_page_stands_alone_and_names_no_study(app, strange_from):
    score_all(app, strange_from)
    page = drift_page([drift(app)])
    assert not re.search(r"https?://|<script|<link|@import|url\(", page)
    assert not any(image_id in page for image_id in app.studies.list_images())
    assert page.count("<circle") == 40
    parsed = _Tags()
    parsed.feed(page)
    assert parsed.open == []
    assert ("drifts" in page) == (strange_from < 40)


def test_the_chart_lies_in_its_frame_and_its_alarm_is_crossed_where_the_test_alarms(app):
    score_all(app, strange_from=25)
    found = drift(app)
    drawn = chart(found)
    assert all(0 <= point["x"] <= 900 and 0 <= point["y"] <= 200 for point in drawn["points"])
    unfamiliar = next(line for line in drawn["lines"] if line["name"] == "unfamiliar")
    levels = [float(place.split(",")[1]) for place in unfamiliar["places"].split()]
    crossed = next(n for n, y in enumerate(levels, start=1) if y <= drawn["alarm"] + 0.05)
    assert crossed == found["drift"]["unfamiliar"]["alarm"]


def test_before_anything_is_scored_there_is_a_page_as_well(app):
    assert (
        "too few" in drift_page([drift(app)]).lower()
        or "no drift can be told" in drift_page([drift(app)]).lower()
    )
    assert "No model is installed" in drift_page([])


def client(app: SmallApp, user: User = LOCAL) -> TestClient:
    api = FastAPI()
    api.include_router(router)
    api.dependency_overrides[the_app] = lambda: app

    @api.middleware("http")
    async def login(request, call_next):
        remember_user(request.scope, user)
        return await call_next(request)

    return TestClient(api, raise_server_exceptions=True)


def test_the_endpoints_tell_numbers_of_studies_only(app):
    score_all(app, strange_from=25)
    web = client(app)
    answers = [
        web.get(f"/sfda/{name}")
        for name in ("drift", "drift/page", "scores", "drift?since=ever&order=arrived")
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert answers[0].json()["abdomen"]["drift"]["detected"] is True
    assert answers[1].headers["content-type"].startswith("text/html")
    assert answers[2].json()["models"]["abdomen"]["scored"] == 40
    assert not any(image_id in answer.text for answer in answers for image_id in app.studies.list_images())
    assert web.get("/sfda/drift?order=random").status_code == 422
    with pytest.raises(SfdaError, match="abdomen"):
        web.get("/sfda/drift?model=abdomne")


def test_scoring_answers_as_monai_labels_endpoint_does(app):
    app.studies.infos.clear()
    web = client(app)
    assert web.get("/scoring/").status_code == 404
    assert web.delete("/scoring/").json() is None
    started = web.post("/scoring/score_abdomen", json={"studies": "all"}).json()
    assert {"id", "status", "request", "start_ts", "details"} <= started.keys()
    assert runs_of(app).all()[0].ended.wait(60)
    assert web.get("/scoring/").json()["status"] == "DONE"
    assert web.get("/scoring/?all=true").json()[0]["id"] == started["id"]
    assert web.get("/scoring/?check_if_running=true").status_code == 404
    everything = web.post("/scoring/?run_sync=true").json()
    assert everything["score_abdomen"]["result"]["done"] == 0


def test_who_may_only_look_starts_and_stops_no_scoring(app):
    web = client(app, User("reader", frozenset({"user"})))
    assert web.get("/sfda/drift").status_code == 200
    assert [web.post("/scoring/").status_code, web.post("/scoring/score_abdomen").status_code] == [403, 403]
    assert web.delete("/scoring/").status_code == 403


class _Tags(HTMLParser):
    """Which elements are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
