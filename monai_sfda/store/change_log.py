"""`log.jsonl` of a model: who changed what when, one JSON object a line, lines are only ever added."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

Change = dict[str, Any]


@dataclass(frozen=True)
class ChangeLog:
    """What a log says.

    Attributes:
        changes: in the order of their lines.
        damaged: number of lines that are no JSON object, as a machine that lost power may leave one.
    """

    changes: tuple[Change, ...]
    damaged: int = 0


def new_change(action: str, version: int, by: str | None, **more: Any) -> Change:
    """A change that happens now; its `id` tells whether a log has it."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"id": secrets.token_hex(8), "at": now, "by": by, "action": action, "version": version, **more}


def read_log(path: Path) -> ChangeLog:
    """Reads a log; one that is not there is empty."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return ChangeLog(())
    changes: list[Change] = []
    damaged = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            change = json.loads(line)
        except ValueError:  # UnicodeDecodeError is one
            change = None
        if isinstance(change, dict) and {"id", "at", "by", "action", "version"} <= change.keys():
            changes.append(change)
        else:
            damaged += 1
    return ChangeLog(tuple(changes), damaged)


def append_changes(path: Path, changes: Sequence[Change]) -> None:
    """Adds lines at the end by one write and waits until they are on the disk.

    The caller holds the store's lock. A last line that was torn is closed first, so that it spoils no other.

    Raises:
        OSError: when they cannot be written; the log is then as it was.
    """
    data = b"".join(json.dumps(change, allow_nan=False).encode() + b"\n" for change in changes)
    binary = getattr(os, "O_BINARY", 0)  # of Windows
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | binary, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size:
            os.lseek(descriptor, size - 1, os.SEEK_SET)
            if os.read(descriptor, 1) != b"\n":
                data = b"\n" + data
        if os.write(descriptor, data) != len(data):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
