"""What a server that was killed has left: records that still say running, processes that still run."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path

from monai_sfda.errors import OutputError
from monai_sfda.files import remove_leftovers
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


def claim_folder(folder: Path) -> int | None:
    """Takes the folder of the jobs for this process as long as it lives; None when another has it.

    Returns:
        The lock's descriptor, to close when the folder is given back.

    Raises:
        OutputError: when it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OutputError(
            f"the folder of the jobs cannot be written ({error.strerror})",
            path=folder.name,
            remedy="give a folder of your own by --conf jobs",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    for place in folder.iterdir():
        if place.is_dir():
            remove_leftovers(place)
    return descriptor
