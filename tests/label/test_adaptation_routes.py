"""The endpoints: MONAI Label's shapes, roles, sign-off, and the page."""

import json
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from monai_sfda.label.adaptation import trainers_of
from monai_sfda.label.adaptation.routes import router
from monai_sfda.label.server.answers import install_handlers
from monai_sfda.label.server.roles import User, remember_user
from tests.label.adaptation_site import site, until

__all__ = ["site"]
EVERYTHING = ("user", "adapter", "approver", "admin")


class AsUser:
    """Logs every request in as `client.roles` say."""

    roles = EVERYTHING

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            remember_user(scope, User("erwin", frozenset(AsUser.roles)))
        await self.app(scope, receive, send)


@pytest.fixture
def client(site, monkeypatch):
    monkeypatch.setattr(AsUser, "roles", EVERYTHING)
    jobs = site.jobs()
    app = FastAPI()
    install_handlers(app)
    app.include_router(router)
    app.add_middleware(AsUser)
    app.state.sfda_app = SimpleNamespace(models=jobs.models, jobs=jobs, datastore=lambda: site.datastore)
    with TestClient(app) as opened:
        yield opened
    jobs.close()


def done(client, identifier):
    return until(
        lambda: (
            (found := client.get(f"/sfda/jobs/{identifier}").json())["status"] in ("DONE", "ERROR") and found
        )
    )


def test_training_answers_as_monai_label_does(client, site):
    assert client.get("/train/").status_code == 404
    assert client.get("/train/", params={"check_if_running": True}).status_code == 404
    site.script = "say(2); time.sleep(300)"
    started = client.post("/train/adapt_abdomen", json={"method": ["tent", "sfs"], "client_id": "x"}).json()
    assert {"id", "status", "request", "start_ts"} <= started.keys()
    assert started["request"]["method"] == "tent"
    running = until(
        lambda: (found := client.get("/train/?check_if_running=true").json())["status"] == "RUNNING" and found
    )
    assert running["id"] == started["id"]
    until(lambda: "epoch 2 of 4" in json.dumps(client.get("/train/").json()["details"]))
    refused = client.post("/train/adapt_abdomen", json={})
    assert (refused.status_code, refused.json()["remedy"][:4]) == (429, "wait")
    waiting = client.post("/train/adapt_abdomen?enqueue=true", json={}).json()
    assert waiting["status"] == "SUBMITTED"
    assert client.delete("/train/").json()["status"] == "STOPPED"
    assert client.delete("/train/").json()["id"] == waiting["id"]
    assert client.delete("/train/").json() is None
    assert {task["id"] for task in client.get("/train/?all=true").json()} == {started["id"], waiting["id"]}


def test_ohifs_update_model_starts_the_adaptation_alone(client):
    body = {"adapt_abdomen": {"budget": "quick"}, "fine_tune_abdomen": {"budget": "long"}}
    answer = client.post("/train/", json=body)
    assert answer.status_code == 200
    found = answer.json()
    assert found["fine_tune_abdomen"]["result"] is None
    assert found["adapt_abdomen"]["result"]["request"]["budget"] == "quick"
    assert done(client, found["adapt_abdomen"]["result"]["id"])["status"] == "DONE"


def test_a_second_click_on_update_model_starts_no_second_adaptation(client, site):
    site.script = "time.sleep(300)"
    first = client.post("/train/?run_sync=true", json={"model": "abdomen"})
    running = first.json()["adapt_abdomen"]["result"]
    assert (first.status_code, running["status"] in ("SUBMITTED", "RUNNING")) == (200, True), "at once"
    again = client.post("/train/", json={"model": "abdomen"})
    assert (again.status_code, again.json()["detail"]) == (429, "this training waits or runs already")
    other = client.post("/train/", json={"model": "abdomen", "adapt_abdomen": {"budget": "quick"}})
    ids = client.app.state.sfda_app.datastore().list_images()
    some = [client.post("/train/", json={"studies": chosen}).status_code for chosen in (ids[:2], ids[2:4])]
    assert (other.status_code, some) == (200, [200, 200])
    assert client.post("/train/", json={"studies": ids[:2]}).status_code == 429
    assert len(client.get("/train/?all=true").json()) == 4
    assert client.delete("/train/").json()["id"] == running["id"]
    assert client.post("/train/", json={"model": "abdomen"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/train/adapt_abdomen?enqueue=perhaps", {}, 422),
        ("/sfda/models/abdomen/versions/1/activate", {"force": "perhaps"}, 422),
        ("/train/nothing", {}, 404),
        ("/train/adapt_abdomen", {"method": "$1"}, 422),
        ("/train/adapt_abdomen", {"epochs": 10**9}, 422),
        ("/train/adapt_abdomen", {"device": "cuda:99"}, 422),
        ("/train/adapt_abdomen", {"adapt_abdomen": {"method": "@run"}}, 422),
        ("/train/fine_tune_abdomen", {}, 422),
        ("/train/adapt_abdomen", [1], 422),
        ("/sfda/jobs", {"trainer": "../../x"}, 404),
        ("/sfda/jobs/../../etc/report", {}, 404),
        ("/sfda/models/abdomen/versions/9/activate", {}, 404),
        ("/sfda/models/nothing/rollback", {}, 404),
        ("/sfda/models/abdomen/rollback", {}, 409),
        ("/sfda/models/abdomen/versions/1/activate", {"reason": "x" * 5000}, 422),
    ],
    ids=range(15),
)
def test_refusals_have_a_reason(client, path, body, status):
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert client.get("/sfda/jobs").json() == []


ROLES = [
    ("get", "/sfda/", "user"),
    ("get", "/sfda/models", "user"),
    ("get", "/sfda/jobs", "user"),
    ("post", "/train/", "adapter"),
    ("post", "/train/adapt_abdomen", "adapter"),
    ("delete", "/train/", "adapter"),
    ("post", "/sfda/jobs", "adapter"),
    ("post", "/sfda/jobs/preview", "adapter"),
    ("post", "/sfda/jobs/x/stop", "adapter"),
    ("post", "/sfda/jobs/x/resume", "adapter"),
    ("post", "/sfda/jobs/x/publish_last", "approver"),
    ("post", "/sfda/models/abdomen/versions/1/activate", "approver"),
    ("post", "/sfda/models/abdomen/rollback", "approver"),
    ("get", "/sfda/jobs/x/log", "admin"),
    ("delete", "/sfda/jobs/x", "admin"),
]


def test_every_endpoint_asks_for_its_role(client, monkeypatch):
    for method, path, role in ROLES:
        monkeypatch.setattr(AsUser, "roles", [r for r in EVERYTHING if r not in (role, "admin")])
        answer = client.request(method, path)
        assert (answer.status_code == 403) == (role != "user"), (method, path, answer.status_code)


def test_what_a_job_would_take_is_said_before_it_starts(client):
    found = client.post("/sfda/jobs/preview", json={"trainer": "abdomen", "studies": "all"}).json()
    assert (found["studies"], found["subjects"], found["parent"], found["total_epochs"]) == (6, 6, 1, 16)
    assert found["notes"] == ["6 studies of 6 subjects taken"]
    ids = client.app.state.sfda_app.datastore().list_images()[:2]
    few = client.post("/sfda/jobs/preview", json={"trainer": "abdomen", "studies": ids}).json()
    assert "at most say 'unsure'" in few["notes"][1]
    assert client.get("/sfda/jobs").json() == []


def test_sign_off_from_the_job_to_the_roll_back(client, site):
    job = done(client, client.post("/sfda/jobs", json={"trainer": "adapt_abdomen"}).json()["id"])
    assert "not for diagnosis" in client.get(job["report"]).text
    model = client.get("/sfda/models").json()["models"][0]
    assert (model["active"], [v["version"] for v in model["versions"]]) == (1, [2, 1])
    assert client.get("/sfda/models/abdomen/versions/2/report").status_code == 200
    assert client.get("/sfda/models/abdomen/versions/1/report").status_code == 404
    shown = client.get("/sfda/models/abdomen/versions/2/before_after")
    assert (shown.status_code, shown.text.count("<img")) == (200, 3)
    assert client.get("/sfda/models/abdomen/versions/2/before_after/99.png").status_code == 404
    signed = client.post(
        "/sfda/models/abdomen/versions/2/activate", json={"reason": "better on three studies"}
    ).json()
    assert (signed["active"], signed["rollback_to"]) == (2, 1)
    assert client.post("/sfda/models/abdomen/rollback", json={}).json()["active"] == 1
    log = client.get("/sfda/models/abdomen/log").json()["changes"]
    assert [(c["action"], c["by"]) for c in log[-2:]] == [("activate", "erwin"), ("rollback", "erwin")]
    assert log[-2]["reason"] == "better on three studies"


def test_a_rejected_version_needs_force_and_a_reason(client, site):
    site.script = "finish('reject')"
    done(client, client.post("/sfda/jobs", json={"trainer": "adapt_abdomen"}).json()["id"])
    path = "/sfda/models/abdomen/versions/2/activate"
    assert client.post(path, json={}).status_code == 409
    assert client.post(path, json={"force": "true"}).status_code == 409
    assert client.post(path, json={"force": "false", "reason": "x"}).status_code == 409
    assert client.post(path, json={"force": "true", "reason": "looked at"}).json()["active"] == 2


def test_the_last_weights_need_a_reason(client, site):
    site.script = (
        "finish('unsure'); (run / 'adapted.pt').write_bytes(b'last'); "
        "import hashlib; r = json.loads((run / 'adaptation.json').read_text()); "
        "r['adapted_sha256'] = hashlib.sha256(b'last').hexdigest(); "
        "(run / 'adaptation.json').write_text(json.dumps(r))"
    )
    job = done(client, client.post("/sfda/jobs", json={"trainer": "adapt_abdomen"}).json()["id"])
    path = f"/sfda/jobs/{job['id']}/publish_last"
    assert client.post(path, json={}).status_code == 422
    assert client.post(path, json={"reason": "looked at the report"}).json() == {
        "model": "abdomen",
        "version": 3,
        "verdict": "unsure",
    }
    assert "erwin published the last weights" in json.dumps(client.get(f"/sfda/jobs/{job['id']}").json())


def test_the_page_shows_what_the_roles_allow_and_needs_no_other_server(client, monkeypatch):
    done(client, client.post("/sfda/jobs", json={"trainer": "adapt_abdomen"}).json()["id"])
    page = client.get("/sfda/").text
    for words in ("Activate", "Adapt to unlabelled studies", "accept", "not for diagnosis", "report"):
        assert words in page, words
    assert "http://" not in page
    assert "https://" not in page
    assert "MUSTER" not in page
    monkeypatch.setattr(AsUser, "roles", ["user"])
    assert "<button" not in client.get("/sfda/").text


def test_a_damaged_model_is_shown_as_such(client, site):
    path = site.store.root / "abdomen" / "active.json"
    path.write_text("{")
    assert "active.json cannot be read" in client.get("/sfda/models").json()["models"][0]["fault"]
    page = client.get("/sfda/")
    assert (page.status_code, "not readable" in page.text) == (200, True)


def test_the_adaptation_is_the_first_trainer_and_its_panel_has_typed_choices(client):
    found = trainers_of(client.app.state.sfda_app)
    assert list(found) == ["adapt_abdomen", "fine_tune_abdomen"]
    config = found["adapt_abdomen"].info()["config"]
    assert config["method"][0] == "mas3"
    assert config["scanner"] == ["any"]
    assert config["budget"][0] == "standard"
    assert found["adapt_abdomen"].stats() == {}
    json.dumps([trainer.info() for trainer in found.values()])
