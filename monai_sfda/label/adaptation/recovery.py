"""What a server that was killed has left: records that still say running, processes that still run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from monai_sfda.label.adaptation.job_process import ProcessIdentity, read_identity
from monai_sfda.label.adaptation.record import Job
from monai_sfda.label.adaptation.work import PROCESS


def interrupted_jobs(jobs: Iterable[Job]) -> list[Job]:
    """Jobs whose record says that they wait or run, which none does when a server starts."""
    return [job for job in jobs if not job.status.is_over]


def recorded_identity(private: Path) -> ProcessIdentity | None:
    """The process that a job had last; None when it had none or the note cannot be read."""
    try:
        content = json.loads((private / PROCESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read_identity(content) if isinstance(content, dict) else None
