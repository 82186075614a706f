"""The figure of the guard's calibration: how signals follow the truth, and how the guard's estimate does."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from benchmarks.guard_results import Judged
from monai_sfda.candidate_names import LAST
from monai_sfda.guard.signals import SIGNALS
from monai_sfda.guard.verdict import ACCEPT, UNSURE

_PART = "held_out"
_COLOURS = {ACCEPT: "#2a7f62", UNSURE: "#c9a227", "reject": "#8c4a6e"}


def draw(runs: Sequence[Judged], correlations: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> bytes:
    """A PNG: on the left each signal's rank correlation, on the right estimate against truth, run by run.

    Args:
        runs: judged; those of the held-out worlds are drawn, or the others when there are none.
        correlations: by part, as `guard_results.correlations` gives them.
    """
    part = _PART if _PART in correlations else next(iter(correlations))
    shown = [run for run in runs if run.run.part == part]
    found = correlations[part]
    names = sorted(found, key=lambda name: abs(found[name]["within_task"]))
    figure = Figure(figsize=(13, max(4.5, 0.3 * len(names) + 1.8)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    for shift, key, colour, title in (
        (0.15, "within_task", "#1f5f8b", "within a task"),
        (-0.15, "pooled", "#9aa5b1", "all tasks"),
    ):
        values = [found[name][key] for name in names]
        errors = [
            [
                abs(value - found[name][key + "_interval"][side])
                for name, value in zip(names, values, strict=True)
            ]
            for side in (0, 1)
        ]
        places = [place + shift for place in range(len(names))]
        left.errorbar(values, places, xerr=errors, fmt="o", ms=4, lw=1.2, color=colour, label=title)
    arrows = {"higher": " (+)", "lower": " (-)", "neither": ""}
    labels = [
        (SIGNALS[name].title if name in SIGNALS else name) + arrows[found[name]["better"]] for name in names
    ]
    left.set_yticks(range(len(names)), labels, fontsize=8)
    left.axvline(0, color="black", lw=0.8)
    left.set_xlim(-1, 1)
    left.set_xlabel("Spearman's correlation with the true change of Dice (95% interval)")
    left.set_title("Signals; (+) higher, (-) lower is expected to be better", fontsize=10)
    left.legend(loc="lower right", fontsize=8)
    left.grid(axis="x", alpha=0.3)
    for verdict, colour in _COLOURS.items():
        mine = [run for run in shown if run.verdict == verdict]
        right.scatter(
            [run.estimates[LAST] for run in mine],
            [100 * run.of_last for run in mine],
            s=12,
            color=colour,
            alpha=0.6,
            label=f"{verdict} ({len(mine)})",
        )
    right.axhline(0, color="black", lw=0.8)
    right.set_xlabel("the guard's estimate for the method's last weights")
    right.set_ylabel("true change of Dice by them, points")
    right.set_title("Each run: estimate and truth", fontsize=10)
    right.legend(fontsize=8)
    right.grid(alpha=0.3)
    figure.suptitle(f"Phantoms, {part.replace('_', '-')} worlds: not for diagnosis", fontsize=11)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return stream.getvalue()
