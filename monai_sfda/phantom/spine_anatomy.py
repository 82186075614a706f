"""The lower thorax and the lumbar spine of one subject in the trunk of the abdomen's phantom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.anatomy import Anatomy, make_abdomen
from monai_sfda.phantom.draws import Point, Seed, generators, uniform
from monai_sfda.phantom.geometry import Float32, Grid
from monai_sfda.phantom.layers import Scene, TissueLayer, paint
from monai_sfda.phantom.spine_bones import Marrow, SpineLayer, column_layers
from monai_sfda.phantom.spine_column import ColumnSizes
from monai_sfda.phantom.spine_surroundings import Surroundings
from monai_sfda.phantom.spine_tissues import SPINE_TISSUES, SpineLabel
from monai_sfda.phantom.tissues import Tissue
from monai_sfda.phantom.trunk import Trunk


@dataclass(frozen=True)
class Spine:
    """One subject. Body coordinates: mm, x to the right, y to the front, z up; the first lumbar vertebra lies
    near z = 0, the third near z = -72.

    Attributes:
        abdomen: trunk, gut and organs in front of the column, size and deformation; its own skeleton and
            great vessels are not used.
        sizes: of the column.
        marrow, surroundings: what fills and surrounds it.
        loops: phases of the bowel's loops, radians.
    """

    abdomen: Anatomy
    sizes: ColumnSizes
    marrow: Marrow
    surroundings: Surroundings
    loops: Point

    def later(self, swelling: float) -> Spine:
        """The same subject after a time in bed, with discs `swelling` times as high."""
        return replace(self, sizes=self.sizes.after_rest(swelling))

    def layers(self, grid: Grid) -> Iterator[SpineLayer]:
        """The subject as layers of tissue; what comes later lies in front of or inside what came before."""
        trunk = self.abdomen.trunk
        scene = trunk.scene(self.abdomen.body_coordinates(grid))
        column = self.sizes.build()
        yield from _unlabelled(trunk.layers(scene))
        yield from self._bowel(scene)
        yield from _unlabelled(self._organs(scene))
        yield from _unlabelled(self.surroundings.muscles(scene, column))
        yield from column_layers(scene.body, column, self.marrow)
        yield from _unlabelled(self.surroundings.canal_layers(scene, column))
        yield from _unlabelled(self.surroundings.vessels(scene, column))

    def _bowel(self, scene: Scene) -> Iterator[SpineLayer]:
        """Loops of bowel as a texture that fills most of the cavity, with fat between them."""
        at = scene.body.whole()
        a, b, c = self.loops
        waves = np.sin(at.x / 7.0 + a + 2.0 * np.sin(at.z / 23.0)) * np.sin(at.y / 8.0 + b + at.z / 31.0)
        waves += 0.7 * np.sin(at.z / 6.5 + c + 2.0 * np.sin(at.y / 19.0 + a))
        inside = np.maximum(scene.cavity, scene.diaphragm) + 4.0
        cover = scene.body.coverage(inside) * np.clip(0.5 + 2.0 * (waves + 0.45), 0.0, 1.0)
        yield SpineLayer(Tissue.GUT_WALL, at.box, np.asarray(cover, np.float32), SpineLabel.BACKGROUND)

    def _organs(self, scene: Scene) -> Iterator[TissueLayer[Tissue]]:
        abdomen = self.abdomen
        yield from abdomen.vessels.small(scene)
        for loop in abdomen.gut.bowel:
            yield from loop.layers(scene)
        yield from abdomen.liver.layers(scene)
        yield from abdomen.gut.stomach.layers(scene)
        yield from abdomen.pancreas.layers(scene)
        for kidney in abdomen.kidneys:
            yield from kidney.layers(scene)
        yield from abdomen.gut.oesophagus.layers(scene)

    def paint(self, grid: Grid, values: Mapping[Enum, Sequence[float]]) -> tuple[Float32, NDArray[np.uint8]]:
        """Averages of tissue values, (C, X, Y, Z), and `SpineLabel`s, (X, Y, Z); see `layers.paint`."""
        return paint(self.layers(grid), grid.shape, values, Tissue.AIR)

    def labels(self, grid: Grid) -> NDArray[np.uint8]:
        """`SpineLabel`s at the voxel centres of a grid, (X, Y, Z) uint8."""
        return self.paint(grid, dict.fromkeys(SPINE_TISSUES, ()))[1]


def make_spine(seed: Seed) -> Spine:
    """The spine of one subject; the same seed gives the same subject, however it is imaged.

    Subjects are lean; they differ in size, fat, lordosis, height and wear of each disc, and the marrow's
    share of fat.
    """
    streams = generators(seed, 5)
    abdomen = make_abdomen(int(streams[0].integers(2**63)))
    trunks = [Trunk.draw(streams[4]) for _ in range(3)]
    a, b, c = (uniform(streams[4], 0.0, 2 * np.pi) for _ in range(3))
    return Spine(
        abdomen=replace(abdomen, trunk=min(trunks, key=lambda trunk: trunk.skin_back_mm())),
        sizes=ColumnSizes.draw(streams[1]),
        marrow=Marrow.draw(streams[2]),
        surroundings=Surroundings.draw(streams[3]),
        loops=(a, b, c),
    )


def _unlabelled(layers: Iterable[TissueLayer[Tissue]]) -> Iterator[SpineLayer]:
    """Layers of the trunk: where they carry a label of the abdomen, they are background here."""
    for layer in layers:
        label = None if layer.organ is None else SpineLabel.BACKGROUND
        yield SpineLayer(layer.tissue, layer.box, layer.cover, label)
