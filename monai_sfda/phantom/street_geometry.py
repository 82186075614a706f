"""A camera over a street, and the picture plane on which a scene is painted from far to near.

World coordinates in metres: x to the right, y up from the road, z forward from the camera. A point is seen at

    column = c_x + f x / z,    row = c_y + f (h - y) / z,

f being the focal length in pixels, h the camera's height and (c_x, c_y) the point on the horizon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

BODY, GLASS, DARK, LIGHT, SECOND = range(5)
"""What a surface is made of: the thing's own colour, glass, tyres and openings, lamps and paint, a second
colour."""
NEAREST_M = 1.0
FARTHEST_M = 150.0
Point = tuple[float, float, float]


@dataclass(frozen=True)
class StreetCamera:
    """A pinhole camera that looks along the street.

    Attributes:
        shape: (rows, columns) of the picture.
        focal: focal length, pixels.
        height_m: above the road.
        centre: (row, column) of the vanishing point.
    """

    shape: tuple[int, int]
    focal: float
    height_m: float
    centre: tuple[float, float]

    def project(self, point: Point) -> tuple[float, float]:
        """(column, row) of a point; one behind the camera is moved before it."""
        x, y, z = point
        scale = self.focal / max(z, NEAREST_M)
        return self.centre[1] + x * scale, self.centre[0] + (self.height_m - y) * scale

    def ground(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(x, z) in m of the ground seen by each pixel; z is infinite above the horizon."""
        rows, columns = np.indices(self.shape, dtype=np.float64)
        below = rows + 0.5 - self.centre[0]
        with np.errstate(divide="ignore"):
            z = np.where(below > 0, self.focal * self.height_m / np.maximum(below, 1e-9), np.inf)
        x = (columns + 0.5 - self.centre[1]) * np.minimum(z, 1e6) / self.focal
        return x, z


@dataclass
class StreetCanvas:
    """What is seen at each pixel.

    Attributes:
        camera: the view.
        label: (rows, columns) Cityscapes label id.
        thing: number of the thing, by which renderings choose its colour.
        part: `BODY` to `SECOND`.
        depth_m: distance.
        light: how much light the surface gets by its direction, about 1.
        shadow: 0 to 1, the share of the sun that is blocked.
    """

    camera: StreetCamera
    label: NDArray[np.uint8] = field(init=False)
    thing: NDArray[np.int32] = field(init=False)
    part: NDArray[np.uint8] = field(init=False)
    depth_m: NDArray[np.float32] = field(init=False)
    light: NDArray[np.float32] = field(init=False)
    shadow: NDArray[np.float32] = field(init=False)
    _things: int = 0

    def __post_init__(self) -> None:
        shape = self.camera.shape
        self.label = np.zeros(shape, dtype=np.uint8)
        self.thing = np.zeros(shape, dtype=np.int32)
        self.part = np.zeros(shape, dtype=np.uint8)
        self.depth_m = np.full(shape, FARTHEST_M, dtype=np.float32)
        self.light = np.ones(shape, dtype=np.float32)
        self.shadow = np.zeros(shape, dtype=np.float32)

    def new_thing(self) -> int:
        """Number of a further thing."""
        self._things += 1
        return self._things

    def paint(
        self,
        where: NDArray[np.bool_],
        label: int,
        thing: int,
        depth_m: float | NDArray[np.float64],
        *,
        part: int = BODY,
        light: float = 1.0,
    ) -> None:
        """Paints a surface over what is there."""
        self.label[where], self.thing[where], self.part[where] = label, thing, part
        self.depth_m[where] = depth_m[where] if isinstance(depth_m, np.ndarray) else depth_m
        self.light[where], self.shadow[where] = light, 0.0

    def polygon(
        self, corners: Sequence[Point], label: int, thing: int, *, part: int = BODY, light: float = 1.0
    ) -> NDArray[np.bool_]:
        """Paints a plane polygon given in world coordinates; returns where."""
        depth = sum(z for _, _, z in corners) / len(corners)
        where = self._filled([self.camera.project(p) for p in corners])
        self.paint(where, label, thing, max(depth, NEAREST_M), part=part, light=light)
        return where

    def disc(
        self, centre: Point, radius_m: float, label: int, thing: int, *, part: int = BODY, light: float = 1.0
    ) -> None:
        """Paints a disc that faces the camera."""
        column, row = self.camera.project(centre)
        radius = radius_m * self.camera.focal / max(centre[2], NEAREST_M)
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        outline = [(column + radius * np.cos(a), row + radius * np.sin(a)) for a in angles]
        self.paint(self._filled(outline), label, thing, centre[2], part=part, light=light)

    def cast_shadow(self, corners: Sequence[Point], strength: float = 1.0) -> None:
        """Darkens the ground polygon; to be called before the thing itself is painted."""
        where = self._filled([self.camera.project(p) for p in corners])
        self.shadow[where] = np.maximum(self.shadow[where], strength)

    def _filled(self, outline: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
        """Where the outline (column, row) is filled; only the part of the picture that it needs is drawn."""
        filled = np.zeros(self.camera.shape, dtype=bool)
        lowest, highest = np.floor(np.min(outline, axis=0)), np.ceil(np.max(outline, axis=0)) + 1
        left, top = (int(max(value, 0)) for value in lowest)
        right, bottom = (int(min(*ends)) for ends in zip(highest, self.camera.shape[::-1], strict=True))
        if right <= left or bottom <= top:
            return filled
        picture = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(picture).polygon([(c - left, r - top) for c, r in outline], fill=1)
        filled[top:bottom, left:right] = np.asarray(picture) > 0
        return filled
