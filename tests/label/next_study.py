"""An app in small for the tests of which study is next: real models, a real folder of studies."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_sfda.label.models import Models
from monai_sfda.label.next_study.scores import Score, now_utc, write_score
from monai_sfda.label.studies import open_datastore
from monai_sfda.store import ModelStore


@dataclass(eq=False)
class SmallApp:
    """What strategies, scoring and drift ask of an app."""

    models: Models
    studies: Any
    scoring_runs: Any = field(default=None)

    def datastore(self) -> Any:
        return self.studies

    def ids(self) -> list[str]:
        return sorted(self.studies.list_images())


def small_app(store: ModelStore, scans: Path | str, cache: Path) -> SmallApp:
    models = Models(store, device="cpu")
    tasks = {name: models[name].task for name in models}
    return SmallApp(models, open_datastore(str(scans), cache=cache, tasks=tasks))


def put_score(app: SmallApp, image_id: str, model: str = "abdomen", **known: Any) -> None:
    """Writes a score of the active version, as a run of scoring would."""
    active = app.models[model].active()
    score = Score(active.manifest["model_sha256"], active.number, now_utc(), **known)
    write_score(app.studies, image_id, model, score)


def put_shift(app: SmallApp, image_id: str, **aspects: float) -> None:
    """Writes a score with these deviations."""
    shift = max(aspects.values())
    verdict = "familiar" if shift <= 1 else "unusual" if shift <= 2 else "unlike"
    put_score(app, image_id, shift=shift, verdict=verdict, aspects=aspects, uncertainty=0.1)
