"""MONAI Label's own radiology application, as its wheel has it, as a process: what ours is compared with."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from monai_sfda.label.demo.processes import LOOPBACK, free_port, running, wait_until

_START = (
    "from monai_sfda.label.stock import prepare; prepare(); from monailabel.main import Main; Main().run()"
)
SECONDS = 600.0


@contextmanager
def started_stock(studies: Path, folder: Path) -> Iterator[str]:
    """The address of the stock application with one model, untrained, and no network.

    Args:
        studies: folder that it takes as its datastore, and writes into.
        folder: for its copy and its log.
    """
    app = Path(sys.prefix) / "monailabel" / "sample-apps" / "radiology"
    if not app.is_dir():
        pytest.skip("the wheel's sample applications are not installed where sys.prefix says")
    shutil.copytree(app, folder / "app", ignore=shutil.ignore_patterns("logs", "model", "__pycache__"))
    port = free_port()
    command = [sys.executable, "-c", _START, "start_server", "--app", str(folder / "app")]
    command += ["--studies", str(studies), "--host", LOOPBACK, "--port", str(port)]
    for name, value in (
        ("models", "segmentation_spleen"),
        ("use_pretrained_model", "false"),
        ("sam2", "false"),
    ):
        command += ["--conf", name, value]
    url = f"http://{LOOPBACK}:{port}"

    def answers() -> bool:
        try:
            return requests.get(f"{url}/info/", timeout=60).status_code == 200
        except requests.RequestException:
            return False

    environment = {"CUDA_VISIBLE_DEVICES": "", "NO_PROXY": LOOPBACK}
    with running("the stock server", command, folder / "stock.log", environment=environment) as process:
        wait_until(answers, process, seconds=SECONDS)
        yield url
