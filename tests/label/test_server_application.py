"""The whole application, as a client meets it: every endpoint has a role, images are the datastore's."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from starlette.testclient import TestClient

from monai_sfda.label.server.access import RULES, rule_for
from monai_sfda.label.server.application import Server
from monai_sfda.label.server.config import Limits, ServerSettings
from monai_sfda.label.server.users import UserFile
from tests.label.installed import MODEL, Installed

PASSWORD = "a pass phrase for tests"


@pytest.fixture(scope="module")
def server(installed: Installed, tmp_path_factory) -> Iterator[Server]:
    """A server with two users over a folder of two scans."""
    root = tmp_path_factory.mktemp("server")
    users = UserFile(root / "users.json", create=True)
    users.add("reader", PASSWORD, [])
    users.add("other", PASSWORD, [])
    users.add("admin", PASSWORD, ["admin"])
    shutil.copytree(installed.store, root / "store")
    settings = ServerSettings(
        studies=str(installed.copy_studies(root / "studies", 2)),
        home=root / "home",
        users=users.path,
        conf={"store": str(root / "store"), "device": "cpu"},
        limits=Limits(upload_mb=64, session_gb_user=0.05, session_gb=1.0),
    )
    made = Server(settings, log_file=root / "server.jsonl")
    made.users = users
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def tokens(server: Server) -> dict[str, str]:
    """A login of each user."""
    found = {}
    for name in ("reader", "other", "admin"):
        answer = client_of(server).post("/auth/token", data={"username": name, "password": PASSWORD})
        found[name] = answer.json()["access_token"]
    return found


def client_of(server: Server, token: str | None = None) -> TestClient:
    """A client; not to be used in a `with`, whose end would be the server's."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return TestClient(
        server.asgi, base_url="http://127.0.0.1:8000", headers=headers, raise_server_exceptions=False
    )


@pytest.fixture
def client(server: Server, tokens) -> TestClient:
    """The reader's client."""
    return client_of(server, tokens["reader"])


@pytest.fixture
def image(client: TestClient) -> str:
    """An id of the datastore."""
    return sorted(client.get("/datastore/?output=all").json()["objects"])[0]


@pytest.fixture
def scan(installed: Installed) -> Path:
    """A scan to upload."""
    return next(iter(installed.scans.values()))


def routes_of(routes: Any) -> Iterator[tuple[str, str]]:
    """Method and path of every endpoint, those of included routers too."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from routes_of(inner.routes)
        else:
            for method in sorted(getattr(route, "methods", None) or ()):
                yield method, route.path


def sample_path(path: str) -> str:
    """A path of a route with something in place of its parameters."""
    return "/".join("x" if part.startswith("{") else part for part in path.split("/"))


def test_every_endpoint_has_a_role_and_every_rule_an_endpoint(server: Server):
    found = sorted(set(routes_of(server.api.routes)))
    assert len(found) > 60
    without = [(method, path) for method, path in found if rule_for(method, sample_path(path)) is None]
    assert without == []
    used = {rule_for(method, sample_path(path)) for method, path in found}
    assert [rule.path for rule in RULES if rule not in used] == []


def test_only_health_login_and_the_icon_are_open(server: Server):
    open_paths = {rule.path for rule in RULES if rule.role is None}
    assert open_paths == {"/health", "/health/live", "/auth/", "/auth/token", "/login", "/favicon.ico"}


@pytest.mark.parametrize("path", ["/", "/docs", "/ohif/", "/sfda/", "/sfda/drift/page", "/login"])
def test_pages_need_nothing_from_elsewhere(client: TestClient, path: str):
    answer = client.get(path)
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    if path != "/ohif/":
        assert "http://" not in answer.text
        assert "https://" not in answer.text


@pytest.mark.parametrize(
    "path", ["/ohif/assets/favicon-16x16.png", "/ohif/app-config.js", "/ohif/monai-label"]
)
def test_ohif_is_served_with_its_own_files(client: TestClient, path: str):
    answer = client.get(path)
    assert answer.status_code == 200
    assert ("html" in answer.headers["content-type"]) == path.endswith("monai-label")


def test_health_says_little_to_strangers_and_more_to_administrators(server: Server, tokens):
    with_nobody = TestClient(server.asgi, base_url="http://127.0.0.1:8000")
    assert with_nobody.get("/health").json() == {"status": "ready"}
    assert with_nobody.get("/health/live").json() == {"status": "live"}
    assert with_nobody.get("/health/details").status_code == 401
    admin = {"Authorization": f"Bearer {tokens['admin']}"}
    assert with_nobody.get("/health/details", headers=admin).json()["datastore"] == {"ok": True, "images": 2}


def test_a_segmentation_comes_as_the_clients_expect_it(client: TestClient, image: str):
    both = client.post(f"/infer/{MODEL}?image={image}", data={"params": json.dumps({"client_id": "slicer"})})
    assert both.status_code == 200
    assert both.headers["content-type"].startswith("multipart/form-data")
    assert b'"label_names"' in both.content
    mask = client.post(f"/infer/{MODEL}?image={image}&output=image", data={"params": "{}"})
    loaded = nib.Nifti1Image.from_bytes(_plain(mask.content))
    assert set(np.unique(np.asarray(loaded.dataobj))) <= {0, 1, 2, 3, 4}
    told = client.post(f"/infer/{MODEL}?image={image}&output=json", data={"params": "{}"}).json()
    assert told["model_version"] == 1


def _plain(content: bytes) -> bytes:
    import gzip

    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


@pytest.mark.parametrize(
    "named", ["/etc/passwd", "../../etc/passwd", "file:///etc/passwd", "scan-000000000000", "."]
)
def test_no_image_but_the_datastores_is_read(client: TestClient, named: str):
    for answer in (
        client.post(f"/infer/{MODEL}", params={"image": named}, data={"params": "{}"}),
        client.get("/datastore/image", params={"image": named}),
        client.get("/datastore/image/info", params={"image": named}),
    ):
        assert answer.status_code == 404
        assert set(answer.json()) == {"detail", "remedy", "request_id"}
        assert named not in answer.text


@pytest.mark.parametrize("key", ["image", "label_file", "session", "file", "path", "image_path"])
def test_a_clients_options_cannot_name_a_file(client: TestClient, image: str, scan: Path, key: str):
    params = json.dumps({key: str(scan), "result_extension": ".nii.gz"})
    answer = client.post(f"/infer/{MODEL}?output=json", data={"params": params})
    assert answer.status_code == 422, "no image was named that counts"
    assert answer.json()["detail"] == "no scan is named"


@pytest.mark.parametrize(
    ("query", "params", "status"),
    [
        ("", "[1]", 422),
        ("", "{", 422),
        ("", '{"version": "$import(os)"}', 422),
        ("", '{"version": 77}', 409),
        ("&output=exe", "{}", 422),
        ("&session_id=../../x", "{}", 404),
    ],
)
def test_wrong_requests_are_told_why(client: TestClient, image: str, query: str, params: str, status: int):
    answer = client.post(f"/infer/{MODEL}?image={image}{query}", data={"params": params})
    assert answer.status_code == status
    assert set(answer.json()) == {"detail", "remedy", "request_id"}


def test_a_session_is_its_owners_alone_and_can_be_segmented(
    server: Server, client: TestClient, tokens, scan: Path
):
    made = client.put("/session/", files={"files": ("MUELLER.nii.gz", scan.read_bytes())})
    info = made.json()["session_info"]
    assert set(info) == {"name", "path", "image", "meta", "create_ts", "last_access_ts", "expiry"}
    assert "MUELLER" not in made.text
    assert str(server.settings.home) not in made.text
    identifier = made.json()["session_id"]
    assert client.get(f"/session/{identifier}?image=true").content == scan.read_bytes()
    told = client.post(f"/infer/{MODEL}?session_id={identifier}&output=json", data={"params": "{}"})
    assert told.json()["label_names"]
    other = {"Authorization": f"Bearer {tokens['other']}"}
    assert client.get(f"/session/{identifier}", headers=other).status_code == 404
    assert client.delete(f"/session/{identifier}", headers=other).status_code == 404
    assert client.delete(f"/session/{identifier}").status_code == 200
    assert client.get(f"/session/{identifier}").status_code == 404
    assert not list((server.settings.home / "sessions").iterdir())


def test_a_user_has_so_much_room_for_sessions(client: TestClient, server: Server):
    noise = np.random.default_rng(3).integers(0, 255, (20, 1024, 1024), dtype=np.uint8)
    volume = nib.Nifti1Image(noise, np.eye(4)).to_bytes()
    statuses, kept = [], []
    for _ in range(3):
        made = client.put("/session/", files={"files": ("scan.nii", volume)})
        statuses.append(made.status_code)
        kept += [made.json()["session_id"]] if made.status_code == 200 else []
    assert statuses == [200, 200, 413]
    for identifier in kept:
        client.delete(f"/session/{identifier}")


def test_slicers_client_can_upload_with_the_headers_of_an_earlier_request(client: TestClient, scan: Path):
    stale = {"Content-Type": "multipart/form-data; boundary=----------lImIt_of_THE_fIle_eW_$"}
    body = b"".join(
        (
            b"--0123456789abcdef\r\n",
            b'Content-Disposition: form-data; name="files"; filename="scan.nii.gz"\r\n\r\n',
            scan.read_bytes(),
            b"\r\n--0123456789abcdef--\r\n",
        )
    )
    made = client.put("/session/", content=body, headers=stale)
    assert made.status_code == 200, made.text
    identifier = made.json()["session_id"]
    stale["Content-Length"] = str(10**9)
    assert client.get(f"/session/{identifier}", headers=stale).status_code == 200
    assert client.delete(f"/session/{identifier}", headers=stale).status_code == 200


def archive(entries: dict[str, bytes], *, link: str | None = None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
        if link is not None:
            info = zipfile.ZipInfo("link.dcm")
            info.external_attr = 0o120777 << 16
            opened.writestr(info, link)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("scan.nhdr", b"NRRD0004\ndata file: /etc/passwd\n", 422),
        ("scan.mhd", b"ElementDataFile = /etc/passwd\n", 422),
        ("scan.mha", b"ObjectType = Image\nElementDataFile = /etc/passwd\n", 422),
        ("scan.nrrd", b"NRRD0004\ntype: short\ndata file: /etc/passwd\n\n", 422),
        ("scan.exe", b"MZ", 422),
        ("scan.zip", b"no archive", 422),
        ("scan.zip", archive({"../../evil.dcm": b"x"}, link="/etc/passwd"), 422),
        ("scan.zip", archive({"bomb.dcm": bytes(100 * 2**20)}), 413),
        ("scan.zip", archive({}), 422),
    ],
)
def test_uploads_that_reach_for_more_are_refused(server: Server, client: TestClient, name, content, status):
    answer = client.put("/session/", files={"files": (name, content)})
    assert answer.status_code == status, answer.text
    assert not list((server.settings.home / "sessions").iterdir()), "nothing is left behind"


def test_an_archives_files_stay_in_their_session(server: Server, client: TestClient):
    answer = client.put(
        "/session/", files={"files": ("a.zip", archive({"../../../evil.dcm": b"x", "b/c.dcm": b"y"}))}
    )
    assert answer.status_code == 200
    identifier = answer.json()["session_id"]
    stored = sorted(
        path.name for path in (server.settings.home / "sessions" / identifier / "image").iterdir()
    )
    assert stored == ["000000.dcm", "000001.dcm"]
    client.delete(f"/session/{identifier}")


def test_a_record_says_nothing_that_a_client_made_up(client: TestClient, image: str):
    info = {"sfda": {MODEL: {"shift": 0}}, "Manufacturer": "none", "subject": "9", "note": "checked"}
    assert (
        client.put(f"/datastore/image/info?image={image}", data={"info": json.dumps(info)}).status_code == 200
    )
    kept = client.get(f"/datastore/image/info?image={image}").json()
    assert kept.get("note") == "checked"
    assert "sfda" not in kept or MODEL not in kept["sfda"] or kept["sfda"][MODEL].get("shift") != 0
    assert kept.get("Manufacturer") != "none"
    assert kept.get("subject") != "9"


def test_readers_delete_and_adapt_nothing(client: TestClient, image: str):
    assert client.delete(f"/datastore/image?id={image}").status_code == 403
    assert client.delete(f"/datastore/label?id={image}&tag=final").status_code == 403
    assert client.post(f"/train/adapt_{MODEL}", json={}).status_code == 403
    assert client.post(f"/batch/infer/{MODEL}", json={}).status_code == 403
    assert client.post(f"/sfda/models/{MODEL}/versions/2/activate", json={}).status_code == 403
    assert client.get("/logs/").status_code == 403
    assert client.get("/datastore/dataset").status_code == 403


def test_a_label_is_saved_in_the_name_of_who_was_logged_in(
    client: TestClient, installed: Installed, image: str
):
    mask = client.post(f"/infer/{MODEL}?image={image}&output=image", data={"params": "{}"}).content
    params = {"label_info": [{"name": "liver"}], "saved_by": "somebody else"}
    saved = client.put(
        f"/datastore/label?image={image}",
        data={"params": json.dumps({"saved_by": params["saved_by"]})},
        files={"label": ("mask.nii.gz", mask)},
    )
    assert saved.status_code == 200, saved.text
    identifier = saved.json()["label"]
    told = client.get(f"/datastore/label/info?label={identifier}&tag=final")
    assert "somebody else" not in told.text
    assert client.get(f"/datastore/label?label={identifier}&tag=final").status_code == 200


def test_many_studies_are_segmented_in_one_run(server: Server, client: TestClient, tokens):
    admin = {"Authorization": f"Bearer {tokens['admin']}"}
    run = client.post(
        f"/batch/infer/{MODEL}?images=all&run_sync=true", headers=admin, json={"save_label": False}
    ).json()
    assert run["status"] == "DONE"
    assert run["details"] == ["2 of 2 studies segmented"]
    assert client.get("/batch/infer").json()["id"] == run["id"]
    assert client.get("/batch/infer?check_if_running=true").status_code == 404
    assert len(client.get("/batch/infer?all=true").json()) == 1


def test_a_full_queue_says_busy(server: Server, client: TestClient, image: str):
    users = ["reader"] * (server.turns.most // 2)
    for name in users:
        server.turns.enter(name)
    try:
        own = client.post(f"/infer/{MODEL}?image={image}", data={"params": "{}"})
        server.turns.enter("other")
        server.turns.leave("other")
    finally:
        for name in users:
            server.turns.leave(name)
    assert own.status_code == 503
    assert int(own.headers["retry-after"]) > 0
    assert client.post(f"/infer/{MODEL}?image={image}&output=json", data={"params": "{}"}).status_code == 200


def test_the_list_for_training_names_no_folder_of_the_server(server: Server, client: TestClient):
    answer = client.get("/datastore/?output=train")
    assert answer.status_code == 200
    assert str(Path(server.settings.studies)) not in answer.text
