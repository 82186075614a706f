"""From the scores of cases to `metrics.csv` and `summary.json`."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np

from monai_sfda.errors import DataError, OutputError
from monai_sfda.evaluation.metrics import BOTH_EMPTY, METRICS, ONE_EMPTY, StructureScore
from monai_sfda.files import write_atomically

Distances = dict[str, dict[tuple[int, str], float | None]]
"""Name of a published distance to (case, structure or region) to value; None: undefined."""

_KEYS = ("task", "domain", "split", "cases", *METRICS, "undefined", "protocol")


def summarise(
    scores: Sequence[StructureScore],
    *,
    task: str,
    domain: str,
    split: str,
    cases: int,
    protocol: Mapping[str, Any],
    regions: Sequence[str] = (),
    pooled: bool = False,
    distances: Distances | None = None,
    mean_of: Sequence[str] = (),
) -> dict[str, Any]:
    """The content of `summary.json`.

    For every metric, `per_class` holds mean, standard deviation and number of the cases where the metric is
    defined, and `mean` is the mean over classes of the per-class means, so that a structure that few cases
    show weighs as much as the others. Regions stand in `per_region` and count in no mean over classes. The
    standard deviation is that of a sample (divided by n - 1); it is None for a single case, and the mean is
    None for no case. `undefined` counts, by structure and region, the cases that a mean leaves out;
    `one_empty` splits those with the structure in one of the two alone into `missed` (the reference has it,
    the prediction does not) and `invented` (the other way round).

    Args:
        scores: one entry a case and structure, from `score_case`.
        task: name of the task.
        domain: `source` or `target`.
        split: name of the list of cases, e.g. `test`.
        cases: how many cases the split has.
        protocol: how it was evaluated, beginning with its `name`; kept as given.
        regions: which names of `scores` are regions, unions of other structures.
        pooled: Dice and IoU of a class from the pixels of all cases together, as Cityscapes is scored; `n` is
            then the number of cases that show the class in either of the two, and there is no deviation.
        distances: further metrics, of the same cases and structures.
        mean_of: structures and regions that every `mean` is over; empty: all structures.

    Raises:
        DataError: when there are no scores, a structure of a case is scored twice or is missing, or `cases`
            disagrees.
    """
    _check_complete(scores, cases)
    structures = list(dict.fromkeys(score.structure for score in scores))
    summary: dict[str, Any] = {"task": task, "domain": domain, "split": split, "cases": cases}
    more = distances or {}
    for metric in (*METRICS, *more):
        entries = {}
        for structure in structures:
            of_structure = [score for score in scores if score.structure == structure]
            measured = (
                more[metric][score.case, structure] if metric in more else getattr(score, metric)
                for score in of_structure
            )
            values = [value for value in measured if value is not None]
            if pooled and metric in ("dice", "iou"):
                entries[structure] = _pooled(metric, of_structure) | {"n": len(values)}
            else:
                entries[structure] = _statistics(values)
        per_class = {name: entry for name, entry in entries.items() if name not in regions}
        averaged = [entries[name] for name in (mean_of or per_class)]
        means = [entry["mean"] for entry in averaged if entry["mean"] is not None]
        summary[metric] = {"mean": float(np.mean(means)) if means else None, "per_class": per_class}
        if regions:
            summary[metric]["per_region"] = {name: entries[name] for name in regions}
    summary["undefined"] = {
        structure: {
            state: sum(score.structure == structure and score.state == state for score in scores)
            for state in (BOTH_EMPTY, ONE_EMPTY)
        }
        for structure in structures
    }
    one_empty = [score for score in scores if score.state == ONE_EMPTY]
    summary["one_empty"] = {
        structure: {
            "missed": sum(s.structure == structure and s.reference_voxels > 0 for s in one_empty),
            "invented": sum(s.structure == structure and s.reference_voxels == 0 for s in one_empty),
        }
        for structure in structures
    }
    summary["protocol"] = dict(protocol)
    return summary


def _pooled(metric: str, scores: Sequence[StructureScore]) -> dict[str, float | int | None]:
    """Dice or IoU of the pixels of all cases; None where no case shows the structure."""
    common = sum(score.common_voxels for score in scores)
    both = sum(score.predicted_voxels + score.reference_voxels for score in scores)
    if both == 0:
        return {"mean": None, "std": None}
    return {"mean": 2 * common / both if metric == "dice" else common / (both - common), "std": None}


def _statistics(values: list[float]) -> dict[str, float | int | None]:
    return {
        "mean": float(np.mean(values)) if values else None,
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "n": len(values),
    }


def _check_complete(scores: Sequence[StructureScore], cases: int) -> None:
    if not scores:
        raise DataError("no case was scored", remedy="evaluate a split with at least one labelled case")
    seen = {(score.case, score.structure) for score in scores}
    numbers, structures = {case for case, _ in seen}, {structure for _, structure in seen}
    if len(seen) != len(scores):
        raise DataError(
            f"{len(scores) - len(seen)} of {len(scores)} scores repeat a case and structure",
            remedy="number the cases so that no two share a number",
        )
    if len(seen) != len(numbers) * len(structures):
        raise DataError(
            f"{len(numbers)} cases and {len(structures)} structures have {len(scores)} scores",
            remedy="score every structure of every case with the same labels",
        )
    if len(numbers) != cases:
        raise DataError(
            f"{len(numbers)} cases were scored of {cases}",
            remedy="score every case of the split, or state the right number",
        )


def write_metrics(path: Path, scores: Sequence[StructureScore], distances: Distances | None = None) -> None:
    """Write `metrics.csv`: a row a case and structure, in full precision, an empty field where undefined.

    Args:
        path: of the file.
        scores: the rows.
        distances: further columns.

    Raises:
        OutputError: when the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    more = distances or {}
    writer.writerow((*(field.name for field in fields(StructureScore)), *more))
    writer.writerows(
        (*astuple(score), *(values[score.case, score.structure] for values in more.values()))
        for score in scores
    )
    write_atomically(path, text.getvalue().encode("utf-8"))


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write `summary.json`.

    Raises:
        OutputError: when a value is not one that JSON can hold (NaN, infinity, an array), or the file cannot
            be written.
    """
    fault = _first_fault(summary, "")
    if fault is not None:
        raise OutputError(
            f"the value of '{fault[0]}' is {fault[1]!r}, which JSON cannot hold,",
            remedy="leave it out, or give null for what is undefined",
            path=path,
        )
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, (text + "\n").encode("utf-8"))


def _first_fault(value: object, where: str) -> tuple[str, object] | None:
    """Name and value of the first entry that strict JSON cannot hold."""
    if isinstance(value, Mapping):
        entries = [(f"{where}.{key}".lstrip("."), key, entry) for key, entry in value.items()]
        for name, key, entry in entries:
            fault = (name, key) if not isinstance(key, str) else _first_fault(entry, name)
            if fault is not None:
                return fault
        return None
    if isinstance(value, list | tuple):
        faults = (_first_fault(entry, f"{where}[{i}]") for i, entry in enumerate(value))
        return next((fault for fault in faults if fault is not None), None)
    if isinstance(value, float):
        return None if math.isfinite(value) else (where, value)
    return None if value is None or isinstance(value, str | int) else (where, value)


def read_summary(path: Path) -> dict[str, Any]:
    """Read a `summary.json`.

    Raises:
        DataError: when the file is missing, is not strict JSON, or lacks a part of a summary.
    """
    try:
        summary = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except OSError as error:
        raise DataError(
            f"cannot be read ({error.strerror or error})",
            remedy="give the summary.json of an evaluation",
            path=path,
        ) from error
    except ValueError as error:
        raise DataError(
            f"is not valid JSON ({error})", remedy="run the evaluation again", path=path
        ) from error
    missing = [key for key in _KEYS if key not in summary] if isinstance(summary, dict) else list(_KEYS)
    if missing:
        raise DataError(
            f"'{', '.join(missing)}' is missing",
            remedy="give the summary.json that an evaluation has written",
            path=path,
        )
    return dict(summary)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")
