"""What a client sends can be written again as JSON: no record of one user breaks the lists of all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import anyio
import pytest
from fastapi import HTTPException, Request
from starlette.testclient import TestClient

from monai_sfda.label.server.strict_json import parse_json, refuse_loose_json
from tests.label.installed import MODEL, Installed
from tests.label.servers import in_process

LOOSE = {
    "NaN": '{"note": NaN}',
    "infinity": '{"note": [1, {"deep": -Infinity}]}',
    "a number beyond all": '{"note": 1e999}',
    "half a pair": '{"note": "\\ud800"}',
    "half a pair, deep": '{"note": [{"deep": "\\udc00"}]}',
    "half a pair in a key": '{"note": {"\\ud800": 1}}',
}
"""Texts that Python's parser takes and JSON's writers do not."""


@pytest.fixture(scope="module")
def client(installed: Installed, tmp_path_factory) -> Iterator[TestClient]:
    """A client of a server over two scans."""
    root = tmp_path_factory.mktemp("strict")
    with in_process(installed.copy_studies(root / "studies", 2), installed.store, root / "home") as made:
        yield made[1]


@pytest.fixture
def image(client: TestClient) -> str:
    """An id of the datastore."""
    return sorted(client.get("/datastore/?output=all").json()["objects"])[0]


@pytest.mark.parametrize("text", LOOSE.values(), ids=LOOSE)
def test_an_object_that_cannot_be_written_again_is_refused(text: str):
    with pytest.raises(HTTPException, match="params") as refused:
        parse_json(text, "params")
    assert refused.value.status_code == 422


def test_every_text_and_number_that_json_has_is_taken():
    text = (
        '{"\\ud83d\\ude00": "\\u00e4\\u0000", "deep": [1.5, -3, true, null, 123456789012345678901234567890]}'
    )
    assert parse_json(text, "params")["\U0001f600"] == "ä\0"
    assert parse_json("", "params") == parse_json(None, "params") == {}


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_nothing_waits_for_a_body_that_slicers_client_only_announces(method: str):
    """It keeps the headers of its last POST: type and length of a body that does not come."""

    async def never() -> NoReturn:
        raise AssertionError("the body was waited for")

    headers = [(b"content-type", b"application/json"), (b"content-length", b"70")]
    anyio.run(refuse_loose_json, Request({"type": "http", "method": method, "headers": headers}, never))


@pytest.mark.parametrize("text", LOOSE.values(), ids=LOOSE)
def test_nobody_breaks_the_list_of_all_images(client: TestClient, image: str, text: str):
    json_kind = {"Content-Type": "application/json; charset=utf-8"}
    sample = text.replace('"note"', '"client_id"')
    answers = [
        client.put(f"/datastore/image/info?image={image}", data={"info": text}),
        client.put(
            f"/datastore/label?image={image}", data={"params": text}, files={"label": ("l.nii.gz", b"x")}
        ),
        client.put("/datastore/image?image=new", data={"params": text}, files={"file": ("l.nii.gz", b"x")}),
        client.post(f"/infer/{MODEL}?image={image}", data={"params": text}),
        client.post("/activelearning/random", content=sample, headers=json_kind),
        client.post(f"/batch/infer/{MODEL}", content=text, headers=json_kind),
        client.post("/train/", content=text, headers=json_kind),
        client.post("/scoring/", content=text, headers=json_kind),
    ]
    for answer in answers:
        assert answer.status_code == 422, answer.request.url
        assert isinstance(answer.json()["detail"], str)
    assert client.get("/datastore/?output=all").status_code == 200


def test_an_encoding_of_a_form_brings_no_half_pair_in(client: TestClient, image: str):
    body = b'--b\r\nContent-Disposition: form-data; name="info"\r\n\r\n{"note": "+2AA-"}\r\n--b--\r\n'
    for charset in ("utf-7", "unicode_escape"):
        kind = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
        told = body if charset == "utf-7" else body.replace(b"+2AA-", rb"\ud800")
        answer = client.put(f"/datastore/image/info?image={image}", content=told, headers=kind)
        assert answer.status_code == 422
    assert client.get("/datastore/?output=all").status_code == 200


def test_an_images_info_answers_for_no_other_image(client: TestClient, image: str):
    info = (
        '{"id": "other", "next_study": {"reason": "mine"}, "label_info": [], "strategy": 3, "note": "seen"}'
    )
    assert client.put(f"/datastore/image/info?image={image}", data={"info": info}).status_code == 200
    images = set(client.get("/datastore/?output=all").json()["objects"])
    for _ in images:
        found = client.post("/activelearning/random", json={}).json()
        assert found["id"] in images
        assert found["next_study"]["reason"] != "mine"
        assert "label_info" not in found
    assert client.get(f"/datastore/image/info?image={image}").json()["note"] == "seen"
