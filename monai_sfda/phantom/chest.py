"""The chest round the heart: trunk, spine and ribs, sternum, airways, lung vessels, liver, stomach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from monai_sfda.phantom.draws import Point, near, normal, uniform
from monai_sfda.phantom.geometry import ellipse, ellipsoid, segment, tube
from monai_sfda.phantom.layers import Layer, Scene
from monai_sfda.phantom.liver import Liver
from monai_sfda.phantom.skeleton import Skeleton
from monai_sfda.phantom.tissues import Organ, Tissue
from monai_sfda.phantom.trunk import Dome, Outline, Trunk

_VESSELS = 110
_FAR = 400.0  # beyond every grid, mm
_TRACHEA: tuple[Point, ...] = ((2.0, -16.0, 300.0), (2.0, -22.0, 232.0))
_BRONCHI: tuple[tuple[Point, ...], ...] = (
    ((2.0, -22.0, 234.0), (26.0, -22.0, 212.0), (52.0, -20.0, 192.0)),
    ((2.0, -22.0, 234.0), (-26.0, -24.0, 212.0), (-54.0, -20.0, 194.0)),
)


@dataclass(frozen=True)
class Chest:
    """What surrounds the heart. Coordinates are the abdomen's: mm, x to the right, y to the front, z up, the
    origin in front of the first lumbar vertebra.

    Attributes:
        trunk: skin to lungs, with the diaphragm.
        skeleton: spine and ribs.
        sternum_mm: half width and thickness of the sternum.
        vessels: the lungs' vessels: blood, end points and radius (mm).
        liver: under the diaphragm.
        stomach: centre and half axes, mm.
    """

    trunk: Trunk
    skeleton: Skeleton
    sternum_mm: tuple[float, float]
    vessels: tuple[tuple[Tissue, tuple[Point, Point], float], ...]
    liver: Liver
    stomach: tuple[Point, Point]

    @classmethod
    def draw(cls, rng: np.random.Generator, liver: np.random.Generator) -> Chest:
        """A chest from lean to obese."""
        fatness = uniform(rng, 0.0, 1.0) ** 1.5
        muscle = normal(rng, 1.0, 0.12)
        cavity = Outline(normal(rng, 130, 4), normal(rng, 84, 4) + 5 * fatness, normal(rng, 89, 3))
        wall = cavity.grown(15 * muscle, 12 * muscle, 17 * muscle)
        fat = wall.grown(
            4 + 24 * fatness + uniform(rng, 0, 6),
            5 + 22 * fatness + uniform(rng, 0, 6),
            8 + 20 * fatness + uniform(rng, 0, 6),
        )
        right = Dome(near(rng, (74.0, 4.0, 124.0), (4.0, 5.0, 6.0)), normal(rng, 58, 5))
        peak = normal(rng, -70, 4), right.peak[1], right.peak[2] - normal(rng, 13, 5)
        left = Dome(peak, normal(rng, 55, 5))
        skeleton = Skeleton(
            level_mm=normal(rng, 25, 1.2),
            disc_mm=normal(rng, 5.0, 0.6),
            phase_mm=uniform(rng, -12, 12),
            width_mm=normal(rng, 16.5, 1.2),
            depth_mm=normal(rng, 14.5, 1.0),
            centre_y_mm=normal(rng, -51, 2.0),
            lordosis_mm=normal(rng, 0.5, 0.4),
            scoliosis_mm=normal(rng, 0, 2.0),
            rib_phase_mm=uniform(rng, 0, 28),
            rib_end_mm=normal(rng, -12, 10),
            muscle=normal(rng, 1.0, 0.1),
        )
        return cls(
            trunk=Trunk(cavity, wall, fat, (right, left), normal(rng, 14, 6), None),
            skeleton=skeleton,
            sternum_mm=(normal(rng, 17, 2), normal(rng, 10, 1)),
            vessels=tuple(_lung_vessels(rng)),
            liver=Liver.draw(liver),
            stomach=(near(rng, (-58.0, 8.0, 66.0), 6.0), near(rng, (42.0, 44.0, 34.0), 5.0)),
        )

    def behind_heart(self, scene: Scene) -> Iterator[Layer]:
        """Everything that the heart is painted over."""
        yield from self.trunk.layers(scene)
        for tissue, (start, end), radius in self.vessels:
            at = scene.body.region(np.minimum(start, end) - radius, np.maximum(start, end) + radius)
            if at is not None:
                lung = np.maximum(scene.cavity[at.box], -scene.diaphragm[at.box]) + 4.0
                f = np.maximum(segment(at, start, end, (radius, 0.4 * radius)), lung)
                yield scene.layer(tissue, at, np.asarray(f, np.float32), None)
        for layer in self.liver.layers(scene):
            yield layer if layer.organ is None else replace(layer, organ=Organ.BACKGROUND)
        yield from self._stomach(scene)
        yield from self.skeleton.muscles(scene)
        yield from self.skeleton.bones(scene)
        yield from self._sternum(scene)
        yield from self._airways(scene)

    def _stomach(self, scene: Scene) -> Iterator[Layer]:
        centre, radii = self.stomach
        at = scene.body.region(np.subtract(centre, radii), np.add(centre, radii))
        if at is None:
            return
        f = scene.in_abdomen(at, ellipsoid(at, centre, radii), 2.0)
        yield scene.layer(Tissue.GUT_WALL, at, f)
        yield scene.layer(Tissue.GUT_FLUID, at, f + 3.0)
        # gas rises to the front of who lies on the back
        gas = np.maximum(f + 3.0, centre[1] + 0.35 * radii[1] - at.y)
        yield scene.layer(Tissue.GUT_GAS, at, np.asarray(gas, np.float32))

    def _sternum(self, scene: Scene) -> Iterator[Layer]:
        half, thickness = self.sternum_mm
        front = self.trunk.cavity.front
        at = scene.body.region((-half - 2, front - 12, 105.0), (half + 2, front + 20, _FAR), margin_mm=6.0)
        if at is None:
            return
        middle = scene.cavity[at.box] - 0.5 * thickness - 0.5
        f = np.maximum(ellipse(at.x, middle, half, 0.5 * thickness), 112.0 - at.z)
        f = np.asarray(f, np.float32)
        yield scene.layer(Tissue.CORTICAL_BONE, at, f)
        yield scene.layer(Tissue.CANCELLOUS_BONE, at, f + 1.0)

    def _airways(self, scene: Scene) -> Iterator[Layer]:
        courses = [(_TRACHEA, (9.0, 9.0)), *((course, (7.5, 6.5, 4.0)) for course in _BRONCHI)]
        for grown, tissue in ((1.8, Tissue.CARTILAGE), (0.0, Tissue.GUT_GAS)):
            for course, radii in courses:
                found = tube(scene.body, course, [r + grown for r in radii])
                if found is not None:
                    yield scene.layer(tissue, *found)


def _lung_vessels(rng: np.random.Generator) -> Iterator[tuple[Tissue, tuple[Point, Point], float]]:
    """Vessels that leave the hila in all directions, thin at their ends."""
    for _ in range(_VESSELS):
        side = 1.0 if rng.random() < 0.5 else -1.0
        start = near(rng, (side * 56.0, -14.0, 190.0), (7.0, 9.0, 20.0))
        end = near(rng, (side * 98.0, -8.0, 185.0), (16.0, 38.0, 45.0))
        tissue = Tissue.PULMONARY_BLOOD if rng.random() < 0.5 else Tissue.ARTERIAL_BLOOD
        yield tissue, (start, end), uniform(rng, 1.2, 3.6)
