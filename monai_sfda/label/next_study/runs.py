"""Runs of scoring in a thread of the server: one at a time, with progress, stopped in the midst of a scan.

A thread and no process of its own: the network is in memory already, is shared with inference a batch of
slices at a time, and nothing is left behind when the server ends.
"""

from __future__ import annotations

import logging
import queue
import threading
import traceback
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from monai_sfda.errors import SettingError, SfdaError, nearest
from monai_sfda.label.next_study.measure import StoppedError
from monai_sfda.label.next_study.options import ScoringOptions
from monai_sfda.label.values import read_options

logger = logging.getLogger(__name__)
SUBMITTED, RUNNING, DONE, ERROR, STOPPED = "SUBMITTED", "RUNNING", "DONE", "ERROR", "STOPPED"
_KEPT = 50
_LINES = 20


@dataclass
class Run:
    """One run of scoring, in the words of MONAI Label's background tasks.

    Attributes:
        id: of the run.
        method: which scoring method.
        options: as they were read.
        by: who started it.
        status: SUBMITTED, RUNNING, DONE, ERROR or STOPPED.
        start_ts, end_ts: local times, as MONAI Label writes them; empty where it has not ended.
        details: the last lines of what happened; numbers of studies only.
        result: numbers of studies so far.
    """

    method: str
    options: ScoringOptions
    by: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = SUBMITTED
    start_ts: str = field(default_factory=lambda: _now())
    end_ts: str = ""
    details: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))
    result: dict[str, int] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event, repr=False)
    ended: threading.Event = field(default_factory=threading.Event, repr=False)

    def to_json(self) -> dict[str, Any]:
        """As `/scoring` answers it."""
        record: dict[str, Any] = {
            "id": self.id,
            "status": self.status,
            "request": {"method": self.method, **self.options.model_dump()},
            "start_ts": self.start_ts,
            "details": list(self.details),
            "result": dict(self.result),
        }
        return record | ({"end_ts": self.end_ts} if self.end_ts else {})


class ScoringRuns:
    """The runs of an app.

    Args:
        app: has `models` and `datastore()`.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._runs: deque[Run] = deque(maxlen=_KEPT)
        self._waiting: queue.Queue[Run | None] = queue.Queue()
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._worker: threading.Thread | None = None
        self._clock: threading.Thread | None = None

    def methods(self) -> list[str]:
        """Names of the scoring methods."""
        return [f"score_{model}" for model in self._app.models]

    def submit(self, method: str, request: Mapping[str, Any] | None = None, by: str = "local") -> Run:
        """Puts a run at the end of the queue.

        Args:
            method: name of the scoring method.
            request: of the client.
            by: who starts it.

        Raises:
            SettingError: for an unknown method, an option of the wrong kind, or when the server is ending.
        """
        if method not in self.methods():
            there = (
                f"use {' or '.join(nearest(method, self.methods()))}"
                if len(self._app.models)
                else "none is there"
            )
            raise SettingError(f"no scoring method '{method[:64]}'", remedy=there)
        run = Run(method, read_options(ScoringOptions, request or {}), by)
        with self._guard:
            if self._closing.is_set():
                raise SettingError("the server is ending", remedy="ask again when it has started")
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="scoring", daemon=True)
                self._worker.start()
            self._runs.append(run)
            self._waiting.put(run)
        return run

    def all(self) -> list[Run]:
        """The last runs, oldest first."""
        with self._guard:
            return list(self._runs)

    def running(self) -> Run | None:
        """The run that scores now; None for none."""
        return next((run for run in self.all() if run.status == RUNNING), None)

    def is_busy(self) -> bool:
        """Whether a run scores or waits."""
        return any(run.status in (SUBMITTED, RUNNING) for run in self.all())

    def stop(self) -> Run | None:
        """Tells the run that scores to end, and takes those that wait out of the queue.

        Returns:
            The run that was stopped, of several the one that scored; None for none.
        """
        stopped = None
        for run in self.all():
            if run.status in (SUBMITTED, RUNNING):
                stopped = run if stopped is None or run.status == RUNNING else stopped
                run.stop.set()
                if run.status == SUBMITTED:
                    _end(run, STOPPED)
        return stopped

    def every(self, seconds: float) -> None:
        """Scores new studies again and again, when nothing else is being scored.

        Args:
            seconds: between two looks; 0 or less for never.
        """
        with self._guard:
            if seconds <= 0 or self._clock is not None or self._closing.is_set():
                return
            self._clock = threading.Thread(
                target=self._look_again, args=(seconds,), name="scoring clock", daemon=True
            )
            self._clock.start()

    def close(self, patience: float = 30.0) -> bool:
        """Ends all runs; no other is taken.

        Args:
            patience: seconds to wait at most.

        Returns:
            Whether all have ended.
        """
        with self._guard:
            self._closing.set()
            threads = [thread for thread in (self._worker, self._clock) if thread is not None]
        self.stop()
        self._waiting.put(None)
        for thread in threads:
            thread.join(patience)
        return not any(thread.is_alive() for thread in threads)

    def _work(self) -> None:
        while (run := self._waiting.get()) is not None:
            if run.stop.is_set():
                _end(run, STOPPED)
            else:
                self._score(run)

    def _score(self, run: Run) -> None:
        from monai_sfda.label.next_study.scoring import Tally, scorings

        def progress(tally: Tally) -> None:
            run.result = tally.to_json()
            run.details.append(tally.in_words())

        run.status = RUNNING
        logger.info("scoring by %s started", run.method)
        try:
            method = scorings(self._app)[run.method]
            method(run.options.model_dump(), self._app.datastore(), run.stop.is_set, progress)
        except StoppedError:
            _end(run, STOPPED)
        except SfdaError as error:
            run.details.append(f"{error.what}: {error.remedy}")
            _end(run, ERROR)
        except Exception as error:
            # The worker serves the next run whatever this one met; a foreign error's text may name files.
            place = traceback.extract_tb(error.__traceback__)[-1]
            logger.error("%s: %s at %s:%s", run.method, type(error).__name__, place.name, place.lineno)
            run.details.append(f"ended by an error ({type(error).__name__}); the server's log has more")
            _end(run, ERROR)
        else:
            _end(run, DONE)
        logger.info("scoring by %s ended: %s %s", run.method, run.status, run.result)

    def _look_again(self, seconds: float) -> None:
        from monai_sfda.label.next_study.scoring import unscored

        while not self._closing.wait(seconds):
            if self.is_busy():
                continue
            for model in self._app.models:
                try:
                    found, _ = unscored(self._app.models, model, self._app.datastore(), ScoringOptions())
                    if found:
                        self.submit(f"score_{model}", by="schedule")
                except Exception as error:  # a PACS that is away now answers the next time
                    logger.warning("new studies could not be looked for (%s)", type(error).__name__)


_lock = threading.Lock()


def runs_of(app: Any) -> ScoringRuns:
    """The runs of an app, made at the first call and kept on it as `scoring_runs`."""
    with _lock:
        runs = getattr(app, "scoring_runs", None)
        if not isinstance(runs, ScoringRuns):
            runs = ScoringRuns(app)
            app.scoring_runs = runs
        return runs


def _end(run: Run, status: str) -> None:
    run.status, run.end_ts = status, _now()
    run.ended.set()


def _now() -> str:
    return datetime.today().strftime("%Y-%m-%d %H:%M:%S")
