"""Aorta, inferior vena cava, superior mesenteric vessels and the small vessels of the mesentery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.draws import Point, near, normal, uniform
from monai_sfda.phantom.geometry import ellipse, segment, tube
from monai_sfda.phantom.layers import Layer, Scene
from monai_sfda.phantom.skeleton import Skeleton
from monai_sfda.phantom.tissues import Organ, Tissue

_BRANCHES = 180
Heights = NDArray[Any] | np.floating[Any]

_ARTERY: tuple[Point, ...] = ((-6.0, -2.0, 22.0), (-5.0, 18.0, 4.0), (-2.0, 24.0, -70.0), (0.0, 28.0, -150.0))
_VEIN: tuple[Point, ...] = (
    (15.0, 16.0, 10.0),
    (11.0, 22.0, -15.0),
    (12.0, 26.0, -80.0),
    (14.0, 28.0, -150.0),
)


@dataclass(frozen=True)
class Vessels:
    """The great vessels in front of the spine.

    Attributes:
        aorta_x_mm, aorta_radius_mm: position at the height of the kidneys, and radius.
        cava_x_mm, cava_radii_mm: position there, and half axes across and front to back.
        mesenteric: course and radii of the superior mesenteric artery and vein.
        branches: small vessels in the fat of the abdomen: end points and radius.
        calcified: angle (radians) of a calcified plaque of the aorta, None without.
    """

    aorta_x_mm: float
    aorta_radius_mm: float
    cava_x_mm: float
    cava_radii_mm: tuple[float, float]
    mesenteric: tuple[tuple[Tissue, tuple[Point, ...], float], ...]
    branches: tuple[tuple[Tissue, tuple[Point, Point], float], ...]
    calcified: float | None

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Vessels:
        """Vessels without aneurysm or thrombosis."""
        branches = []
        for _ in range(_BRANCHES):
            # half of them near the root of the mesentery, the others anywhere in the fat
            if rng.random() < 0.5:
                start = near(rng, (0.0, 30.0, -30.0), (30.0, 12.0, 20.0))
            else:
                start = (uniform(rng, -105.0, 105.0), uniform(rng, -50.0, 75.0), uniform(rng, -110.0, 80.0))
            end = near(rng, start, (30.0, 18.0, 22.0))
            tissue = Tissue.VENOUS_BLOOD if rng.random() < 0.6 else Tissue.ARTERIAL_BLOOD
            branches.append((tissue, (start, end), uniform(rng, 0.8, 2.2)))
        return cls(
            aorta_x_mm=normal(rng, -9, 2.5),
            aorta_radius_mm=normal(rng, 10, 1.2),
            cava_x_mm=normal(rng, 19, 2.0),
            cava_radii_mm=(normal(rng, 13, 1.5), normal(rng, 9.5, 1.8)),
            mesenteric=(
                (Tissue.ARTERIAL_BLOOD, tuple(near(rng, point, 1.5) for point in _ARTERY), 3.6),
                (Tissue.PORTAL_BLOOD, tuple(near(rng, point, 1.5) for point in _VEIN), 5.4),
            ),
            branches=tuple(branches),
            calcified=uniform(rng, 0, 2 * np.pi) if rng.random() < 0.3 else None,
        )

    def aorta_point(self, skeleton: Skeleton, z: float) -> Point:
        """A point of the aorta's axis at height z, mm."""
        x, y = self._aorta_axis(skeleton, np.float32(z))
        return float(x), float(y), z

    def cava_point(self, skeleton: Skeleton, z: float) -> Point:
        """A point of the vena cava's axis at height z, mm."""
        x, y = self._cava_axis(skeleton, np.float32(z))
        return float(x), float(y), z

    def _aorta_axis(self, skeleton: Skeleton, z: Heights) -> tuple[Heights, Heights]:
        x = self.aorta_x_mm - 0.03 * np.maximum(z, 0.0)
        return x, skeleton.front_y_mm(z) + self.aorta_radius_mm + 1.5

    def _cava_axis(self, skeleton: Skeleton, z: Heights) -> tuple[Heights, Heights]:
        # above the kidneys it leaves the spine on its way to the heart
        rise = np.maximum(z - 20.0, 0.0)
        y = skeleton.front_y_mm(np.minimum(z, 20.0)) + self.cava_radii_mm[1] + 0.12 * rise
        return self.cava_x_mm + 0.05 * rise, y

    def small(self, scene: Scene) -> Iterator[Layer]:
        """The vessels in the fat, which run behind and between the organs."""
        for tissue, (start, end), radius in self.branches:
            low, high = np.minimum(start, end) - radius, np.maximum(start, end) + radius
            at = scene.body.region(low, high)
            if at is not None:
                f = segment(at, start, end, (radius, 0.7 * radius))
                yield scene.layer(tissue, at, scene.in_abdomen(at, f))

    def great(self, scene: Scene, skeleton: Skeleton) -> Iterator[Layer]:
        """Mesenteric vessels, vena cava, aorta."""
        for tissue, course, radius in self.mesenteric:
            found = tube(scene.body, course, [radius] * len(course))
            if found is not None:
                yield scene.layer(tissue, *found)
        at = scene.body.region((-45.0, -40.0, -400.0), (50.0, 40.0, 400.0))
        if at is None:
            return
        x, y = self._cava_axis(skeleton, at.z)
        cava = np.maximum(ellipse(at.x - x, at.y - y, *self.cava_radii_mm), scene.diaphragm[at.box])
        yield scene.layer(Tissue.VENOUS_BLOOD, at, cava, Organ.INFERIOR_VENA_CAVA)
        x, y = self._aorta_axis(skeleton, at.z)
        u, v = at.x - x, at.y - y
        aorta = np.sqrt(u * u + v * v) - self.aorta_radius_mm
        yield scene.layer(Tissue.GUT_WALL, at, aorta, Organ.AORTA)
        yield scene.layer(Tissue.ARTERIAL_BLOOD, at, aorta + 1.5, Organ.AORTA)
        if self.calcified is not None:
            plaque = np.maximum(
                np.abs(aorta + 1.0) - 1.2, 4.0 - u * np.cos(self.calcified) - v * np.sin(self.calcified)
            )
            patchy = np.maximum(plaque, 6.0 * np.sin(at.z / 9.0))
            yield scene.layer(Tissue.CORTICAL_BONE, at, np.asarray(patchy, np.float32), Organ.AORTA)
