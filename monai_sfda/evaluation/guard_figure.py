"""The guard's numbers along a run as small charts: the unadapted model, the checkpoints, the last weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from monai_sfda.errors import DataError
from monai_sfda.evaluation.charts import COLORS, INK, png, quiet, short

_COLUMNS = 3


def signals_along_the_run(
    epochs: Sequence[int], series: Mapping[str, Sequence[float | None]], chosen: int
) -> bytes:
    """Draw each number in a panel with its own scale; a ring marks the published model.

    Args:
        epochs: of the candidates; 0 is the unadapted model.
        series: title to a value a candidate; None where it is undefined.
        chosen: place of the published candidate.

    Returns:
        A PNG image.

    Raises:
        DataError: when there is no number, or one of another length.
    """
    if not series or any(len(values) != len(epochs) for values in series.values()):
        raise DataError("there is nothing to draw", remedy="give a value, or None, a candidate")
    columns = min(_COLUMNS, len(series))
    rows = math.ceil(len(series) / columns)
    figure = Figure(figsize=(3.5 * columns, 2.2 * rows + 0.2), facecolor="white", layout="constrained")
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(h_pad=0.09)  # type: ignore[call-arg]
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    x = np.asarray(epochs, dtype=np.float64)
    if x.max() == 0:
        x = np.arange(len(x), dtype=np.float64)
    for number, (panel, (title, values)) in enumerate(zip(panels, series.items(), strict=False)):
        y = np.array([math.nan if value is None else value for value in values])
        panel.plot(x, y, color=COLORS[1], linewidth=1.4, marker="o", markersize=3.5)
        panel.axhline(y[0], color=COLORS[0], linewidth=0.9, linestyle="--")
        panel.plot(
            x[chosen], y[chosen], "o", markersize=10, markerfacecolor="none", markeredgecolor=COLORS[3],
            markeredgewidth=1.8, clip_on=False,
        )  # fmt: skip
        panel.set_title(short(title), fontsize=9, color=INK, loc="left", parse_math=False)
        if number >= len(series) - columns:
            panel.set_xlabel("epoch; 0 is the unadapted model", fontsize=8, color=INK)
        panel.margins(y=0.2)
        panel.set_xlim(-0.05 * x.max(), 1.05 * x.max())
        if np.nanmin(y) == np.nanmax(y):
            panel.set_ylim(np.nanmin(y) - 1, np.nanmin(y) + 1)
        quiet(panel)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    for panel in panels[len(series) :]:
        panel.set_axis_off()
    return png(figure)
