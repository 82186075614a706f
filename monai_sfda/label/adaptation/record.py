"""The record of a job: what was asked, how it stands, what came of it; one `job.json` in the job's folder."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

from monai_sfda.errors import OutputError, SfdaError
from monai_sfda.files import write_json

RECORD_FILE = "job.json"
SCHEMA_VERSION = 1


class NoSuchJobError(SfdaError):
    """There is no job of that id."""

    http_status = 404


class Kind(str, Enum):
    """What a job does."""

    ADAPT = "adapt"
    FINE_TUNE = "fine_tune"


class Status(str, Enum):
    """How a job stands, in MONAI Label's words."""

    SUBMITTED = "SUBMITTED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    ERROR = "ERROR"
    STOPPED = "STOPPED"

    @property
    def is_over(self) -> bool:
        """Whether the job has ended, well or not."""
        return self in (Status.DONE, Status.ERROR, Status.STOPPED)


@dataclass(frozen=True)
class Job:
    """A job's public record: no name, id, date or file of a patient is in it.

    Attributes:
        id: of the job, random; also the name of its folder.
        kind: adaptation or fine-tuning.
        model: name in the store.
        options: that were asked for, as they were understood. Ids of studies are kept apart: here stands how
            many there were.
        by: user who started it.
        device: where it computes.
        status: see `Status`.
        submitted_at, started_at, ended_at: UTC, ISO 8601; None where it has not come to that.
        attempts: how often its process was started.
        interrupted: whether it ended with the server and can be resumed.
        reason: why it failed or stopped, in words for everybody.
        notes: what the user should know beside: studies left out, limits of the guard.
        total_epochs: of the run; None before they are known.
        studies, subjects: that are used; None before they were looked at.
        parent: number of the version that is adapted or tuned.
        version: number of the published version.
        verdict, verdict_reasons: of the guard, or of the comparison on held-out corrected studies.
        gain: what the verdict's estimate or comparison says of mean Dice, as a fraction of 1; None: unknown.
        gain_name: what `gain` is, in words.
        activated: whether the version was made active at once.
        target_labels_read: whether labels of the site were read: of a fine-tuning alone.
    """

    id: str
    kind: Kind
    model: str
    options: dict[str, Any]
    by: str
    device: str
    status: Status = Status.SUBMITTED
    submitted_at: str = ""
    started_at: str | None = None
    ended_at: str | None = None
    attempts: int = 0
    interrupted: bool = False
    reason: str | None = None
    notes: tuple[str, ...] = ()
    total_epochs: int | None = None
    studies: int | None = None
    subjects: int | None = None
    parent: int | None = None
    version: int | None = None
    verdict: str | None = None
    verdict_reasons: tuple[str, ...] = ()
    gain: float | None = None
    gain_name: str | None = None
    activated: bool = False
    target_labels_read: bool = False
    intended_use: str = field(default="research; not for diagnosis")

    @property
    def trainer(self) -> str:
        """Name of the train task that starts such jobs."""
        return f"{self.kind.value}_{self.model}"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        content = asdict(self)
        content["kind"], content["status"] = self.kind.value, self.status.value
        return {"schema_version": SCHEMA_VERSION, **content}


def new_id() -> str:
    """A job's id: 16 hexadecimal digits, drawn at random."""
    return secrets.token_hex(8)


def now() -> str:
    """The time in UTC, ISO 8601 with seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def write_job(folder: Path, job: Job) -> None:
    """Writes the record, whole or not at all.

    Raises:
        OutputError: when it cannot be written.
    """
    write_json(folder / RECORD_FILE, job.to_json())


def read_job(folder: Path) -> Job:
    """The record of a job's folder.

    Raises:
        OutputError: when it cannot be read.
    """
    try:
        content = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError("of another schema")
        known = {entry.name for entry in fields(Job)}
        given = {name: value for name, value in content.items() if name in known}
        given["kind"], given["status"] = Kind(given["kind"]), Status(given["status"])
        for name in ("notes", "verdict_reasons"):
            given[name] = tuple(given[name])
        return Job(**given)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"the record of a job cannot be read ({type(error).__name__})",
            path=f"{folder.name}/{RECORD_FILE}",
            remedy="delete the job's folder, or put it back from a backup",
        ) from error
