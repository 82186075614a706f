"""`/batch/infer`: one model over many studies, one at a time, in a thread of the server.

MONAI Label starts a process that loads the application again, with the request (ids and all) on its command
line; here a run can be stopped between two studies, ends with the server, and its record counts studies and
names none.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, HTTPException
from pydantic import Field

from monai_sfda.errors import SfdaError
from monai_sfda.label.segmentation.options import SegmentationOptions
from monai_sfda.label.server.answers import NotThereError
from monai_sfda.label.server.logs import event
from monai_sfda.label.server.roles import User, current_user
from monai_sfda.label.server.stock_app import app_of
from monai_sfda.label.values import Flag, read_options

_KEPT, _MOST_REASONS = 50, 20
_OTHER = "other reasons"


class BatchOptions(SegmentationOptions):
    """What a client may say about a run, beside what it may say about a segmentation.

    Attributes:
        save_label: whether the segmentations are saved.
        label_tag: under which tag; only people save labels as final.
        max_batch_size: at most so many studies; 0: all.
    """

    save_label: Flag = True
    label_tag: Literal["original"] = "original"
    max_batch_size: int = Field(default=0, ge=0, le=1_000_000)

    def of_each(self) -> dict[str, Any]:
        """Of what was said, what the segmentation of each study is told.

        Nobody gets a file or a map of a study, and the server was told where to compute.
        """
        return self.model_dump(include={"version", "largest_component"}, exclude_unset=True)


@dataclass
class Run:
    """One run, as MONAI Label shows its background tasks."""

    model: str
    images: str
    options: BatchOptions = field(default_factory=BatchOptions)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "SUBMITTED"
    start_ts: str = field(default_factory=lambda: _now())
    end_ts: str | None = None
    total: int = 0
    done: int = 0
    failed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event, repr=False)

    def note_failure(self, error: Exception) -> None:
        """Counts a study that could not be segmented, by what was wrong with it.

        `what` of this package's errors names no file and no id; of another error only its kind is told.
        """
        self.failed += 1
        reason = error.what if isinstance(error, SfdaError) else f"unexpected ({type(error).__name__})"
        if reason not in self.reasons and len(self.reasons) >= _MOST_REASONS:
            reason = _OTHER
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def to_json(self) -> dict[str, Any]:
        """As MONAI Label shows it."""
        details = [f"{self.done} of {self.total} studies segmented"]
        if self.failed:
            details.append(f"{self.failed} failed")
        details += [f"{count} x {reason}" for reason, count in self.reasons.items()]
        shown: dict[str, Any] = {
            "id": self.id,
            "status": self.status,
            "request": {"model": self.model, "images": self.images, **self.options.of_each()},
            "start_ts": self.start_ts,
            "details": details,
        }
        return shown if self.end_ts is None else {**shown, "end_ts": self.end_ts}


class Batches:
    """The runs of a server, one at a time."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def running(self) -> Run | None:
        """The run that goes on."""
        return next((run for run in self.runs if run.status in ("SUBMITTED", "RUNNING")), None)

    def start(self, model: str, images: str, options: BatchOptions, user: str) -> Run:
        """Starts a run.

        Raises:
            HTTPException: 429, as MONAI Label, when one goes on already.
            NotThereError: for an unknown model.
            StoreError: for a version that the model has not.
        """
        app = app_of()
        if model not in app._infers:
            raise NotThereError(f"there is no model '{model[:80]}'", remedy="ask /info/ for the models")
        if options.version is not None:
            app.models[app._infers[model].name].version(options.version)
        with self._lock:
            still = self._thread is not None and self._thread.is_alive()
            if still or self.running() is not None:
                raise HTTPException(429, "a batch inference is running already")
            run = Run(model, images, options)
            self.runs = [*self.runs[1 - _KEPT :], run]
            self._thread = threading.Thread(
                target=self._work, args=(app, run, user), name="batch", daemon=True
            )
            self._thread.start()
        return run

    def stop(self) -> Run | None:
        """Stops the run that goes on, after the study that it is at."""
        run = self.running()
        if run is not None:
            run.stop.set()
            run.status, run.end_ts = "STOPPED", _now()
        return run

    def close(self, patience: float) -> bool:
        """Stops; returns whether the thread has ended in time."""
        self.stop()
        thread = self._thread
        if thread is not None:
            thread.join(patience)
        return thread is None or not thread.is_alive()

    def _work(self, app: Any, run: Run, user: str) -> None:
        if run.status == "SUBMITTED":
            run.status = "RUNNING"
        try:
            names = _chosen(app.datastore(), run.images, run.options)
            run.total = len(names)
            for name in names:
                if not run.stop.is_set():
                    self._one(app, run, name, user)
            if not run.stop.is_set():
                run.status = "DONE" if run.done or not run.total else "ERROR"
        except Exception as error:
            event("batch_failed", logging.ERROR, error=type(error).__name__)
            run.status = "ERROR"
        finally:
            run.end_ts = run.end_ts or _now()

    def _one(self, app: Any, run: Run, name: str, user: str) -> None:
        request = {
            **run.options.of_each(),
            "model": run.model,
            "image": name,
            "user": user,
            "save_label": run.options.save_label,
            "label_tag": run.options.label_tag,
        }
        try:
            result = app.infer(request)
            run.done += 1
        except Exception as error:
            run.note_failure(error)
            kind = type(error).__name__
            event("batch_study_failed", logging.WARNING, error=kind, number=run.done + run.failed)
            return
        file = (result or {}).get("file")
        if file:
            with suppress(OSError):
                Path(file).unlink()


def batch_router(batches: Batches) -> APIRouter:
    """The endpoints of batch inference."""
    router = APIRouter(prefix="/batch", tags=["Infer"])

    @router.get("/infer", summary="How the batch inference stands")
    def status(all: bool = False, check_if_running: bool = False) -> Any:
        """The newest run, or with `all` every one; 404 where there is none."""
        if check_if_running:
            run = batches.running()
            if run is None:
                raise HTTPException(404, "no batch inference is running")
            return run.to_json()
        if not batches.runs:
            raise HTTPException(404, "there was no batch inference")
        return [run.to_json() for run in batches.runs] if all else batches.runs[-1].to_json()

    @router.post("/infer/{model}", summary="Segment many studies")
    def start(
        model: str,
        user: Annotated[User, Depends(current_user)],
        images: Literal["all", "labeled", "unlabeled"] = "all",
        params: Annotated[dict[str, Any] | None, Body()] = None,
        run_sync: bool = False,
    ) -> Any:
        """Begins a run over the studies that `images` names; 429 while another goes on."""
        options = read_options(BatchOptions, params or {})
        run = batches.start(model, images, options, user.name)
        while run_sync and run.end_ts is None:
            time.sleep(0.2)
        return run.to_json()

    @router.delete("/infer", summary="Stop the batch inference")
    def stop() -> Any:
        run = batches.stop()
        return None if run is None else run.to_json()

    return router


def _chosen(store: Any, images: str, options: BatchOptions) -> list[str]:
    if images == "labeled":
        names = store.get_labeled_images(options.label_tag, None)
    elif images == "unlabeled":
        names = store.get_unlabeled_images(options.label_tag, None)
    else:
        names = store.list_images()
    chosen = sorted(names)
    return chosen[: options.max_batch_size] if options.max_batch_size else chosen


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
