"""The kidneys with cortex, medulla and sinus, in their fat, with vessels, and the adrenal glands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from monai_sfda.phantom.draws import Point, near, normal, uniform
from monai_sfda.phantom.geometry import (
    Rotation,
    ellipse,
    ellipsoid,
    ellipsoid_at,
    offsets,
    rotation_about,
    tube,
)
from monai_sfda.phantom.layers import Layer, Scene
from monai_sfda.phantom.tissues import Organ, Tissue


@dataclass(frozen=True)
class Kidney:
    """One kidney in its fat.

    Attributes:
        side: +1 right, -1 left.
        centre: mm.
        radii: half axes medial to lateral, front to back and along the long axis, mm.
        rotation: pose of the long axis and of the hilum.
        cortex_mm: thickness of the cortex.
        pyramids: number of pyramids counted round the long axis.
        phase: turn of the pyramids, radians.
        capsule_mm: thickness of the fat around it.
        pelvis_mm: radius of the fluid in the renal pelvis.
    """

    side: int
    centre: Point
    radii: Point
    rotation: Rotation
    cortex_mm: float
    pyramids: int
    phase: float
    capsule_mm: float
    pelvis_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, side: int) -> Kidney:
        """A kidney of 10 to 12 cm; the right one lies lower."""
        height = -24.0 if side > 0 else -8.0
        size = normal(rng, 1.0, 0.05)
        radii = near(rng, (28.5, 26.0, 56.0), (1.2, 1.2, 2.5))
        # the upper pole leans to the spine and to the back, the hilum looks forward and inward
        pose = rotation_about((normal(rng, 9, 5), -side * normal(rng, 14, 5), -side * normal(rng, 32, 9)))
        return cls(
            side=side,
            centre=near(rng, (side * 64.0, -36.0, height), (3.0, 2.5, 9.0)),
            radii=(radii[0] * size, radii[1] * size, radii[2] * size),
            rotation=pose,
            cortex_mm=normal(rng, 7.5, 0.8),
            pyramids=int(rng.integers(5, 8)),
            phase=uniform(rng, 0, 2 * np.pi),
            capsule_mm=uniform(rng, 1.5, 8.0),
            pelvis_mm=uniform(rng, 2.0, 6.0),
        )

    @property
    def organ(self) -> Organ:
        """Its label."""
        return Organ.RIGHT_KIDNEY if self.side > 0 else Organ.LEFT_KIDNEY

    def hilum(self) -> Point:
        """Where its vessels enter, mm."""
        x, y, z = (self.centre[i] - self.side * 0.72 * self.radii[0] * self.rotation[0][i] for i in range(3))
        return x, y, z

    def layers(self, scene: Scene) -> Iterator[Layer]:
        """Fat, cortex, medulla, sinus fat and pelvis."""
        reach = max(self.radii) + self.capsule_mm
        at = scene.body.region(np.subtract(self.centre, reach), np.add(self.centre, reach))
        if at is None:
            return
        shape = ellipsoid(at, self.centre, self.radii, self.rotation)
        fat = np.maximum(shape - self.capsule_mm, scene.cavity[at.box])
        yield scene.layer(Tissue.VISCERAL_FAT, at, fat)

        lateral, forward, upward = offsets(at, self.centre, self.rotation)
        lateral = self.side * lateral  # the hilum is at negative `lateral`
        mouth = -0.80 * self.radii[0]
        sinus = ellipsoid_at(
            lateral - mouth,
            forward,
            upward,
            (0.82 * self.radii[0], 0.40 * self.radii[1], 0.50 * self.radii[2]),
        )
        kidney = np.maximum(np.maximum(shape, -sinus), scene.cavity[at.box] + 2.0)
        yield scene.layer(Tissue.RENAL_CORTEX, at, kidney, self.organ)
        # pyramids point at the sinus; columns of cortex lie between them
        outward = lateral / self.radii[0] + 0.4
        coronal = np.cos(self.pyramids * np.arctan2(upward / self.radii[2], outward) + self.phase)
        axial = np.cos(4.0 * np.arctan2(forward / self.radii[1], outward))
        wedge = 7.0 * (-0.35 - coronal - 0.8 * axial)
        medulla = np.maximum(np.maximum(shape + self.cortex_mm, 1.5 - sinus), wedge)
        yield scene.layer(Tissue.RENAL_MEDULLA, at, np.asarray(medulla, np.float32), self.organ)
        pelvis = ellipsoid_at(
            lateral - mouth, forward, upward, (0.62 * self.radii[0], self.pelvis_mm, 2.6 * self.pelvis_mm)
        )
        yield scene.layer(Tissue.URINE, at, pelvis)

    def vessels(self, scene: Scene, aorta: Point, cava: Point) -> Iterator[Layer]:
        """Artery and vein from points on the aorta and the inferior vena cava (mm) to the hilum."""
        end = self.hilum()
        middle = tuple(0.5 * (a + b) + d for a, b, d in zip(aorta, end, (0.0, 5.0, 3.0), strict=True))
        artery = tube(scene.body, (aorta, (middle[0], middle[1], middle[2]), end), (3.2, 2.8, 2.4))
        if artery is not None:
            yield scene.layer(Tissue.ARTERIAL_BLOOD, *artery)
        middle = tuple(0.5 * (a + b) + d for a, b, d in zip(cava, end, (0.0, 9.0, 0.0), strict=True))
        vein = tube(scene.body, (cava, (middle[0], middle[1], middle[2]), end), (5.0, 4.6, 4.0))
        if vein is not None:
            yield scene.layer(Tissue.VENOUS_BLOOD, *vein)

    def adrenal(self, scene: Scene) -> Iterator[Layer]:
        """The gland above the kidney: two thin limbs that meet in front."""
        x = self.side * 27.0
        y, z = self.centre[1] + 18.0, self.centre[2] + 0.86 * self.radii[2]
        at = scene.body.region((x - 14, y - 22, z - 14), (x + 14, y + 8, z + 14))
        if at is None:
            return
        u, v = self.side * (at.x - x), at.y - y
        limbs = np.minimum(np.abs(u - 0.45 * v - 3.0), np.abs(u + 0.2 * v)) - 1.8
        f = np.maximum(np.maximum(limbs, ellipse(v + 7.0, at.z - z, 11.0, 12.0)), np.abs(u) - 12.0)
        organ = Organ.RIGHT_ADRENAL if self.side > 0 else Organ.LEFT_ADRENAL
        yield scene.layer(Tissue.ADRENAL, at, np.asarray(f, np.float32), organ)
