"""Colour pictures beside their segmentations, upright and in the colours of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from monai_sfda.catalog import Structure
from monai_sfda.evaluation.charts import png
from monai_sfda.evaluation.figures import color_of

_UNKNOWN = (255, 255, 255)


def colours_of(classes: NDArray[Any], structures: Sequence[Structure]) -> NDArray[np.uint8]:
    """Classes (rows, columns) as red, green and blue; what is no structure is white.

    Returns:
        (rows, columns, 3) uint8.
    """
    table = np.full((256, 3), _UNKNOWN, dtype=np.uint8)
    for structure in structures:
        table[structure.index] = color_of(structure.index, structures)
    return np.asarray(table[classes])


def picture_grid(
    columns: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], structures: Sequence[Structure]
) -> bytes:
    """Draws pictures (rows, columns, 3) in titled columns, with a legend of the classes, as a PNG.

    Args:
        columns: title and pictures, the same number in every column.
        structures: for the legend.
    """
    count = len(columns[0][1])
    rows, across = columns[0][1][0].shape[:2]
    width = 4.0
    legend = 0.24 * -(-len(structures) // 7)
    height = count * width * rows / across + 0.4 + legend
    figure = Figure(figsize=(width * len(columns), height), layout="constrained")
    panels = figure.subplots(count, len(columns), squeeze=False)
    for j, (title, pictures) in enumerate(columns):
        panels[0, j].set_title(title, fontsize=10)
        for i, picture in enumerate(pictures):
            panels[i, j].imshow(picture, interpolation="nearest")
            panels[i, j].set_axis_off()
    patches = [
        Patch(color="#{:02x}{:02x}{:02x}".format(*s.color), label=s.name.replace("_", " "))
        for s in structures
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=7, fontsize=7, frameon=False)
    return png(figure)
