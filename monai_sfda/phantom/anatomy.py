"""The abdomen of one subject: all parts, the body's size, and a smooth random deformation of everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.deformation import deformed_coordinates
from monai_sfda.phantom.draws import Point, Seed, generators, normal
from monai_sfda.phantom.geometry import BodyCoordinates, Float32, Grid
from monai_sfda.phantom.gut import Gut
from monai_sfda.phantom.kidneys import Kidney
from monai_sfda.phantom.layers import Layer, paint
from monai_sfda.phantom.liver import Gallbladder, Liver
from monai_sfda.phantom.skeleton import Skeleton
from monai_sfda.phantom.spleen_pancreas import Pancreas, Spleen
from monai_sfda.phantom.tissues import Tissue
from monai_sfda.phantom.trunk import Trunk
from monai_sfda.phantom.vessels import Vessels
from monai_sfda.phantom.warp import Warp


@dataclass(frozen=True)
class Anatomy:
    """One subject without a lesion. Body coordinates: mm, x to the right, y to the front, z up; the origin
    lies in front of the first lumbar vertebra, between the kidneys.

    Attributes:
        scale: size of the subject relative to the reference body, per axis.
        warp: deformation of the reference body.
        trunk, skeleton, vessels, gut, liver, spleen, pancreas, kidneys: the parts.
        gallbladder: None after its removal.
    """

    scale: Point
    warp: Warp
    trunk: Trunk
    skeleton: Skeleton
    vessels: Vessels
    gut: Gut
    liver: Liver
    gallbladder: Gallbladder | None
    spleen: Spleen
    pancreas: Pancreas
    kidneys: tuple[Kidney, Kidney]

    def body_coordinates(self, grid: Grid) -> BodyCoordinates:
        """Where the voxels of a grid lie in the undeformed reference body."""
        return deformed_coordinates(grid, self.scale, self.warp)

    def layers(self, grid: Grid) -> Iterator[Layer]:
        """The subject as layers of tissue; what comes later lies in front of or inside what came before."""
        scene = self.trunk.scene(self.body_coordinates(grid))
        yield from self.trunk.layers(scene)
        yield from self.vessels.small(scene)
        for loop in self.gut.bowel:
            yield from loop.layers(scene)
        yield from self.liver.layers(scene)
        yield from self.gut.stomach.layers(scene)
        yield from self.spleen.layers(scene)
        if self.gallbladder is not None:
            yield from self.gallbladder.layers(scene)
        yield from self.pancreas.layers(scene)
        yield from self.skeleton.muscles(scene)
        for kidney in self.kidneys:
            yield from kidney.layers(scene)
        yield from self.skeleton.bones(scene)
        yield from self.gut.oesophagus.layers(scene)
        for kidney in self.kidneys:
            yield from kidney.adrenal(scene)
            z = kidney.hilum()[2] + 8.0
            ends = self.vessels.aorta_point(self.skeleton, z), self.vessels.cava_point(self.skeleton, z - 4.0)
            yield from kidney.vessels(scene, *ends)
        yield from self.vessels.great(scene, self.skeleton)

    def paint(
        self, grid: Grid, values: Mapping[Tissue, Sequence[float]]
    ) -> tuple[Float32, NDArray[np.uint8]]:
        """Averages of tissue values, (C, X, Y, Z), and `Organ` labels, (X, Y, Z); see `layers.paint`."""
        return paint(self.layers(grid), grid.shape, values, Tissue.AIR)

    def labels(self, grid: Grid) -> NDArray[np.uint8]:
        """`Organ` values at the voxel centres of a grid, (X, Y, Z) uint8."""
        return self.paint(grid, dict.fromkeys(Tissue, ()))[1]

    def couch_y_mm(self) -> float:
        """Where the patient's back touches the couch (y in mm, patient coordinates)."""
        return -self.scale[1] * (self.trunk.skin_back_mm() + 4.0)


def make_abdomen(seed: Seed) -> Anatomy:
    """The abdomen of one subject; the same seed gives the same subject, however it is imaged.

    Subjects differ in size, fat, the size, shape, place and pose of each organ, the filling of the gut and,
    in one of nine, by a removed gallbladder.
    """
    streams = generators(seed, 12)
    size = normal(streams[0], 1.0, 0.035)
    scale = (
        size * normal(streams[0], 1.0, 0.03),
        size * normal(streams[0], 1.0, 0.03),
        size * normal(streams[0], 1.0, 0.035),
    )
    liver = Liver.draw(streams[5])
    return Anatomy(
        scale=scale,
        warp=Warp.draw(streams[1], 3.2),
        trunk=Trunk.draw(streams[2]),
        skeleton=Skeleton.draw(streams[3]),
        vessels=Vessels.draw(streams[4]),
        gut=Gut.draw(streams[6]),
        liver=liver,
        gallbladder=Gallbladder.draw(streams[7]) if streams[8].random() > 1 / 9 else None,
        spleen=Spleen.draw(streams[9]),
        pancreas=Pancreas.draw(streams[10], liver.portal[0][0][0]),
        kidneys=(Kidney.draw(streams[11], 1), Kidney.draw(streams[11], -1)),
    )
