"""The spleen and the pancreas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from monai_sfda.phantom.draws import Point, near, normal, uniform
from monai_sfda.phantom.geometry import Rotation, ellipsoid, rotation_about, tube
from monai_sfda.phantom.layers import Layer, Scene
from monai_sfda.phantom.tissues import Organ, Tissue


@dataclass(frozen=True)
class Spleen:
    """A bean under the left diaphragm: an ellipsoid with a hollow towards stomach and kidney.

    Attributes:
        centre, radii: mm; the axes run across the organ, along its width and along its length.
        rotation: its pose.
        hollow: centre and half axes (mm) of what is taken from its inner side.
        notch: period (mm) and depth (mm) of the notches of its front edge.
    """

    centre: Point
    radii: Point
    rotation: Rotation
    hollow: tuple[Point, Point]
    notch: tuple[float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Spleen:
        """A spleen of about 60 to 400 ml, 180 in the mean."""
        size = normal(rng, 1.0, 0.08)
        centre = near(rng, (-98.0, -35.0, 45.0), (2.5, 4.0, 6.0))
        radii = near(rng, (33.0, 49.0, 59.0), (1.6, 3.0, 4.0))
        return cls(
            centre=centre,
            radii=(radii[0] * size, radii[1] * size, radii[2] * size),
            rotation=rotation_about((normal(rng, -22, 8), normal(rng, 14, 5), normal(rng, 26, 7))),
            hollow=(
                (centre[0] + 42.0, centre[1] + 18.0, centre[2] - 4.0),
                near(rng, (26.0, 29.0, 38.0), 2.0),
            ),
            notch=(uniform(rng, 22, 34), uniform(rng, 0.5, 2.0)),
        )

    def layers(self, scene: Scene) -> Iterator[Layer]:
        """The organ."""
        reach = max(self.radii) + 4
        at = scene.body.region(np.subtract(self.centre, reach), np.add(self.centre, reach))
        if at is None:
            return
        period, depth = self.notch
        f = ellipsoid(at, self.centre, self.radii, self.rotation)
        f = f + depth * np.sin(at.z * (2 * np.pi / period)) * np.clip(
            (at.y - self.centre[1]) / 30.0, 0.0, 1.0
        )
        f = np.maximum(f, -ellipsoid(at, *self.hollow))
        yield scene.layer(Tissue.SPLEEN, at, scene.in_abdomen(at, np.asarray(f, np.float32)), Organ.SPLEEN)


@dataclass(frozen=True)
class Pancreas:
    """Head, neck, body and tail as a lobulated tube, with the splenic and portal veins behind it.

    Attributes:
        points, radii: course and thickness, mm.
        lobule_mm: depth of the lobulation.
        vein_points, vein_radii: from the splenic hilum along the tail to the liver's porta.
    """

    points: tuple[Point, ...]
    radii: tuple[float, ...]
    lobule_mm: float
    vein_points: tuple[Point, ...]
    vein_radii: tuple[float, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, porta: Point) -> Pancreas:
        """A pancreas whose tail rises to the left; `porta` is where the portal vein enters the liver (mm)."""
        rise = normal(rng, 1.0, 0.25)
        thick = normal(rng, 1.0, 0.12)
        course = [
            near(rng, point, 2.0)
            for point in (
                (33.0, 12.0, -26.0 * rise),
                (30.0, 17.0, -8.0),
                (8.0, 28.0, 4.0),
                (-24.0, 20.0, 14.0 * rise),
                (-52.0, 2.0, 24.0 * rise),
                (-74.0, -12.0, 32.0 * rise),
            )
        ]
        radii = tuple(thick * r for r in (11.0, 13.0, 8.5, 9.0, 9.5, 6.0))
        vein = [(x, y - 8.0, z + 3.0) for x, y, z in course[:1:-1]]
        return cls(
            points=tuple(course),
            radii=radii,
            lobule_mm=uniform(rng, 0.4, 1.4),
            vein_points=(*vein, (18.0, 16.0, 12.0), porta),
            vein_radii=(3.0, 3.6, 4.0, 5.0, 6.2, 6.0),
        )

    def layers(self, scene: Scene) -> Iterator[Layer]:
        """Gland, then veins."""
        gland = tube(scene.body, self.points, self.radii)
        if gland is not None:
            at, f = gland
            lobules = np.sin(at.x * 0.44 + 0.2 * at.z) * np.sin(at.y * 0.51 + 1.0) * np.sin(at.z * 0.39)
            f = np.asarray(f + self.lobule_mm * lobules, np.float32)
            yield scene.layer(Tissue.PANCREAS, at, scene.in_abdomen(at, f), Organ.PANCREAS)
        vein = tube(scene.body, self.vein_points, self.vein_radii)
        if vein is not None:
            yield scene.layer(Tissue.PORTAL_BLOOD, *vein, Organ.PORTAL_AND_SPLENIC_VEIN)
