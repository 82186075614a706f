"""MONAI Label's own `start_server` runs the app, from the folder that it looks for apps in."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
import requests

from tests.builders import REPOSITORY


@pytest.fixture
def address(installed, tmp_path):
    """Of a server with the sources of the app in a folder of their own; it has ended when the test has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shutil.copytree(REPOSITORY / "apps" / "sfda", tmp_path / "app")
    studies = installed.copy_studies(tmp_path / "studies", 1)
    words = [*(sys.executable, "-m", "monailabel.main", "start_server"), "--app", str(tmp_path / "app")]
    words += ["--studies", str(studies), "--host", "127.0.0.1", "--port", str(port)]
    words += ["--conf", "bundles", str(installed.source_run), "--conf", "device", "cpu"]
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(words, cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT)
        try:
            base = f"http://127.0.0.1:{port}"
            for _ in range(240):
                assert server.poll() is None, (tmp_path / "log").read_text(encoding="utf-8")[-3000:]
                try:
                    requests.get(f"{base}/info/", timeout=60)
                    break
                except requests.ConnectionError:
                    time.sleep(1)
            yield base
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0


@pytest.mark.long
def test_the_stock_server_runs_the_app(address):
    info = requests.get(f"{address}/info/", timeout=60).json()
    assert info["models"]["abdomen"]["sfda"]["active_version"] == 1
    image = requests.post(f"{address}/activelearning/random", timeout=60).json()["id"]
    found = requests.post(
        f"{address}/infer/abdomen?image={image}&output=json",
        files={"params": (None, json.dumps({"largest_component": "true"}))},
        timeout=120,
    )
    assert found.status_code == 200
    assert found.json()["model_version"] == 1
    path = requests.post(f"{address}/infer/abdomen?image=/etc/passwd&output=json", timeout=60)
    assert path.status_code >= 400
