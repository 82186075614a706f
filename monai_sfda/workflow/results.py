"""The table of a comparison: what its evaluations found, what share of the gap was closed, at what cost."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from monai_sfda.ablations import Arm
from monai_sfda.catalog import find_task
from monai_sfda.evaluation.comparison import BOUND, PUBLISHED_DISPLAY, UNADAPTED
from monai_sfda.evaluation.gap import gap_closed
from monai_sfda.evaluation.summary import read_summary
from monai_sfda.guard.verdict import ACCEPT
from monai_sfda.workflow.experiment import Experiment, bound_run, training_title
from monai_sfda.workflow.steps import read_step


def machine() -> dict[str, Any]:
    """What a recorded result was made on, without names."""
    return {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()}


def results_table(experiment: Experiment, arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """A row a result from the evaluations' summaries: unadapted, each arm, what a guard chose of it, bound.

    Keys: title, mean Dice, Dice per structure, mean ASSD in mm and how many organs of cases it leaves out
    because one mask was empty, share of the gap closed (from the unadapted model of the arm's own source
    training; for prior matching to the bound of its own network), cases, the evaluation protocol, its own
    distances, and wall-clock seconds and peak memory of the adaptation's process (for the bound, of its
    training) where the step ran in one go.

    Args:
        experiment: whose steps have run.
        arms: which ones.
    """
    first_of = {experiment.unadapted_folder(arm): arm for arm in reversed(arms)}
    kinds = dict.fromkeys(arm.training.needs_source for arm in arms)
    bounds = {kind: read_summary(experiment.bound_test_folder(kind) / "summary.json") for kind in kinds}
    rows, unadapted = [], {}
    for folder in dict.fromkeys(map(experiment.unadapted_folder, arms)):
        unadapted[folder] = read_summary(folder / "summary.json")
        title = UNADAPTED if len(first_of) == 1 else f"{UNADAPTED}, {first_of[folder].training.title}"
        rows.append(result_row(title, unadapted[folder]))
    for arm in arms:
        summary = read_summary(experiment.test_folder(arm) / "summary.json")
        around = (unadapted[experiment.unadapted_folder(arm)], summary, bounds[arm.training.needs_source])
        low, mean, high = (s["dice"]["mean"] for s in around)
        row = result_row(arm.title, summary) | {"gap_closed": gap_closed(low, mean, high, higher=True)}
        rows.append(row | _cost(experiment, experiment.run_folder(arm).name))
        guard = experiment.guard_of(arm)
        if guard is not None:
            published = read_summary(experiment.published_folder(arm) / "summary.json")
            rows.append(_guards_row(arm.title, guard, published, low, mean, high))
    for kind, bound in bounds.items():
        title = BOUND if len(bounds) == 1 else f"{BOUND}, {training_title(kind)}"
        rows.append(result_row(title, bound) | _cost(experiment, bound_run(kind)))
    return rows


def _guards_row(
    title: str,
    guard: Mapping[str, Any],
    published: Mapping[str, Any],
    low: float | None,
    last: float | None,
    high: float | None,
) -> dict[str, Any]:
    """What the guard published of a run: whether it accepted, and what its choice costs in mean Dice against
    the better of the unadapted model and the last weights.
    """
    row = result_row(f"{title}, the guard's choice", published)
    dice = row["dice"]
    known = [value for value in (low, last) if value is not None]
    regret = max(known) - dice if known and dice is not None else None
    row["measures"] |= {
        "accepted": int(guard["verdict"] == ACCEPT),
        "regret, Dice": regret,
    }
    choice = {"verdict": guard["verdict"], "chosen": guard["chosen"]}
    return row | {"gap_closed": gap_closed(low, dice, high, higher=True), "guard": choice}


def result_row(title: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `results_table` from an evaluation's summary, without the costs.

    `measures` are the distances that a published protocol adds, and of pictures the mean IoU.
    """
    of_pictures = find_task(summary["task"]).pictures
    return {
        "title": title,
        "dice": summary["dice"]["mean"],
        "dice_per_structure": {k: v["mean"] for k, v in summary["dice"]["per_class"].items()},
        "dice_per_region": {k: v["mean"] for k, v in summary["dice"].get("per_region", {}).items()},
        "assd_mm": summary["assd_mm"]["mean"],
        "assd_left_out": sum(
            summary["undefined"][name]["one_empty"] for name in summary["dice"]["per_class"]
        ),
        "gap_closed": None,
        "cases": summary["cases"],
        "protocol": summary["protocol"]["name"],
        "seconds": None,
        "peak_memory_bytes": None,
        "measures": ({"mean IoU": summary["iou"]["mean"]} if of_pictures else {})
        | {
            f"{metric.title} ({metric.unit})": summary[metric.key]["mean"]
            for metric in PUBLISHED_DISPLAY
            if metric.key in summary
        },
    }


def _cost(experiment: Experiment, step: str) -> dict[str, Any]:
    record = read_step(experiment.out, step)
    return {
        "seconds": None if record is None else record.whole_seconds,
        "peak_memory_bytes": None if record is None else record.peak_memory_bytes,
    }
