"""Uploaded scans end with their time, and TLS is spoken with the hospital's own certificates."""

from __future__ import annotations

import json
import os
import resource
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fastapi import FastAPI, UploadFile
from starlette.testclient import TestClient

from monai_sfda.errors import DataError, SettingError
from monai_sfda.label.server.answers import TooLargeError, install_handlers
from monai_sfda.label.server.config import Limits, ServerSettings
from monai_sfda.label.server.home import own_home
from monai_sfda.label.server.proxy import Pacs, proxy_router
from monai_sfda.label.server.roles import User
from monai_sfda.label.server.sessions import BoundedSessions
from monai_sfda.label.studies.open import Credentials
from tests.label.certificates import make_certificate

ANNA, BERT = User("anna", frozenset()), User("bert", frozenset())
KILOBYTE = 2**10 / 2**30


def upload(size: int) -> list[UploadFile]:
    """A volume of so many bytes and its header."""
    content = nib.Nifti1Image(np.zeros((1, 1, size), dtype=np.uint8), np.eye(4)).to_bytes()
    return [UploadFile(BytesIO(content), size=len(content), filename="scan.nii")]


def age(sessions: BoundedSessions, identifier: str, seconds: int) -> None:
    """Makes a session older."""
    file = sessions.folder / identifier / "meta.info"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "last_access_ts": content["last_access_ts"] - seconds}))


def test_a_session_ends_with_its_time_and_so_do_its_files(tmp_path: Path):
    sessions = BoundedSessions(tmp_path / "sessions", Limits())
    short = sessions.add_files(upload(100), ANNA, 120, False).name
    long = sessions.add_files(upload(100), ANNA, 0, False).name
    age(sessions, short, 121)
    age(sessions, long, 121)
    assert sessions.remove_expired() == 1
    assert sessions.get_session(short) is None
    assert sessions.get_session(long) is not None
    assert [path.name for path in sessions.folder.iterdir()] == [long]


def test_use_keeps_a_session_and_no_client_asks_for_longer_than_there_is(tmp_path: Path):
    sessions = BoundedSessions(tmp_path / "sessions", Limits(session_hours=1))
    info = sessions.add_files(upload(100), ANNA, 10**9, False)
    assert info.expiry == 3600
    age(sessions, info.name, 3000)
    assert sessions.get_session(info.name) is not None
    age(sessions, info.name, 3000)
    assert sessions.get_session(info.name) is not None, "it was used in between"


def test_what_a_killed_server_left_is_removed(tmp_path: Path):
    sessions = BoundedSessions(tmp_path / "sessions", Limits())
    left = sessions.folder / "incoming-abc"
    (left / "image").mkdir(parents=True)
    fresh = sessions.folder / "incoming-def"
    fresh.mkdir()
    os.utime(left, (time.time() - 7200,) * 2)
    assert sessions.remove_expired() == 1
    assert [path.name for path in sessions.folder.iterdir()] == ["incoming-def"]


def test_a_full_disk_while_a_session_is_used_leaves_it_as_it_was(tmp_path: Path):
    sessions = BoundedSessions(tmp_path / "sessions", Limits())
    name = sessions.add_files(upload(100), ANNA, 0, False).name
    before = (sessions.folder / name / "meta.info").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))  # no file can be written beyond its tenth byte
    try:
        info = sessions.get_session(name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert info is not None
    assert Path(info.image).is_file()
    assert (sessions.folder / name / "meta.info").read_bytes() == before
    assert sorted(path.name for path in (sessions.folder / name).iterdir()) == ["image", "meta.info"]
    assert sessions.get_session(name) is not None


@pytest.mark.parametrize(
    "note", ["", "{", "[1]", "null", '"x"', "{}", '{"meta": 1}', '{"meta": {}, "image": "x", "expiry": "x"}']
)
def test_a_scan_whose_note_was_damaged_does_not_stay(tmp_path: Path, note: str):
    sessions = BoundedSessions(tmp_path / "sessions", Limits())
    damaged, whole = (sessions.add_files(upload(100), ANNA, 0, False).name for _ in range(2))
    (sessions.folder / damaged / "meta.info").write_text(note)
    assert sessions.get_session(damaged) is None
    assert sessions.remove_expired() == 0, "it may be written just now"
    os.utime(sessions.folder / damaged, (time.time() - 3700,) * 2)
    assert sessions.room_of(ANNA) > 0
    assert sessions.remove_expired() == 1
    assert [path.name for path in sessions.folder.iterdir()] == [whole]


def test_a_session_that_is_removed_while_it_is_used_does_not_come_back(tmp_path: Path):
    sessions = BoundedSessions(tmp_path / "sessions", Limits())
    info = sessions.add_files(upload(100), ANNA, 0, False)
    sessions.remove_session(info.name)
    sessions._write_meta_info(info.name, info)
    assert not list(sessions.folder.iterdir())


def test_room_is_counted_for_each_user_and_for_all(tmp_path: Path):
    limits = Limits(session_gb_user=4 * KILOBYTE, session_gb=5 * KILOBYTE)
    sessions = BoundedSessions(tmp_path / "sessions", limits)
    sessions.add_files(upload(2 * 2**10), ANNA, 0, False)
    with pytest.raises(TooLargeError):
        sessions.add_files(upload(2 * 2**10), ANNA, 0, False)
    sessions.add_files(upload(2**10), BERT, 0, False)
    with pytest.raises(TooLargeError):
        sessions.add_files(upload(2**10), BERT, 0, False)


@pytest.mark.parametrize(
    "identifier", ["", "..", "../x", "incoming-abc", "00000000-0000-0000-0000-000000000000"]
)
def test_no_other_folder_is_a_session(tmp_path: Path, identifier: str):
    sessions = BoundedSessions(tmp_path / "sessions", Limits())
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "meta.info").write_text("{}")
    assert sessions.get_session(identifier) is None
    sessions.remove_session(identifier)
    assert (tmp_path / "x" / "meta.info").is_file()


def test_one_server_at_a_time_uses_a_folder_and_its_temporary_files_go(tmp_path: Path):
    home = tmp_path / "home"
    (home / "tmp").mkdir(parents=True)
    (home / "tmp" / "left by a killed server").touch()
    before = tempfile.gettempdir()
    with own_home(home):
        assert Path(tempfile.gettempdir()) == (home / "tmp").resolve()
        assert not list((home / "tmp").iterdir())
        with pytest.raises(SettingError, match="--home"), own_home(home):
            pass
        tempfile.mkdtemp()
    assert tempfile.gettempdir() == before
    assert not (home / "tmp").exists()
    with own_home(home):
        pass


class Page(BaseHTTPRequestHandler):
    """An empty list for every question."""

    def do_GET(self) -> None:
        """Answers."""
        self.send_response(200)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """A certificate that no public authority has signed, and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure_archive(certificate) -> Iterator[str]:
    """The address of a PACS that speaks TLS."""
    server = HTTPServer(("127.0.0.1", 0), Page)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}/dicom-web"
    server.shutdown()


def test_the_pacs_is_trusted_by_its_own_authority_alone(tmp_path: Path, secure_archive: str, certificate):
    strict = ServerSettings(secure_archive, tmp_path)
    trusting = replace(strict, credentials=Credentials(ca_file=certificate[0]))
    statuses = []
    for settings in (strict, trusting):
        app = FastAPI()
        install_handlers(app)
        app.include_router(proxy_router(Pacs(settings)))
        with TestClient(app, raise_server_exceptions=False) as client:
            statuses.append(client.get("/proxy/dicom/qido/studies").status_code)
    assert statuses == [502, 200]


def test_certificates_that_cannot_be_read_are_an_error(tmp_path: Path):
    (tmp_path / "ca.pem").write_text("no certificate")
    settings = ServerSettings(
        "https://127.0.0.1:9", tmp_path, credentials=Credentials(ca_file=tmp_path / "ca.pem")
    )
    with pytest.raises(DataError, match=r"ca\.pem"):
        Pacs(settings)
