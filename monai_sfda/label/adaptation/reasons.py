"""Why a job failed, in words for everybody, from how its process ended and what it said last.

The log may name folders of the machine; what is said here never does.
"""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from monai_sfda.evaluation.privacy import withhold_locations

_OWN = "monai_sfda: error: "
_UNEXPECTED = "unexpected "
_TAIL = 64 * 1024
_MOST_CHARACTERS = 400
_LEAST_FREE_BYTES = 256 * 1024
_MEMORY = ("out of memory", "can't allocate memory", "Cannot allocate memory", "MemoryError")
_DISK = ("No space left on device", "no space left on device", "Disk quota exceeded")
DETAILS = "the administrator finds the details in the job's log"


def tail(log: Path, size: int = _TAIL) -> str:
    """The end of a log; empty when there is none."""
    try:
        with log.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - size))
            return stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def reason_of(returncode: int, log: Path) -> str:
    """A sentence about a process that ended badly.

    Args:
        returncode: of the process, negative for a signal, as `subprocess` has it.
        log: both its streams.
    """
    if returncode < 0:
        return _of_signal(-returncode)
    text = tail(log)
    if any(word in text for word in _DISK) or _is_full(log.parent):
        return "the disk is full: make room on the server and resume the job"
    if any(word in text for word in _MEMORY):
        return "the device's memory was too small: choose another device, or ask the administrator"
    own = [line for line in text.splitlines() if line.startswith(_OWN)]
    if own and not own[-1].startswith(_OWN + _UNEXPECTED):
        return withhold_locations(own[-1].removeprefix(_OWN))[:_MOST_CHARACTERS]
    if own:
        kind = own[-1].removeprefix(_OWN + _UNEXPECTED).split(":")[0]
        return f"a fault of the software ({kind[:60]}): {DETAILS}"
    return f"the process ended with status {returncode}: {DETAILS}"


def _is_full(folder: Path) -> bool:
    """Whether the disk has no room; the log may have found none for the error either."""
    try:
        return shutil.disk_usage(folder).free < _LEAST_FREE_BYTES
    except OSError:
        return False


def _of_signal(number: int) -> str:
    if number == signal.SIGKILL:
        return "ended by signal 9: probably the machine was out of memory, or somebody killed it"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unknown"
    return f"ended by signal {number} ({name}): {DETAILS}"
