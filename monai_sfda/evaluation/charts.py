"""Charts as PNG images: how a run's losses went, how the structures scored, how results spread over seeds."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from numpy.typing import NDArray

from monai_sfda.errors import DataError

INK = "#1f2a37"
_GRID = "#d9dee5"
COLORS = ("#8a94a3", "#1b6ca8", "#2f8f5b", "#b8741a", "#7a5ba8", "#a33b4b")
_SMOOTHED_FROM = 40
_DOTS_PER_INCH = 130
MOST_PANELS = 7
"""Side by side; more of them are drawn below each other."""
_LONGEST_TEXT = 48


def curves(history: Sequence[tuple[int, str, float]]) -> bytes:
    """Draw every recorded quantity over the steps, each in a panel with its own scale.

    A curve of 40 points or more is drawn pale, with its running mean over a twentieth of the points on top.
    Values that are not finite are left out and counted in the panel's title.

    Args:
        history: (step, name, value) in any order.

    Returns:
        A PNG image.

    Raises:
        DataError: when nothing was recorded.
    """
    if not history:
        raise DataError("there is no loss to draw", remedy="record at least one step")
    names = list(dict.fromkeys(name for _, name, _ in history))
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(3.5 * columns, 2.3 * rows + 0.2), facecolor="white", layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        recorded = sorted((step, value) for step, entry, value in history if entry == name)
        finite = np.array([pair for pair in recorded if math.isfinite(pair[1])], dtype=np.float64).reshape(
            -1, 2
        )
        _draw_curve(panel, finite)
        missing = len(recorded) - len(finite)
        title = name if missing == 0 else f"{name} ({missing} of {len(recorded)} values not finite)"
        panel.set_title(short(title), fontsize=9, color=INK, loc="left", parse_math=False)
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    return png(figure)


def _draw_curve(panel: Axes, points: NDArray[np.float64]) -> None:
    steps, values = points[:, 0], points[:, 1]
    smooth = len(points) >= _SMOOTHED_FROM
    panel.plot(
        steps, values, color=COLORS[1], linewidth=0.8 if smooth else 1.6, alpha=0.35 if smooth else 1.0
    )
    if smooth:
        width = max(3, len(points) // 20)
        mean = np.convolve(values, np.full(width, 1.0 / width), mode="valid")
        first = (width - 1) // 2
        panel.plot(steps[first : first + len(mean)], mean, color=COLORS[1], linewidth=1.8)
    if len(points) == 1:
        panel.plot(steps, values, "o", color=COLORS[1])
    panel.set_xlabel("step", fontsize=8, color=INK)
    quiet(panel)


def bars(
    results: Mapping[str, Mapping[str, float | None]], *, quantity: str = "Dice", top: float | None = 1.0
) -> bytes:
    """Draw a group of bars for every structure, one bar a result: before, after, and what else there is.

    Args:
        results: name of the result to structure to value, e.g. `{"unadapted": {"liver": 0.4}, "adapted":
            {...}}`. None is written as `n/a` and has no bar.
        quantity: title of the value axis, with its unit.
        top: end of the value axis; None fits it to the values.

    Returns:
        A PNG image.

    Raises:
        DataError: when no result has a structure.
    """
    structures = list(dict.fromkeys(name for values in results.values() for name in values))
    if not structures:
        raise DataError("there is no score to draw", remedy="give at least one result with one structure")
    figure = Figure(
        figsize=(max(5.0, 0.55 * len(structures) * len(results) + 1.8), 3.1),
        facecolor="white",
        layout="constrained",
    )
    panel = figure.subplots()
    width = 0.8 / len(results)
    drawn: list[float] = []
    for i, (result, values) in enumerate(results.items()):
        for j, structure in enumerate(structures):
            value = values.get(structure)
            known = value is not None and math.isfinite(value)
            height = float(value) if value is not None and known else 0.0
            drawn.append(height)
            middle = j + (i - (len(results) - 1) / 2) * width
            panel.bar(
                middle,
                height,
                width * 0.92,
                color=COLORS[i % len(COLORS)],
                label=short(result) if j == 0 else None,
            )
            panel.annotate(
                f"{height:.2f}" if known else "n/a",
                (middle, height),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color=INK,
            )
    titles = [short(structure.replace("_", " ")) for structure in structures]
    panel.set_xticks(range(len(structures)), titles, fontsize=9)
    for label in panel.get_xticklabels():
        label.set_parse_math(False)
    panel.set_ylim(0, (top if top is not None else max(drawn) or 1.0) * 1.08)
    panel.set_ylabel(quantity, fontsize=9, color=INK, parse_math=False)
    legend = panel.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(4, len(results)), frameon=False, fontsize=8
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    quiet(panel)
    panel.tick_params(axis="x", length=0)
    return png(figure)


def spread_over_seeds(
    results: Mapping[str, Mapping[str, Sequence[float | None]]], *, quantity: str = "Dice", heading: str = ""
) -> bytes:
    """Draw a panel for every structure, a bar for every result's mean and a dot for every seed.

    Args:
        results: name of the result to structure to its value under each seed. None has no dot and enters no
            mean; a result without any is written as `n/a`.
        quantity: title of the value axes, which run from 0 to 1.
        heading: above all.

    Returns:
        A PNG image.

    Raises:
        DataError: when no result has a structure.
    """
    structures = list(dict.fromkeys(name for values in results.values() for name in values))
    if not structures:
        raise DataError("there is no score to draw", remedy="give at least one result with one structure")
    columns = min(len(structures), MOST_PANELS)
    rows = math.ceil(len(structures) / columns)
    figure = Figure(
        figsize=(2.4 + 1.7 * columns, rows * (0.36 * len(results) + 0.8) + 0.4),
        facecolor="white",
        layout="constrained",
    )
    if heading:
        figure.suptitle(heading, fontsize=10, color=INK, parse_math=False)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for panel in panels[len(structures) :]:
        panel.set_axis_off()
    for panel, structure in zip(panels, structures, strict=False):
        for i, values in enumerate(results.values()):
            known = [v for v in values.get(structure, ()) if v is not None and math.isfinite(v)]
            mean = float(np.mean(known)) if known else 0.0
            panel.barh(i, mean, 0.7, color=COLORS[1], alpha=0.45)
            panel.plot(known, [i] * len(known), "o", color=INK, markersize=3, clip_on=False)
            panel.text(1.04, i, f"{mean:.2f}" if known else "n/a", va="center", fontsize=7, color=INK)
        panel.set_xlim(0, 1.28)
        panel.set_xticks((0, 0.5, 1))
        panel.set_title(
            short(structure.replace("_", " ")), fontsize=9, color=INK, loc="left", parse_math=False
        )
        panel.set_xlabel(quantity, fontsize=8, color=INK, parse_math=False)
        quiet(panel)
        panel.grid(axis="x", color=_GRID, linewidth=0.6)
        panel.grid(visible=False, axis="y")
    for first in panels[::columns]:
        first.set_yticks(range(len(results)), [short(name) for name in results], fontsize=8)
        for label in first.get_yticklabels():
            label.set_parse_math(False)
    panels[0].invert_yaxis()  # of all: they share it
    return png(figure)


def short(text: str) -> str:
    """A text that cannot push the chart out of its frame."""
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "\N{HORIZONTAL ELLIPSIS}"


def quiet(panel: Axes) -> None:
    """Thin frame and grid, and plain numbers at the axes: no offset that the reader must add."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(_GRID)
    panel.tick_params(labelsize=8, colors=INK, length=2)
    panel.grid(axis="y", color=_GRID, linewidth=0.6)
    panel.set_axisbelow(True)
    for axis in (panel.xaxis, panel.yaxis):
        formatter = axis.get_major_formatter()
        if isinstance(formatter, ScalarFormatter):
            formatter.set_useOffset(False)


def png(figure: Figure) -> bytes:
    """The figure as a PNG image that names neither the program nor the time of its making."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return stream.getvalue()
