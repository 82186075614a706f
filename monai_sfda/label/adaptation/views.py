"""A job as others see it: MONAI Label's task, the clients' progress, the entries of a record."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from monai_sfda.errors import OutputError
from monai_sfda.label.adaptation.outcome import NOT_YET
from monai_sfda.label.adaptation.progress import log_lines, read_progress
from monai_sfda.label.adaptation.reasons import DETAILS
from monai_sfda.label.adaptation.record import RECORD_FILE, Job, Status, now, read_job
from monai_sfda.label.adaptation.work import LOG, PRIVATE

logger = logging.getLogger(__name__)
KILLED = "the server ended without shutting down"


def read_jobs(folder: Path) -> list[Job]:
    """All records of a folder that can be read; others are logged by their folder's name, which is random."""
    found = []
    for path in sorted(folder.glob(f"*/{RECORD_FILE}")):
        try:
            found.append(read_job(path.parent))
        except OutputError as error:
            logger.error("%s", error)
    return [job for job in found if (folder / job.id / RECORD_FILE).is_file()]


def interruption(job: Job | None, why: str = KILLED) -> dict[str, Any]:
    """Entries of a record of a job that ended with its server."""
    began = job is None or job.status is Status.RUNNING
    words = f"{why}; resume the job: it goes on {'from its last checkpoint' if began else 'in the queue'}"
    return {"status": Status.STOPPED, "ended_at": now(), "interrupted": True, "reason": words}


def fault(error: Exception) -> str:
    """A reason for everybody from an error that nobody expected; its text may name files."""
    if isinstance(error, OSError) and error.strerror:
        return f"a file of the job cannot be read or written ({error.strerror}): {DETAILS}"
    return f"a fault of the software ({type(error).__name__}): {DETAILS}"


def stats(job: Job, folder: Path) -> dict[str, Any]:
    """What progress bars read, and under names of our own what it is.

    The clients show `best_metric` as an accuracy. It is the gain in mean Dice that the guard estimates, or
    that held-out corrected studies show, as a fraction of 1: 0 until the run has been judged, and for a loss.
    `total_time` is there at the end alone, by which clients know that nothing runs.
    """
    progress = read_progress(folder / job.id / PRIVATE / LOG)
    total = progress.total_epochs or job.total_epochs or 1
    content: dict[str, Any] = {
        "epoch": total if job.status is Status.DONE else progress.epoch,
        "total_epochs": total,
        "best_metric": round(max(0.0, job.gain or 0.0), 4),
        "best_metric_name": job.gain_name or NOT_YET,
        "losses": progress.losses,
        "phase": "" if job.status.is_over else progress.phase or phase_of(job),
        "job": job.id,
        "status": job.status.value,
        "verdict": job.verdict,
    }
    if job.status.is_over:
        content["total_time"] = str(_lasted(job))
    return content


def phase_of(job: Job) -> str:
    """What is done where the log says nothing yet."""
    return "waiting" if job.status is Status.SUBMITTED else "fetching and checking the studies"


def as_task(job: Job, folder: Path) -> dict[str, Any]:
    """A job in the shape of MONAI Label's background tasks, with everything of ours beside."""
    lines = [*job.notes, *log_lines(folder / job.id / PRIVATE / LOG)]
    if job.reason:
        lines.append(job.reason)
    if job.verdict:
        lines += [f"verdict: {job.verdict}", *job.verdict_reasons]
    task: dict[str, Any] = {
        "id": job.id,
        "status": job.status.value,
        "request": {"model": job.trainer, **job.options},
        "start_ts": _stock_time(job.started_at or job.submitted_at),
        "details": lines[-20:],
        "job": job.to_json(),
        "progress": stats(job, folder),
        "report": report_link(job, folder),
    }
    if job.ended_at:
        task["end_ts"] = _stock_time(job.ended_at)
    return task


def report_link(job: Job, folder: Path) -> str | None:
    """Where the server shows the job's report; None while there is none."""
    there = (folder / job.id / PRIVATE / "run" / "report.html").is_file()
    return f"/sfda/jobs/{job.id}/report" if there and job.status is Status.DONE else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _stock_time(text: str) -> str:
    return _time(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _lasted(job: Job) -> timedelta:
    if not job.started_at or not job.ended_at:
        return timedelta(0)
    return max(timedelta(0), _time(job.ended_at) - _time(job.started_at))
