"""The liver with its vessels, and the gallbladder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from monai_sfda.phantom.draws import Point, near, normal, uniform
from monai_sfda.phantom.geometry import (
    Region,
    Rotation,
    ellipsoid,
    intersection,
    relative,
    rotation_about,
    smooth_intersection,
    smooth_union,
    tube,
)
from monai_sfda.phantom.layers import Layer, Scene
from monai_sfda.phantom.tissues import Organ, Tissue

Branch = tuple[tuple[Point, ...], tuple[float, ...]]

#: Median share of fat in the liver's protons. The shares are log-normal; with these two numbers a quarter of
#: the subjects exceed 5.6%, the limit of a fatty liver (Szczepaniak et al., Am J Physiol Endocrinol Metab
#: 2005;288:E462, who find a third).
LIVER_FAT = 0.035
_LIVER_FAT_SPREAD = 0.75
_TWIGS = 3  # small vessels that leave each branch


@dataclass(frozen=True)
class Liver:
    """Two lobes under the diaphragm, cut off below by a visceral surface.

    Attributes:
        right, left: centre and half axes of the lobes, mm.
        visceral_point, visceral_normal: a point of the visceral surface (mm) and its outward unit normal.
        hollow_mm: how far the visceral surface is hollowed out.
        fissure: middle (mm) and half width (mm) of the fissure of the round ligament.
        portal, hepatic: branches of the portal vein and of the hepatic veins inside the liver.
        fat_share: share of the liver's protons that are in fat.
    """

    right: tuple[Point, Point]
    left: tuple[Point, Point]
    visceral_point: Point
    visceral_normal: Point
    hollow_mm: float
    fissure: tuple[Point, float]
    portal: tuple[Branch, ...]
    hepatic: tuple[Branch, ...]
    fat_share: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Liver:
        """A healthy liver; the left lobe varies most."""
        n = np.array(near(rng, (-0.52, -0.36, -0.78), 0.05))
        n /= np.linalg.norm(n)
        porta = near(rng, (40.0, 12.0, 36.0), 3.0)
        cava = (24.0, -2.0, 92.0)
        r = normal(rng, 1.0, 0.12)

        def grow(start: Point, middle: Point, end: Point, radius: float) -> Branch:
            return (start, near(rng, middle, 5.0), near(rng, end, 7.0)), (radius * r, 0.75 * radius * r, 1.6)

        portal = (
            grow(porta, (70.0, 6.0, 44.0), (108.0, 25.0, 48.0), 6.0),
            grow((66.0, 6.0, 42.0), (84.0, -20.0, 50.0), (102.0, -45.0, 58.0), 4.0),
            grow((72.0, 6.0, 44.0), (88.0, 0.0, 14.0), (100.0, -4.0, -18.0), 4.0),
            grow((84.0, 8.0, 45.0), (98.0, 30.0, 70.0), (105.0, 40.0, 88.0), 3.4),
            grow(porta, (18.0, 34.0, 50.0), (-14.0, 52.0, 58.0), 4.6),
        )
        hepatic = (
            grow(cava, (62.0, -10.0, 82.0), (104.0, -18.0, 52.0), 4.8),
            grow(cava, (52.0, 22.0, 80.0), (76.0, 44.0, 44.0), 4.6),
            grow(cava, (14.0, 24.0, 84.0), (-14.0, 44.0, 76.0), 4.2),
            grow((60.0, -10.0, 80.0), (80.0, -34.0, 78.0), (98.0, -50.0, 84.0), 3.0),
        )
        return cls(
            right=(
                near(rng, (78.0, -4.0, 30.0), (2.0, 3.0, 4.0)),
                near(rng, (70.0, 92.0, 94.0), (3.0, 4.0, 6.0)),
            ),
            left=(
                (normal(rng, 2, 7), normal(rng, 44, 4), normal(rng, 62, 4)),
                (normal(rng, 80, 9), normal(rng, 38, 4), normal(rng, 40, 4)),
            ),
            visceral_point=near(rng, (42.0, 8.0, 2.0), (2.0, 2.0, 7.0)),
            visceral_normal=(float(n[0]), float(n[1]), float(n[2])),
            hollow_mm=normal(rng, 7, 2),
            fissure=((normal(rng, 10, 4), normal(rng, 56, 4), normal(rng, 44, 4)), uniform(rng, 1.5, 4.0)),
            portal=(*portal, *_twigs(rng, portal)),
            hepatic=(*hepatic, *_twigs(rng, hepatic)),
            fat_share=LIVER_FAT * float(np.exp(normal(rng, 0.0, _LIVER_FAT_SPREAD, 2.5))),
        )

    def layers(self, scene: Scene) -> Iterator[Layer]:
        """Parenchyma, vessels, fissure."""
        at = scene.body.region((-95.0, -110.0, -95.0), (160.0, 120.0, 135.0))
        if at is None:
            return
        f = smooth_union(ellipsoid(at, *self.right), ellipsoid(at, *self.left), 22.0)
        p, n = self.visceral_point, self.visceral_normal
        below = (at.x - p[0]) * n[0] + (at.y - p[1]) * n[1] + (at.z - p[2]) * n[2]
        distance2 = (at.x - p[0]) ** 2 + (at.y - p[1]) ** 2
        below = below + self.hollow_mm * np.exp(distance2 * (-1.0 / 45.0**2))
        # what lies behind the vena cava and beside the spine is no liver
        behind = smooth_union(
            (18.0 - at.x) * 0.9 - (at.y + 5.0) * 0.43, (10.0 - at.y) * 0.95 - at.x * 0.3, 16.0
        )
        f = smooth_intersection(smooth_intersection(f, below, 14.0), behind, 24.0)
        f = scene.in_abdomen(at, np.asarray(f, np.float32), 2.0)
        yield scene.layer(Tissue.LIVER, at, f, Organ.LIVER)
        for branches, tissue in ((self.portal, Tissue.PORTAL_BLOOD), (self.hepatic, Tissue.VENOUS_BLOOD)):
            for points, radii in branches:
                found = tube(scene.body, points, radii)
                box = None if found is None else intersection(found[0].box, at.box)
                if found is None or box is None or min(s.stop - s.start for s in box) < 2:
                    continue
                part = Region(box, scene.body.x[box], scene.body.y[box], scene.body.z[box])
                vessel = np.maximum(found[1][relative(box, found[0].box)], f[relative(box, at.box)] + 1.5)
                yield scene.layer(tissue, part, vessel, Organ.LIVER)
        centre, half = self.fissure
        cleft = scene.body.region(
            (centre[0] - 12, centre[1] - 30, centre[2] - 40), (centre[0] + 12, centre[1] + 60, centre[2] + 18)
        )
        if cleft is not None:
            shape = ellipsoid(cleft, (centre[0], centre[1] + 12, centre[2] - 12), (half + 2.0, 26.0, 26.0))
            yield scene.layer(Tissue.VISCERAL_FAT, cleft, shape)


def _twigs(rng: np.random.Generator, branches: tuple[Branch, ...]) -> Iterator[Branch]:
    """Vessels of 1 to 2.5 mm radius that leave the branches sideways."""
    for points, radii in branches:
        for _ in range(_TWIGS):
            share = uniform(rng, 0.1, 0.9)
            x, y, z = (a + share * (b - a) for a, b in zip(points[1], points[2], strict=True))
            yield ((x, y, z), near(rng, (x, y, z), 16.0)), (max(1.2, 0.45 * radii[0]), 0.8)


@dataclass(frozen=True)
class Gallbladder:
    """A pear under the liver: two ellipsoids (centre, half axes in mm) and their pose."""

    body: tuple[Point, Point]
    neck: tuple[Point, Point]
    rotation: Rotation

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Gallbladder:
        """A gallbladder after fasting."""
        size = uniform(rng, 0.75, 1.2)
        x, y, z = near(rng, (52.0, 50.0, -6.0), (4.0, 5.0, 7.0))
        return cls(
            body=((x, y, z), (14.0 * size, 15.0 * size, 24.0 * size)),
            neck=((x - 5.0, y - 14.0 * size, z + 20.0 * size), (7.0 * size, 8.0 * size, 16.0 * size)),
            rotation=rotation_about((normal(rng, 28, 8), normal(rng, 0, 8), 0.0)),
        )

    def layers(self, scene: Scene) -> Iterator[Layer]:
        """Wall and bile."""
        (centre, radii), (neck, neck_radii) = self.body, self.neck
        at = scene.body.region(np.subtract(centre, 40.0), np.add(centre, 50.0))
        if at is None:
            return
        f = smooth_union(
            ellipsoid(at, centre, radii, self.rotation), ellipsoid(at, neck, neck_radii, self.rotation), 8.0
        )
        f = scene.in_abdomen(at, f)
        yield scene.layer(Tissue.GUT_WALL, at, f - 0.8, Organ.GALLBLADDER)
        yield scene.layer(Tissue.BILE, at, f + 0.8, Organ.GALLBLADDER)
