"""The train tasks that MONAI Label lists: an adaptation and a fine-tuning for every model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from monai_sfda.errors import SfdaError
from monai_sfda.label.adaptation.options import (
    ALL_STUDIES,
    ANY_SCANNER,
    AUTO,
    BUDGETS,
    METHODS,
    choices,
    default_method,
)
from monai_sfda.label.adaptation.record import Kind
from monai_sfda.label.adaptation.selection import offered_scanners
from monai_sfda.label.adaptation.steps import source_of
from monai_sfda.label.stock import prepare

prepare()

from monailabel.interfaces.tasks.train import TrainTask  # noqa: E402

_SCANNERS_KEPT_SECONDS = 30.0


class JobTask(TrainTask):
    """A train task that is a job of the queue.

    Args:
        app: with `models`, `jobs` and `datastore()`.
        model: name in the store.
        kind: of the job.
        description: for people.
    """

    def __init__(self, app: Any, model: str, kind: Kind, description: str) -> None:
        super().__init__(description)
        self.app, self.model, self.kind = app, model, kind

    def config(self) -> dict[str, Any]:
        """The client's option panel: the first of a list is the default."""
        return {
            "budget": list(BUDGETS),
            "epochs": 0,
            "studies": ALL_STUDIES,
            "min_studies": 1,
            "device": choices(AUTO, devices()),
        }

    def stats(self) -> dict[str, Any]:
        """Live progress of the running or the last job; see `views.stats` for what `best_metric` is."""
        found: dict[str, Any] = self.app.jobs.progress(self.model, self.kind)
        return found

    def __call__(self, request: Mapping[str, Any], datastore: Any) -> dict[str, Any]:
        """Puts a job into the queue and returns at once.

        Raises:
            SfdaError: see `Jobs.submit`.
        """
        by = str(request.get("sfda_user") or "local")
        job = self.app.jobs.submit(self.kind, self.model, request, by)
        return dict(self.app.jobs.status(job.id))


class AdaptTask(JobTask):
    """Adapts a model to the datastore's unlabelled studies."""

    def __init__(self, app: Any, model: str) -> None:
        text = (
            f"Adapts '{model}' to unlabelled studies of this site, without any source scan; the label-free "
        )
        text += "guard judges the result. Research; not for diagnosis"
        super().__init__(app, model, Kind.ADAPT, text)
        self._scanners: tuple[float, list[str]] = (-_SCANNERS_KEPT_SECONDS, [])

    def config(self) -> dict[str, Any]:
        """Method and scanner before what every job can be asked."""
        return {
            "method": choices(self._default_method(), METHODS),
            **super().config(),
            "scanner": choices(ANY_SCANNER, self._offered_scanners()),
        }

    def _default_method(self) -> str:
        installed = self.app.models[self.model]
        try:
            return default_method(source_of(installed.store, installed.active()).bundle)
        except SfdaError:
            return METHODS[0]

    def _offered_scanners(self) -> list[str]:
        """Looked up twice a minute: clients ask for the panel often."""
        at, found = self._scanners
        if time.monotonic() - at > _SCANNERS_KEPT_SECONDS:
            try:
                found = offered_scanners(self.app.datastore())
            except (SfdaError, OSError):
                found = []
            self._scanners = (time.monotonic(), found)
        return found


class FineTuneTask(JobTask):
    """Tunes a model on labels that people have corrected and saved as final."""

    def __init__(self, app: Any, model: str) -> None:
        text = f"Fine-tunes '{model}' on final labels of this site, and compares it on held-out subjects. "
        text += "Research; not for diagnosis"
        super().__init__(app, model, Kind.FINE_TUNE, text)


def make_trainers(app: Any) -> dict[str, TrainTask]:
    """See `monai_sfda.label.adaptation.trainers_of`."""
    found: dict[str, TrainTask] = {f"{Kind.ADAPT.value}_{m}": AdaptTask(app, m) for m in app.models}
    return found | {f"{Kind.FINE_TUNE.value}_{m}": FineTuneTask(app, m) for m in app.models}


def devices() -> list[str]:
    """Names of the devices of this machine."""
    import torch

    return [*(f"cuda:{n}" for n in range(torch.cuda.device_count())), "cpu"]
