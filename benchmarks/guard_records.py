"""Records of the guard's calibration: a line of JSON each, in files that a kill leaves readable."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monai_sfda.errors import SettingError

RUNS, SIGNALS = "runs.jsonl", "signals.jsonl"


def append(path: Path, record: dict[str, Any]) -> None:
    """Adds a line and waits until it is on the disk. A part of a line that a kill left is cut off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n"
    with path.open("a+b") as stream:
        stream.truncate(_whole(stream.seek(0, os.SEEK_END), path))
        stream.write(line.encode())
        stream.flush()
        os.fsync(stream.fileno())


def _whole(size: int, path: Path) -> int:
    """Bytes of a file up to the end of its last whole line."""
    with path.open("rb") as stream:
        end = size
        while end > 0:
            start = max(0, end - 65536)
            stream.seek(start)
            found = stream.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file; none when it is not there."""
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                yield json.loads(line)


def by_name(path: Path) -> dict[str, dict[str, Any]]:
    """Records by the name of their run."""
    return {record["name"]: record for record in read(path)}


def require_same_plan(record: dict[str, Any], planned: dict[str, Any]) -> None:
    """Refuses to go on in a folder whose runs are another plan's.

    Raises:
        SettingError: when the recorded run is not the planned one.
    """
    if record["run"] != planned:
        raise SettingError(
            f"run {record['name']} was recorded under another plan", remedy="use another --out"
        )
