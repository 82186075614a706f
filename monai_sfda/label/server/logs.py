"""The server's log: JSON lines in which no patient's data stands.

What our own modules say is kept, with whatever looks like a path, a UID or an address of a person taken out.
Of other packages (MONAI Label, MONAI, uvicorn, the DICOM libraries), whose messages name files, ids and
requests, only that they warned and where is kept. Errors are logged as their class and the lines of code that
they came through, without their text, which may name a scan.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import re
import sys
import traceback
from datetime import datetime, timezone
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any

_OURS = ("monai_sfda", "monai_sfda_server")
_FIELDS = "sfda"
_REDACTED = (
    (re.compile(r"\b\d+(?:\.\d+){3,}\b"), "<number>"),
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"), "<address>"),
    (re.compile(r"(?<![\w.<])(?:[A-Za-z]:)?[/\\][^\s'\",;:)\]}>]+"), "<path>"),
    (re.compile(r"\b[\w.-]+\.(?:nii(?:\.gz)?|dcm|nrrd|mha|mhd|nhdr|zip|json)\b", re.IGNORECASE), "<file>"),
)
_FRAMES = 12
LOG_MEGABYTES, LOG_FILES = 16, 5
_log = logging.getLogger("monai_sfda_server")


def set_up_logs(folder: Path, *, level: str = "INFO") -> Path:
    """Sends all logging of this process to `folder`/server.jsonl (rotated) and to the standard error stream.

    Args:
        folder: made when it is not there.
        level: of our own modules; others are heard from `WARNING` on.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "server.jsonl"
    written = _PrivateFiles(file, maxBytes=LOG_MEGABYTES * 2**20, backupCount=LOG_FILES, encoding="utf-8")
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in (written, logging.StreamHandler(sys.stderr)):
        handler.setFormatter(JsonLines())
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and not _is_ours(name):
            logger.handlers, logger.propagate = [], True
            logger.setLevel(logging.NOTSET)
    logging.captureWarnings(True)
    return file


def event(name: str, level: int = logging.INFO, **fields: Any) -> None:
    """Logs that something happened, with numbers, roles, names of users, models or classes."""
    _log.log(level, name, extra={_FIELDS: fields})


class _PrivateFiles(logging.handlers.RotatingFileHandler):
    """Files that only their owner reads."""

    def _open(self) -> TextIOWrapper:
        stream = super()._open()
        os.chmod(self.baseFilename, 0o600)  # noqa: PTH101
        return stream


class JsonLines(logging.Formatter):
    """One JSON object a line; see the module."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as it may be kept."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        if _is_ours(record.name):
            line["event"] = redact(record.getMessage())
            for key, value in getattr(record, _FIELDS, {}).items():
                line[key] = redact(value) if isinstance(value, str) and key != "route" else value
        else:
            line["event"] = "a message of another package, left out"
            line["line"] = record.lineno
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            line["trace"] = trace_of(record.exc_info[1])
        return json.dumps(line, default=lambda value: type(value).__name__)


def redact(text: str) -> str:
    """Text without paths, file names, UIDs and e-mail addresses.

    >>> redact("cannot read /data/MUELLER/1.nii.gz of 1.2.840.113619.2.5")
    'cannot read <path> of <number>'
    """
    for pattern, word in _REDACTED:
        text = pattern.sub(word, text)
    return text


def trace_of(error: BaseException) -> list[str]:
    """Where an error came from: class names and lines of code, the innermost last, no texts.

    >>> try:
    ...     int("MUELLER")
    ... except ValueError as error:
    ...     trace_of(error)[-1].startswith("ValueError at ")
    True
    """
    found: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(found) < 4:
        seen.add(id(current))
        found.insert(0, f"{type(current).__name__} at {_frames(current.__traceback__)}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return found


def _frames(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)[-_FRAMES:]
    return " > ".join(f"{_module(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames)


def _module(file: str) -> str:
    """A source file by its place in its package."""
    parts = Path(file).parts
    for root in ("site-packages", "dist-packages", "monai_sfda"):
        if root in parts:
            last = len(parts) - 1 - parts[::-1].index(root)
            return "/".join(parts[last if root == "monai_sfda" else last + 1 :])
    return parts[-1] if parts else "?"


def _is_ours(name: str) -> bool:
    return name.split(".")[0] in _OURS
