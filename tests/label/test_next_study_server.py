"""Scoring, the next study and drift through the server as a client meets it."""

from __future__ import annotations

import time

import pytest
from starlette.testclient import TestClient

from monai_sfda.label.server.application import Server
from monai_sfda.label.server.config import ServerSettings


@pytest.fixture
def client(installed, tmp_path) -> TestClient:
    """Of a server without users over three studies; the adapted version is active."""
    store = installed.copy_store(tmp_path / "store")
    store.activate("abdomen", 2)
    settings = ServerSettings(
        studies=str(installed.copy_studies(tmp_path / "studies", 3)),
        home=tmp_path / "home",
        conf={"store": str(store.root), "device": "cpu"},
    )
    server = Server(settings, log_file=tmp_path / "server.jsonl")
    try:
        yield TestClient(server.asgi, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)
    finally:
        server.close()


def test_studies_are_scored_given_and_watched(client):
    ids = set(client.get("/datastore/?output=all").json()["objects"])
    info = client.get("/info/").json()
    assert next(iter(info["strategies"])) == "domain_shift"
    assert list(info["scoring"]) == ["score_abdomen"]
    assert info["next_study"]["abdomen"]["unscored"] == 3

    assert client.post("/scoring/score_abdomen", json={"studies": ["all", "unlabelled"]}).status_code == 200
    deadline = time.monotonic() + 300
    while (run := client.get("/scoring/").json())["status"] != "DONE" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (run["status"], run["result"]["scored"]) == ("DONE", 3)
    assert client.get("/info/").json()["next_study"]["abdomen"]["scored"] == 3

    given = [client.post("/activelearning/domain_shift", json={}).json() for _ in ids]
    assert {one["id"] for one in given} == ids
    assert all("path" not in one and 0 <= one["next_study"]["uncertainty"] <= 1 for one in given)

    drift, page = client.get("/sfda/drift"), client.get("/sfda/drift/page")
    assert drift.json()["abdomen"]["version"] == 2
    assert page.headers["content-type"].startswith("text/html")
    for answer in (drift, page, client.get("/sfda/scores"), client.get("/scoring/?all=true")):
        assert answer.status_code == 200
        assert not any(image_id in answer.text for image_id in ids)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/activelearning/domain_shift", {"model": "../../etc"}),
        ("POST", "/activelearning/nothing", {}),
        ("POST", "/scoring/score_nothing", {}),
        ("POST", "/scoring/score_abdomen", {"most": "$import os"}),
        ("GET", "/sfda/drift?model=nothing", None),
        ("GET", "/sfda/scores?model=nothing", None),
    ],
)
def test_what_cannot_be_had_is_refused_with_a_reason(client, method, path, body):
    answer = client.request(method, path, json=body)
    assert 400 <= answer.status_code < 500
    assert answer.json()["request_id"]
    assert "Traceback" not in answer.text
