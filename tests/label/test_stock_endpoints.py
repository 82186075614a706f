"""MONAI Label's own endpoints answer from our server as from the stock radiology application: the same status
and JSON with at least the same entries. What differs differs on purpose and is listed with its reason.
"""

from __future__ import annotations

import gzip
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import requests

from tests.label.servers import started
from tests.label.shapes import lacks, shape
from tests.label.stock_server import started_stock
from tests.label.trained import MODEL, Trained, trained  # noqa: F401

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
INFO_PER_IMAGE = {"info": json.dumps({"checked": True})}
LABEL_PARAMS = {"params": json.dumps({"client_id": "user-x"})}


@dataclass(frozen=True)
class Answer:
    """What a server said.

    Attributes:
        status: HTTP.
        kind: content type without its parameters.
        content: JSON; None where it is something else.
    """

    status: int
    kind: str
    content: Any


class Conversation:
    """The same requests to one of the two servers; later ones need what earlier ones were answered.

    Args:
        url: of the server.
        image: file of one of its studies.
        model: that it serves.
    """

    def __init__(self, url: str, image: Path, model: str) -> None:
        self.url, self.image, self.model = url, image, model
        self.answers: dict[str, Answer] = {}
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Connection"] = "close"  # the stock server drops it after a 500

    def ask(self, name: str, method: str, path: str, **more: Any) -> Any:
        """Notes the answer under a name; returns its JSON."""
        answer = self._session.request(method, f"{self.url}{path}", timeout=300, **more)
        kind = answer.headers.get("content-type", "").partition(";")[0]
        content = answer.json() if kind == "application/json" and answer.content else None
        self.answers[name] = Answer(answer.status_code, kind, content)
        return content

    def file(self, name: str = "image.nii.gz") -> dict[str, Any]:
        """The study as an upload."""
        return {"file": (name, self.image.read_bytes())}

    def label(self, image: dict[str, str]) -> dict[str, Any]:
        """A label on the grid of a study of the datastore, as an upload."""
        content = self._session.get(f"{self.url}/datastore/image", params=image, timeout=300).content
        scan = nibabel.Nifti1Image.from_bytes(gzip.decompress(content))
        drawn = np.zeros(scan.shape, np.uint8)
        drawn[4:9, 20:40, 20:40] = 1
        return {"label": ("label.nii", nibabel.Nifti1Image(drawn, scan.affine).to_bytes())}

    def hold(self) -> dict[str, Answer]:
        """All requests, one after the other."""
        self.ask("info", "GET", "/info/")
        self._activelearning()
        self._sessions()
        self._logs()
        self._datastore()
        self._batch()
        return self.answers

    def _activelearning(self) -> None:
        self.ask("next sample", "POST", "/activelearning/random", json={"client_id": "user-x"})
        self.ask("next sample without a body", "POST", "/activelearning/random")
        self.ask("next sample, unknown strategy", "POST", "/activelearning/nosuch", json={})

    def _sessions(self) -> None:
        files = [("files", ("image.nii.gz", self.image.read_bytes()))]
        number = self.ask("session", "PUT", "/session/", files=files)["session_id"]
        self.ask("session, look", "GET", f"/session/{number}")
        self.ask("session, touch", "GET", f"/session/{number}", params={"update_ts": "true"})
        self.ask("session, image", "GET", f"/session/{number}", params={"image": "true"})
        self.ask("session, end", "DELETE", f"/session/{number}")
        self.ask("session, ended", "GET", f"/session/{number}")
        self.ask("session, end again", "DELETE", f"/session/{number}")
        self.ask("session without files", "PUT", "/session/")

    def _logs(self) -> None:
        self.ask("logs", "GET", "/logs/", params={"lines": "5"})
        self.ask("logs as text", "GET", "/logs/", params={"lines": "5", "text": "true"})
        self.ask("logs, all", "GET", "/logs/", params={"lines": "0"})
        self.ask("logs, GPU", "GET", "/logs/gpu")

    def _datastore(self) -> None:
        self.ask("datastore", "GET", "/datastore/")
        objects = self.ask("datastore, all", "GET", "/datastore/", params={"output": "all"})["objects"]
        image = {"image": sorted(objects)[0]}
        self.ask("datastore, of another kind", "GET", "/datastore/", params={"output": "nosuch"})
        self.ask("image", "GET", "/datastore/image", params=image)
        self.ask("image, there", "HEAD", "/datastore/image", params=image)
        self.ask("image, unknown", "GET", "/datastore/image", params={"image": "nosuch"})
        self.ask("image info", "GET", "/datastore/image/info", params=image)
        self.ask("image info, put", "PUT", "/datastore/image/info", params=image, data=INFO_PER_IMAGE)
        saved = {"params": image, "files": self.label(image), "data": LABEL_PARAMS}
        self.ask("label, put", "PUT", "/datastore/label", **saved)
        label = {"label": image["image"], "tag": "final"}
        self.ask("label", "GET", "/datastore/label", params=label)
        self.ask("label, there", "HEAD", "/datastore/label", params={**image, "tag": "final"})
        self.ask("label info", "GET", "/datastore/label/info", params=label)
        self.ask("label info, put", "PUT", "/datastore/label/info", params=label, data=INFO_PER_IMAGE)
        self.ask("datastore, labelled", "GET", "/datastore/")
        self.ask("datastore, all, labelled", "GET", "/datastore/", params={"output": "all"})
        self.ask("datastore, to train", "GET", "/datastore/", params={"output": "train"})
        self.ask("label, delete", "DELETE", "/datastore/label", params={"id": image["image"], "tag": "final"})
        added = self.ask(
            "image, put", "PUT", "/datastore/image", params={"image": "added"}, files=self.file()
        )
        self.ask("image, delete", "DELETE", "/datastore/image", params={"id": added["image"]})

    def _batch(self) -> None:
        self.ask("batch, none yet", "GET", "/batch/infer")
        self.ask("batch, running", "GET", "/batch/infer", params={"check_if_running": "true"})
        self.ask("batch, start", "POST", f"/batch/infer/{self.model}", json={"device": "cpu"})
        self._until_running()
        self.ask("batch, look", "GET", "/batch/infer")
        self.ask("batch, all", "GET", "/batch/infer", params={"all": "true"})
        self.ask("batch, stop", "DELETE", "/batch/infer")

    def _until_running(self) -> None:
        """Neither application has anything to stop before the job's process has begun."""
        deadline = time.monotonic() + 60
        while self._session.get(f"{self.url}/batch/infer", timeout=300).json()["status"] != "RUNNING":
            assert time.monotonic() < deadline
            time.sleep(0.02)


DIFFERENT_STATUS: dict[str, tuple[int, int, str]] = {
    "next sample, unknown strategy": (
        500,
        404,
        "an exception of the stock application; ours says what there is",
    ),
    "logs, GPU": (500, 404, "the stock application fails without nvidia-smi; ours says that there is no GPU"),
}
"""Request to (stock, ours) and why."""
_OWN_OPTIONS = (
    "name pretrained max_epochs early_stop_patience val_split train_batch_size val_batch_size multi_gpu gpus"
)
_OWN_OPTIONS += " dataset dataloader tracking tracking_uri tracking_experiment_name"
DIFFERENT_CONTENT: dict[tuple[str, str], str] = {
    **{
        (
            "info",
            f"trainers.*.config.{name}",
        ): "an option of the stock trainer; clients show what config holds"
        for name in _OWN_OPTIONS.split()
    },
    (
        "info",
        "trainers.*.labels",
    ): "the stock trainer's own; no client reads it, and the model's entry has them",
    **{
        (
            name,
            place,
        ): "the stock strategy's own; a path of the server, and the lot's number, are nobody's business"
        for name in ("next sample", "next sample without a body")
        for place in ("path", "weight")
    },
    ("image info", "path"): "a path of the server",
    ("session without files", "detail[].input"): "what a client sent is not repeated in errors",
    ("datastore, of another kind", "detail[].input"): "what a client sent is not repeated in errors",
    ("datastore, of another kind", "detail[].ctx"): "the parser's own words; `msg` says the same",
    **{
        (
            name,
            f"{at}request.{option}",
        ): "the batch computes where the server was told to, not where a client says"
        for name, at in (
            ("batch, start", ""),
            ("batch, look", ""),
            ("batch, all", "[]."),
            ("batch, stop", ""),
        )
        for option in ("device", "gpus")
    },
}
"""Request and place in its JSON, where ours lacks what the stock one has, to why."""


@pytest.fixture(scope="module")
def answers(trained: Trained, tmp_path_factory) -> tuple[dict[str, Answer], dict[str, Answer]]:  # noqa: F811
    """What the stock server and ours answer, each with its own copy of the same studies."""
    said = []
    for name in ("stock", "ours"):
        root = tmp_path_factory.mktemp(name)
        studies = root / "studies"
        studies.mkdir()
        for scan in trained.studies[:2]:
            shutil.copyfile(scan.image, studies / scan.image.name)
        image = studies / trained.studies[0].image.name
        if name == "stock":
            with started_stock(studies, root) as url:
                said.append(Conversation(url, image, "segmentation_spleen").hold())
        else:
            options = ["--bundles", str(trained.bundles), "--device", "cpu"]
            with started(studies, root / "home", *options) as server:
                said.append(Conversation(server.url, image, MODEL).hold())
    return said[0], said[1]


def test_every_status_is_that_of_the_stock_application_or_listed(answers):
    stock, ours = answers
    assert stock.keys() == ours.keys()
    found = {
        name: (stock[name].status, ours[name].status)
        for name in stock
        if stock[name].status != ours[name].status
    }
    assert found == {name: entry[:2] for name, entry in DIFFERENT_STATUS.items()}


def test_every_answer_has_what_the_stock_one_has_or_is_listed(answers):
    stock, ours = answers
    found = {
        (name, place): words
        for name in stock
        if stock[name].status == ours[name].status and stock[name].content is not None
        for place, words in lacks(shape(ours[name].content), shape(stock[name].content)).items()
    }
    assert found.keys() == DIFFERENT_CONTENT.keys(), found


def test_no_refusal_is_bare(answers):
    """Where the stock application fails with a bare 500, ours says why, and under which request's number."""
    for name, answer in answers[1].items():
        if answer.status >= 400 and answer.content is not None:
            assert answer.content["detail"], name
            assert answer.content["request_id"], name
        assert answer.status < 500 or answer.status == 503, name


def test_files_come_as_files(answers):
    stock, ours = answers
    for name in ("session, image", "image", "label", "logs as text"):
        assert ours[name].content is None, name
        assert ours[name].kind.split("/")[0] == stock[name].kind.split("/")[0], name
