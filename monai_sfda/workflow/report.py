"""`report.html` of a run folder, from what the run and its evaluations recorded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_sfda.catalog import TASKS
from monai_sfda.errors import DataError
from monai_sfda.evaluation.cases import read_metrics
from monai_sfda.evaluation.comparison import ADAPTED, CENTRE_BLOB, UNADAPTED
from monai_sfda.evaluation.embedding_figure import EMBEDDING_FIGURE
from monai_sfda.evaluation.metrics import StructureScore
from monai_sfda.evaluation.report import ReportContent, write_report
from monai_sfda.evaluation.report_warnings import counted
from monai_sfda.evaluation.summary import read_summary
from monai_sfda.workflow.guard_report import guard_section
from monai_sfda.workflow.scored_weights import check_scored_weights

PHANTOM_MANIFEST = "phantom.json"


def report_of_run(
    run: Path,
    results: Mapping[str, Path] | None = None,
    *,
    phantom: bool = False,
    notes: tuple[str, ...] = (),
) -> Path:
    """Writes the report of an adaptation run, again when evaluations have come since.

    Args:
        run: folder that `adapt.json` or `uda.json` wrote.
        results: result name (`unadapted`, `adapted`, `supervised bound`) to a folder that `evaluate.json`
            wrote.
        phantom: whether the scans are phantoms, which the report then says.
        notes: further remarks.

    Returns:
        The report's path.

    Raises:
        DataError: when a folder lacks what it should hold, or a result scored other weights than its name
            says.
    """
    record = read_record(run)
    figures = run / "figures"
    captions: dict[str, str] = {}
    if (figures / "captions.json").is_file():
        captions = json.loads((figures / "captions.json").read_text(encoding="utf-8"))
    pictures = {name: (caption, (figures / name).read_bytes()) for name, caption in captions.items()}
    embedding = pictures.pop(f"{EMBEDDING_FIGURE}.png", None)
    summaries: dict[str, Any] = {}
    for name, folder in (results or {}).items():
        summaries[name] = read_summary(folder / "summary.json")
        blob = folder / "summary_centre_blob.json"
        if blob.is_file():
            summaries.setdefault(CENTRE_BLOB, read_summary(blob))
    guard = guard_section(record)
    gaps = prototype_gaps(record.get("structures_without_prototype", ()))
    doubts, remarks = data_warnings(record)
    warnings = [sentence(gap) for gap in gaps] + doubts + check_scored_weights(record, summaries)
    content = ReportContent(
        title=f"Adaptation: {record['title']}",
        task=record["task"],
        method=f"{record['title']} ({record['source']})",
        verdict=None if guard is None else record["verdict"],
        guard=guard,
        chosen=None if guard is None else record["guard"]["chosen"],
        reasons=[reason for reason in record["reasons"] if reason not in gaps],
        warnings=warnings,
        results=summaries,
        scores=_scores(results or {}),
        overlays=list(pictures.values()),
        embedding=embedding,
        history=[(int(h["iteration"]), str(h["name"]), float(h["value"])) for h in record["history"]],
        signals=record["signals"],
        settings=record["settings"],
        versions=record["versions"],
        split=adapted_to(record),
        notes=(f"Origin of the split: {record['split_source']}.", *remarks, *notes),
        volumes={
            moment: {int(case): volumes for case, volumes in by_case.items()}
            for moment, by_case in record.get("volumes_ml", {}).items()
        },
        volumes_cut=record.get("volumes_cut_cases", ()),
        phantom=phantom or record["phantom"],
        pictures=of_pictures(record),
        target_labels_read=record["target_labels_used"],
        source_data_read=record.get("source_data_read", False),
    )
    path = run / "report.html"
    write_report(path, content)
    return path


def _scores(results: Mapping[str, Path]) -> dict[str, list[StructureScore]]:
    """Case by case before and after; empty where an evaluation's folder holds no `metrics.csv`."""
    paths = {name: results[name] / "metrics.csv" for name in (UNADAPTED, ADAPTED) if name in results}
    return {name: read_metrics(path) for name, path in paths.items() if path.is_file()}


def prototype_gaps(structures: Sequence[str]) -> list[str]:
    """A sentence for each structure that a release has no prototype for."""
    return [
        f"{name.replace('_', ' ')}: the release has no prototype of it (too few pixels or subjects at the "
        "source), so nothing holds this structure in the adaptation, and it may be lost"
        for name in structures
    ]


def data_warnings(record: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What the data readers warned of as sentences: doubts about single scans, which are A1, A2, ... here,
    and remarks about the whole list.

    Args:
        record: `adaptation.json`.
    """
    doubts: list[str] = []
    remarks: list[str] = []
    for warning in record.get("data_warnings", ()):
        of_scan = re.sub(r"^scan (\d+)(?=:)", r"scan A\1", warning)
        (remarks if of_scan == warning else doubts).append(sentence(of_scan))
    return doubts, remarks


def sentence(text: str) -> str:
    """The text with a capital and a full stop.

    >>> sentence("two scans are missing")
    'Two scans are missing.'
    """
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def adapted_to(record: Mapping[str, Any]) -> str:
    """The scans or pictures that a run adapted to in words: how many, scans of how many subjects, how many
    only the guard saw, and of which list.

    Args:
        record: `adaptation.json`.
    """
    scans, subjects = int(record["target_images"]), int(record["target_subjects"])
    missing = int(record.get("split_missing_subjects", 0))
    which = f"{record['split']} split"
    if record["split"] == "all":
        which = record["split_source"]
    elif missing:
        which = f"{subjects} of the {subjects + missing} subjects of the official {which}"
    guard = record.get("guard", {})
    kept = 0 if guard.get("guard_scans_adapted_to", True) else len(guard["guard_scans"])
    if of_pictures(record):
        beside = f", beside {kept} that only the guard saw" if kept else ""
        return f"{counted(scans - kept, 'unlabelled target picture')}{beside} ({which})"
    adapted = counted(guard["adaptation_subjects"] if kept else subjects, "subject")
    beside = ""
    if kept:
        beside = f", beside {kept} of {counted(guard['guard_subjects'], 'subject')} that only the guard saw"
    return f"{counted(scans - kept, 'unlabelled target scan')} of {adapted}{beside} ({which})"


def of_pictures(record: Mapping[str, Any]) -> bool:
    """Whether the task of a run has pictures, not scans."""
    task = TASKS.get(record["task"])
    return task is not None and task.pictures


def read_record(run: Path) -> dict[str, Any]:
    """`adaptation.json` of a run folder.

    Raises:
        DataError: when it is missing or damaged.
    """
    path = run / "adaptation.json"
    try:
        content: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            "no record of an adaptation can be read",
            path=path,
            remedy="give a folder that adapt.json wrote to its end",
        ) from error
    missing = [key for key in ("title", "history", "signals", "settings", "phantom") if key not in content]
    if missing:
        raise DataError(
            f"the record lacks '{missing[0]}'",
            path=path,
            remedy="adapt again: another version wrote the record",
        )
    return content
