"""Jobs: a folder of records, and a queue that never runs two on one device at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monai_sfda.label.adaptation.record import Job, Kind


class Jobs:
    """Adaptations and fine-tunings of a server, in one folder.

    Args:
        folder: of the records, one folder a job; made when it is not there.
        models: `monai_sfda.label.models.Models` whose versions are adapted and published.
        datastore: gives the datastore whose studies are used.
        activation: `manual`, or `automatic`: a version that the guard accepted becomes active at once.
        device: of jobs whose options name none; None: a GPU where there is one.
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
        self.folder = folder
        self.models = models
        self.datastore = datastore
        self.activation = activation
        self.device = device

    def submit(self, kind: Kind | str, model: str, options: Mapping[str, Any], by: str) -> Job:
        """Puts a job into the queue of its device; checks everything first that can be checked at once."""
        raise NotImplementedError

    def job(self, identifier: str) -> Job:
        """One job; a `SettingError` for an unknown id."""
        raise NotImplementedError

    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        return []

    def status(self, identifier: str | None = None) -> dict[str, Any]:
        """A job as `/train/` answers: MONAI Label's keys, progress, and our own; the running or last by default."""
        raise NotImplementedError

    def progress(self, model: str, kind: Kind | str) -> dict[str, Any]:
        """What the clients' progress bars read, of the running or last job of a model."""
        return {}

    def stop(self, identifier: str | None = None, *, by: str | None = None) -> Job | None:
        """Ends a job: one that waits leaves the queue, one that runs is interrupted; None: nothing ran."""
        return None

    def resume(self, identifier: str, by: str) -> Job:
        """Puts an interrupted or stopped job back into the queue; it goes on from its checkpoint."""
        raise NotImplementedError

    def close(self, grace: float = 20.0) -> None:
        """Ends all jobs; the records say that the server was shut down. Returns when nothing is left."""
