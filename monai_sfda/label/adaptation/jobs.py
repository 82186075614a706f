"""Jobs: a folder of records, and a queue that never runs two on one device at once."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from monai_sfda.errors import OutputError, SettingError, SfdaError
from monai_sfda.evaluation.privacy import withhold_locations
from monai_sfda.label.adaptation import views
from monai_sfda.label.adaptation.device_queues import AtWork, DeviceQueues
from monai_sfda.label.adaptation.job_process import end_orphan
from monai_sfda.label.adaptation.job_records import JobRecords
from monai_sfda.label.adaptation.options import AUTO, JobOptions, read_options
from monai_sfda.label.adaptation.private_data import Stopped
from monai_sfda.label.adaptation.record import Job, Kind, Status, new_id, now, write_job
from monai_sfda.label.adaptation.recovery import claim_folder, interrupted_jobs, recorded_identity
from monai_sfda.label.adaptation.work import (
    GRACE_SECONDS,
    OPTIONS,
    JobError,
    Workplace,
    plan,
    read_request,
    work,
    write_request,
)
from monai_sfda.workflow.configuration import check_device

logger = logging.getLogger(__name__)
MOST_WAITING, LEAST_FREE_BYTES = 20, 512 << 20
SHUT_DOWN = "the server was shut down"


class SameJobError(SettingError):
    """What is asked for waits or runs already."""

    http_status = 429


class Jobs(JobRecords):
    """Adaptations and fine-tunings of a server, in one folder.

    One process owns the folder; a second one on it sees the records and starts nothing. What a server that
    was killed has left running is ended when the next one starts.

    Args:
        folder: of the records, one folder a job; made when it is not there.
        models: `monai_sfda.label.models.Models` whose versions are adapted and published.
        datastore: gives the datastore whose studies are used.
        activation: `manual`, or `automatic`: an adaptation that the guard accepted becomes active at once.
        device: of jobs whose options name none; None: the models' own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        models: Any,
        datastore: Callable[[], Any],
        activation: str = "manual",
        device: str | None = None,
    ) -> None:
        self._claim = claim_folder(Path(folder))
        super().__init__(Path(folder))
        self.models = models
        self.datastore = datastore
        self.activation = activation
        self.device = device or getattr(models, "device", "cpu")
        self._queues = DeviceQueues(self._run)
        self._submitting = threading.Lock()
        if self._claim is not None:
            for job in interrupted_jobs(self._records.values()):
                end_orphan(recorded_identity(self._private(job.id)), job.id, GRACE_SECONDS)
                self._change(job.id, **views.interruption(job))

    @property
    def owns_folder(self) -> bool:
        """Whether this process runs the jobs of the folder."""
        return self._claim is not None

    def submit(
        self, kind: Kind | str, model: str, options: Mapping[str, Any] | None, by: str, *, once: bool = False
    ) -> Job:
        """Puts a job into the queue of its device.

        Args:
            kind: `adapt` or `fine_tune`.
            model: that is served.
            options: as the client sent them.
            by: the user's name.
            once: refuse a job that waits or runs already with the same options.

        Raises:
            SettingError: for an option that is not allowed, an unknown model, no usable studies, or a full
                queue.
            SameJobError: with `once`.
            StoreError: when the model's source is not in the store.
            OutputError: when the record cannot be written.
        """
        try:
            kind = Kind(kind)
        except ValueError:
            raise SettingError("there is no such training", remedy="use adapt or fine_tune") from None
        if model not in self.models:
            raise SettingError("no such model is served", remedy="use one that /info lists")
        self._require_place()
        parsed = read_options(OPTIONS[kind], options)
        device = self._canonical(parsed.device)
        planned = plan(kind, model, parsed, self.models, self.datastore())
        parsed, selection = planned.pop("options"), planned.pop("selection")
        job = Job(
            new_id(),
            kind,
            model,
            parsed.public(),
            by,
            device,
            submitted_at=now(),
            target_labels_read=kind is Kind.FINE_TUNE,
            **planned,
        )
        with self._submitting:
            if once and self._is_at_hand(job, parsed):
                raise SameJobError(
                    "this training waits or runs already", remedy="wait for it, or stop it at /sfda/"
                )
            write_request(self._private(job.id), parsed, selection)
            write_job(self.folder / job.id, job)
            with self._lock:
                self._records[job.id] = job
            self._queues.put(device, job.id)
        logger.info("job %s submitted: %s, %d studies, on %s", job.id, job.trainer, job.studies, device)
        return job

    def preview(self, kind: Kind | str, model: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
        """What a job would take and what limits it, without starting it; errors as `submit`."""
        kind = Kind(kind)
        parsed = read_options(OPTIONS[kind], options)
        planned = plan(kind, model, parsed, self.models, self.datastore())
        planned.pop("selection")
        understood = {"options": planned["options"].public(), "device": self._canonical(parsed.device)}
        return planned | understood | {"notes": list(planned["notes"])}

    def running(self) -> list[Job]:
        """Those that are being worked on, and then those that wait."""
        found = dict.fromkeys((*self._queues.at_work(), *self._queues.waiting()))
        with self._lock:
            return [self._records[identifier] for identifier in found]

    def status(self, identifier: str | None = None) -> dict[str, Any] | None:
        """A job as `/train/` answers: MONAI Label's keys and our own; by default the running or the last."""
        if identifier is not None:
            return views.as_task(self.job(identifier), self.folder)
        now_running, there = self.running(), self.jobs()
        chosen = now_running[0] if now_running else there[-1] if there else None
        return None if chosen is None else views.as_task(chosen, self.folder)

    def stop(self, identifier: str | None = None, *, by: str, wait: float = GRACE_SECONDS + 5) -> Job | None:
        """Ends a job: one that waits leaves the queue, one that runs is interrupted with all it started.

        Args:
            identifier: of the job; None: the one that runs.
            by: the user's name.
            wait: seconds to wait for its end.

        Returns:
            The job; None when none ran.

        Raises:
            SettingError: for an unknown id.
        """
        if identifier is None:
            at_work = self._queues.at_work()
            if not at_work:
                return None
            identifier = at_work[0]
        self.job(identifier)
        why = f"stopped by {by}"
        if self._queues.take_out(identifier):
            return self._change(identifier, status=Status.STOPPED, ended_at=now(), reason=why)
        running = self._queues.ask_to_stop(identifier, why)
        if running is not None:
            running.ended.wait(wait)
        return self.job(identifier)

    def resume(self, identifier: str, by: str) -> Job:
        """Puts a job that was stopped, interrupted or failed back into the queue, where it goes on.

        Raises:
            SettingError: when it is waiting, running or done, or its private folder is gone.
        """
        self._require_place()
        with self._lock:
            job = self.job(identifier)
            if job.status not in (Status.STOPPED, Status.ERROR):
                raise SettingError(
                    f"the job is {job.status.value}", remedy="resume one that has not ended well"
                )
            try:
                read_request(self._private(identifier), job.kind)
            except OutputError:
                raise SettingError("what the job was asked is gone", remedy="start a new job") from None
            if job.model not in self.models:
                raise SettingError("the job's model is not served any more", remedy="start a new job")
            job = self._change(
                identifier, status=Status.SUBMITTED, interrupted=False, reason=None, ended_at=None, by=by
            )
            self._queues.put(job.device, identifier)
        return job

    def close(self, grace: float = GRACE_SECONDS) -> None:
        """Ends all jobs; the records say that the server was shut down. Returns when nothing is left."""
        if not self._queues.closed:
            for identifier in self._queues.close(SHUT_DOWN, GRACE_SECONDS + grace):
                self._change(identifier, **views.interruption(self.job(identifier), SHUT_DOWN))
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    def _is_at_hand(self, wanted: Job, options: JobOptions) -> bool:
        """Whether a job of the same trainer and options, the same studies included, waits or runs."""
        for job in self.running():
            if (job.trainer, job.options) == (wanted.trainer, wanted.options):
                with contextlib.suppress(OutputError):
                    asked, _ = read_request(self._private(job.id), job.kind)
                    if asked.studies == options.studies:
                        return True
        return False

    def _require_place(self) -> None:
        if self._claim is None or self._queues.closed:
            raise SettingError(
                "jobs are run by another server process or not any more",
                remedy="ask the administrator which server runs on this folder of jobs",
            )
        if len(self._queues.waiting()) >= MOST_WAITING:
            raise SettingError(f"{MOST_WAITING} jobs are waiting", remedy="wait for some, or stop them")
        if shutil.disk_usage(self.folder).free < LEAST_FREE_BYTES:
            raise OutputError("the disk is nearly full", remedy="make room on the server before a job starts")

    def _run(self, identifier: str, running: AtWork) -> None:
        with self._lock:
            waiting = self._records.get(identifier)
            if waiting is None or waiting.status is not Status.SUBMITTED:
                return  # deleted or taken out meanwhile
            begun, attempts = waiting.started_at or now(), waiting.attempts + 1
            job = self._change(identifier, status=Status.RUNNING, started_at=begun, attempts=attempts)
        self._set_room_aside(identifier)
        place = Workplace(
            job,
            self.folder / identifier,
            self.models,
            self.datastore(),
            self.activation == "automatic",
            lambda: not running.stop.is_set(),
            partial(self._change, identifier),
        )
        try:
            work(place)
            change: dict[str, Any] = {"status": Status.DONE, "reason": None}
        except Stopped:
            change = {"status": Status.STOPPED, "reason": running.why}
            if running.interrupted:
                change = views.interruption(self.job(identifier), running.why)
        except JobError as error:
            change = {"status": Status.ERROR, "reason": error.what}
        except SfdaError as error:
            change = {"status": Status.ERROR, "reason": withhold_locations(str(error))}
        except Exception as error:  # a fault of ours must not end the queue
            with contextlib.suppress(OSError), self.log(identifier).open("a", encoding="utf-8") as log:
                log.write(traceback.format_exc())
            change = {"status": Status.ERROR, "reason": views.fault(error)}
        job = self._change(identifier, **{"ended_at": now(), **change})
        self._give_up_room(identifier)
        logger.info("job %s ended: %s", identifier, job.status.value)

    def _canonical(self, device: str) -> str:
        """The device by its full name, so that `cuda` and `cuda:0` wait for each other.

        Raises:
            SettingError: when this machine has none such.
        """
        device = str(self.device) if device == AUTO else device
        check_device(device)
        return "cuda:0" if device == "cuda" else device
