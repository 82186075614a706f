"""Entropy maps of several predictions above their masks, beside the slice and its reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from monai_sfda.catalog import Structure
from monai_sfda.errors import DataError
from monai_sfda.evaluation.charts import INK, png, short
from monai_sfda.evaluation.figures import color_of
from monai_sfda.evaluation.slices import radiological

Plane = NDArray[Any]
_ROW = 2.2
"""Height of a row, inches."""


@dataclass(frozen=True)
class Prediction:
    """What one model says of a slice.

    Attributes:
        title: above its column.
        entropy: (A, B) nats.
        classes: (A, B) class indices.
    """

    title: str
    entropy: Plane
    classes: Plane


def entropy_grid(
    image: Plane,
    reference: Plane,
    predictions: Sequence[Prediction],
    structures: Sequence[Structure],
    *,
    highest: float,
    heading: str,
) -> bytes:
    """Draw the slice above its reference, then each prediction's entropy above its mask.

    All maps share one scale, from 0 to `highest`.

    Args:
        image: (A, B) the slice, in-plane axes of a volume in RAS orientation.
        reference: (A, B) class indices.
        predictions: columns.
        structures: colours of the classes.
        highest: end of the scale, nats; log K is the most that K classes can have.
        heading: above all.

    Returns:
        A PNG image.

    Raises:
        DataError: when there is no prediction, or planes differ in shape.
    """
    planes = [reference, *(p.entropy for p in predictions), *(p.classes for p in predictions)]
    if not predictions or any(plane.shape != image.shape for plane in planes):
        raise DataError("the planes make no figure", remedy="give predictions of the slice's own shape")
    columns = len(predictions) + 1
    height, width = radiological(image).shape
    column = min(max(_ROW * width / height, 0.8 * _ROW), 1.5 * _ROW)  # a title needs some width
    figure = Figure(figsize=(column * columns + 0.8, 2 * _ROW + 0.6), facecolor="white", layout="constrained")
    figure.suptitle(heading, fontsize=10, color=INK, parse_math=False)
    panels = figure.subplots(2, columns, squeeze=False)
    low, high = np.percentile(image, (1.0, 99.5))
    panels[0, 0].imshow(radiological(image), cmap="gray", vmin=low, vmax=max(high, low + 1e-9))
    panels[0, 0].set_title("slice", fontsize=9, color=INK)
    _draw_mask(panels[1, 0], reference, structures)
    panels[1, 0].set_title("reference", fontsize=9, color=INK)
    shown = None
    for j, prediction in enumerate(predictions, start=1):
        entropy = radiological(prediction.entropy)
        shown = panels[0, j].imshow(entropy, cmap="inferno", vmin=0.0, vmax=highest)
        panels[0, j].set_title(short(prediction.title), fontsize=8, color=INK, parse_math=False, wrap=True)
        _draw_mask(panels[1, j], prediction.classes, structures)
    for panel in panels.ravel():
        panel.set_xticks([])
        panel.set_yticks([])
        for spine in panel.spines.values():
            spine.set_visible(False)
    assert shown is not None  # there is a prediction
    bar = figure.colorbar(shown, ax=panels.ravel().tolist(), shrink=0.6, aspect=30)
    bar.set_label("nats", fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK)
    return png(figure)


def _draw_mask(panel: Axes, classes: Plane, structures: Sequence[Structure]) -> None:
    colored = np.zeros((*classes.shape, 3), dtype=np.uint8)
    for index in np.unique(classes[classes > 0]).tolist():
        colored[classes == index] = color_of(int(index), structures)
    turned = np.stack([radiological(colored[..., channel]) for channel in range(3)], axis=-1)
    panel.imshow(turned, interpolation="nearest")
