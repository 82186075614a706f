"""`monai-sfda serve` as a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from monai_sfda.label.demo.processes import LOOPBACK, Running, free_port, running, wait_until

START_SECONDS = 600.0
"""MONAI Label's imports take half a minute, and many times that on a machine that is busy."""


@dataclass(frozen=True)
class Server:
    """A running server of the app.

    Attributes:
        url: without a slash at the end.
        process: with its log.
    """

    url: str
    process: Running


def serve_command(studies: str | Path, home: Path, port: int, *options: str) -> list[str]:
    """The words of `monai-sfda serve` on loopback, with this Python."""
    words = [sys.executable, "-m", "monai_sfda", "serve", "--studies", str(studies), "--home", str(home)]
    return [*words, "--host", LOOPBACK, "--port", str(port), *options]


@contextmanager
def serving(
    studies: str | Path,
    home: Path,
    *,
    options: Sequence[str] = (),
    port: int | None = None,
    seconds: float = START_SECONDS,
) -> Iterator[Server]:
    """The server on loopback for as long as the block lasts.

    Args:
        studies: folder or DICOMweb address.
        home: folder of its records and log; a server that is started on it again finds them.
        options: further words of `monai-sfda serve`.
        port: None for a free one.
        seconds: within which it must answer.

    Raises:
        SfdaError: when it does not start, with its log's last line.
    """
    port = free_port() if port is None else port
    command = serve_command(studies, home, port, *options)
    url = f"http://{LOOPBACK}:{port}"
    with running("the server", command, home / "server.log") as process:
        wait_until(lambda: _is_healthy(url), process, seconds=seconds)
        yield Server(url, process)


def _is_healthy(url: str) -> bool:
    try:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"{url}/health", timeout=10).status_code == 200
    except requests.RequestException:
        return False
