"""A PACS that goes away while people work: the server says so, loses nothing, and needs no restart."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import requests

from monai_sfda.label.demo.studies import write_studies
from tests.label.installed import MODEL, Installed
from tests.label.orthanc import started as orthanc_started
from tests.label.servers import started

pytestmark = pytest.mark.long


def test_a_label_that_is_saved_meanwhile_is_kept(installed: Installed, tmp_path: Path):
    scan = sorted(installed.scans.values())[0]
    write_studies([scan], tmp_path / "dicom", "CT", "ABDOMEN")
    shutil.copytree(installed.store, tmp_path / "store")
    options = ["--store", str(tmp_path / "store"), "--device", "cpu"]
    session = requests.Session()
    session.trust_env = False
    with orthanc_started(tmp_path / "orthanc") as orthanc:
        orthanc.store(sorted((tmp_path / "dicom").rglob("*.dcm")))
        with started(orthanc.dicomweb, tmp_path / "home", *options) as server:

            def ask(method: str, path: str, **more: object) -> requests.Response:
                return session.request(method, f"{server.url}{path}", timeout=300, **more)

            series = next(iter(ask("GET", "/datastore/?output=all").json()["objects"]))
            mask = ask("POST", f"/infer/{MODEL}?image={series}&output=image", data={"params": "{}"}).content
            frames = ask("GET", "/proxy/dicom/qido/studies").json()
            assert len(frames) == 1
            orthanc.process.end()

            time.sleep(6)  # health is looked at every five seconds
            assert ask("GET", "/health").status_code == 503
            assert ask("GET", "/health/live").status_code == 200
            assert ask("GET", "/").status_code == 200
            gone = ask("GET", "/proxy/dicom/qido/studies")
            assert gone.status_code == 502
            assert set(gone.json()) == {"detail", "remedy", "request_id"}
            saved = ask(
                "PUT",
                f"/datastore/label?image={series}",
                data={"params": "{}"},
                files={"label": ("mask.nii.gz", mask)},
            )
            assert saved.status_code == 502
            assert "the label is kept here" in saved.json()["detail"]
            labels = ask("GET", f"/datastore/label?label={series}&tag=final")
            assert labels.status_code == 200
    written = (tmp_path / "home" / "logs" / "server.jsonl").read_text(encoding="utf-8")
    assert series not in written
