"""The great vessels: aorta with its arch, pulmonary artery, venae cavae, pulmonary and coronary vessels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from monai_sfda.phantom.draws import Point, near, normal
from monai_sfda.phantom.geometry import tube
from monai_sfda.phantom.heart_chambers import Heart
from monai_sfda.phantom.layers import Layer, Scene
from monai_sfda.phantom.tissues import HeartLabel, Tissue

_WALL_MM = 1.5
_NONE = HeartLabel.BACKGROUND
Course = tuple[Point, ...]


@dataclass(frozen=True)
class GreatVessels:
    """Courses (body coordinates, mm) and radii (mm) of the vessels of one heart.

    Attributes:
        ascending: from the aortic valve to the arch.
        descending: arch and descending aorta.
        aorta_mm: radius at the sinus, in the ascending part, at the end of the arch.
        trunk, branches: pulmonary artery to its bifurcation, and its two branches.
        trunk_mm: radius of the pulmonary artery.
        cavae: upper and lower vena cava.
        veins: the four pulmonary veins, from the left atrium outwards.
        coronaries: right coronary artery and anterior descending branch.
        oesophagus: behind the left atrium.
    """

    ascending: Course
    descending: Course
    aorta_mm: tuple[float, float, float]
    trunk: Course
    branches: tuple[Course, Course]
    trunk_mm: float
    cavae: tuple[Course, Course]
    veins: tuple[Course, ...]
    coronaries: tuple[Course, ...]
    oesophagus: Course

    @classmethod
    def draw(cls, rng: np.random.Generator, heart: Heart) -> GreatVessels:
        """Vessels of a heart without aneurysm or stenosis."""

        def course(*points: Point, sd: float = 1.5) -> Course:
            return tuple(near(rng, heart.at_body(p), sd) for p in points)

        arch = normal(rng, 0.0, 4.0)
        rise = course((30.0, 16.0, 34.0), (35.0, 9.0, 56.0 + arch), (27.0, -8.0, 78.0 + arch))
        back = course((6.0, -28.0, 86.0 + arch), (-6.0, -50.0, 70.0 + arch))
        down = course((-8.0, -57.0, 40.0), (-6.0, -56.0, -20.0), (-2.0, -54.0, -90.0))
        pulmonary = course((-3.0, 34.0, 46.0), (-11.0, 17.0, 57.0), (-8.0, -4.0, 60.0), sd=1.0)
        radius = normal(rng, 15.0, 1.5)
        left, right = heart.left_atrium[0], heart.right_atrium[0]
        centre = heart.at_body(right)
        height = heart.right_atrium[1][2]
        veins = ((30.0, -4.0, 13.0), (26.0, -14.0, -7.0), (-31.0, -4.0, 13.0), (-32.0, -14.0, -6.0))
        outer = ((66.0, -8.0, 24.0), (62.0, -24.0, -14.0), (-62.0, -6.0, 26.0), (-60.0, -26.0, -12.0))
        reach = heart.ventricle[0] + heart.wall_mm + 2.5
        return cls(
            ascending=(heart.aortic_valve(), *rise),
            descending=(rise[-1], *back, *down),
            aorta_mm=(1.08 * radius, radius, 0.78 * radius),
            trunk=(heart.pulmonary_valve(), *pulmonary),
            branches=(
                (pulmonary[-1], *course((18.0, -14.0, 55.0), (50.0, -20.0, 48.0), (76.0, -24.0, 40.0))),
                (pulmonary[-1], *course((-27.0, -18.0, 59.0), (-46.0, -34.0, 50.0))),
            ),
            trunk_mm=normal(rng, 12.5, 1.2),
            cavae=(
                (
                    (centre[0], centre[1], centre[2] + 0.7 * height),
                    *course((54.0, -2.0, 50.0), (50.0, -8.0, 130.0)),
                ),
                (
                    (centre[0], centre[1] - 8, centre[2] - 0.6 * height),
                    *course((46.0, -6.0, -26.0), (44.0, -16.0, -80.0)),
                ),
            ),
            veins=tuple(
                (heart.at_body(_sum(left, inner)), *course(_sum(left, end), sd=3.0))
                for inner, end in zip(veins, outer, strict=True)
            ),
            coronaries=(
                tuple(
                    heart.point(*p)
                    for p in ((22.0, 26.0, -4.0), (52.0, 34.0, -4.0), (84.0, 10.0, -3.0), (66.0, -34.0, -3.0))
                ),
                tuple(
                    heart.point(*p)
                    for p in ((4.0, reach, 2.0), (12.0, reach - 1, 30.0), (10.0, 0.75 * reach, 58.0))
                ),
            ),
            oesophagus=course(
                (8.0, -49.0, 140.0), (9.0, -49.0, 20.0), (0.0, -46.0, -40.0), (-14.0, -36.0, -80.0)
            ),
        )

    def behind(self, scene: Scene) -> Iterator[Layer]:
        """What the chambers are painted over: oesophagus, veins of the lungs, pulmonary arteries, cavae."""
        yield from _vessel(scene, self.oesophagus, [7.5] * len(self.oesophagus), Tissue.GUT_WALL)
        for vein in self.veins:
            yield from _vessel(scene, vein, [7.0, 5.0], Tissue.ARTERIAL_BLOOD)
        for branch in self.branches:
            radii = np.linspace(0.8 * self.trunk_mm, 0.5 * self.trunk_mm, len(branch)).tolist()
            yield from _vessel(scene, branch, radii, Tissue.PULMONARY_BLOOD)
        for cava, radius in zip(self.cavae, (9.5, 12.0), strict=True):
            yield from _vessel(scene, cava, [radius] * len(cava), Tissue.VENOUS_BLOOD)

    def before(self, scene: Scene) -> Iterator[Layer]:
        """What is painted over the chambers: coronary arteries, pulmonary trunk, aorta."""
        for coronary in self.coronaries:
            radii = np.linspace(2.0, 1.3, len(coronary)).tolist()
            yield from _vessel(scene, coronary, radii, Tissue.ARTERIAL_BLOOD, wall_mm=0.8)
        sinus, middle, end = self.aorta_mm
        radii = np.linspace(middle, end, 3).tolist() + [end] * (len(self.descending) - 3)
        yield from _vessel(scene, self.descending, radii, Tissue.ARTERIAL_BLOOD)
        trunk = [self.trunk_mm] * len(self.trunk)
        yield from _vessel(scene, self.trunk, trunk, Tissue.PULMONARY_BLOOD, HeartLabel.PULMONARY_ARTERY)
        radii = [sinus - 2.0, sinus, middle, middle]
        yield from _vessel(scene, self.ascending, radii, Tissue.ARTERIAL_BLOOD, HeartLabel.ASCENDING_AORTA)


def _vessel(
    scene: Scene,
    course: Course,
    radii: list[float],
    blood: Tissue,
    label: HeartLabel = _NONE,
    wall_mm: float = _WALL_MM,
) -> Iterator[Layer]:
    """A wall, and the blood in it, which alone has the label.

    A labelled vessel begins at a valve: it is cut there at right angles to its course.
    """
    points, widths = _rounded(course, radii)
    found = tube(scene.body, points, [radius + wall_mm for radius in widths])
    if found is None:
        return
    at, wall = found
    if label is not _NONE:
        start, along = points[0], np.subtract(points[1], points[0])
        a, b, c = (float(value) for value in along / np.linalg.norm(along))
        before = a * (start[0] - at.x) + b * (start[1] - at.y) + c * (start[2] - at.z)
        wall = np.asarray(np.maximum(wall, before), np.float32)
    yield scene.layer(Tissue.GUT_WALL, at, wall, _NONE)
    yield scene.layer(blood, at, wall + wall_mm, label)


def _rounded(course: Course, radii: Sequence[float]) -> tuple[list[Point], list[float]]:
    """A course without corners through the same points: a cubic spline; radii stay monotone."""
    if len(course) < 3:
        return list(course), list(radii)
    corners = np.column_stack([np.asarray(course), radii])
    length = np.linalg.norm(np.diff(corners[:, :3], axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(length)])
    steps = np.linspace(0.0, at[-1], 2 * len(course))
    places = CubicSpline(at, corners[:, :3])(steps)
    widths = PchipInterpolator(at, corners[:, 3])(steps)
    return [(float(x), float(y), float(z)) for x, y, z in places], [float(width) for width in widths]


def _sum(first: Point, second: Point) -> Point:
    return first[0] + second[0], first[1] + second[1], first[2] + second[2]
