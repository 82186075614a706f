"""The scoring methods of `/scoring`: every study that the active version of a model has not looked at yet.

One scan is in memory at a time, and each score is written when it is there: a run that is stopped or killed
loses nothing, and the next one goes on with what is missing. A scan that cannot be scored gets an entry that
says why, stops no other, and is not tried again by the same version unless `rescore` asks for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monai_sfda.data.scan import Scan
from monai_sfda.errors import DataError, SfdaError
from monai_sfda.label.models import LoadedModel, Models
from monai_sfda.label.next_study.measure import NoMemoryError, StoppedError, measure
from monai_sfda.label.next_study.options import ScoringOptions
from monai_sfda.label.next_study.scores import (
    Datastore,
    Score,
    fits,
    now_utc,
    read_score,
    score_of,
    write_score,
)
from monai_sfda.label.stock import prepare
from monai_sfda.label.studies.errors import PacsError, StillArrivingError, UnknownImageError
from monai_sfda.label.studies.scanners import unlabelled_images
from monai_sfda.label.values import read_options
from monai_sfda.store import Version

prepare()
from monailabel.interfaces.tasks.scoring import ScoringMethod  # noqa: E402

logger = logging.getLogger(__name__)
_AWAY_IN_A_ROW = 3
"""After so many studies that could not be fetched one after the other it is the PACS, not the studies."""


@dataclass
class Tally:
    """How far a run of scoring is, in numbers of studies.

    Attributes:
        studies: to look at.
        skipped: that had a score of the active version already.
        scored: that have one now.
        failed: that cannot be scored; their entries say why.
        put_off: that could not be fetched, are still arriving, or found no memory on the device; the next run
            tries them again.
    """

    studies: int = 0
    skipped: int = 0
    scored: int = 0
    failed: int = 0
    put_off: int = 0

    @property
    def done(self) -> int:
        """How many of the studies to look at were looked at."""
        return self.scored + self.failed + self.put_off

    def to_json(self) -> dict[str, int]:
        """For records and answers."""
        return asdict(self) | {"done": self.done}

    def in_words(self) -> str:
        """A line for people."""
        parts = [f"{self.done} of {self.studies} studies looked at", f"{self.scored} scored"]
        parts += [f"{self.skipped} scored before"] if self.skipped else []
        parts += [f"{self.failed} that cannot be scored"] if self.failed else []
        parts += [f"{self.put_off} put off"] if self.put_off else []
        return ", ".join(parts)


class ScanScoring(ScoringMethod):
    """Scores studies by one model.

    Args:
        app: has `models`.
        model: name of the model.
    """

    def __init__(self, app: Any, model: str) -> None:
        super().__init__(f"Domain shift and uncertainty of studies that '{model}' has not scored yet")
        self._app, self.model = app, model

    def info(self) -> dict[str, Any]:
        """For `/info`, with the choices of the client's option panel."""
        return {
            "description": self.description,
            "config": {"studies": ["all", "unlabelled"], "rescore": False},
        }

    def __call__(
        self,
        request: Mapping[str, Any],
        datastore: Datastore,
        stopped: Callable[[], bool] = lambda: False,
        progress: Callable[[Tally], None] = lambda tally: None,
    ) -> dict[str, int]:
        """Scores the studies; returns how many of which kind.

        Args:
            request: of the client; see `ScoringOptions`.
            datastore: of the app; the scores are written into it.
            stopped: asked after every batch of slices.
            progress: called with what was done after every study.

        Raises:
            StoppedError: when `stopped` says so; what was scored stays.
            SettingError: for an option of the wrong kind.
            StoreError, CheckpointError: when the model's active version cannot be loaded.
            DataError: when the datastore's server does not answer.
        """
        options = read_options(ScoringOptions, request)
        return score_studies(
            self._app.models, self.model, datastore, options, stopped=stopped, progress=progress
        ).to_json()


def scorings(app: Any) -> dict[str, ScoringMethod]:
    """See `monai_sfda.label.next_study.scorings_of`."""
    return {f"score_{model}": ScanScoring(app, model) for model in app.models}


def unscored(
    models: Models, model: str, datastore: Datastore, options: ScoringOptions
) -> tuple[list[str], int]:
    """The studies that a run would look at, and how many it would skip.

    Args:
        models: of the app.
        model: that scores.
        datastore: of the app.
        options: which studies are meant.
    """
    installed = models[model]
    active = installed.active()
    meant = (
        unlabelled_images(datastore, model) if options.studies == "unlabelled" else datastore.list_images()
    )
    open_, skipped = [], 0
    for image_id in meant:
        info = datastore.get_image_info(image_id)
        if not fits(info, installed.modality):
            continue
        if not options.rescore and _is_scored(info, model, active):
            skipped += 1
        else:
            open_.append(image_id)
    return open_[: options.most], skipped


def score_studies(
    models: Models,
    model: str,
    datastore: Datastore,
    options: ScoringOptions,
    *,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Scores studies one after the other; see `ScanScoring`."""
    ids, skipped = unscored(models, model, datastore, options)
    tally = Tally(studies=len(ids), skipped=skipped)
    progress(tally)
    away = 0
    for image_id in ids:
        if stopped():
            raise StoppedError
        # Looked up for every scan: a version that is activated meanwhile scores the rest.
        loaded = models.load(model)
        try:
            score = _score_study(loaded, datastore, image_id, stopped)
        except UnknownImageError:  # removed since the run began
            tally.studies -= 1
        except (StillArrivingError, NoMemoryError):
            tally.put_off += 1
        except (PacsError, OSError) as error:
            away, tally.put_off = away + 1, tally.put_off + 1
            logger.warning("a study could not be fetched (%s)", type(error).__name__)
            if away >= _AWAY_IN_A_ROW:
                progress(tally)
                raise DataError(
                    f"{away} studies one after the other could not be fetched",
                    remedy="check that the PACS answers, then score again; what was scored is kept",
                ) from error
        else:
            away = 0
            write_score(datastore, image_id, model, score)
            if score.error is None:
                tally.scored += 1
            else:
                tally.failed += 1
        progress(tally)
    return tally


def _score_study(
    loaded: LoadedModel, datastore: Datastore, image_id: str, stopped: Callable[[], bool]
) -> Score:
    """The score of an image; errors as of `score_scan`, and those of a datastore that cannot be reached."""
    try:
        place = Path(datastore.get_image_uri(image_id))
    except (UnknownImageError, StillArrivingError):
        raise
    except DataError as error:  # what is there makes no scan
        return _failed(loaded, f"{error.what}: {error.remedy}")
    return score_scan(loaded, place, stopped)


def score_scan(loaded: LoadedModel, place: Path, stopped: Callable[[], bool] = lambda: False) -> Score:
    """The score of one scan; one with an error for a scan that cannot be scored.

    Args:
        loaded: the model.
        place: file of the scan, or folder of its series.
        stopped: asked after every batch of slices.

    Raises:
        StoppedError: when `stopped` says so.
        NoMemoryError: when the device has no room for the scan now.
    """
    try:
        scan: Scan = loaded.read(place)
        familiarity, uncertainty = measure(loaded, scan, stopped)
    except NoMemoryError:
        raise
    except SfdaError as error:
        # Without the file, which `what` does not hold.
        return _failed(loaded, f"{error.what}: {error.remedy}")
    except (OSError, ValueError, MemoryError) as error:
        logger.warning("a study could not be scored (%s)", type(error).__name__)
        return _failed(loaded, f"it cannot be read ({type(error).__name__})")
    return score_of(familiarity, uncertainty, version=loaded.version.number, sha256=loaded.sha256)


def _failed(loaded: LoadedModel, why: str) -> Score:
    return Score(loaded.sha256, loaded.version.number, now_utc(), error=why)


def _is_scored(info: Mapping[str, Any], model: str, active: Version) -> bool:
    score = read_score(info, model)
    return (
        score is not None and score.is_of(active.number, active.manifest["model_sha256"]) and score.is_whole
    )
