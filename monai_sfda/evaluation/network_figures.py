"""Figures of what a network computes inside: embeddings as clouds of points, and responses of its filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from monai_sfda.catalog import Structure
from monai_sfda.errors import DataError
from monai_sfda.evaluation.charts import INK, png
from monai_sfda.evaluation.figures import color_of
from monai_sfda.evaluation.slices import radiological

_FRAME = "#d9dee5"
_BACKGROUND_CLASS = "#9aa3ad"


@dataclass(frozen=True)
class Scatter:
    """One cloud of points.

    Attributes:
        title: above its panel.
        points: (N, 2).
        classes: (N,) class indices, which colour the points; 0 is background.
    """

    title: str
    points: NDArray[np.float32]
    classes: NDArray[np.integer[Any]]


def scatter_grid(
    rows: Sequence[Sequence[Scatter | None]], structures: Sequence[Structure], *, heading: str
) -> bytes:
    """Draw clouds of points side by side on common axes, coloured by class, with one legend.

    Args:
        rows: panels, as many in every row; None leaves a place empty, and the legend goes to the first such.
        structures: names and colours of the classes.
        heading: above all.

    Returns:
        A PNG image.

    Raises:
        DataError: when the rows do not match or no panel has a point.
    """
    panels = [panel for row in rows for panel in row if panel is not None]
    if len({len(row) for row in rows}) != 1 or not any(len(panel.points) for panel in panels):
        raise DataError("there are no points to draw", remedy="give rows of equal length with points")
    count, columns = len(rows), len(rows[0])
    spare = any(panel is None for row in rows for panel in row)
    figure = Figure(
        figsize=(3.2 * columns, 3.2 * count + (0.4 if spare else 0.8)),
        facecolor="white",
        layout="constrained",
    )
    figure.suptitle(heading, fontsize=10, color=INK)
    axes = figure.subplots(count, columns, squeeze=False)
    everything = np.concatenate([panel.points for panel in panels])
    low, high = everything.min(axis=0), everything.max(axis=0)
    margin = 0.05 * np.maximum(high - low, 1e-6)
    present = sorted({int(k) for panel in panels for k in np.unique(panel.classes)})
    names = {0: "background"} | {s.index: s.name.replace("_", " ") for s in structures}
    marks = [
        Line2D(
            [], [], marker="o", linestyle="", color=_color(k, structures), label=names.get(k, f"class {k}")
        )
        for k in present
    ]
    legend_drawn = False
    for i, row in enumerate(rows):
        for j, scatter in enumerate(row):
            panel = axes[i, j]
            if scatter is None:
                panel.set_axis_off()
                if not legend_drawn:
                    panel.legend(handles=marks, loc="center", frameon=False, fontsize=9)
                    legend_drawn = True
                continue
            _draw_cloud(panel, scatter, structures)
            panel.set_xlim(low[0] - margin[0], high[0] + margin[0])
            panel.set_ylim(low[1] - margin[1], high[1] + margin[1])
    if not legend_drawn:
        figure.legend(
            handles=marks, loc="outside lower center", ncols=min(6, len(marks)), frameon=False, fontsize=9
        )
    return png(figure)


def _draw_cloud(panel: Axes, scatter: Scatter, structures: Sequence[Structure]) -> None:
    # In one fixed shuffled order, so that no class lies on top of all others.
    order = np.random.default_rng(0).permutation(len(scatter.points))
    colors = [_color(int(k), structures) for k in scatter.classes[order]]
    panel.scatter(scatter.points[order, 0], scatter.points[order, 1], c=colors, s=4, linewidths=0, alpha=0.7)
    panel.set_title(scatter.title, fontsize=9, color=INK, loc="left", parse_math=False)
    panel.set_xticks([])
    panel.set_yticks([])
    for spine in panel.spines.values():
        spine.set_color(_FRAME)


def _color(index: int, structures: Sequence[Structure]) -> str:
    if index == 0 and all(structure.index != 0 for structure in structures):
        return _BACKGROUND_CLASS
    red, green, blue = color_of(index, structures)
    return f"#{red:02x}{green:02x}{blue:02x}"


def response_grid(
    image: NDArray[np.float32],
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    titles: Sequence[str],
    *,
    heading: str,
) -> bytes:
    """Draw responses of filters to one slice: before, after, and the size of their difference.

    Before and after share a grey scale in each column. The difference has a scale of its own, dark for none
    and light for the largest, which is written below as a share of the column's range.

    Args:
        image: (A, B) the slice, in-plane axes of a volume in RAS orientation.
        before: (F, a, b) responses, in the same orientation.
        after: (F, a, b).
        titles: of the filters.
        heading: above all.

    Returns:
        A PNG image.

    Raises:
        DataError: when the responses do not match.
    """
    if before.shape != after.shape or before.ndim != 3 or len(titles) != len(before) or not len(before):
        raise DataError(
            f"responses of shapes {before.shape} and {after.shape} under {len(titles)} titles make no figure",
            remedy="give the same filters before and after, at least one",
        )
    filters = len(before)
    figure = Figure(figsize=(1.45 * (filters + 1), 5.2), facecolor="white", layout="constrained")
    figure.suptitle(heading, fontsize=10, color=INK)
    panels = figure.subplots(3, filters + 1, squeeze=False)
    for panel in panels.ravel():
        panel.set_xticks([])
        panel.set_yticks([])
        for spine in panel.spines.values():
            spine.set_visible(False)
    low, high = np.percentile(image, (1.0, 99.5))
    panels[0, 0].imshow(radiological(image), cmap="gray", vmin=low, vmax=max(high, low + 1e-9))
    panels[0, 0].set_title("slice", fontsize=9, color=INK)
    for row in (1, 2):
        panels[row, 0].set_visible(False)
    for j in range(filters):
        both = np.stack([before[j], after[j]])
        least, most = float(both.min()), float(both.max())
        difference = np.abs(after[j] - before[j])
        shown = (
            ("before", before[j], least, most),
            ("after", after[j], least, most),
            ("difference", difference, 0.0, float(difference.max())),
        )
        for row, (name, plane, darkest, lightest) in enumerate(shown):
            panel = panels[row, j + 1]
            panel.imshow(radiological(plane), cmap="gray", vmin=darkest, vmax=max(lightest, darkest + 1e-9))
            if j == 0:
                panel.set_ylabel(name, fontsize=9, color=INK)
        panels[0, j + 1].set_title(titles[j], fontsize=9, color=INK, parse_math=False)
        share = float(difference.max()) / max(most - least, 1e-9)
        panels[2, j + 1].set_xlabel(f"up to {share:.1%}", fontsize=8, color=INK)
    return png(figure)
