"""A chart of every case before and after adaptation, so that a good mean hides no case that got worse."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from monai_sfda.errors import DataError
from monai_sfda.evaluation.cases import WORSE_BY, StructureChanges
from monai_sfda.evaluation.charts import INK, png, quiet, short

_LINE, _WORSE, _MEAN = "#7f93a8", "#b3261e", "#14568c"
_COLUMNS = 5
_NUMBERED = 3


def case_chart(changes: Sequence[StructureChanges]) -> bytes:
    """Draw a panel a structure: a dot a case before and after, joined; worse cases red and dashed, the
    greatest losses numbered.

    Args:
        changes: from `case_changes`.

    Returns:
        A PNG image.

    Raises:
        DataError: when no case has a Dice before and after.
    """
    if not any(change.compared for change in changes):
        raise DataError("no case has a Dice before and after", remedy="evaluate at least one case")
    columns = min(_COLUMNS, len(changes))
    rows = math.ceil(len(changes) / columns)
    figure = Figure(
        figsize=(max(4.2, 2.1 * columns), 2.9 * rows + 0.4), facecolor="white", layout="constrained"
    )
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for panel, change in zip(panels, changes, strict=False):
        pairs = []
        losses = sorted((case.change or 0.0, case.case) for case in change.cases if case.is_worse)
        numbered = {number for _, number in losses[:_NUMBERED]}
        for case in change.cases:
            if case.before is None or case.after is None:
                continue
            pairs.append((case.before, case.after))
            panel.plot(
                (0, 1),
                pairs[-1],
                marker="o",
                markersize=4.5,
                linewidth=1.4 if case.is_worse else 1.0,
                linestyle="dashed" if case.is_worse else "solid",
                color=_WORSE if case.is_worse else _LINE,
                zorder=3 if case.is_worse else 2,
            )
            if case.case in numbered:
                panel.annotate(
                    f"E{case.case}",
                    (1, case.after),
                    xytext=(13, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=7,
                    color=_WORSE,
                )
        if pairs:
            for x, mean in enumerate(np.mean(pairs, axis=0).tolist()):
                panel.plot((x - 0.13, x + 0.13), (mean, mean), color=_MEAN, linewidth=3.2, zorder=4)
        panel.set_title(
            short(change.structure.replace("_", " ")), fontsize=9, color=INK, loc="left", parse_math=False
        )
        panel.set_xlim(-0.3, 1.45)
        panel.set_ylim(-0.03, 1.03)
        quiet(panel)
        panel.set_xticks((0, 1), ("before", "after"), fontsize=8)
        panel.tick_params(axis="x", length=0)
    for panel in panels[len(changes) :]:
        panel.set_axis_off()
    for row in range(rows):
        panels[row * columns].set_ylabel("Dice", fontsize=9, color=INK)
    handles = [
        Line2D([], [], color=_LINE, marker="o", markersize=4.5, label="a case"),
        Line2D(
            [],
            [],
            color=_WORSE,
            marker="o",
            markersize=4.5,
            linestyle="dashed",
            label=f"worse by over {WORSE_BY}",
        ),
        Line2D([], [], color=_MEAN, linewidth=3.2, label="mean"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return png(figure)
