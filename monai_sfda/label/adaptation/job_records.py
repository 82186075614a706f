"""The records of a folder of jobs: reading, changing, deleting them."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_sfda.errors import OutputError, SettingError
from monai_sfda.label.adaptation import views
from monai_sfda.label.adaptation.record import Job, Kind, NoSuchJobError, Status, write_job
from monai_sfda.label.adaptation.steps import RUN
from monai_sfda.label.adaptation.work import LOG, PRIVATE, read_request

logger = logging.getLogger(__name__)
PICTURES = "before_after"
_ROOM, _ROOM_BYTES = "room", 64 * 1024


class JobRecords:
    """The jobs of a folder as they are recorded, in memory and on disk.

    Args:
        folder: with a folder for each job; must be there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._records: dict[str, Job] = {job.id: job for job in views.read_jobs(folder)}

    def job(self, identifier: str) -> Job:
        """One job; a `NoSuchJobError` for an unknown id."""
        with self._lock:
            if identifier not in self._records:
                raise NoSuchJobError("there is no such job", remedy="use an id that /sfda/jobs lists")
            return self._records[identifier]

    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        with self._lock:
            return sorted(self._records.values(), key=lambda job: (job.submitted_at, job.id))

    def studies_of(self, model: str, version: int) -> tuple[str, ...]:
        """The studies that a version was made from here; none where no job of this folder made it."""
        for job in reversed(self.jobs()):
            if (job.model, job.version) == (model, version):
                with contextlib.suppress(OutputError):
                    return read_request(self._private(job.id), job.kind)[1].studies
        return ()

    def log(self, identifier: str) -> Path:
        """The private log of a job, for the administrator's eyes."""
        return self._private(self.job(identifier).id) / LOG

    def run_folder(self, identifier: str) -> Path:
        """Where a job's run lies; not all of it is for everybody."""
        return self._private(self.job(identifier).id) / RUN

    def progress(self, model: str, kind: Kind | str) -> dict[str, Any]:
        """What the clients' progress bars read, of the running or last job of a model; empty for none."""
        mine = [job for job in self.jobs() if job.model == model and job.kind == Kind(kind)]
        at_work = [job for job in mine if job.status is Status.RUNNING]
        chosen = (at_work or mine)[-1:]
        return views.stats(chosen[0], self.folder) if chosen else {}

    def remark(self, identifier: str, text: str) -> Job:
        """Adds a sentence to a job's notes."""
        return self._change(identifier, notes=(*self.job(identifier).notes, text))

    def delete(self, identifier: str) -> None:
        """Removes a job that has ended, with all it wrote and all pictures; its version in the store stays.

        Raises:
            SettingError: while it is waiting or running.
        """
        with self._lock:
            if not self.job(identifier).status.is_over:
                raise SettingError("the job has not ended", remedy="stop it first")
            del self._records[identifier]
        shutil.rmtree(self.folder / identifier, ignore_errors=True)
        shutil.rmtree(self.folder / PICTURES, ignore_errors=True)

    def _change(self, identifier: str, **entries: Any) -> Job:
        """Changes a record in memory and on disk.

        On a full disk the room that was set aside is given up for it; where that does not help the old file
        stays, and the log says so.
        """
        with self._lock:
            job = self._records[identifier] = replace(self._records[identifier], **entries)
            try:
                write_job(self.folder / identifier, job)
            except OutputError:
                self._give_up_room(identifier)
                try:
                    write_job(self.folder / identifier, job)
                except OutputError as error:
                    logger.error("the record of job %s: %s", identifier, error.what)
            return job

    def _set_room_aside(self, identifier: str) -> None:
        """Room for the record of a job that fails since the disk is full."""
        with contextlib.suppress(OSError):
            (self._private(identifier) / _ROOM).write_bytes(bytes(_ROOM_BYTES))

    def _give_up_room(self, identifier: str) -> None:
        with contextlib.suppress(OSError):
            (self._private(identifier) / _ROOM).unlink(missing_ok=True)

    def _private(self, identifier: str) -> Path:
        return self.folder / identifier / PRIVATE
