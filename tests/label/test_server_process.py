"""The server as a process of its own: it starts, keeps patients out of its log, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import requests
from monailabel.client import MONAILabelClient

from monai_sfda.label.demo.processes import free_port
from monai_sfda.label.demo.serving import serve_command
from tests.label.installed import MODEL, Installed
from tests.label.servers import PASSWORDS, add_users, started

pytestmark = pytest.mark.long
SECRET = "MUELLER_HANS_1961"


def site(installed: Installed, root: Path) -> tuple[Path, list[str]]:
    """A folder of studies, one with a name in it, and the options of a server over a copy of the store."""
    studies = installed.copy_studies(root / "studies", 2)
    first = sorted(studies.glob("*.nii.gz"))[0]
    first.rename(first.with_name(f"{SECRET}.nii.gz"))
    shutil.copytree(installed.store, root / "store")
    return studies, ["--store", str(root / "store"), "--device", "cpu"]


def test_slicers_client_works_and_the_log_names_no_patient(installed: Installed, tmp_path: Path):
    studies, options = site(installed, tmp_path)
    users = add_users(tmp_path / "users.json")
    home = tmp_path / "home"
    folder = tmp_path / "client"
    folder.mkdir()
    with started(studies, home, "--users", str(users), *options) as server:
        client = MONAILabelClient(server.url, tmpdir=str(folder))
        assert client.auth_enabled()
        client.update_auth(client.auth_token("reader", PASSWORDS["reader"]))
        assert client.auth_valid_token()
        assert MODEL in client.info()["models"]
        image = client.next_sample("random", {})["id"]
        mask, told = client.infer(MODEL, image, {})
        assert told["label_names"]
        client.save_label(
            image, mask, params={"label_info": [{"name": name} for name in told["label_names"]]}
        )
        scan = str(studies / f"{SECRET}.nii.gz")
        session = client.create_session(scan)["session_id"]
        _, told = client.infer(MODEL, "", {}, session_id=session)
        assert told["label_names"]
        for wrong in (f"/infer/{MODEL}?image={SECRET}", f"/infer/{SECRET}?image={image}"):
            requests.post(
                f"{server.url}{wrong}", data={"params": SECRET}, headers=client._headers, timeout=60
            )
        client.update_auth(client.auth_token("admin", PASSWORDS["admin"]))
        logs = requests.get(f"{server.url}/logs/?text=true", headers=client._headers, timeout=60)
        assert logs.status_code == 200
    lines = (home / "logs" / "server.jsonl").read_text(encoding="utf-8").splitlines()
    parsed = [json.loads(line) for line in lines]
    routes = {line.get("route") for line in parsed}
    assert {"/infer/{}", "/datastore/label", "/session/", "/auth/token"} <= routes
    assert {line.get("user") for line in parsed} >= {"reader", "admin"}
    written = "\n".join(lines) + server.process.log.read_text(encoding="utf-8")
    for private in (
        SECRET,
        image,
        session,
        str(studies),
        *PASSWORDS.values(),
        client._headers["Authorization"],
    ):
        assert private not in written
    assert (home / "logs" / "server.jsonl").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_end_in_the_middle_of_work_leaves_no_process(
    installed: Installed, tmp_path: Path, number: signal.Signals
):
    studies, options = site(installed, tmp_path)
    with started(studies, tmp_path / "home", *options) as server:
        process = psutil.Process(server.process.process.pid)
        client = MONAILabelClient(server.url, tmpdir=str(tmp_path))
        image = client.next_sample("random", {})["id"]
        client.train_start(f"adapt_{MODEL}", {"method": "adabn", "budget": "quick"})
        working = threading.Thread(target=lambda: _try(client, image), daemon=True)
        working.start()
        deadline = time.monotonic() + 120
        while not process.children(recursive=True) and time.monotonic() < deadline:
            time.sleep(0.2)
        children = process.children(recursive=True)
        assert children, "the adaptation runs in a process of its own"
        began = time.monotonic()
        process.send_signal(number)
        server.process.process.wait(90)
        assert time.monotonic() - began < 75
        _, left = psutil.wait_procs(children, timeout=5)
        assert left == []
        assert server.process.process.returncode == 0


def _try(client: MONAILabelClient, image: str) -> None:
    try:
        client.infer(MODEL, image, {})
    except Exception:
        return


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "--users"),
        (["--conf", "modles=all"], "models"),
        (["--activation", "maybe"], "activation"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(tmp_path: Path, options: list[str], said: str):
    (tmp_path / "studies").mkdir()
    done = subprocess.run(
        serve_command(tmp_path / "studies", tmp_path / "home", free_port(), *options),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("monai_sfda: error: ")
    assert said in last
    assert str(tmp_path) not in last


def test_a_port_that_is_taken_is_said_at_once(tmp_path: Path):
    (tmp_path / "studies").mkdir()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = serve_command(tmp_path / "studies", tmp_path / "home", free_port())
        words[words.index("--port") + 1] = str(taken.getsockname()[1])
        done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1
    assert "--port" in done.stderr.strip().splitlines()[-1]


def test_users_are_kept_on_the_command_line(tmp_path: Path):
    file = str(tmp_path / "users.json")

    def users(*words: str, password: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "monai_sfda", "users", *words],
            input=password,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    assert users("add", file, "anna", "--roles", "adapter", password="a pass phrase\n").returncode == 0
    assert users("list", file).stdout == "anna: adapter, user\n"
    short = users("add", file, "bert", password="short\n")
    assert (short.returncode, "10 to 256" in short.stderr) == (1, True)
    assert users("remove", file, "anna").returncode == 0
    assert users("list", file).stdout == ""
