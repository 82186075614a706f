"""The four chambers: left ventricle in its shell of muscle, right ventricle round it, the two atria.

Heart coordinates, mm: the origin lies in the middle of the base of the left ventricle, w runs along its long
axis to the apex, u to the right ventricle, v upwards along the septum, at right angles to both. The pose is
that of a heart in the chest: the apex points to the left, to the front and downwards, some 45 degrees from
each plane of the body. Sizes are those of adults (Kawel-Boehm et al., Reference ranges for cardiovascular
magnetic resonance in adults and children: 2020 update, J Cardiovasc Magn Reson 2020;22:87).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from monai_sfda.phantom.draws import Point, near, normal, uniform
from monai_sfda.phantom.geometry import (
    BodyCoordinates,
    Float32,
    Region,
    Rotation,
    ellipsoid_at,
    offsets,
    rotation_about,
    segment,
    smooth_intersection,
    smooth_union,
)
from monai_sfda.phantom.layers import Layer, Scene
from monai_sfda.phantom.tissues import HeartLabel, Tissue

_APEX = (-0.60, 0.58, -0.55)  # long axis, base to apex, body coordinates
_RIGHT_VENTRICLE = (0.66, 0.75, 0.07)  # about where the right ventricle lies from the left
_EXTENT_MM = 112.0  # no part of the heart is farther from its base
_RIGHT_WALL_MM = 3.0
_ATRIAL_WALL_MM = 2.0
_PERICARDIUM_MM = 1.2
_OUTFLOW_WALL_MM = 4.5


@dataclass(frozen=True)
class Heart:
    """The chambers of one subject.

    Attributes:
        base: origin of the heart coordinates in the body, mm.
        axes: rows u, v, w in body coordinates.
        contraction: phase of the cycle, 0 end of diastole, 1 end of systole.
        ventricle: radius and half length of the left ventricle's cavity, mm.
        wall_mm: thickness of its wall.
        right_ventricle: factors on the reference half axes.
        left_atrium, right_atrium: centre and half axes, body axes, relative to the base, mm.
        appendage: half axes of the left atrium's appendage, mm.
        fat_mm: fat round the heart.
    """

    base: Point
    axes: Rotation
    contraction: float
    ventricle: tuple[float, float]
    wall_mm: float
    right_ventricle: Point
    left_atrium: tuple[Point, Point]
    right_atrium: tuple[Point, Point]
    appendage: Point
    fat_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Heart:
        """A heart without infarct or malformation, at any phase of the cycle but mostly in diastole."""
        contraction = uniform(rng, 0.0, 1.0) ** 2
        size = normal(rng, 1.0, 0.06)
        radius = normal(rng, 24.5, 2.0) * size * (1.0 - 0.27 * contraction)
        half = normal(rng, 66.0, 3.5) * size * (1.0 - 0.12 * contraction)
        wall = normal(rng, 9.0, 1.1) * (1.0 + 0.35 * contraction)
        filling = 1.0 + 0.12 * contraction
        right = size * (1.0 - 0.15 * contraction)
        left_atrium = near(rng, (34.0, 20.5, 25.5), (3.0, 1.5, 2.0))
        right_atrium = near(rng, (26.0, 28.0, 32.0), (2.5, 2.5, 3.0))
        return cls(
            base=near(rng, (-18.0, 19.0, 156.0), (4.0, 2.5, 5.0)),
            axes=_pose(rng),
            contraction=contraction,
            ventricle=(radius, half),
            wall_mm=wall,
            right_ventricle=near(rng, (right, right, right), 0.05),
            left_atrium=(near(rng, (15.0, -20.0, 17.0), 2.0), _times(left_atrium, filling * size)),
            right_atrium=(near(rng, (47.0, 22.0, 10.0), 2.5), _times(right_atrium, filling * size)),
            appendage=near(rng, (9.0, 15.0, 10.0), 1.5),
            fat_mm=uniform(rng, 2.0, 8.0),
        )

    def point(self, u: float, v: float, w: float) -> Point:
        """A point of the heart (mm) in body coordinates."""
        x, y, z = np.asarray(self.base) + np.asarray((u, v, w)) @ np.asarray(self.axes)
        return float(x), float(y), float(z)

    def at_body(self, offset: Point) -> Point:
        """A point at an offset from the base along the body's axes, mm."""
        return self.base[0] + offset[0], self.base[1] + offset[1], self.base[2] + offset[2]

    def region(self, body: BodyCoordinates) -> Region | None:
        """The voxels among which the heart lies."""
        return body.region(np.subtract(self.base, _EXTENT_MM), np.add(self.base, _EXTENT_MM))

    def sac(self, scene: Scene, shapes: Shapes) -> Iterator[Layer]:
        """The pericardium with the fat in it, which fills the grooves between the chambers."""
        whole = shapes.outer
        for part in (shapes.right_ventricle, shapes.left_atrium, shapes.right_atrium):
            whole = smooth_union(whole, part, 22.0)
        inside = scene.cavity[shapes.at.box] + 1.0
        fat = np.asarray(np.maximum(whole - self.fat_mm, inside), np.float32)
        pericardium = np.asarray(np.maximum(fat - _PERICARDIUM_MM, inside), np.float32)
        yield scene.layer(Tissue.MUSCLE, shapes.at, pericardium, _NONE)
        yield scene.layer(Tissue.VISCERAL_FAT, shapes.at, fat, _NONE)

    def chambers(self, scene: Scene, shapes: Shapes) -> Iterator[Layer]:
        """Right heart, then left heart."""
        yield from self._right(scene, shapes)
        yield from self._left(scene, shapes)

    def _right(self, scene: Scene, shapes: Shapes) -> Iterator[Layer]:
        at = shapes.at
        yield scene.layer(Tissue.MYOCARDIUM, at, shapes.right_atrium - _ATRIAL_WALL_MM, _NONE)
        yield scene.layer(Tissue.VENOUS_BLOOD, at, shapes.right_atrium, HeartLabel.RIGHT_ATRIUM)
        ventricle = shapes.right_ventricle
        yield scene.layer(Tissue.MYOCARDIUM, at, ventricle - _RIGHT_WALL_MM, _NONE)
        yield scene.layer(Tissue.PULMONARY_BLOOD, at, ventricle, HeartLabel.RIGHT_VENTRICLE)
        for start, end, radius in (
            ((38.0, -14.0, 52.0), (52.0, -4.0, 38.0), 2.6),
            ((28.0, -26.0, 44.0), (46.0, -18.0, 24.0), 2.2),
        ):
            yield from self._muscle(scene, start, end, radius)

    def _left(self, scene: Scene, shapes: Shapes) -> Iterator[Layer]:
        at = shapes.at
        yield scene.layer(Tissue.MYOCARDIUM, at, shapes.left_atrium - _ATRIAL_WALL_MM, _NONE)
        yield scene.layer(Tissue.ARTERIAL_BLOOD, at, shapes.left_atrium, HeartLabel.LEFT_ATRIUM)
        tract = self._outflow(scene)
        if tract is not None:
            yield scene.layer(Tissue.MYOCARDIUM, tract[0], tract[1] - _OUTFLOW_WALL_MM, _NONE)
        yield scene.layer(Tissue.MYOCARDIUM, at, shapes.outer, HeartLabel.MYOCARDIUM)
        yield scene.layer(Tissue.ARTERIAL_BLOOD, at, shapes.cavity, HeartLabel.LEFT_VENTRICLE)
        # the two papillary muscles belong to the cavity
        reach = self.ventricle[0]
        for side in (0.75, -0.75):
            start, end = (-0.55 * reach, side * reach, 46.0), (-0.35 * reach, 0.6 * side * reach, 20.0)
            yield from self._muscle(scene, start, end, 3.6)
        if tract is not None:
            yield scene.layer(Tissue.ARTERIAL_BLOOD, tract[0], tract[1], HeartLabel.LEFT_VENTRICLE)

    def _outflow(self, scene: Scene) -> tuple[Region, Float32] | None:
        """The outflow tract of the left ventricle, from its cavity to the aortic valve."""
        bottom, top = self.point(0.3 * self.ventricle[0], 3.0, 16.0), self.aortic_valve()
        at = scene.body.region(np.minimum(bottom, top) - 16.0, np.maximum(bottom, top) + 16.0)
        return None if at is None else (at, segment(at, bottom, top, (10.0, 11.0)))

    def _muscle(self, scene: Scene, start: Point, end: Point, radius: float) -> Iterator[Layer]:
        """A strand of muscle between two points of the heart; the label below stays."""
        ends = self.point(*start), self.point(*end)
        at = scene.body.region(np.minimum(*ends) - radius, np.maximum(*ends) + radius)
        if at is not None:
            yield scene.layer(Tissue.MYOCARDIUM, at, segment(at, *ends, (radius, 0.6 * radius)), None)

    def aortic_valve(self) -> Point:
        """Its middle, body coordinates, mm."""
        return self.point(15.0, 12.0, -5.0)

    def pulmonary_valve(self) -> Point:
        """Its middle, body coordinates, mm."""
        return self.point(28.0, 34.0, 2.0)


_NONE = HeartLabel.BACKGROUND


@dataclass(frozen=True)
class Shapes:
    """Signed distances (approximate, mm) to the chambers on one region.

    `outer` is the left ventricle's muscle with its cavity.
    """

    at: Region
    outer: Float32
    cavity: Float32
    right_ventricle: Float32
    left_atrium: Float32
    right_atrium: Float32

    @classmethod
    def of(cls, heart: Heart, at: Region) -> Shapes:
        """The shapes of a heart at the voxels of a region."""
        u, v, w = offsets(at, heart.base, heart.axes)
        radius, half = heart.ventricle
        wall = heart.wall_mm
        down = np.asarray(w - 0.18 * half, np.float32)
        cavity = ellipsoid_at(u, v, down, (radius, radius, half))
        outer = ellipsoid_at(u, v, down, (radius + wall, radius + wall, half + 0.6 * wall))
        cavity = smooth_intersection(cavity, np.negative(w + 1.0), 5.0)
        a, b, c = heart.right_ventricle
        body = ellipsoid_at(u - 33.0, v + 5.0, w - 27.0, (29.0 * a, 36.0 * b, 48.0 * c))
        outlet = ellipsoid_at(u - 29.0, v - 22.0, w - 8.0, (16.0 * a, 20.0 * b, 20.0 * c))
        right = smooth_union(body, outlet, 14.0)
        right = np.maximum(smooth_intersection(right, np.negative(w + 3.0), 6.0), -outer)
        outer = smooth_intersection(outer, np.negative(w), 3.0)

        left_atrium = _body_ellipsoid(at, heart, *heart.left_atrium)
        tip = heart.at_body((-11.0, -9.0, 28.0))
        appendage = ellipsoid_at(at.x - tip[0], at.y - tip[1], at.z - tip[2], heart.appendage)
        left_atrium = smooth_union(left_atrium, appendage, 10.0)
        left_atrium = smooth_intersection(left_atrium, np.asarray(w + 2.0, np.float32), 5.0)
        right_atrium = _body_ellipsoid(at, heart, *heart.right_atrium)
        right_atrium = smooth_intersection(right_atrium, np.asarray(w + 4.0, np.float32), 6.0)
        right_atrium = np.maximum(right_atrium, 3.0 - left_atrium)
        return cls(at, outer, cavity, np.asarray(right, np.float32), left_atrium, right_atrium)


def _body_ellipsoid(at: Region, heart: Heart, offset: Point, radii: Point) -> Float32:
    x, y, z = heart.at_body(offset)
    return ellipsoid_at(at.x - x, at.y - y, at.z - z, radii)


def _times(radii: Point, factor: float) -> Point:
    return radii[0] * factor, radii[1] * factor, radii[2] * factor


def _pose(rng: np.random.Generator) -> Rotation:
    """Rows u, v, w: the reference pose, turned by some degrees about each axis of the body."""
    w = np.asarray(_APEX) / np.linalg.norm(_APEX)
    u = np.asarray(_RIGHT_VENTRICLE) - np.dot(_RIGHT_VENTRICLE, w) * w
    u /= np.linalg.norm(u)
    turn = np.asarray(rotation_about((normal(rng, 0, 5), normal(rng, 0, 5), normal(rng, 0, 6))))
    rows = [[float(value) for value in row] for row in np.stack([u, np.cross(u, w), w]) @ turn]
    return (
        (rows[0][0], rows[0][1], rows[0][2]),
        (rows[1][0], rows[1][1], rows[1][2]),
        (rows[2][0], rows[2][1], rows[2][2]),
    )
