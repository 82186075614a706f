"""What viewers read of the PACS through the server, and what they cannot."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from monai_sfda.label.server.answers import install_handlers
from monai_sfda.label.server.config import Limits, ServerSettings
from monai_sfda.label.server.gate import Gate
from monai_sfda.label.server.proxy import Pacs, proxy_router
from monai_sfda.label.studies.open import Credentials

UID = "1.2.840.113619.2.55"
PASSWORD = "the PACS's own pass phrase"


class Archive(BaseHTTPRequestHandler):
    """A web server in the place of a PACS, which notes what it is asked."""

    asked: ClassVar[list[tuple[str, dict[str, str]]]] = []

    def do_GET(self) -> None:
        """Answers by the study asked for."""
        Archive.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        study = self.path.split("?")[0].rpartition("/")[2]
        if study == "1.1":
            time.sleep(30)
        elif study == "1.2":
            self._answer(302, b"", {"Location": "http://192.0.2.1/"})
        elif study == "1.3":
            self._answer(500, b"stack trace of the PACS", {})
        elif study == "1.4":
            self._answer(404, b"", {})
        elif study == "1.5":
            self._answer(200, bytes(3 * 2**20), {"Content-Type": "application/dicom"})
        elif study == "1.6":
            self._answer(401, b"", {"WWW-Authenticate": "Basic"})
        else:
            headers = {"Content-Type": "application/dicom+json", "Set-Cookie": "a=b", "Server": "PACS 1.0"}
            self._answer(200, b"[]", headers)

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def archive() -> Iterator[str]:
    """The address of a PACS's web service."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/dicom-web"
    server.shutdown()


def settings_of(tmp_path: Path, studies: str, **limits: Any) -> ServerSettings:
    return ServerSettings(studies, tmp_path, limits=replace(Limits(), **limits))


def client_of(settings: ServerSettings) -> TestClient:
    app = FastAPI()
    install_handlers(app)
    app.include_router(proxy_router(Pacs(settings)))
    gate = Gate(app, settings=settings, tokens=None)
    return TestClient(
        gate, base_url="http://127.0.0.1:8000", raise_server_exceptions=False, follow_redirects=False
    )


def test_the_servers_login_is_added_and_the_clients_stays_here(tmp_path, archive, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:9")
    settings = replace(settings_of(tmp_path, archive), credentials=Credentials("viewer", PASSWORD))
    with client_of(settings) as client:
        answer = client.get(
            "/proxy/dicom/qido/studies?limit=5&PatientID=*",
            headers={
                "Authorization": "Bearer ours",
                "Cookie": "sfda_session=ours",
                "Accept": "application/json",
            },
        )
    assert (answer.status_code, answer.content) == (200, b"[]")
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert "PACS" not in answer.headers.get("server", "")
    path, headers = Archive.asked[-1]
    assert path == "/dicom-web/studies?limit=5&PatientID=*"
    assert headers["authorization"].startswith("Basic ")
    assert "cookie" not in headers
    assert headers["accept"] == "application/json"


@pytest.mark.parametrize(
    "path",
    [
        f"wado/studies/{UID}/series/{UID}/metadata",
        f"wado/studies/{UID}/series/{UID}/instances/{UID}/frames/1,2",
        f"qido/studies/{UID}/series",
        f"studies/{UID}/series/{UID}/instances/{UID}",
        f"wado/studies/{UID}/series/{UID}/instances/{UID}/bulkdata/7fe00010",
        "qido/series",
    ],
)
def test_the_services_of_dicomweb_are_read(tmp_path, archive, path):
    with client_of(settings_of(tmp_path, archive)) as client:
        assert client.get(f"/proxy/dicom/{path}").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "wado/../../system",
        "wado/..%2f..%2fsystem",
        "system",
        "wado/tools/shutdown",
        "wado/studies/abc",
        f"wado/studies/{UID}/../../system",
        f"wado/studies/{UID}/series/{UID}/instances/{UID}/bulkdata/../../x",
        "wado/studies%00",
        "wado//192.0.2.1/studies",
        "qido/studies?" + "a" * 5000,
    ],
)
def test_nothing_else_of_the_network_is(tmp_path, archive, path):
    before = len(Archive.asked)
    with client_of(settings_of(tmp_path, archive)) as client:
        assert client.get(f"/proxy/dicom/{path}").status_code in (403, 404)
    assert len(Archive.asked) == before


@pytest.mark.parametrize(
    ("study", "status"), [("1.1", 504), ("1.2", 502), ("1.3", 502), ("1.4", 404), ("1.6", 502)]
)
def test_a_failing_pacs_is_told_in_our_words(tmp_path, archive, study, status):
    with client_of(settings_of(tmp_path, archive, proxy_s=1.0)) as client:
        answer = client.get(f"/proxy/dicom/wado/studies/{study}")
    assert answer.status_code == status
    assert set(answer.json()) == {"detail", "remedy", "request_id"}
    assert "stack trace" not in answer.text


def test_a_pacs_that_is_not_there_is_told(tmp_path):
    with client_of(settings_of(tmp_path, "http://127.0.0.1:9/dicom-web")) as client:
        assert client.get("/proxy/dicom/qido/studies").status_code == 502


def test_no_answer_is_passed_on_without_bounds(tmp_path, archive):
    with client_of(settings_of(tmp_path, archive, proxy_mb=1)) as client:
        answer = client.get("/proxy/dicom/wado/studies/1.5")
    assert answer.status_code == 502
    assert len(answer.content) < 1000


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_is_written_to_the_pacs(tmp_path, archive, method):
    with client_of(settings_of(tmp_path, archive)) as client:
        assert client.request(method, "/proxy/dicom/wado/studies").status_code == 405
