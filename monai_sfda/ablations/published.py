"""What the papers print of their methods on the tasks of the catalog. Imports no torch.

It stands beside tables of ours, and is of real data and of the papers' own protocols: never to be mixed with
phantom results. The share of the gap is computed from the printed numbers, where a supervised one is printed.
"""

from __future__ import annotations

from collections.abc import Iterable

PUBLISHED: dict[str, dict[str, str]] = {
    "cardiac": {
        "sfs": "Dice 58.4 to 73.8, supervised 87.2 as printed, 88.9 by its four columns: 53% or 50% of the "
        "gap (its code draws pseudo-samples by the target labels' histograms)",
        "prior_matching": "one target scan, mean of six draws: Dice 20.0 to 72.2, fine-tuned on target "
        "labels 87.0: 78% of the gap",
    },
    "abdomen": {
        "sfs": "Dice 51.2 to 78.3, supervised 89.8: 70% of the gap (its code draws pseudo-samples by the "
        "target labels' histograms)",
    },
    "brain_modality": {
        "osuda": "whole-tumour Dice from T2 to FLAIR 54.4 to 67.6, to T1 6.8 to 52.7, to T1ce 6.7 to 53.2; "
        "no supervised number",
        "adaent": "as CRUDA, with a ratio predictor: Dice to FLAIR 65.6, to T1 47.2, to T1ce 49.4",
    },
    "brain_grade": {
        "osuda": "overall Dice 58.44 to 61.94; no supervised number",
        "adaent": "as CRUDA, with a ratio predictor: overall Dice 58.51",
    },
    "spine": {
        "adaent": "with image-level tags of the target, not label-free: Dice water to in-phase 46.7 to 67.0, "
        "supervised 82.3: 57% of the gap; in-phase to water 63.7 to 77.8, supervised 89.0: 56%",
        "adasource": "with source data and tags: Dice 67.0 and 78.3",
    },
    "street": {"mas3": "GTA5, 19 classes: mean IoU 24.9 to 44.6; no supervised number"},
    "street_synthia_13": {"mas3": "mean IoU 20.2 to 44.7; no supervised number"},
}
NOTHING = "no paper prints numbers of these methods on this task."


def published(task: str, methods: Iterable[str]) -> str:
    """The printed results of methods on a task, in words.

    Args:
        task: name in the catalog.
        methods: names as given to `--method`; those without printed numbers are left out.

    >>> published("street", ["adabn", "mas3"])
    'mas3: GTA5, 19 classes: mean IoU 24.9 to 44.6; no supervised number.'
    """
    of_task = PUBLISHED.get(task, {})
    found = [f"{name}: {of_task[name]}" for name in methods if name in of_task]
    return ". ".join(found) + "." if found else NOTHING
