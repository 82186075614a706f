"""What of a validation's scores may stand in a release: means over enough subjects, nothing of one case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from monai_sfda.disclosure import enough_scans
from monai_sfda.evaluation.metrics import METRICS, StructureScore

# Counts of cases in a state: mostly of one or two cases, about whom they speak.
_COUNTS = ("undefined", "one_empty")


def only_enough_subjects(
    scores: Sequence[StructureScore], subjects: Mapping[int, str]
) -> list[StructureScore]:
    """The scores without what a mean would be of too few subjects (`enough_scans`).

    Metric by metric and structure by structure: the mean distance of a structure that only one case's
    prediction shows is that case's. Where a structure's Dice goes, its voxels go too, which scores of pooled
    pixels are made from.

    Args:
        scores: one entry a case and structure.
        subjects: by case number, whose it is.

    Returns:
        As many scores, with None for what is withheld: `summarise` leaves it out of every mean.
    """
    kept = list(scores)
    for structure in dict.fromkeys(score.structure for score in scores):
        places = [i for i, score in enumerate(scores) if score.structure == structure]
        for metric in METRICS:
            defined = [i for i in places if getattr(scores[i], metric) is not None]
            if not enough_scans(subjects[scores[i].case] for i in defined):
                changes: dict[str, Any] = {metric: None}
                if metric == "dice":
                    changes |= {"predicted_voxels": 0, "reference_voxels": 0, "common_voxels": 0}
                for i in places:
                    kept[i] = replace(kept[i], **changes)
    return kept


def releasable_summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A summary of `only_enough_subjects` without what still tells of single cases.

    The counts of cases without a structure go. So does the IoU of cases, a function of their Dice: mean and
    standard deviation of both are four equations, which give the Dice of each of three or four cases. The IoU
    of pooled pixels, which has no standard deviation, stays.

    Args:
        summary: from `summarise`.
    """
    kept = {name: value for name, value in summary.items() if name not in _COUNTS}
    entries = [
        entry for group in ("per_class", "per_region") for entry in kept["iou"].get(group, {}).values()
    ]
    if any(entry["std"] is not None for entry in entries):
        del kept["iou"]
    return kept
