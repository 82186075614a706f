"""`report.html` of a run folder, from what the run and its evaluations recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_sfda.errors import DataError
from monai_sfda.evaluation.report import ReportContent, write_report
from monai_sfda.evaluation.summary import read_summary

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
        run: folder that `adapt.json` wrote.
        results: result name (`unadapted`, `adapted`, `supervised bound`) to a folder that `evaluate.json`
            wrote.
        phantom: whether the scans are phantoms, which the report then says.
        notes: further remarks.

    Returns:
        The report's path.

    Raises:
        DataError: when a folder lacks what it should hold.
    """
    record = read_record(run)
    figures = run / "figures"
    captions: dict[str, str] = {}
    if (figures / "captions.json").is_file():
        captions = json.loads((figures / "captions.json").read_text(encoding="utf-8"))
    summaries: dict[str, Any] = {}
    for name, folder in (results or {}).items():
        summaries[name] = read_summary(folder / "summary.json")
        blob = folder / "summary_centre_blob.json"
        if blob.is_file():
            summaries.setdefault("centre blob", read_summary(blob))
    signals = record["signals"]
    content = ReportContent(
        title=f"Adaptation: {record['title']}",
        task=record["task"],
        method=f"{record['title']} ({record['source']})",
        verdict=None,
        reasons=[
            *record["reasons"],
            f"mean entropy of the predictions: {signals['before']['entropy']:.4f} before, "
            f"{signals['after']['entropy']:.4f} after (nats a pixel)",
        ],
        results=summaries,
        overlays=[(caption, (figures / name).read_bytes()) for name, caption in captions.items()],
        history=[(int(h["iteration"]), str(h["name"]), float(h["value"])) for h in record["history"]],
        settings=record["settings"],
        versions=record["versions"],
        split=f"{record['target_images']} target scans of {record['target_subjects']} subjects; "
        f"{record['split']}: {record['split_source']}",
        notes=notes,
        phantom=phantom or record["phantom"],
        target_labels_read=("class proportions of the target labels",)
        if record["target_labels_read"]
        else (),
    )
    path = run / "report.html"
    write_report(path, content)
    return path


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
