"""Pictures for the report as PNG images: segmentations over their scans, and the charts.

Scans are shown in radiological display, with letters at the edges: the patient's right is on the left of the
image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from monai_sfda.catalog import Structure
from monai_sfda.errors import DataError
from monai_sfda.evaluation.charts import bars, curves, png
from monai_sfda.evaluation.slices import SIDES, as_ras, choose_slices, radiological

__all__ = ["as_ras", "bars", "choose_slices", "color_of", "curves", "overlay", "overlay_grid"]

Plane = NDArray[Any]

_SPARE_COLORS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
)
_BACKDROP = "#0d1117"
_LETTERS = "#e8ecf1"
_FILL_OPACITY = 0.38


def color_of(index: int, structures: Sequence[Structure]) -> tuple[int, int, int]:
    """The red, green and blue (0..255) of a class: its own, or a spare one for an unnamed class."""
    for structure in structures:
        if structure.index == index:
            return structure.color
    return _SPARE_COLORS[(index - 1) % len(_SPARE_COLORS)]


def overlay(
    image: Plane,
    segmentation: Plane | None,
    reference: Plane | None,
    structures: Sequence[Structure],
    *,
    pixel_size_mm: tuple[float, float] = (1.0, 1.0),
    axis: int = 2,
    window: tuple[float, float] | None = None,
    title: str = "",
) -> bytes:
    """Draw one slice with its segmentation in colour and, where given, the reference as a dashed white line.

    Args:
        image: (A, B) intensities: the two in-plane axes of a volume in RAS orientation (see `as_ras`), in
            their order.
        segmentation: (A, B) class indices, or None for the bare image.
        reference: (A, B) class indices of the expert's labels, or None.
        structures: names and colours of the classes.
        pixel_size_mm: distance between neighbouring pixels along A and B, mm.
        axis: RAS axis across which the slice was cut: 2 axial, 1 coronal, 0 sagittal.
        window: lowest and highest intensity shown; None for the 1st and 99.5th percentile of the image.
        title: written above the image.

    Returns:
        A PNG image.

    Raises:
        DataError: when the arrays are not planes of one shape.
    """
    _check_planes(image, segmentation, reference)
    width, height = _extent_mm(image, pixel_size_mm)
    figure = Figure(
        figsize=(
            4.2 * width / max(width, height),
            4.2 * height / max(width, height) + (0.3 if title else 0.0),
        ),
        facecolor=_BACKDROP,
        layout="constrained",
    )
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.06)  # type: ignore[union-attr, call-arg]
    panel = figure.subplots()
    _draw_slice(panel, image, segmentation, reference, structures, pixel_size_mm, axis, window)
    if title:
        panel.set_title(title, color=_LETTERS, fontsize=10, parse_math=False)
    return png(figure)


def overlay_grid(
    columns: Sequence[tuple[str, Sequence[tuple[Plane, Plane | None]]]],
    structures: Sequence[Structure] = (),
    *,
    pixel_size_mm: tuple[float, float] = (1.0, 1.0),
    axis: int = 2,
    window: tuple[float, float] | None = None,
    row_titles: Sequence[str] = (),
) -> bytes:
    """Draw the same slices under several segmentations side by side, e.g. before and after adaptation.

    Args:
        columns: (title, slices): every slice is (image, segmentation) as in `overlay`, the same number in
            every column.
        structures: as in `overlay`.
        pixel_size_mm: as in `overlay`.
        axis: as in `overlay`.
        window: as in `overlay`; None fits every image by itself.
        row_titles: what the rows show, e.g. `slice 41`; none by default.

    Returns:
        A PNG image.

    Raises:
        DataError: when there is nothing to draw or the columns do not match.
    """
    rows = {len(slices) for _, slices in columns}
    if not columns or len(rows) != 1 or 0 in rows or (row_titles and {len(row_titles)} != rows):
        raise DataError(
            f"columns of {[len(c[1]) for c in columns]} slices and {len(row_titles)} row titles make no grid",
            remedy="give every column the same slices, at least one",
        )
    count = rows.pop()
    for _, slices in columns:
        for image, segmentation in slices:
            _check_planes(image, segmentation, None)
    width, height = _extent_mm(columns[0][1][0][0], pixel_size_mm)
    panel_width = 2.7
    panel_height = min(2 * panel_width, panel_width * height / width)
    figure = Figure(
        figsize=(panel_width * len(columns) + (0.3 if row_titles else 0.0), panel_height * count + 0.35),
        facecolor=_BACKDROP,
        layout="constrained",
    )
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.04, wspace=0.0, hspace=0.0)  # type: ignore[union-attr, call-arg]
    panels = figure.subplots(count, len(columns), squeeze=False)
    for j, (title, slices) in enumerate(columns):
        for i, (image, segmentation) in enumerate(slices):
            panel = panels[i, j]
            _draw_slice(panel, image, segmentation, None, structures, pixel_size_mm, axis, window)
            if i == 0:
                panel.set_title(title, color=_LETTERS, fontsize=10, parse_math=False)
            if j == 0 and row_titles:
                panel.text(
                    -0.03,
                    0.5,
                    row_titles[i],
                    transform=panel.transAxes,
                    rotation=90,
                    ha="right",
                    va="center",
                    color=_LETTERS,
                    fontsize=8,
                    parse_math=False,
                )
    return png(figure)


def _check_planes(image: Plane, segmentation: Plane | None, reference: Plane | None) -> None:
    shapes = [plane.shape for plane in (image, segmentation, reference) if plane is not None]
    if any(shape != shapes[0] for shape in shapes) or image.ndim != 2 or image.size == 0:
        raise DataError(
            f"arrays of shapes {', '.join(map(str, shapes))} are not one slice",
            remedy="give the image and its segmentations as planes of one shape",
        )


def _extent_mm(image: Plane, pixel_size_mm: tuple[float, float]) -> tuple[float, float]:
    return image.shape[0] * pixel_size_mm[0], image.shape[1] * pixel_size_mm[1]


def _draw_slice(
    panel: Axes,
    image: Plane,
    segmentation: Plane | None,
    reference: Plane | None,
    structures: Sequence[Structure],
    pixel_size_mm: tuple[float, float],
    axis: int,
    window: tuple[float, float] | None,
) -> None:
    finite = image[np.isfinite(image)]
    if window is None:
        window = tuple(np.percentile(finite, (1.0, 99.5)).tolist()) if finite.size else (0.0, 1.0)
    low, high = window
    shown = np.nan_to_num(radiological(image).astype(np.float64), nan=low, posinf=high, neginf=low)
    aspect = pixel_size_mm[1] / pixel_size_mm[0]
    panel.imshow(
        shown, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), aspect=aspect, interpolation="bilinear"
    )
    if segmentation is not None:
        classes = radiological(segmentation)
        tint = np.zeros((*classes.shape, 4))
        for index in np.unique(classes[classes > 0]).tolist():
            color = np.asarray(color_of(index, structures)) / 255.0
            tint[classes == index] = (*color, _FILL_OPACITY)
            _outline(panel, classes == index, color=tuple(color.tolist()), dashed=False)
        panel.imshow(tint, aspect=aspect, interpolation="nearest")
    if reference is not None:
        classes = radiological(reference)
        for index in np.unique(classes[classes > 0]).tolist():
            _outline(panel, classes == index, color=(1.0, 1.0, 1.0), dashed=True)
    panel.set_xlim(-0.5, shown.shape[1] - 0.5)
    panel.set_ylim(shown.shape[0] - 0.5, -0.5)
    panel.set_axis_off()
    for letter, (x, y) in zip(SIDES[axis], ((0.03, 0.5), (0.97, 0.5), (0.5, 0.96), (0.5, 0.04)), strict=True):
        panel.text(
            x, y, letter, transform=panel.transAxes, color=_LETTERS, fontsize=8, ha="center", va="center"
        )


def _outline(panel: Axes, mask: NDArray[np.bool_], *, color: tuple[float, ...], dashed: bool) -> None:
    """Draw the edge of a mask; a mask that reaches the image border is closed there."""
    rows, columns = mask.shape
    panel.contour(
        np.arange(-1, columns + 1),
        np.arange(-1, rows + 1),
        np.pad(mask, 1).astype(np.float64),
        levels=[0.5],
        colors=[color],
        linewidths=1.1,
        linestyles="dashed" if dashed else "solid",
    )
