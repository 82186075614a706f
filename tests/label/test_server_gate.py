"""What a request passes before anything answers it, and how failures look."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.testclient import TestClient

from monai_sfda.errors import DataError, SettingError, StoreError
from monai_sfda.label.server.access import RULES, Rule, rule_for
from monai_sfda.label.server.answers import BusyError, install_handlers
from monai_sfda.label.server.bodies import Uploads
from monai_sfda.label.server.config import Limits, ServerSettings
from monai_sfda.label.server.gate import Gate
from monai_sfda.label.server.login import login_router
from monai_sfda.label.server.logs import JsonLines, redact
from monai_sfda.label.server.tokens import Tokens
from monai_sfda.label.server.users import UserFile

PASSWORD = "a pass phrase for tests"
SECRET = "MUELLER_HANS_1961"
ERRORS: dict[str, tuple[Exception, int]] = {
    "data": (DataError("the scan is empty", remedy="send another", path="/data/1.nii.gz"), 422),
    "setting": (SettingError("version 9 is unknown", remedy="use 1"), 422),
    "store": (StoreError("the version was altered", remedy="restore it"), 409),
    "busy": (BusyError("too much", remedy="wait"), 503),
    "unknown": (RuntimeError(f"cannot read /data/{SECRET}/1.dcm"), 500),
}


@pytest.fixture(scope="module")
def users(tmp_path_factory) -> UserFile:
    """One user of each kind."""
    file = UserFile(tmp_path_factory.mktemp("users") / "users.json", create=True)
    for name, roles in {
        "reader": [],
        "adapter": ["adapter"],
        "approver": ["approver"],
        "admin": ["admin"],
    }.items():
        file.add(name, PASSWORD, roles)
    return file


def small_app(tokens: Tokens | None) -> FastAPI:
    """An application behind the gate with a few of the real paths."""
    app = FastAPI()
    install_handlers(app)
    app.include_router(login_router(tokens, is_tls=False))

    @app.get("/info/")
    def info() -> dict[str, str]:
        return {"name": "small"}

    @app.post("/train/{model}")
    async def train(model: str, request: Request) -> JSONResponse:
        return JSONResponse({"bytes": len(await request.body())})

    @app.get("/logs/")
    def failing(kind: str) -> None:
        raise ERRORS[kind][0]

    @app.get("/not/listed")
    def hidden() -> dict[str, str]:
        return {"secret": SECRET}

    return app


def gate_of(tmp_path: Path, users: UserFile | None = None, **more: Any) -> tuple[Gate, Tokens | None]:
    settings = ServerSettings(str(tmp_path), tmp_path, users=users.path if users else None, **more)
    tokens = None if users is None else Tokens(users, hours=1)
    return Gate(small_app(tokens), settings=settings, tokens=tokens), tokens


def client_of(gate: Any, address: str = "http://127.0.0.1:8000") -> TestClient:
    return TestClient(gate, base_url=address, raise_server_exceptions=False, follow_redirects=False)


def header(tokens: Tokens | None, name: str) -> dict[str, str]:
    """A login without the cost of its password."""
    assert tokens is not None
    user = tokens.users.find(name)
    assert user is not None
    return {"Authorization": f"Bearer {tokens.issue(user)}"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost:8000", 200),
        ("[::1]:8000", 200),
        ("192.0.2.7", 200),
        ("segment.example.org", 200),
        ("evil.example", 421),
        ("", 421),
        ("localhost.evil.example", 421),
        ("[", 421),
    ],
)
def test_the_server_answers_to_its_own_names_alone(tmp_path, host, status):
    gate, _ = gate_of(tmp_path, names=("segment.example.org",))
    assert client_of(gate).get("/info/", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:8000"}, 200),
        ({"Origin": "https://127.0.0.1:8000"}, 200),
        ({"Origin": "http://127.0.0.1:9000"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://viewer.example.org"}, 200),
    ],
)
def test_a_page_of_another_site_cannot_change_anything(tmp_path, headers, status):
    gate, _ = gate_of(tmp_path, origins=("https://viewer.example.org",))
    assert client_of(gate).post("/train/abdomen", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("name", "method", "path", "status"),
    [
        ("reader", "GET", "/info/", 200),
        ("reader", "POST", "/train/abdomen", 403),
        ("adapter", "POST", "/train/abdomen", 200),
        ("approver", "POST", "/train/abdomen", 403),
        ("admin", "POST", "/train/abdomen", 200),
        ("adapter", "GET", "/logs/?kind=data", 403),
        ("admin", "GET", "/logs/?kind=data", 422),
        ("admin", "GET", "/not/listed", 404),
        ("admin", "DELETE", "/info/", 405),
        ("admin", "TRACE", "/info/", 405),
    ],
)
def test_each_role_may_what_the_table_says_and_nothing_else_is_there(
    tmp_path, users, name, method, path, status
):
    gate, tokens = gate_of(tmp_path, users)
    response = client_of(gate).request(method, path, headers=header(tokens, name))
    assert response.status_code == status


@pytest.mark.parametrize("path", ["/info/", "/logs/", "/not/listed", "/nothing", "/auth/token/valid"])
def test_nothing_is_answered_before_the_login(tmp_path, users, path):
    gate, _ = gate_of(tmp_path, users)
    response = client_of(gate).get(path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert set(response.json()) == {"detail", "remedy", "request_id"}


def test_slicers_way_of_logging_in(tmp_path, users):
    client = client_of(gate_of(tmp_path, users)[0])
    assert client.get("/auth/").json()["enabled"] is True
    wrong = client.post(
        "/auth/token", data={"username": "reader", "password": "wrong", "grant_type": "password"}
    )
    assert wrong.status_code == 401
    right = client.post(
        "/auth/token", data={"username": "reader", "password": PASSWORD, "grant_type": "password"}
    )
    token = right.json()
    assert token["token_type"] == "bearer"
    bearer = {"Authorization": f"{token['token_type']} {token['access_token']}"}
    assert client.get("/auth/token/valid", headers=bearer).json()["username"] == "reader"
    assert client.get("/info/", headers=bearer).status_code == 200
    assert client.post("/logout", headers=bearer).status_code == 200
    assert client.get("/info/", headers=bearer).status_code == 401


def test_a_browsers_way_of_logging_in(tmp_path, users):
    client = client_of(gate_of(tmp_path, users)[0])
    page = {"Accept": "text/html"}
    asked = client.get("/ohif/monai-label?StudyInstanceUIDs=1.2", headers=page)
    assert asked.status_code == 303
    form = client.get(asked.headers["location"])
    assert 'value="/ohif/monai-label?StudyInstanceUIDs=1.2"' in form.text
    own = {"Origin": "http://127.0.0.1:8000"}
    given = {"username": "reader", "password": PASSWORD, "next": "//evil.example/"}
    done = client.post("/login", data=given, headers=own)
    assert (done.status_code, done.headers["location"]) == (303, "/")
    cookie = done.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/info/").status_code == 200
    assert client.post("/logout").status_code == 403, "a cookie alone, of an unknown page, changes nothing"
    assert client.post("/logout", headers=own).status_code == 200
    assert client.get("/info/").status_code == 401


def test_failed_logins_of_an_address_are_slowed_and_an_administrator_frees_it(tmp_path, users):
    gate, tokens = gate_of(tmp_path, users)
    client = client_of(gate)
    wrong = {"username": "reader", "password": "wrong"}
    statuses = [client.post("/auth/token", data=wrong).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    right = {"username": "reader", "password": PASSWORD}
    assert client.post("/auth/token", data=right).status_code == 429
    assert client.get("/auth/blocked", headers=header(tokens, "reader")).status_code == 403
    listed = client.get("/auth/blocked", headers=header(tokens, "admin")).json()
    assert listed[0]["user"] == "reader"
    freed = client.delete(f"/auth/blocked?address={listed[0]['address']}", headers=header(tokens, "admin"))
    assert freed.json()["freed"] > 0
    assert client.post("/auth/token", data=right).status_code == 200


@pytest.mark.parametrize("kind", list(ERRORS))
def test_failures_are_json_with_a_reason_and_tell_nothing_of_the_server(tmp_path, caplog, kind):
    gate, _ = gate_of(tmp_path)
    with caplog.at_level(logging.DEBUG):
        response = client_of(gate).get(f"/logs/?kind={kind}", headers={"X-Request-ID": "0123-4567-89ab"})
    error, status = ERRORS[kind]
    assert response.status_code == status
    content = response.json()
    assert content["request_id"] == response.headers["X-Request-ID"] == "0123-4567-89ab"
    assert content["detail"]
    assert content["remedy"]
    assert "/data" not in response.text
    assert SECRET not in response.text
    lines = [JsonLines().format(record) for record in caplog.records if record.name.startswith("monai_sfda")]
    assert any("0123-4567-89ab" in line and type(error).__name__ in line for line in lines)
    assert all(SECRET not in line and "/data" not in line for line in lines)


def test_a_body_is_limited_by_what_comes_and_not_by_what_is_said(tmp_path):
    gate, _ = gate_of(tmp_path, limits=Limits(body_kb=10))
    client = client_of(gate)
    assert client.post("/train/abdomen", content=b"x" * 10_240).json() == {"bytes": 10_240}
    assert client.post("/train/abdomen", content=b"x" * 10_241).status_code == 413
    parts = (b"x" * 1000 for _ in range(20))
    streamed = client.post("/train/abdomen", content=parts)
    assert "content-length" not in streamed.request.headers
    assert streamed.status_code == 413
    assert "10 kB" in streamed.json()["detail"]


def test_a_stranger_sends_little(tmp_path, users):
    client = client_of(gate_of(tmp_path, users)[0])
    given = {"username": "reader", "password": "x" * 20_000}
    assert client.post("/auth/token", data=given).status_code == 413


def test_strangers_requests_hold_up_nobody_who_is_logged_in(tmp_path, users):
    gate, tokens = gate_of(tmp_path, users)
    gate.in_hand[True] = 100
    client = client_of(gate)
    assert client.get("/auth/").status_code == 503
    assert client.get("/info/", headers=header(tokens, "reader")).status_code == 200


def test_one_user_takes_half_of_the_uploads(tmp_path):
    uploads = Uploads(Limits(uploads=4, free_gb=0), tmp_path)
    uploads.enter(0, "anna")
    uploads.enter(0, "anna")
    with pytest.raises(BusyError):
        uploads.enter(0, "anna")
    uploads.enter(0, "bert")
    uploads.leave("anna")
    uploads.enter(0, "anna")


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path):
    gate, _ = gate_of(tmp_path, limits=Limits(pause_s=0.2))
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(30)
        return {"type": "http.request", "body": b"", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/train/a", "query_string": b"", "headers": headers}
    asyncio.run(asyncio.wait_for(gate({**scope, "root_path": "", "http_version": "1.1"}, receive, send), 20))
    assert sent[0]["status"] == 408


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/health", None),
        ("GET", "/info", "user"),
        ("HEAD", "/datastore/image", "user"),
        ("DELETE", "/datastore/image", "admin"),
        ("POST", "/sfda/models/abdomen/versions/2/activate", "approver"),
        ("POST", "/sfda/jobs/0123/stop", "adapter"),
        ("DELETE", "/sfda/jobs/0123", "admin"),
        ("GET", "/sfda/jobs/0123/log", "admin"),
        ("GET", "/proxy/dicom/qido/studies", "user"),
    ],
)
def test_the_table_of_roles(method, path, role):
    rule = rule_for(method, path)
    assert rule is not None
    assert rule.role == role


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/proxy/dicom/wado/studies"),
        ("PUT", "/model/abdomen"),
        ("GET", "/model/abdomen"),
        ("POST", "/reload"),
        ("POST", "/infer/wsi/abdomen"),
        ("GET", "/static/ohif/index.html"),
    ],
)
def test_what_is_not_in_the_table_has_no_rule(method, path):
    assert rule_for(method, path) is None


def test_rules_are_all_of_known_methods():
    assert all(
        isinstance(rule, Rule) and rule.methods <= {"GET", "HEAD", "POST", "PUT", "DELETE"} for rule in RULES
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"host": "0.0.0.0"}, "--users"),
        ({"host": "segment.example.org"}, "--users"),
        ({"behind_proxy": "127.0.0.1"}, "--users"),
        ({"tls_key": Path("key.pem")}, "--tls-cert"),
        ({"origins": ("*",)}, "origin"),
        ({"origins": ("https://*.example.org",)}, "origin"),
        ({"users": Path("missing.json")}, r"missing\.json"),
    ],
)
def test_what_would_be_unsafe_is_not_served(tmp_path, options, said):
    with pytest.raises((SettingError, DataError), match=said):
        ServerSettings(str(tmp_path), tmp_path, **options).check()


@pytest.mark.parametrize(
    ("options", "is_open"),
    [
        ({}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "0.0.0.0", "behind_proxy": "192.0.2.1"}, False),
        ({"host": "0.0.0.0", "tls_certificate": Path("c.pem"), "tls_key": Path("k.pem")}, False),
    ],
)
def test_passwords_in_clear_are_warned_of(tmp_path, options, is_open):
    assert ServerSettings(str(tmp_path), tmp_path, **options).is_open is is_open


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"/data/{SECRET}/1.dcm is bad", " is bad"),
        (f"saw {SECRET}.nii.gz", "saw "),
        ("series 1.2.840.10008.5.1.4.1.1.2", "series "),
        ("hans.mueller@clinic.example wrote", " wrote"),
        (f"C:\\data\\{SECRET} is bad", " is bad"),
        ("version 1.2.3 of abdomen took 0.5 s", "version 1.2.3 of abdomen took 0.5 s"),
    ],
)
def test_logs_are_without_paths_ids_and_addresses(text, kept):
    told = redact(text)
    assert kept in told
    assert SECRET not in told
    assert "840" not in told
    assert "mueller" not in told


def test_messages_of_other_packages_are_left_out_of_the_log():
    record = logging.LogRecord("monailabel.x", logging.INFO, "x.py", 7, f"Infer Request: {SECRET}", (), None)
    line = json.loads(JsonLines().format(record))
    assert SECRET not in json.dumps(line)
    assert (line["logger"], line["line"]) == ("monailabel.x", 7)
