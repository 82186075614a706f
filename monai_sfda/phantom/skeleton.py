"""The bones and the muscles at the back: spine with its canal, ribs, psoas, quadratus, erector and crura."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_sfda.phantom.draws import normal, uniform
from monai_sfda.phantom.geometry import Float32, Region, ellipse
from monai_sfda.phantom.layers import Layer, Scene
from monai_sfda.phantom.tissues import Tissue

_FAR = 400.0  # beyond every grid, mm
# Compact bone round a vertebral body, end plates included; thicker elsewhere. Ritzel et al., The thickness of
# human vertebral cortical bone and its changes in aging and osteoporosis, J Bone Miner Res 1997;12:89.
_SHELL_MM = 0.4


@dataclass(frozen=True)
class Skeleton:
    """The spine and the ribs.

    Attributes:
        level_mm: distance from one vertebra to the next.
        disc_mm: height of a disc.
        phase_mm: height of the middle of one vertebra.
        width_mm, depth_mm: half axes of a vertebral body.
        centre_y_mm, lordosis_mm, scoliosis_mm: where the column runs.
        rib_phase_mm: height of one rib at the patient's side.
        rib_end_mm: height below which there are no ribs at the side.
        muscle: size of the muscles relative to the mean.
    """

    level_mm: float
    disc_mm: float
    phase_mm: float
    width_mm: float
    depth_mm: float
    centre_y_mm: float
    lordosis_mm: float
    scoliosis_mm: float
    rib_phase_mm: float
    rib_end_mm: float
    muscle: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Skeleton:
        """A spine and ribs without fracture."""
        return cls(
            level_mm=normal(rng, 35, 1.5),
            disc_mm=normal(rng, 8.5, 1.2),
            phase_mm=uniform(rng, -17, 17),
            width_mm=normal(rng, 22.5, 1.5),
            depth_mm=normal(rng, 16.5, 1.0),
            centre_y_mm=normal(rng, -40, 2.0),
            lordosis_mm=normal(rng, 7, 2.5),
            scoliosis_mm=normal(rng, 0, 2.5),
            rib_phase_mm=uniform(rng, 0, 28),
            rib_end_mm=normal(rng, -12, 10),
            muscle=normal(rng, 1.0, 0.1),
        )

    def middle_y_mm(self, z: Any) -> Any:
        """Where the column's axis lies at height z (mm), a number or an array."""
        return self.centre_y_mm + self.lordosis_mm * (1.0 - ((z + 60.0) / 110.0) ** 2)

    def front_y_mm(self, z: Any) -> Any:
        """How far forward the column reaches at height z (mm), a number or an array."""
        return self.middle_y_mm(z) + self.depth_mm

    def _offsets(self, at: Region) -> tuple[Float32, Float32, Float32]:
        """Offsets from the column's axis (right, front) and from the nearest vertebra's middle (up), mm."""
        dx = at.x - self.scoliosis_mm * np.sin(at.z / 70.0)
        dy = at.y - self.middle_y_mm(at.z)
        half = 0.5 * self.level_mm
        dz = np.mod(at.z - self.phase_mm + half, self.level_mm) - half
        return dx, dy, dz

    def bones(self, scene: Scene) -> Iterator[Layer]:
        """Spine and ribs."""
        yield from self._spine(scene)
        yield from self._ribs(scene)

    def _spine(self, scene: Scene) -> Iterator[Layer]:
        back = self.centre_y_mm - 75
        at = scene.body.region((-44.0, back, -_FAR), (44.0, self.centre_y_mm + 32, _FAR), margin_mm=6.0)
        if at is None:
            return
        dx, dy, dz = self._offsets(at)
        half_body = 0.5 * (self.level_mm - self.disc_mm)
        # the waist of a vertebral body: its end plates are wider than its middle
        flare = 1.0 + 0.10 * (dz / half_body) ** 2
        column = np.maximum(ellipse(dx, dy, self.width_mm * flare, self.depth_mm * flare), -(dy + 13.5))
        yield scene.layer(Tissue.DISC, at, column)
        bodies = np.maximum(column, np.abs(dz) - half_body)
        yield scene.layer(Tissue.CORTICAL_BONE, at, bodies)
        yield scene.layer(Tissue.CANCELLOUS_BONE, at, bodies + _SHELL_MM)

        canal_u, canal_v = dx, dy + 22.5
        arch = np.maximum(ellipse(canal_u, canal_v + 2, 19.0, 15.0), np.abs(dz + 4.0) - 11.0)
        spinous = np.maximum(np.maximum(np.abs(dx) - 3.5, np.abs(dy + 47.0) - 17.0), np.abs(dz + 10.0) - 9.0)
        transverse = np.maximum(np.maximum(np.abs(dx) - 37.0, np.abs(dy + 22.0) - 3.5), np.abs(dz) - 5.0)
        processes = np.minimum(np.minimum(arch, spinous), transverse)
        yield scene.layer(Tissue.CORTICAL_BONE, at, processes)
        yield scene.layer(Tissue.CANCELLOUS_BONE, at, processes + 1.5 * _SHELL_MM)
        yield scene.layer(Tissue.VISCERAL_FAT, at, ellipse(canal_u, canal_v, 11.5, 8.5))
        yield scene.layer(Tissue.CEREBROSPINAL_FLUID, at, ellipse(canal_u, canal_v, 9.5, 7.0))
        # the cord ends at about the first lumbar vertebra
        cord = np.maximum(ellipse(canal_u, canal_v, 5.5, 4.0), 15.0 - at.z)
        yield scene.layer(Tissue.SPINAL_CORD, at, cord)

    def muscles(self, scene: Scene) -> Iterator[Layer]:
        """Erector, psoas, quadratus and crus on either side."""
        size = self.muscle
        for side in (1.0, -1.0):
            low, high = sorted((side * 6.0, side * 96.0))
            at = scene.body.region((low, -125.0, -_FAR), (high, 0.0, _FAR), margin_mm=6.0)
            if at is None:
                continue
            dx, dy, _ = self._offsets(at)
            u = side * dx
            wall = scene.wall[at.box] + 2.0
            erector = np.maximum(ellipse(u - 33.0, dy + 46.0, 27.0 * size, 21.0 * size), wall)
            yield scene.layer(Tissue.SUBCUTANEOUS_FAT, at, erector - 1.5)
            yield scene.layer(Tissue.MUSCLE, at, erector)
            # fat between multifidus, longissimus and iliocostalis
            course = u + 0.4 * dy + 5.0 * np.sin(dy / 11.0 + at.z / 37.0) + 2.0 * np.sin(dy / 4.3 - u / 9.0)
            gaps = 1.0 + 1.5 * np.sin(u / 5.1 + side * at.z / 19.0) * np.sin(dy / 6.7 - at.z / 23.0)
            septa = np.abs(np.mod(course + 4.0 * side, 21.0) - 10.5) + gaps - 1.4
            septa = np.asarray(np.maximum(septa, erector + 1.0), np.float32)
            yield scene.layer(Tissue.SUBCUTANEOUS_FAT, at, septa)
            growth = np.clip((30.0 - at.z) / 130.0, 0.02, 1.0)
            psoas = ellipse(
                u - 28.0 - 12 * growth, dy + 6.0, size * (3.0 + 18.0 * growth), size * (4.0 + 21.0 * growth)
            )
            yield scene.layer(Tissue.MUSCLE, at, np.maximum(psoas, at.z - 25.0))
            square = np.maximum(ellipse(u - 66.0, dy + 32.0, 20.0 * size, 8.0 * size), at.z - 22.0)
            yield scene.layer(Tissue.MUSCLE, at, np.maximum(square, wall))
            crus = ellipse(u - 13.0, dy - self.depth_mm + 1.0, 12.0 * size, 6.0 * size)
            yield scene.layer(Tissue.MUSCLE, at, np.maximum(crus, 10.0 - at.z))

    def _ribs(self, scene: Scene) -> Iterator[Layer]:
        at = scene.body.region((-200.0, -130.0, self.rib_end_mm - 45), (200.0, 130.0, _FAR))
        if at is None:
            return
        across = 0.5 * (scene.wall[at.box] + scene.cavity[at.box])
        # ribs run downwards from the back to the front
        height = at.z + 0.55 * at.y
        along = np.mod(height - self.rib_phase_mm, 28.0) - 14.0
        rib = np.maximum(np.sqrt(across * across + 0.5 * along * along) - 3.4, self.rib_end_mm - height)
        beside_spine = 50.0 - np.abs(at.x)
        bone = np.maximum(np.maximum(rib, np.where(at.y < 0, beside_spine, -_FAR)), at.y - 52.0)
        cartilage = np.maximum(np.maximum(rib, 52.0 - at.y), 30.0 - np.abs(at.x))
        yield scene.layer(Tissue.CARTILAGE, at, np.asarray(cartilage, np.float32), None)
        bone = np.asarray(bone, np.float32)
        yield scene.layer(Tissue.CORTICAL_BONE, at, bone, None)
        yield scene.layer(Tissue.CANCELLOUS_BONE, at, bone + 1.5 * _SHELL_MM, None)
