"""What came of a finished run: its verdict and estimate, and its version in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_sfda.candidate_names import UNADAPTED
from monai_sfda.errors import OutputError
from monai_sfda.evaluation.privacy import withhold_locations
from monai_sfda.files import file_sha256
from monai_sfda.guard.verdict import ACCEPT
from monai_sfda.label.adaptation.record import Job, Kind
from monai_sfda.label.adaptation.steps import RECORD
from monai_sfda.store import ModelStore, Version

ESTIMATED = "guard's cautious estimate of the gain in mean Dice (label-free)"
MEASURED = "gain in mean Dice on held-out corrected studies"
NOT_YET = "gain in mean Dice: not known before the end"


@dataclass(frozen=True)
class Outcome:
    """Of a run.

    Attributes:
        verdict: `accept`, `reject` or `unsure`.
        reasons: in words.
        gain: in mean Dice, as a fraction of 1; None: unknown.
        gain_name: what `gain` is.
    """

    verdict: str
    reasons: tuple[str, ...]
    gain: float | None
    gain_name: str


def read_outcome(run: Path, kind: Kind) -> Outcome:
    """What the record of a run folder says.

    Raises:
        OutputError: when it cannot be read.
    """
    try:
        record: dict[str, Any] = json.loads((run / RECORD).read_text(encoding="utf-8"))
        reasons = tuple(withhold_locations(str(reason)) for reason in record["reasons"])
        gain = record["held_out"]["gain"] if kind is Kind.FINE_TUNE else _estimate(record["guard"])
        name = MEASURED if kind is Kind.FINE_TUNE else ESTIMATED
        return Outcome(str(record["verdict"]), reasons, None if gain is None else float(gain), name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"the run's record cannot be read ({type(error).__name__})",
            path=RECORD,
            remedy="run it again",
        ) from error


def publish_outcome(store: Path, job: Job, run: Path, *, automatic: bool) -> tuple[Version, bool]:
    """Puts a finished run into the store, once.

    Args:
        store: its folder.
        job: whose run it is; its user publishes.
        run: folder.
        automatic: whether an adaptation that the guard accepted becomes active at once. A fine-tuned version
            always waits for somebody's decision, since no guard has judged it; and an adaptation never takes
            the place of a fine-tuned one by itself, since the guard compared it with the source model alone.

    Returns:
        The version, and whether it was made active.

    Raises:
        StoreError, OutputError: see `ModelStore.publish`.
    """
    opened = ModelStore(store, by=job.by)
    before = _published(opened, job.model, file_sha256(run / RECORD))
    if before is not None:  # somebody may have decided about it since
        return before, False
    version = opened.publish(run, model=job.model)
    activate = automatic and job.kind is Kind.ADAPT and version.verdict == ACCEPT and not version.is_unadapted
    if activate and not opened.active(job.model).manifest.get("target_labels_read"):
        opened.activate(job.model, version.number, reason="automatic: the guard accepted it")
        return version, True
    return version, False


def _published(store: ModelStore, model: str, record_sha256: str) -> Version | None:
    """The version that a run became before the server was killed."""
    for version in reversed(store.versions(model)):
        if version.manifest["files"].get(RECORD) == record_sha256:
            return version
    return None


def _estimate(guard: Mapping[str, Any]) -> float | None:
    if not guard.get("enabled", False):
        return None
    best = guard["best"]
    return 0.0 if best == UNADAPTED else guard["estimates"].get(best)
