"""What a report says, before it is laid out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monai_sfda.catalog import Structure
from monai_sfda.evaluation.guard_section import GuardSection
from monai_sfda.evaluation.metrics import StructureScore

VERDICTS: dict[str, tuple[str, str]] = {
    "accept": ("Accepted", "The label-free guard found an adapted model better than the unadapted one."),
    "reject": (
        "Rejected",
        "The label-free guard did not find the adapted model safe: the unadapted model stays in use.",
    ),
    "unsure": (
        "Unsure",
        "The label-free guard could not tell. The unadapted model stays in use, the adapted one is a "
        "candidate.",
    ),
    "none": (
        "Unsure (not judged by a guard)",
        "No guard has checked this model. Do not put it into use on this report alone.",
    ),
}
"""Verdict of the guard to its title and meaning; `none` where no guard has judged."""


@dataclass
class ReportContent:
    """What a report says.

    Attributes:
        title: of the report.
        task: a task's name in the catalog, or any title of a task.
        method: name of the adaptation method.
        verdict: `accept`, `reject`, `unsure`, or None where no guard has judged.
        guard: what the guard saw, or None where none has judged.
        chosen: the candidate that is published; None where no guard has chosen.
        reasons: of the verdict, in words.
        warnings: what a reader must know before relying on the numbers, beside what the report finds itself.
        results: result name to its summary (`summarise`); `unadapted`, `adapted`, `supervised bound` and
            `centre blob` are recognised and compared. Empty where no case has a reference.
        scores: result name to the scores of its cases; those of `unadapted` and `adapted` are compared.
        overlays: (caption, PNG image), e.g. of `figures.overlay_grid`.
        embedding: (caption, PNG image) of `embedding_figure`, or None.
        history: (step, name, value) of every recorded loss.
        signals: `before`, `after` and, where the published model is neither, `published` to `entropy` (nats
            a pixel) and `class_ratio` (class to share); empty for none.
        settings: every setting of the run; nested mappings are written with dots, locations are withheld.
        versions: package to version.
        split: which scans were adapted to, and where the split comes from.
        notes: further remarks.
        volumes: the same moments to adaptation case number to structure to predicted volume in ml.
        volumes_cut: adaptation cases whose slices were cut at the centre, so that volumes miss their edges.
        phantom: whether the scans are simulated; the report then says so at its head.
        pictures: whether they are colour pictures, upright and without a patient's sides.
        structures: names and colours for the legend; empty takes those of the catalog's task.
        target_labels_read: what labels of the target the adaptation used (an oracle setting, image-level
            tags), in words; empty means none, which the report then states. Settings named `oracle` are found
            without being told.
        source_data_read: whether the adaptation used scans of the source, as prior matching does.
    """

    title: str
    task: str
    method: str
    verdict: str | None = None
    guard: GuardSection | None = None
    chosen: str | None = None
    reasons: Sequence[str] = ()
    warnings: Sequence[str] = ()
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    scores: Mapping[str, Sequence[StructureScore]] = field(default_factory=dict)
    overlays: Sequence[tuple[str, bytes]] = ()
    embedding: tuple[str, bytes] | None = None
    history: Sequence[tuple[int, str, float]] = ()
    signals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    notes: Sequence[str] = ()
    volumes: Mapping[str, Mapping[int, Mapping[str, float | None]]] = field(default_factory=dict)
    volumes_cut: Sequence[int] = ()
    phantom: bool = False
    pictures: bool = False
    structures: Sequence[Structure] = ()
    target_labels_read: Sequence[str] = ()
    source_data_read: bool = False
