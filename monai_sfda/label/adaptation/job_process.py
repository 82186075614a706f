"""A job's own process: started in a group of its own, known again after a restart, ended with its children.

A process is known by its number and its start time together, since numbers are given again; what it started
is known by a mark in the environment.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import monai_sfda

MARK = "MONAI_SFDA_JOB"
_SECRET = re.compile(r"^MONAI_LABEL_|PASS|SECRET|TOKEN|CREDENTIAL|_KEY$|^AWS_|^AZURE_", re.IGNORECASE)
_LOOK_EVERY_SECONDS = 0.1


@dataclass(frozen=True)
class ProcessIdentity:
    """Which process it is, on this machine since it was booted.

    Attributes:
        pid: its number, also that of its group.
        started: clock ticks from the machine's start to its own.
        boot: the machine's boot.
    """

    pid: int
    started: int
    boot: str

    def to_json(self) -> dict[str, int | str]:
        """JSON-ready."""
        return asdict(self)


def environment(job: str, **more: str) -> dict[str, str]:
    """The environment of a job: the server's without its secrets, with the mark."""
    kept = {name: value for name, value in os.environ.items() if not _SECRET.search(name)}
    paths = [str(Path(entry).absolute()) for entry in kept.get("PYTHONPATH", "").split(os.pathsep) if entry]
    home = Path(monai_sfda.__file__).absolute().parents[1]
    if home.name not in ("site-packages", "dist-packages"):  # a checkout that was not installed
        paths.append(str(home))
    own = {MARK: job, "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(paths)}
    return kept | own | more


def start_process(command: Sequence[str], job: str, log: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Starts a command in a session of its own; both streams are added to the log.

    Args:
        command: and its arguments.
        job: id, for the mark.
        log: private file of the job.
        folder: where it works.
    """
    with log.open("ab") as stream:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment(job),
            start_new_session=True,
        )


def python(*words: str) -> list[str]:
    """The words that run a module by the same interpreter."""
    return [sys.executable, "-m", *words]


def identity_of(pid: int) -> ProcessIdentity | None:
    """Of a running process; None when there is none, or the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        state, started = fields.split()[0], int(fields.split()[19])
    except (OSError, ValueError, IndexError):
        return None
    return None if state == "Z" else ProcessIdentity(pid, started, boot)


def read_identity(content: Mapping[str, object]) -> ProcessIdentity | None:
    """What `to_json` wrote; None for anything else."""
    pid, started, boot = content.get("pid"), content.get("started"), content.get("boot")
    if isinstance(pid, int) and isinstance(started, int) and isinstance(boot, str) and pid > 1:
        return ProcessIdentity(pid, started, boot)
    return None


def marked(job: str) -> list[int]:
    """Numbers of all processes of this user that carry the job's mark."""
    wanted, found = f"{MARK}={job}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0") and identity_of(int(entry.name)):
                found.append(int(entry.name))
    return found


def end_process(process: subprocess.Popen[bytes], job: str, grace: float) -> None:
    """Ends a child with all it started: SIGINT, so that it writes its checkpoint, then SIGTERM, then SIGKILL.

    Args:
        process: of `start_process`.
        job: its id.
        grace: seconds for the first two together.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        _signal_group(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace / 2)
            break
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()
    _kill_marked(job)


def end_orphan(identity: ProcessIdentity | None, job: str, grace: float) -> bool:
    """Ends what a server that was killed has left of a job.

    Args:
        identity: of the job's process, as it was recorded.
        job: id.
        grace: seconds between SIGINT and SIGKILL.

    Returns:
        Whether there was anything.
    """
    alive = identity is not None and identity_of(identity.pid) == identity
    if identity is not None and alive:
        _signal_group(identity.pid, signal.SIGINT)
        until = time.monotonic() + grace
        while identity_of(identity.pid) == identity and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_SECONDS)
        if identity_of(identity.pid) == identity:
            _signal_group(identity.pid, signal.SIGKILL)
    return _kill_marked(job) or alive


def _kill_marked(job: str, patience: float = 5.0) -> bool:
    """Kills what carries the mark until nothing does; whether anything did."""
    until, any_found = time.monotonic() + patience, False
    while (found := [pid for pid in marked(job) if pid != os.getpid()]) and time.monotonic() < until:
        any_found = True
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK_EVERY_SECONDS)
    return any_found


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
