"""Scores over the run of several ways to adapt, as one chart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from monai_sfda.errors import DataError
from monai_sfda.evaluation.charts import COLORS, INK, png, quiet, short


def trajectories(
    curves: Mapping[str, Sequence[tuple[int, float | None]]],
    bound: float | None,
    *,
    quantity: str = "mean Dice",
    heading: str = "",
) -> bytes:
    """Draw a line a result over the epochs, and the bound as a dashed one.

    Args:
        curves: title to (epoch, value); epoch 0 is the unadapted model. None is left out.
        bound: what supervised training on the target reaches; None where unknown.
        quantity: title of the value axis, which runs from 0 to 1.
        heading: above all.

    Returns:
        A PNG image.

    Raises:
        DataError: when no curve has a value.
    """
    drawn = {
        title: np.array([(epoch, value) for epoch, value in curve if value is not None], dtype=np.float64)
        for title, curve in curves.items()
    }
    if not any(len(points) for points in drawn.values()):
        raise DataError("there is no score to draw", remedy="give at least one value")
    figure = Figure(figsize=(8.4, 3.8), facecolor="white", layout="constrained")
    if heading:
        figure.suptitle(heading, fontsize=10, color=INK, parse_math=False)
    panel = figure.subplots()
    marks = ("o", "s", "^", "D", "v", "P")
    for number, (title, points) in enumerate(drawn.items()):
        if len(points):
            panel.plot(
                points[:, 0],
                points[:, 1],
                color=COLORS[(number + 1) % len(COLORS)],
                marker=marks[number % len(marks)],
                markersize=4,
                linewidth=1.5,
                label=short(title),
            )
    if bound is not None and math.isfinite(bound):
        panel.axhline(bound, color=COLORS[0], linestyle="--", linewidth=1.2, label="supervised bound")
    panel.set_ylim(0, 1)
    panel.set_xlabel("epoch of adaptation; 0 is the unadapted model", fontsize=8, color=INK)
    panel.set_ylabel(quantity, fontsize=8, color=INK)
    quiet(panel)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend = figure.legend(loc="outside right center", frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return png(figure)
