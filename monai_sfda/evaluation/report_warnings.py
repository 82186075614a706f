"""What a reader must know before believing a report's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_sfda.evaluation.comparison import (
    ADAPTED,
    BOUND,
    CENTRE_BLOB,
    METRIC_DISPLAY,
    UNADAPTED,
    disagreements,
    metric_table,
)
from monai_sfda.evaluation.moments import PUBLISHED

_FEW_CASES = 10


def warnings_of(
    verdict: str | None,
    results: Mapping[str, Mapping[str, Any]],
    labels_read: Sequence[str],
    *,
    source_read: str | None,
) -> list[str]:
    """The warnings that follow from the results and from what was read, gravest first.

    Args:
        verdict: of the guard, if there is one.
        results: summaries by name.
        labels_read: what was read of the target's labels, in words.
        source_read: what was read of the source, `scans` or `pictures`; None for nothing.
    """
    warnings = []
    if labels_read:
        warnings.append(
            f"This adaptation used labels of the target ({'; '.join(labels_read)}). "
            "It is a benchmark, not a label-free result."
        )
    if source_read is not None:
        warnings.append(f"This adaptation used {source_read} of the source. It is not source-free.")
    differing = disagreements(results)
    if differing:
        warnings.append(
            f"The results were not obtained in one way and are not compared: {'; '.join(differing)}."
        )
    if any(summary.get("protocol", {}).get("looks_at_labels") for summary in results.values()):
        warnings.append(
            "A published evaluation protocol was used that crops scans or leaves slices out by their labels. "
            "Its scores stand beside printed ones. They are not of whole scans, which users will see."
        )
    means = {name: summary["dice"]["mean"] for name, summary in results.items()}
    before, after, bound, blob = (means.get(n) for n in (UNADAPTED, ADAPTED, BOUND, CENTRE_BLOB))
    if before is not None and after is not None and not differing:
        lower = "its mean Dice on labelled cases is lower than before"
        accepted = means.get(PUBLISHED, after) if verdict == "accept" else None
        if accepted is not None and accepted < before:
            warnings.append(f"The guard accepted this model, but {lower}.")
        elif after < before and verdict != "reject":
            warnings.append(f"The adapted model is worse than the unadapted one: {lower}.")
        if verdict == "reject" and after > before:
            warnings.append(
                "The guard rejected this model, but its mean Dice on labelled cases is higher than before."
            )
        warnings += _mixed(results)
    beaten = [n for n, mean in (("adapted model", after), ("supervised bound", bound)) if _loses(mean, blob)]
    if beaten:
        warnings.append(
            f"The {' and the '.join(beaten)} {'do' if len(beaten) > 1 else 'does'} not beat the centre blob, "
            "which looks at no image. Such scores show how scans were cropped, not that anything is found."
        )
    fewest = min((int(summary["cases"]) for summary in results.values()), default=_FEW_CASES)
    if fewest < _FEW_CASES:
        warnings.append(
            f"With {counted(fewest, 'case')}, a single patient can move every mean. "
            "Read the spread with the mean."
        )
    return warnings


def _mixed(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Says so where overlap and surface distance disagree about the adaptation."""
    rows = [metric_table(results, metric).rows[-1] for metric in METRIC_DISPLAY[:2]]
    directions = [row.direction for row in rows]
    if sorted(directions) != ["better", "worse"]:
        return []
    before, after = (results[name]["assd_mm"]["mean"] for name in (UNADAPTED, ADAPTED))
    return [
        f"Mean Dice got {directions[0]}, but the mean surface distance (ASSD) got {directions[1]}: "
        f"{before:.1f} mm before, {after:.1f} mm after. Look for stray regions far from the organs."
    ]


def _loses(mean: float | None, blob: float | None) -> bool:
    return mean is not None and blob is not None and mean <= blob


def oracle_settings(settings: Mapping[str, object], prefix: str = "") -> list[str]:
    """The settings that say by their value that they read target labels: `oracle`."""
    found = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found.extend(oracle_settings(value, f"{name}."))
        elif isinstance(value, str) and value.strip().lower() == "oracle":
            found.append(f"setting {name} = {value}")
    return found


def counted(count: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "subject"), counted(3, "subject")
    ('1 subject', '3 subjects')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
