"""Where the vertebrae stand: a chain of tilted bodies and wedge-shaped discs from T9 to S2."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from monai_sfda.phantom.draws import normal, uniform
from monai_sfda.phantom.geometry import Float32, Region, ellipse

#: Vertebrae from the top to the bottom.
LEVELS = ("T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1", "S2")
_MIDDLE = LEVELS.index("L3")  # the chain is built from here; its body lies level

# Mean sizes of adults by level, mm and degrees, rounded; half widths and half depths of the end plates.
# Heights of bodies and discs and the wedge shape of both: Panjabi et al., Human lumbar vertebrae, Spine
# 1992;17:299, and Thoracic human vertebrae, Spine 1991;16:888; lordosis from L1 to S1 of 45 to 50 degrees as
# people lie on their backs.
_HALF_WIDTH = (15.5, 16.5, 18.0, 20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 25.0, 20.0)
_HALF_DEPTH = (14.5, 15.0, 15.5, 16.0, 16.5, 17.0, 17.3, 17.5, 17.5, 16.5, 12.0)
_BODY_HEIGHT = (19.5, 20.5, 21.5, 23.0, 24.5, 25.5, 26.0, 26.0, 25.5, 27.0, 23.0)
_BODY_WEDGE = (-3.0, -3.0, -2.5, -2.0, -1.0, 0.0, 1.0, 2.0, 7.0, 8.0, 0.0)
_DISC_HEIGHT = (4.6, 5.2, 6.0, 7.2, 8.4, 9.4, 10.2, 10.8, 10.0, 2.0)
_DISC_WEDGE = (0.0, 0.0, 0.5, 1.5, 3.0, 4.5, 6.0, 9.0, 12.0, 6.0)


@dataclass(frozen=True)
class Frame:
    """A place in the column: a point (mm) and how far the column leans forward there (radians)."""

    x: float
    y: float
    z: float
    tilt: float

    def offsets(self, at: Region) -> tuple[Float32, Float32, Float32]:
        """Offsets to the right, to the front along the end plates, and up along the column, mm."""
        sin, cos = float(np.sin(self.tilt)), float(np.cos(self.tilt))
        u, dy, dz = at.x - self.x, at.y - self.y, at.z - self.z
        return u, cos * dy - sin * dz, sin * dy + cos * dz

    def point(self, v: float, w: float, u: float = 0.0) -> tuple[float, float, float]:
        """The point with such offsets, mm."""
        sin, cos = float(np.sin(self.tilt)), float(np.cos(self.tilt))
        return self.x + u, self.y + cos * v + sin * w, self.z - sin * v + cos * w


@dataclass(frozen=True)
class Vertebra:
    """A vertebral body.

    Attributes:
        name: of `LEVELS`.
        frame: its middle.
        width, depth: half axes of its end plates, mm.
        height: in its middle, mm.
        wedge: how much its end plates open to the front, radians.
        dish: depth of the end plates' hollow, mm.
    """

    name: str
    frame: Frame
    width: float
    depth: float
    height: float
    wedge: float
    dish: float

    def cross_section(self, u: Float32, v: Float32, w: Float32) -> Float32:
        """Signed distance to the wall of the body, which is waisted and hollow at the back."""
        flare = 0.92 + 0.08 * np.minimum((2.0 * w / self.height) ** 2, 1.5)
        return cross_section(u, v, self.width * flare, self.depth * flare)

    def above(self, u: Float32, v: Float32, w: Float32) -> Float32:
        """Signed distance to the upper end plate, positive above it."""
        return np.asarray(w - self._plate(u, v), np.float32)

    def below(self, u: Float32, v: Float32, w: Float32) -> Float32:
        """Signed distance to the lower end plate, positive below it."""
        return np.asarray(-w - self._plate(u, v), np.float32)

    def _plate(self, u: Float32, v: Float32) -> Float32:
        hollow = np.clip(1.0 - (u / self.width) ** 2 - (v / self.depth) ** 2, 0.0, 1.0)
        slope = float(np.tan(0.5 * self.wedge))
        return np.asarray(0.5 * self.height + slope * v - self.dish * hollow, np.float32)


@dataclass(frozen=True)
class Disc:
    """The disc between two vertebrae.

    Attributes:
        upper, lower: the vertebrae.
        frame: its middle.
        height: in its middle between the rims of the end plates, mm.
        bulge: how far it stands out, mm.
        degeneration: 0 healthy to 1, where the nucleus has lost its water.
    """

    upper: Vertebra
    lower: Vertebra
    frame: Frame
    height: float
    bulge: float
    degeneration: float

    @property
    def labelled(self) -> bool:
        """Whether it counts as an intervertebral disc; that between S1 and S2 is a remnant."""
        return self.upper.name != "S1"

    @property
    def half_axes(self) -> tuple[float, float]:
        """Half width and half depth, mm."""
        width = 0.5 * (self.upper.width + self.lower.width) + self.bulge
        return width, 0.5 * (self.upper.depth + self.lower.depth) + self.bulge

    def shape(self, at: Region) -> Float32:
        """Signed distance (approximate): what lies between the two end plates."""
        u, v, _ = self.frame.offsets(at)
        f = cross_section(u, v, *self.half_axes)
        f = np.maximum(f, -self.upper.below(*self.upper.frame.offsets(at)))
        return np.maximum(f, -self.lower.above(*self.lower.frame.offsets(at)))


def cross_section(u: Float32, v: Float32, width: float | Float32, depth: float | Float32) -> Float32:
    """Signed distance (approximate) to a cylinder over an ellipse with a flat, slightly hollow back."""
    hollow = 1.2 * np.clip(1.0 - (u / width) ** 2 * 2.0, 0.0, 1.0)
    return np.asarray(np.maximum(ellipse(u, v, width, depth), hollow - v - 0.84 * depth), np.float32)


@dataclass(frozen=True)
class Column:
    """All vertebrae from the top to the bottom with their discs between them."""

    vertebrae: tuple[Vertebra, ...]
    discs: tuple[Disc, ...]

    def vertebra(self, name: str) -> Vertebra:
        """The vertebra of that name of `LEVELS`."""
        return self.vertebrae[LEVELS.index(name)]

    def axis_at(self, z: Float32) -> tuple[Float32, Float32]:
        """Where the middle of the column lies at heights z: x and y, mm."""
        frames = [v.frame for v in reversed(self.vertebrae)]
        heights = [f.z for f in frames]
        x, y = (np.interp(z, heights, [getattr(f, name) for f in frames]) for name in ("x", "y"))
        return np.asarray(x, np.float32), np.asarray(y, np.float32)


@dataclass(frozen=True)
class ColumnSizes:
    """What a column is built from; one subject's, by level.

    Attributes:
        widths, depths, heights, body_wedges, dishes: of the bodies, mm and degrees.
        disc_heights, disc_wedges, bulges, degenerations: of the discs.
        bend: sideways waves of the column, mm: amplitude and phase (radians).
        y, z: place of the third lumbar vertebra, mm.
        tilt: how far that leans forward, degrees.
    """

    widths: tuple[float, ...]
    depths: tuple[float, ...]
    heights: tuple[float, ...]
    body_wedges: tuple[float, ...]
    dishes: tuple[float, ...]
    disc_heights: tuple[float, ...]
    disc_wedges: tuple[float, ...]
    bulges: tuple[float, ...]
    degenerations: tuple[float, ...]
    bend: tuple[float, float]
    y: float
    z: float
    tilt: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> ColumnSizes:
        """A column without fracture or fusion; discs wear out the more the lower they lie."""
        breadth, tall, room = normal(rng, 1.0, 0.05), normal(rng, 1.0, 0.04), normal(rng, 1.0, 0.1)
        lordosis, wear = normal(rng, 1.0, 0.2), uniform(rng, 0.0, 0.8)
        loads = [min(max((i - 2) / 6.0, 0.1), 1.0) for i in range(len(_DISC_HEIGHT))]
        degenerations = tuple(float(np.clip(wear * c + normal(rng, 0.0, 0.18), 0.0, 1.0)) for c in loads)
        return cls(
            widths=tuple(a * breadth * normal(rng, 1.0, 0.02) for a in _HALF_WIDTH),
            depths=tuple(a * breadth * normal(rng, 1.0, 0.02) for a in _HALF_DEPTH),
            heights=tuple(a * tall * normal(rng, 1.0, 0.025) for a in _BODY_HEIGHT),
            body_wedges=tuple(a * lordosis + normal(rng, 0.0, 1.0) for a in _BODY_WEDGE),
            dishes=tuple(uniform(rng, 0.6, 2.0) for _ in _BODY_HEIGHT),
            disc_heights=tuple(
                a * room * normal(rng, 1.0, 0.06) * (1.0 - 0.4 * d)
                for a, d in zip(_DISC_HEIGHT, degenerations, strict=True)
            ),
            disc_wedges=tuple(
                a * lordosis * (1.0 - 0.4 * d) + normal(rng, 0.0, 0.8)
                for a, d in zip(_DISC_WEDGE, degenerations, strict=True)
            ),
            bulges=tuple(uniform(rng, 0.3, 1.2) + 1.2 * d for d in degenerations),
            degenerations=degenerations,
            bend=(normal(rng, 0.0, 2.0), uniform(rng, 0.0, 2 * np.pi)),
            y=normal(rng, -24.0, 2.0),
            z=normal(rng, -72.0, 4.0),
            tilt=normal(rng, 0.0, 2.0),
        )

    def after_rest(self, swelling: float) -> ColumnSizes:
        """The same column with discs `swelling` times as high, as rest in bed makes them; worn ones less."""
        heights = zip(self.disc_heights, self.degenerations, strict=True)
        return replace(self, disc_heights=tuple(h * (1.0 + (swelling - 1.0) * (1.0 - d)) for h, d in heights))

    def build(self) -> Column:
        """The chain, upwards and downwards from the third lumbar vertebra."""
        middle = Frame(self._x(self.z), self.y, self.z, float(np.deg2rad(self.tilt)))
        bodies = {_MIDDLE: self._vertebra(_MIDDLE, middle)}
        discs: dict[int, Disc] = {}
        for step in (1, -1):
            last = len(LEVELS) - 1 if step == 1 else 0
            for level in range(_MIDDLE, last, step):
                between = level if step == 1 else level - 1
                bodies[level + step], discs[between] = self._next(bodies[level], level, step)
        return Column(
            tuple(bodies[i] for i in range(len(LEVELS))),
            tuple(discs[i] for i in range(len(LEVELS) - 1)),
        )

    def _next(self, body: Vertebra, level: int, step: int) -> tuple[Vertebra, Disc]:
        """The vertebra below (`step` 1) or above (-1) a vertebra, and the disc between them."""
        other, between = level + step, level if step == 1 else level - 1
        height, wedge = self.disc_heights[between], float(np.deg2rad(self.disc_wedges[between]))
        plate = body.frame.tilt + 0.5 * step * body.wedge
        middle = plate + 0.5 * step * wedge
        tilt = plate + step * (wedge + 0.5 * float(np.deg2rad(self.body_wedges[other])))
        y, z = body.frame.y, body.frame.z
        along = ((0.5 * body.height, body.frame.tilt), (0.5 * height, middle))
        back = ((0.5 * height, middle), (0.5 * self.heights[other], tilt))
        y, z = _along(y, z, along, -step)
        frame = Frame(self._x(z), y, z, middle)
        y, z = _along(y, z, back, -step)
        found = self._vertebra(other, Frame(self._x(z), y, z, tilt))
        upper, lower = (body, found) if step == 1 else (found, body)
        disc = Disc(upper, lower, frame, height, self.bulges[between], self.degenerations[between])
        return found, disc

    def _vertebra(self, level: int, frame: Frame) -> Vertebra:
        return Vertebra(
            LEVELS[level],
            frame,
            self.widths[level],
            self.depths[level],
            self.heights[level],
            float(np.deg2rad(self.body_wedges[level])),
            self.dishes[level],
        )

    def _x(self, z: float) -> float:
        amplitude, phase = self.bend
        return amplitude * float(np.sin(z / 60.0 + phase))


def _along(
    y: float, z: float, pieces: tuple[tuple[float, float], ...], direction: int
) -> tuple[float, float]:
    """Where one comes to over pieces of (length in mm, lean forward in radians), up (1) or down (-1)."""
    for length, tilt in pieces:
        y += direction * length * float(np.sin(tilt))
        z += direction * length * float(np.cos(tilt))
    return y, z
