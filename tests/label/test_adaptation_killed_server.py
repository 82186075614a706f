"""A real server is killed during a real adaptation; the next one ends what is left and goes on with it."""

import shutil

import pytest
import requests

from monai_sfda.label.adaptation.job_process import marked
from tests.label.adaptation_site import until
from tests.label.servers import started

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]
SECONDS = 500.0


def test_an_adaptation_survives_its_servers_death(installed, tmp_path):
    shutil.copytree(installed.store, tmp_path / "store")
    studies = installed.copy_studies(tmp_path / "studies")
    options = ["--store", str(tmp_path / "store"), "--device", "cpu"]
    with started(studies, tmp_path / "home", *options) as server:
        begun = requests.post(
            f"{server.url}/train/adapt_abdomen", json={"method": "tent", "epochs": 60}, timeout=60
        ).json()
        path = f"/sfda/jobs/{begun['id']}"
        until(lambda: requests.get(server.url + path, timeout=60).json()["progress"]["epoch"] >= 2, SECONDS)
        assert requests.get(f"{server.url}/train/?check_if_running=true", timeout=60).status_code == 200
        stats = requests.get(f"{server.url}/info/", timeout=60).json()["train_stats"]
        assert next(iter(stats)) == "adapt_abdomen"
        assert stats["adapt_abdomen"]["epoch"] >= 2
        server.process.process.kill()
        server.process.process.wait()
        assert marked(begun["id"]), "the adaptation outlives a server that is killed"
    with started(studies, tmp_path / "home", *options) as server:
        found = requests.get(server.url + path, timeout=60).json()
        assert (found["status"], found["job"]["interrupted"]) == ("STOPPED", True)
        assert not marked(begun["id"])
        assert requests.post(f"{server.url}{path}/resume", timeout=60).json()["status"] == "SUBMITTED"
        until(
            lambda: requests.get(server.url + path, timeout=60).json()["status"] in ("DONE", "ERROR"), SECONDS
        )
        found = requests.get(server.url + path, timeout=60).json()
        assert found["status"] == "DONE", found["job"]["reason"]
        assert found["job"]["attempts"] == 2
        assert requests.get(server.url + found["report"], timeout=60).status_code == 200
        page = requests.get(f"{server.url}/sfda/", timeout=60)
        assert begun["id"] in page.text
        log = requests.get(f"{server.url}{path}/log", timeout=60).text
        assert "going on after iteration" in log
        number = found["job"]["version"]
        shown = f"{server.url}/sfda/models/abdomen/versions/{number}/before_after/0"
        assert requests.get(f"{shown}.png", timeout=300).content.startswith(b"\x89PNG")
        assert set(requests.get(shown, timeout=60).json()["volumes_ml"]) == {"before", "after"}
