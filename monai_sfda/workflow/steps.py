"""Steps of an experiment as processes: what each was run with, how long it took, how much memory it used."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from monai_sfda.errors import OutputError, SettingError, SfdaError
from monai_sfda.files import write_json

LOOK_EVERY_SECONDS = 0.5


@dataclass(frozen=True)
class StepRecord:
    """What is kept of a step, in `steps/<name>.json`.

    Attributes:
        title: for people.
        settings: that decide about its product; a step with others is never taken for this one.
        attempts: how often it was started.
        seconds: of the last attempt, wall clock; None while it has not ended.
        peak_memory_bytes: resident, of its process on the host.
    """

    title: str
    settings: dict[str, str]
    attempts: int = 1
    seconds: float | None = None
    peak_memory_bytes: int | None = None

    @property
    def whole_seconds(self) -> float | None:
        """Seconds of a step that ran in one go; None for one that was interrupted, whose time is unknown."""
        return self.seconds if self.attempts == 1 else None


@contextmanager
def exclusive(folder: Path, waiting: Callable[[], None]) -> Iterator[int]:
    """Lets one process at a time work in a folder.

    The lock is inherited by the processes that the holder starts: when it is killed and its step lives on,
    the next one waits for that step instead of running it a second time beside it.

    Args:
        folder: made when it is not there.
        waiting: called once when somebody else is at work.

    Yields:
        The descriptor to hand down to processes.

    Raises:
        OutputError: when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputError(
            f"the folder cannot be written ({error.strerror})",
            path=folder.name,
            remedy="choose another folder",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def read_step(out: Path, name: str) -> StepRecord | None:
    """The record of a step; None when there is none."""
    path = _record_path(out, name)
    if not path.is_file():
        return None
    try:
        return StepRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise OutputError(
            "the record of a step cannot be read",
            path=f"steps/{path.name}",
            remedy="delete the output folder",
        ) from error


def run_step(
    out: Path,
    name: str,
    title: str,
    product: Path,
    settings: Mapping[str, str],
    work: Callable[[], int | None],
    announce: Callable[[str, float | None], None],
) -> None:
    """Runs a step unless its product is there, and records it.

    Args:
        out: the experiment's folder.
        name: of the record.
        title: for people.
        product: file that appears when the step has ended well.
        settings: that decide about the product, without paths of the machine.
        work: does it; returns its peak memory in bytes where known.
        announce: called with the title, and again with the seconds.

    Raises:
        SettingError: when the product is there, made with other settings.
        SfdaError: the step's own.
    """
    record = read_step(out, name)
    if record is not None and record.settings != dict(settings):
        changed = sorted(
            key
            for key in record.settings.keys() | settings.keys()
            if record.settings.get(key) != settings.get(key)
        )
        raise SettingError(
            f"the folder holds '{title}' run with another {', '.join(changed)}",
            path=name,
            remedy="use another --out, or delete the folder",
        )
    if product.is_file():
        return
    attempts = 1 if record is None else record.attempts + 1
    started = StepRecord(title, dict(settings), attempts)
    write_json(_record_path(out, name), asdict(started))
    announce(title, None)
    begun = time.monotonic()
    peak = work()
    seconds = time.monotonic() - begun
    done = StepRecord(title, dict(settings), attempts, seconds, peak)
    write_json(_record_path(out, name), asdict(done))
    announce(title, seconds)


def run_process(command: Sequence[str], log: Path, title: str, hold: int | None) -> int | None:
    """Runs a command with its output in a log; returns its peak resident memory in bytes, where known.

    The memory is looked at twice a second, so that a peak in the last half second is missed.

    Args:
        command: and its arguments.
        log: file that takes both streams.
        title: for the error.
        hold: descriptor of the lock to hand down, see `exclusive`.

    Raises:
        SfdaError: when the command fails, with its last line.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            pass_fds=() if hold is None else (hold,),
        )
        peak: int | None = None
        try:
            while process.poll() is None:
                peak = _peak_memory(process.pid) or peak
                with suppress(subprocess.TimeoutExpired):  # time to look again
                    process.wait(timeout=LOOK_EVERY_SECONDS)
        except BaseException:  # interrupted or ended: the step must not outlive us
            process.terminate()
            process.wait()
            raise
    if process.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1].removeprefix("monai_sfda: error: ") if lines else str(process.returncode)
        raise SfdaError(f"step '{title}' failed: {last}", remedy=f"read logs/{log.name} in the output folder")
    return peak


def _peak_memory(pid: int) -> int | None:
    """Highest resident memory of a running process so far, bytes; None on systems that do not tell.

    Not `ru_maxrss`, which begins with the memory of the process that forked this one.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _record_path(out: Path, name: str) -> Path:
    return out / "steps" / f"{name}.json"
