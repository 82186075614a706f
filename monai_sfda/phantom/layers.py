"""Painting: an anatomy is a stream of layers, and an image is what is left when they are laid over one
another.

Each layer covers a fraction of each voxel and hides that fraction of what lies below (the `over` operator of
Porter and Duff, Compositing digital images, SIGGRAPH 1984). As signals are linear in the tissue fractions,
the result is the partial-volume average of a voxel, whatever is painted: Hounsfield units, water and fat
signals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.geometry import BodyCoordinates, Box, Float32, Region
from monai_sfda.phantom.tissues import Organ, Tissue

AnyTissue = TypeVar("AnyTissue", bound=Enum)


@dataclass(frozen=True)
class TissueLayer(Generic[AnyTissue]):
    """One tissue laid over what was painted before.

    Attributes:
        tissue: what it is made of.
        box: the voxels concerned.
        cover: fraction of each voxel of the box that it covers, float32 in 0..1.
        organ: the label where it covers half a voxel or more; None leaves the label below.
    """

    tissue: AnyTissue
    box: Box
    cover: Float32
    organ: IntEnum | None


#: A layer of the abdomen.
Layer = TissueLayer[Tissue]


@dataclass(frozen=True)
class Scene:
    """What the parts of an anatomy share while they are painted on one grid.

    Attributes:
        body: body coordinates of the grid.
        wall: signed distance to the outer surface of the muscle wall, (X, Y, Z), mm.
        cavity: signed distance to the inner surface of the trunk's wall, (X, Y, Z), mm.
        diaphragm: signed distance to the diaphragm, negative below it, (X, Y, Z), mm.
    """

    body: BodyCoordinates
    wall: Float32
    cavity: Float32
    diaphragm: Float32

    def layer(
        self, tissue: Tissue, at: Region, f: Float32, organ: IntEnum | None = Organ.BACKGROUND
    ) -> Layer:
        """The inside of the shape f as a layer with the label of `organ`, by default of the background."""
        return Layer(tissue, at.box, self.body.coverage(f), organ)

    def in_abdomen(self, at: Region, f: Float32, gap_mm: float = 1.5) -> Float32:
        """The part of the shape f inside the wall and below the diaphragm, `gap_mm` away from both."""
        inner = np.maximum(self.cavity[at.box], self.diaphragm[at.box]) + gap_mm
        return np.maximum(f, inner)


def paint(
    layers: Iterable[TissueLayer[AnyTissue]],
    shape: tuple[int, int, int],
    values: Mapping[AnyTissue, Sequence[float]],
    ground: AnyTissue,
) -> tuple[Float32, NDArray[np.uint8]]:
    """Lay the layers over one another.

    Args:
        layers: in painting order.
        shape: voxels of the grid.
        values: for every tissue its value in each of C channels.
        ground: what fills the grid before the first layer.

    Returns:
        (C, X, Y, Z) float32 partial-volume averages, and the (X, Y, Z) uint8 labels at the voxel centres.
    """
    below_all = values[ground]
    canvas = np.empty((len(below_all), *shape), np.float32)
    for channel, value in zip(canvas, below_all, strict=True):
        channel.fill(value)
    labels = np.zeros(shape, np.uint8)
    for layer in layers:
        for channel, value in zip(canvas, values[layer.tissue], strict=True):
            below = channel[layer.box]
            below += layer.cover * (value - below)
        if layer.organ is not None:
            labels[layer.box][layer.cover >= 0.5] = layer.organ
    return canvas, labels
