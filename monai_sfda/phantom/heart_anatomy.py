"""The chest of one subject with its heart, under a smooth random deformation of everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.chest import Chest
from monai_sfda.phantom.deformation import deformed_coordinates
from monai_sfda.phantom.draws import Point, Seed, generators, normal
from monai_sfda.phantom.geometry import Float32, Grid
from monai_sfda.phantom.heart_chambers import Heart, Shapes
from monai_sfda.phantom.heart_vessels import GreatVessels
from monai_sfda.phantom.layers import Layer, paint
from monai_sfda.phantom.tissues import Tissue
from monai_sfda.phantom.warp import Warp


@dataclass(frozen=True)
class Thorax:
    """One subject. Coordinates: mm, x to the right, y to the front, z up; as `chest.Chest` has them.

    Attributes:
        scale: size of the subject relative to the reference body, per axis.
        warp: deformation of the reference body.
        chest, heart, vessels: the parts.
    """

    scale: Point
    warp: Warp
    chest: Chest
    heart: Heart
    vessels: GreatVessels

    def layers(self, grid: Grid) -> Iterator[Layer]:
        """The subject as layers of tissue; what comes later lies in front of or inside what came before."""
        scene = self.chest.trunk.scene(deformed_coordinates(grid, self.scale, self.warp))
        yield from self.chest.behind_heart(scene)
        at = self.heart.region(scene.body)
        shapes = None if at is None else Shapes.of(self.heart, at)
        if shapes is not None:
            yield from self.heart.sac(scene, shapes)
        yield from self.vessels.behind(scene)
        if shapes is not None:
            yield from self.heart.chambers(scene, shapes)
        yield from self.vessels.before(scene)

    def paint(
        self, grid: Grid, values: Mapping[Tissue, Sequence[float]]
    ) -> tuple[Float32, NDArray[np.uint8]]:
        """Averages of tissue values, (C, X, Y, Z), and `HeartLabel` values, (X, Y, Z); see `layers.paint`."""
        return paint(self.layers(grid), grid.shape, values, Tissue.AIR)

    def labels(self, grid: Grid) -> NDArray[np.uint8]:
        """`HeartLabel` values at the voxel centres of a grid, (X, Y, Z) uint8."""
        return self.paint(grid, dict.fromkeys(Tissue, ()))[1]

    def couch_y_mm(self) -> float:
        """Where the patient's back touches the couch (y in mm, patient coordinates)."""
        return -self.scale[1] * (self.chest.trunk.skin_back_mm() + 4.0)


def make_thorax(seed: Seed) -> Thorax:
    """The chest of one subject; the same seed gives the same subject, however it is imaged.

    Subjects differ in size, fat, the size, pose and phase of the heart, the thickness of its wall, the size
    and place of each chamber and the course of the great vessels.
    """
    streams = generators(seed, 6)
    size = normal(streams[0], 1.0, 0.03)
    x, y, z = (size * normal(streams[0], 1.0, 0.025) for _ in range(3))
    heart = Heart.draw(streams[3])
    return Thorax(
        scale=(x, y, z),
        warp=Warp.draw(streams[1], 2.6),
        chest=Chest.draw(streams[2], streams[5]),
        heart=heart,
        vessels=GreatVessels.draw(streams[4], heart),
    )
