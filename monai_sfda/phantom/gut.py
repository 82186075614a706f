"""Oesophagus, stomach, duodenum, small bowel and colon with fluid, faeces and gas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from monai_sfda.phantom.draws import Point, near, normal, uniform
from monai_sfda.phantom.geometry import tube
from monai_sfda.phantom.layers import Layer, Scene
from monai_sfda.phantom.tissues import Organ, Tissue

_LOOPS = 24  # of the small bowel


@dataclass(frozen=True)
class Loop:
    """A piece of gut.

    Attributes:
        points, radii: its course and outer radius, mm.
        wall_mm: thickness of the wall.
        content: what fills it.
        gas: share of the height of the lumen that gas takes; it lies in front as the patient lies on the
            back.
        folds: spacing (mm) and depth (mm) of folds or haustra.
        organ: its label.
    """

    points: tuple[Point, ...]
    radii: tuple[float, ...]
    wall_mm: float
    content: Tissue
    gas: float
    folds: tuple[float, float] = (25.0, 0.0)
    organ: Organ = Organ.BACKGROUND

    def layers(self, scene: Scene) -> Iterator[Layer]:
        """Wall, content, gas."""
        found = tube(scene.body, self.points, self.radii)
        if found is None:
            return
        at, f = found
        spacing, depth = self.folds
        if depth > 0:
            k = 2 * np.pi / spacing
            f = np.asarray(f + depth * np.cos(at.x * k) * np.cos(at.z * k + at.y * k), np.float32)
        f = scene.in_abdomen(at, f, 1.0)
        yield scene.layer(Tissue.GUT_WALL, at, f, self.organ)
        lumen = f + self.wall_mm
        yield scene.layer(self.content, at, lumen, self.organ)
        if self.gas > 0:
            yield scene.layer(Tissue.GUT_GAS, at, np.maximum(lumen, self._level() - at.y), self.organ)

    def _level(self) -> float:
        """Height (y, mm) of the level between content and gas, one for the whole loop."""
        front = max(p[1] + r for p, r in zip(self.points, self.radii, strict=True))
        back = min(p[1] - r for p, r in zip(self.points, self.radii, strict=True))
        return front - self.gas * (front - back)


@dataclass(frozen=True)
class Gut:
    """All loops, those painted first lying behind."""

    bowel: tuple[Loop, ...]
    stomach: Loop
    oesophagus: Loop

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Gut:
        """A gut with a random filling."""
        return cls((*_small_bowel(rng), *_colon(rng), _duodenum(rng)), _stomach(rng), _oesophagus(rng))


def _stomach(rng: np.random.Generator) -> Loop:
    full = uniform(rng, 0.55, 1.05)
    course = (
        (-58.0, -24.0, 84.0),
        (-62.0, 6.0, 66.0),
        (-52.0, 38.0, 36.0),
        (-20.0, 56.0, 8.0),
        (16.0, 52.0, 2.0),
        (34.0, 36.0, 6.0),
    )
    radii = (32.0, 34.0, 28.0, 21.0, 16.0, 12.0)
    return Loop(
        points=tuple(near(rng, point, 4.0) for point in course),
        radii=tuple(max(full * r, 9.0) for r in radii),
        wall_mm=uniform(rng, 3.0, 5.0),
        content=Tissue.GUT_FLUID if rng.random() < 0.7 else Tissue.FAECES,
        gas=uniform(rng, 0.05, 0.5),
        folds=(31.0, uniform(rng, 0.5, 2.0)),
        organ=Organ.STOMACH,
    )


def _oesophagus(rng: np.random.Generator) -> Loop:
    x, y = normal(rng, -8, 2), normal(rng, 2, 2)
    points = ((x, y - 6.0, 200.0), (x, y, 112.0), (x - 6.0, y + 2.0, 96.0), (-36.0, 0.0, 84.0))
    return Loop(points, (9.0, 8.5, 8.5, 9.0), 4.5, Tissue.GUT_FLUID, 0.0, organ=Organ.OESOPHAGUS)


def _duodenum(rng: np.random.Generator) -> Loop:
    course = (
        (36.0, 34.0, 2.0),
        (50.0, 20.0, -4.0),
        (50.0, 10.0, -40.0),
        (24.0, 4.0, -56.0),
        (-14.0, 8.0, -52.0),
        (-28.0, 22.0, -24.0),
    )
    return Loop(
        points=tuple(near(rng, point, 3.0) for point in course),
        radii=tuple(uniform(rng, 9.0, 13.0) for _ in course),
        wall_mm=2.5,
        content=Tissue.GUT_FLUID,
        gas=0.0,
        folds=(11.0, 0.5),
    )


def _colon(rng: np.random.Generator) -> Iterator[Loop]:
    flexure = near(rng, (94.0, 26.0, -40.0), 6.0)
    sag = uniform(rng, -60.0, -15.0)
    courses = (
        ((106.0, -4.0, -190.0), (108.0, -2.0, -90.0), flexure),
        (flexure, (56.0, 62.0, sag), (0.0, 68.0, sag - 6.0), (-58.0, 60.0, 0.5 * sag)),
        ((-58.0, 60.0, 0.5 * sag), (-90.0, 42.0, 10.0), (-108.0, 6.0, 22.0)),
        ((-108.0, 6.0, 22.0), (-112.0, -16.0, -30.0), (-110.0, -12.0, -190.0)),
    )
    for course, radius in zip(courses, (23.0, 20.0, 18.0, 15.0), strict=True):
        wide = normal(rng, radius, 3.0)
        yield Loop(
            points=tuple(near(rng, point, 3.0) for point in course),
            radii=tuple(wide + normal(rng, 0, 1.5) for _ in course),
            wall_mm=2.2,
            content=Tissue.FAECES,
            gas=uniform(rng, 0.0, 0.7),
            folds=(uniform(rng, 26.0, 40.0), uniform(rng, 1.0, 2.8)),
        )


def _small_bowel(rng: np.random.Generator) -> Iterator[Loop]:
    low, high = np.array([-92.0, 6.0, -150.0]), np.array([80.0, 66.0, -4.0])
    for _ in range(_LOOPS):
        position = rng.uniform(low, high)
        points: list[Point] = [(float(position[0]), float(position[1]), float(position[2]))]
        for _ in range(3):
            step = rng.normal(0.0, 1.0, 3)
            position = np.clip(position + 40.0 * step / np.linalg.norm(step), low, high)
            points.append((float(position[0]), float(position[1]), float(position[2])))
        yield Loop(
            points=tuple(points),
            radii=tuple(uniform(rng, 9.0, 14.0) for _ in points),
            wall_mm=uniform(rng, 2.0, 3.5),
            content=Tissue.GUT_FLUID,
            gas=uniform(rng, 0.05, 0.3) if rng.random() < 0.2 else 0.0,
            folds=(11.0, 0.4),
        )
