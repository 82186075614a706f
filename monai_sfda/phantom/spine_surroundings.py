"""What surrounds the column: canal with cord and cauda equina, great vessels, muscles of the back, psoas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from monai_sfda.phantom.draws import Point, normal, uniform
from monai_sfda.phantom.geometry import ellipse, tube
from monai_sfda.phantom.layers import Layer, Scene
from monai_sfda.phantom.spine_bones import CANAL_MM
from monai_sfda.phantom.spine_column import Column, Vertebra
from monai_sfda.phantom.tissues import Tissue

_FAR = 400.0  # beyond every grid, mm
_ROOTS = 14  # of the cauda equina that are drawn


@dataclass(frozen=True)
class Surroundings:
    """Sizes that vary from subject to subject.

    Attributes:
        canal, sac, cord: radii, mm.
        conus: body at whose middle the cord ends.
        roots: places of the roots in the sac: angle (radians) and share of its radius.
        aorta, cava: radii, mm; iliac arteries and veins are 0.62 of that.
        muscle: size of the muscles relative to the mean.
        fat: half width of the fat between them, mm; more towards the sacrum.
    """

    canal: float
    sac: float
    cord: float
    conus: str
    roots: tuple[tuple[float, float], ...]
    aorta: float
    cava: float
    muscle: float
    fat: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Surroundings:
        """Surroundings without stenosis, aneurysm or disease of the muscles."""
        sac = normal(rng, 6.8, 0.5)
        return cls(
            canal=sac + uniform(rng, 1.2, 2.2),
            sac=sac,
            cord=normal(rng, 4.2, 0.3),
            conus=("T12", "L1", "L1", "L2")[int(rng.integers(4))],
            roots=tuple((uniform(rng, 0.0, 2 * np.pi), uniform(rng, 0.2, 0.85)) for _ in range(_ROOTS)),
            aorta=normal(rng, 8.8, 0.9),
            cava=normal(rng, 10.0, 1.2),
            muscle=normal(rng, 1.0, 0.1),
            fat=uniform(rng, 0.3, 1.6),
        )

    def muscles(self, scene: Scene, column: Column) -> Iterator[Layer]:
        """Erector and multifidus with the fat between them, psoas, quadratus, crura."""
        for side in (1.0, -1.0):
            low, high = sorted((side * 2.0, side * 96.0))
            at = scene.body.region((low, -150.0, -_FAR), (high, 20.0, _FAR), margin_mm=6.0)
            if at is None:
                continue
            x, y = column.axis_at(at.z)
            u, v = side * (at.x - x), at.y - y
            inside = scene.wall[at.box] + 2.0
            size = self.muscle
            erector = np.maximum(ellipse(u - 34.0, v + 46.0, 32.0 * size, 22.0 * size), inside)
            yield scene.layer(Tissue.SUBCUTANEOUS_FAT, at, np.asarray(erector - 1.5, np.float32))
            yield scene.layer(Tissue.MUSCLE, at, np.asarray(erector, np.float32))
            # fat grows towards the sacrum
            width = self.fat * np.clip((40.0 - at.z) / 120.0, 0.3, 1.8)
            course = u + 0.4 * v + 5.0 * np.sin(v / 11.0 + at.z / 37.0) + 2.0 * np.sin(v / 4.3 - u / 9.0)
            patches = np.sin(u / 5.1 + side * at.z / 19.0) * np.sin(v / 6.7 - at.z / 23.0)
            septa = np.abs(np.mod(course + 4.0 * side, 19.0) - 9.5) - width * (0.6 - 1.1 * patches)
            septa = np.asarray(np.maximum(septa, erector + 1.0), np.float32)
            yield scene.layer(Tissue.SUBCUTANEOUS_FAT, at, septa)
            growth = np.clip((20.0 - at.z) / 130.0, 0.02, 1.0)
            psoas = ellipse(
                u - 31.0 - 7.0 * growth, v + 3.0, size * (3.0 + 16.0 * growth), size * (4.0 + 19.0 * growth)
            )
            yield scene.layer(Tissue.MUSCLE, at, np.asarray(np.maximum(psoas, at.z - 15.0), np.float32))
            square = np.maximum(ellipse(u - 66.0, v + 32.0, 20.0 * size, 8.0 * size), at.z - 12.0)
            yield scene.layer(Tissue.MUSCLE, at, np.asarray(np.maximum(square, inside), np.float32))
            crus = np.maximum(ellipse(u - 12.0, v - 17.0, 11.0 * size, 5.0 * size), -15.0 - at.z)
            yield scene.layer(Tissue.MUSCLE, at, np.asarray(crus, np.float32))

    def canal_layers(self, scene: Scene, column: Column) -> Iterator[Layer]:
        """Epidural fat, cerebrospinal fluid in the sac down to S2, cord, roots of the cauda equina."""
        course = [_in_canal(v) for v in column.vertebrae]
        yield from _tube(scene, Tissue.VISCERAL_FAT, course, self.canal)
        yield from _tube(scene, Tissue.CEREBROSPINAL_FLUID, course, self.sac)
        end = next(i for i, v in enumerate(column.vertebrae) if v.name == self.conus)
        radii = [self.cord] * end + [0.4 * self.cord]
        found = tube(scene.body, course[: end + 1], radii)
        if found is not None:
            yield scene.layer(Tissue.SPINAL_CORD, *found)
        for angle, share in self.roots:
            # they spread from the conus and sink to the back of the sac, as people lie on their backs
            radius = 0.85 * self.sac * share
            aside = radius * float(np.cos(angle))
            ahead = radius * float(np.sin(angle)) - 0.3 * self.sac * (1.0 - share)
            path = [course[end]]
            path += [(x + aside, y + ahead, z) for x, y, z in course[end + 1 :]]
            yield from _tube(scene, Tissue.SPINAL_CORD, path, 0.7)

    def vessels(self, scene: Scene, column: Column) -> Iterator[Layer]:
        """Aorta and vena cava, which part in front of the fourth lumbar vertebra, and the iliac vessels."""
        for tissue, radius, aside, division in (
            (Tissue.VENOUS_BLOOD, self.cava, 15.0, "L5"),
            (Tissue.ARTERIAL_BLOOD, self.aorta, -10.0, "L4"),
        ):
            level = next(i for i, v in enumerate(column.vertebrae) if v.name == division)
            trunk = [_in_front(v, radius, aside) for v in column.vertebrae[:level]]
            fork = _in_front(column.vertebrae[level], radius, 0.4 * aside)
            yield from self._vessel(scene, tissue, [*trunk, fork], radius)
            x, y, z = fork
            for side in (1.0, -1.0):
                branch = [fork, (x + side * 22.0, y + 4.0, z - 38.0), (x + side * 50.0, y - 2.0, z - 95.0)]
                yield from self._vessel(scene, tissue, branch, 0.62 * radius)

    def _vessel(self, scene: Scene, tissue: Tissue, course: list[Point], radius: float) -> Iterator[Layer]:
        found = tube(scene.body, course, [radius] * len(course))
        if found is not None:
            at, f = found
            yield scene.layer(Tissue.GUT_WALL, at, f)
            yield scene.layer(tissue, at, np.asarray(f + 1.2, np.float32))


def _tube(scene: Scene, tissue: Tissue, course: list[Point], radius: float) -> Iterator[Layer]:
    found = tube(scene.body, course, [radius] * len(course))
    if found is not None:
        yield scene.layer(tissue, *found)


def _in_canal(vertebra: Vertebra) -> Point:
    """The middle of the canal behind a body, mm."""
    return vertebra.frame.point(-0.84 * vertebra.depth - CANAL_MM, 0.0)


def _in_front(vertebra: Vertebra, radius: float, aside: float) -> Point:
    """The axis of a vessel that lies on the front of a body, `aside` of its middle, mm."""
    return vertebra.frame.point(vertebra.depth + radius + 1.0, 0.0, aside)
