"""The trunk: skin, subcutaneous fat, muscle wall, cavity with its fat, diaphragm, lung bases, heart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from monai_sfda.phantom.draws import Point, near, normal, uniform
from monai_sfda.phantom.geometry import BodyCoordinates, Float32, Region, ellipse, ellipsoid
from monai_sfda.phantom.layers import Layer, Scene
from monai_sfda.phantom.tissues import Tissue

_POWER = 2.5  # exponent of the superellipses: between an ellipse and a rounded rectangle
_SKIN_MM = 2.0


@dataclass(frozen=True)
class Outline:
    """Half axes of a closed cross-section, mm: to the sides, to the front and to the back."""

    side: float
    front: float
    back: float

    def grown(self, side: float, front: float, back: float) -> Outline:
        """An outline farther out by the given thicknesses (mm)."""
        return Outline(self.side + side, self.front + front, self.back + back)

    def distance(self, at: Region) -> Float32:
        """Signed distance (approximate near the surface) to the cylinder over this outline."""
        a = np.abs(at.x) * (1.0 / self.side)
        b = np.abs(at.y * np.where(at.y > 0, np.float32(1.0 / self.front), np.float32(1.0 / self.back)))
        scale = 0.5 * (self.front + self.back) / _POWER
        return np.asarray((a * a * np.sqrt(a) + b * b * np.sqrt(b) - 1.0) * scale, np.float32)


@dataclass(frozen=True)
class Dome:
    """One half of the diaphragm: highest point (mm) and how far it falls towards the wall (mm)."""

    peak: Point
    fall: float

    def height(self, x: Float32, y: Float32) -> tuple[Float32, Float32]:
        """Height of the dome over (x, y) in mm, and the slope it has there."""
        lateral = 1.0 if self.peak[0] > 0 else -1.0
        u = (x - self.peak[0]) * lateral
        u = u * np.where(u > 0, np.float32(1 / 62.0), np.float32(1 / 130.0))
        v = (y - self.peak[1]) / 78.0
        t2 = u * u + v * v
        # it falls deepest at the back, where the costophrenic recess lies, and least at the front
        z = self.peak[2] - self.fall * t2 * np.clip(1.0 - 0.5 * v, 0.45, 1.7)
        return z, np.sqrt(1.0 + 4.0 * np.minimum(t2, 1.6))


@dataclass(frozen=True)
class Trunk:
    """Outlines from the inside outwards, the domes of the diaphragm, and a plain heart (centre, radii, mm).

    The heart is None where a detailed one is painted.
    """

    cavity: Outline
    wall: Outline
    fat: Outline
    domes: tuple[Dome, Dome]
    recess_mm: float
    heart: tuple[Point, Point] | None

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Trunk:
        """A trunk from lean to obese."""
        fatness = uniform(rng, 0.0, 1.0) ** 1.5
        muscle = normal(rng, 1.0, 0.12)
        cavity = Outline(
            normal(rng, 131, 3) + 4 * fatness,
            normal(rng, 80, 4) + 22 * fatness,
            normal(rng, 86, 2) + 2 * fatness,
        )
        wall = cavity.grown(14 * muscle, 10 * muscle, 15 * muscle)
        fat = wall.grown(
            4 + 24 * fatness + uniform(rng, 0, 6),
            5 + 28 * fatness + uniform(rng, 0, 6),
            5 + 22 * fatness + uniform(rng, 0, 6),
        )
        right = Dome(near(rng, (74.0, 4.0, 114.0), (4.0, 5.0, 5.0)), normal(rng, 58, 5))
        left = Dome(
            (normal(rng, -70, 4), right.peak[1], right.peak[2] - normal(rng, 13, 5)), normal(rng, 55, 5)
        )
        heart = near(rng, (-18.0, 32.0, 130.0), 4.0), near(rng, (58.0, 46.0, 38.0), 3.0)
        return cls(cavity, wall, fat, (right, left), normal(rng, 14, 6), heart)

    def skin_back_mm(self) -> float:
        """How far the skin of the back lies behind the body's origin, mm."""
        return self.fat.back + _SKIN_MM

    def diaphragm(self, at: Region) -> Float32:
        """Signed distance (approximate) to the diaphragm, negative below it."""
        (right, right_slope), (left, left_slope) = (dome.height(at.x, at.y) for dome in self.domes)
        height = np.maximum(np.maximum(right, left), self.recess_mm)
        return np.asarray((at.z - height) / np.where(right > left, right_slope, left_slope), np.float32)

    def scene(self, body: BodyCoordinates) -> Scene:
        """The fields that the other parts are fitted into."""
        at = body.whole()
        return Scene(body, self.wall.distance(at), self.cavity.distance(at), self.diaphragm(at))

    def layers(self, scene: Scene) -> Iterator[Layer]:
        """Skin to diaphragm, from the outside inwards."""
        at = scene.body.whole()
        yield scene.layer(Tissue.SKIN, at, self.fat.grown(_SKIN_MM, _SKIN_MM, _SKIN_MM).distance(at), None)
        yield scene.layer(Tissue.SUBCUTANEOUS_FAT, at, self.fat.distance(at), None)
        yield scene.layer(Tissue.MUSCLE, at, scene.wall, None)
        yield from self._fat_planes(scene)
        yield scene.layer(Tissue.VISCERAL_FAT, at, scene.cavity, None)
        yield from self._chest(scene)

    def _fat_planes(self, scene: Scene) -> Iterator[Layer]:
        """The fat between the layers of the flank's muscle and between the straight muscles of the belly."""
        flank = scene.body.region((-300.0, -60.0, -300.0), (300.0, self.cavity.front, 30.0))
        if flank is not None:
            between = 0.5 * (scene.wall[flank.box] + scene.cavity[flank.box])
            f = np.minimum(np.abs(between - 1.8), np.abs(between + 2.4)) - 0.5
            f = np.maximum(np.maximum(f, 70.0 - np.abs(flank.x)), flank.z + 0.6 * flank.y - 5.0)
            yield scene.layer(Tissue.SUBCUTANEOUS_FAT, flank, np.asarray(f, np.float32), None)
        line = scene.body.region((-6.0, self.cavity.front - 10, -300.0), (6.0, self.wall.front + 5, 300.0))
        if line is not None:
            across = np.abs(line.x) - 1.4
            f = np.maximum(across, np.maximum(scene.wall[line.box] + 1.5, -scene.cavity[line.box]))
            yield scene.layer(Tissue.SUBCUTANEOUS_FAT, line, f, None)

    def _chest(self, scene: Scene) -> Iterator[Layer]:
        outline = self.cavity
        at = scene.body.region(
            (-outline.side, -outline.back, self.recess_mm - 8),
            (outline.side, outline.front, 400.0),
            margin_mm=8.0,
        )
        if at is None:
            return
        cavity, above = scene.cavity[at.box], -scene.diaphragm[at.box]
        muscle = np.maximum(cavity, np.abs(above + 1.2) - 1.2)
        yield scene.layer(Tissue.MUSCLE, at, muscle, None)
        mediastinum = ellipse(at.x + 4.0, at.y + 22.0, 30.0, 58.0)
        yield scene.layer(Tissue.LUNG, at, np.maximum(np.maximum(cavity, above), -mediastinum), None)
        if self.heart is None:
            return
        centre, radii = self.heart
        near_heart = scene.body.region(np.subtract(centre, radii), np.add(centre, radii))
        if near_heart is not None:
            f = ellipsoid(near_heart, centre, radii)
            f = np.maximum(f, 3.0 - scene.diaphragm[near_heart.box])
            yield scene.layer(Tissue.MYOCARDIUM, near_heart, f, None)
            yield scene.layer(Tissue.VENOUS_BLOOD, near_heart, f + 9.0, None)
