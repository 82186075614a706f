"""Processes that are started for a while and leave nothing behind, children included."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from monai_sfda.errors import SfdaError

LOOK_EVERY_SECONDS = 0.2
LOOPBACK = "127.0.0.1"
_LAST_LINES = 25


@dataclass(frozen=True)
class Running:
    """A process with its log.

    Attributes:
        title: for people and errors.
        process: the process itself.
        log: file that takes both its streams.
    """

    title: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_lines(self) -> str:
        """The end of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LAST_LINES:])

    def check(self) -> None:
        """Raises an error when the process has ended by itself.

        Raises:
            SfdaError: with the log's last line.
        """
        status = self.process.poll()
        if status is not None:
            last = (self.last_lines().splitlines() or [""])[-1]
            raise SfdaError(
                f"{self.title} ended with status {status}: {last}", remedy=f"read its log, {self.log.name}"
            )

    def end(self, *, patience: float = 20.0) -> int:
        """Ends the process and what it has started; returns its exit status.

        SIGTERM first; SIGKILL for whatever is there after `patience` seconds.
        """
        children: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children(recursive=True)
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=5)
        return self.process.returncode


@contextmanager
def running(
    title: str, command: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A process for as long as the block lasts.

    It is a group of its own, so that a Ctrl-C at the terminal reaches the one who started it alone, who then
    ends the processes in order.

    Args:
        title: for people and errors.
        command: and its arguments.
        log: file for both streams; its folder is made.
        environment: added to this process's own.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    started = Running(title, process, log)
    try:
        yield started
    finally:
        started.end()


def wait_until(
    ready: Callable[[], bool], process: Running, *, seconds: float, every: float = LOOK_EVERY_SECONDS
) -> None:
    """Waits until a process that was started answers.

    Raises:
        SfdaError: when it ends, or does not answer in time.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        process.check()
        if time.monotonic() > deadline:
            raise SfdaError(
                f"{process.title} does not answer after {seconds:.0f} s",
                remedy=f"read its log, {process.log.name}",
            )
        time.sleep(every)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
