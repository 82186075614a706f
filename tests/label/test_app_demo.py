"""`make app-demo`'s command for real: Orthanc and the server start, answer, and both end with it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests

from monai_sfda.label.demo.orthanc import missing
from monai_sfda.label.demo.processes import free_port
from monai_sfda.label.demo.studies import PhantomStudy
from tests.label.trained import MODEL, Trained, trained  # noqa: F401

DEMO = [sys.executable, "-m", "monai_sfda.label.demo"]
SECONDS = 900


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_starts_both_prints_addresses_and_leaves_nothing_behind(
    trained: Trained,  # noqa: F811
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    absent = missing()
    if absent:
        pytest.skip(absent)
    port, log = free_port(), tmp_path / "demo.log"
    words = ["--out", str(tmp_path / "demo"), "--task", MODEL, "--subjects", "4", "--matrix", "48"]
    words += ["--bundles", str(trained.bundles), "--port", str(port), "--pacs-port", str(free_port())]
    with log.open("w") as stream:
        demo = subprocess.Popen([*DEMO, *words], stdout=stream, stderr=subprocess.STDOUT)
    try:
        said = wait_for(log, "Ready.", demo)
        study = re.search(r"StudyInstanceUIDs=([0-9.]+)", said)
        assert study is not None
        server = f"http://127.0.0.1:{port}"
        assert MODEL in get(f"{server}/info/").json()["models"]
        series = get(f"{server}/proxy/dicom/qido/studies/{study[1]}/series").json()
        assert [entry["00080060"]["Value"] for entry in series] == [["CT"]]
        for address in re.findall(r"http://\S+", said):
            place = f"{address}/studies" if address.endswith("/dicom-web") else address
            assert get(place).status_code == 200, address
        children = psutil.Process(demo.pid).children(recursive=True)
        assert len(children) >= 2
    finally:
        demo.send_signal(number)
        status = demo.wait(120)
    assert status == 0
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def wait_for(log: Path, words: str, process: subprocess.Popen[bytes]) -> str:
    """The log once it holds the words and the addresses after them."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        said = log.read_text()
        if words in said and "dicom-web" in said:
            return said
        assert process.poll() is None, said
        time.sleep(0.5)
    raise AssertionError(f"not ready after {SECONDS} s: {log.read_text()}")


def get(address: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(address, timeout=60)


def test_without_orthanc_it_names_the_packages(tmp_path: Path, monkeypatch, capsys) -> None:
    """Before anything is simulated or trained."""
    from monai_sfda.label.demo import __main__ as demo
    from monai_sfda.label.demo import orthanc

    monkeypatch.setattr(orthanc, "PLUGIN", tmp_path / "nowhere.so")
    monkeypatch.setattr(sys, "argv", ["demo", "--out", str(tmp_path / "out")])
    assert demo.main() == 1
    said = capsys.readouterr().err
    assert said.startswith("monai_sfda: error: ")
    assert "apt-get install" in said
    assert "orthanc-dicomweb" in said
    assert not (tmp_path / "out").exists()


def test_instances_of_many_studies_have_identifiers_of_their_own() -> None:
    uids = {
        PhantomStudy(number, "CT", "HEART", series=series).uid("instance", instance)
        for number in range(1, 30)
        for series in (1, 12)
        for instance in range(1, 30)
    }
    assert len(uids) == 29 * 2 * 29
    assert all(len(uid) <= 64 for uid in uids)
