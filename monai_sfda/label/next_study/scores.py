"""What is known of a study's scan, as it stands in the datastore: its domain-shift score and uncertainty.

A datastore keeps, under the key `sfda` of an image's information, one entry a model. An entry belongs to the
version and weights that made it; beside another version it is stale and counts as none.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Protocol

from monai_sfda.guard.familiarity import FAMILIAR, UNLIKE, UNUSUAL, Familiarity

KEY = "sfda"
_VERDICTS = (FAMILIAR, UNUSUAL, UNLIKE)
_writing = threading.Lock()


class Datastore(Protocol):
    """What is asked of a datastore of MONAI Label here."""

    def list_images(self) -> list[str]:
        """Ids of all images."""

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """What is known of an image."""

    def get_image_uri(self, image_id: str) -> str:
        """Its file, or the folder of its series."""

    def acquired_at(self, image_id: str) -> datetime | None:
        """When it was acquired, local time; None where nothing says it."""

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """Label ids by tag."""

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Puts values under the keys given, in place of those that are there."""


@dataclass(frozen=True)
class Score:
    """Of one scan by one version of a model.

    Attributes:
        model_sha256: of the weights.
        version: number of the version.
        scored_at: UTC, ISO 8601.
        shift: domain-shift score, see `Familiarity`; None where it is not known, as of a model that does not
            say what scans it knows.
        verdict: `familiar`, `unusual` or `unlike`.
        aspects: deviations that the score is the largest of.
        reasons: in words.
        uncertainty: 0 to 1, see `monai_sfda.label.next_study.measure`; None where it is not known.
        error: why the scan could not be scored, without a name; None for one that was.
    """

    model_sha256: str
    version: int
    scored_at: str
    shift: float | None = None
    verdict: str | None = None
    aspects: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    uncertainty: float | None = None
    error: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether a run of scoring has nothing to add: it has looked at the scan, if in vain."""
        return self.uncertainty is not None or self.error is not None

    def is_of(self, version: int, sha256: str) -> bool:
        """Whether it was made by this version with these weights; else it is stale."""
        return self.version == version and self.model_sha256 == sha256

    def to_json(self) -> dict[str, Any]:
        """As it stands in the datastore; what is not known is left out."""
        entry: dict[str, Any] = {
            "model_sha256": self.model_sha256,
            "version": self.version,
            "scored_at": self.scored_at,
        }
        if self.shift is not None:
            entry |= {"shift": self.shift, "verdict": self.verdict}
            entry |= {"aspects": dict(self.aspects), "reasons": list(self.reasons)}
        if self.uncertainty is not None:
            entry["uncertainty"] = self.uncertainty
        if self.error is not None:
            entry["error"] = self.error
        return entry


def now_utc() -> str:
    """The time of a scoring."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def fits(info: Mapping[str, Any], modality: str) -> bool:
    """Whether an image is of a model's modality, or does not say which it is of.

    Args:
        info: of the image.
        modality: that the model takes, `MR` or `CT`.
    """
    return info.get("Modality") in (None, "", modality)


def read_score(info: Mapping[str, Any], model: str) -> Score | None:
    """The entry of a model in an image's information; None for none, or one that cannot be read.

    Args:
        info: of the image, as the datastore has it.
        model: name of the model.
    """
    try:
        entry = info[KEY][model]
        shift, verdict, uncertainty = (entry.get(key) for key in ("shift", "verdict", "uncertainty"))
        if shift is not None and verdict not in _VERDICTS:
            return None
        return Score(
            model_sha256=str(entry["model_sha256"]),
            version=int(entry["version"]),
            scored_at=str(entry["scored_at"]),
            shift=None if shift is None else float(shift),
            verdict=verdict,
            aspects={str(name): float(value) for name, value in entry.get("aspects", {}).items()},
            reasons=tuple(map(str, entry.get("reasons", ()))),
            uncertainty=None if uncertainty is None else float(uncertainty),
            error=entry.get("error"),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def write_score(datastore: Datastore, image_id: str, model: str, score: Score) -> None:
    """Puts an entry in place of the model's older one; those of other models stay.

    Args:
        datastore: of the image.
        image_id: of the scan.
        model: name of the model.
        score: of the scan.
    """
    with _writing:
        there = datastore.get_image_info(image_id).get(KEY)
        entries = dict(there) if isinstance(there, Mapping) else {}
        datastore.update_image_info(image_id, {KEY: entries | {model: score.to_json()}})


def score_of(
    familiarity: Familiarity | None, uncertainty: float | None, *, version: int, sha256: str
) -> Score:
    """The score of a scan that was looked at now.

    Args:
        familiarity: of the scan; None where the model does not say what scans it knows.
        uncertainty: of the scan, 0 to 1.
        version, sha256: of the model and its weights.
    """
    score = Score(
        sha256, version, now_utc(), uncertainty=None if uncertainty is None else round(uncertainty, 5)
    )
    if familiarity is None:
        return score
    return replace(
        score,
        shift=round(familiarity.score, 3),
        verdict=familiarity.verdict,
        aspects={name: round(value, 3) for name, value in familiarity.aspects.items()},
        reasons=familiarity.reasons,
    )


def record(
    datastore: Datastore, image_id: str, *, model: str, version: int, sha256: str, familiarity: Familiarity
) -> None:
    """See `monai_sfda.label.next_study.record_familiarity`."""
    there = read_score(datastore.get_image_info(image_id), model)
    known = there.uncertainty if there is not None and there.is_of(version, sha256) else None
    score = score_of(familiarity, known, version=version, sha256=sha256)
    write_score(datastore, image_id, model, score)
