"""Sampling grids, body coordinates on them, and implicit shapes.

A shape is a function f of body coordinates in mm that is negative inside; near its surface its gradient is
close to one, so f approximates the signed distance. Shapes are combined by `numpy.maximum` (intersection),
`numpy.minimum` (union) and negation (complement).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_sfda.errors import SettingError
from monai_sfda.phantom.draws import Point

Float32 = NDArray[np.float32]
Box = tuple[slice, slice, slice]
Rotation = tuple[Point, Point, Point]

_BEYOND_MM = 12.0  # tubes are evaluated up to this distance from their wall; f is constant farther out


@dataclass(frozen=True)
class Grid:
    """Where a scan samples the body.

    Attributes:
        shape: voxels along each index axis.
        affine: (4, 4) float64, voxel index to patient coordinates in mm, RAS+ (x to the patient's right).
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 2:
            raise SettingError(
                f"grid shape {self.shape} is too small", remedy="give at least 2 voxels along 3 axes"
            )
        if self.affine.shape != (4, 4) or abs(np.linalg.det(self.affine[:3, :3])) < 1e-9:
            raise SettingError(
                "the grid's affine is not invertible", remedy="give a 4 x 4 affine of full rank"
            )

    @property
    def spacing_mm(self) -> Point:
        """Distance between neighbouring voxels along each index axis, mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    def world(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        """Voxel indices (..., 3) to patient coordinates (..., 3) in mm."""
        moved: NDArray[np.float64] = index @ self.affine[:3, :3].T + self.affine[:3, 3]
        return moved


@dataclass(frozen=True)
class Region:
    """A box of voxels with the body coordinates of their centres, each (X, Y, Z) float32 in mm."""

    box: Box
    x: Float32
    y: Float32
    z: Float32


def intersection(first: Box, second: Box) -> Box | None:
    """The voxels that lie in both boxes, None where there are none."""
    low = [max(a.start, b.start) for a, b in zip(first, second, strict=True)]
    high = [min(a.stop, b.stop) for a, b in zip(first, second, strict=True)]
    if any(h <= lo for lo, h in zip(low, high, strict=True)):
        return None
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def relative(box: Box, outer: Box) -> Box:
    """A box inside `outer`, counted from the corner of `outer`."""
    x, y, z = (slice(b.start - o.start, b.stop - o.start) for b, o in zip(box, outer, strict=True))
    return x, y, z


@dataclass(frozen=True)
class BodyCoordinates:
    """The body coordinates of every voxel of a grid.

    Attributes:
        grid: the grid.
        x, y, z: coordinates in mm in the reference body, each (X, Y, Z) float32.
        scale: reference body to patient, per axis.
        reach_mm: no point is displaced farther than this beyond the scaling.
    """

    grid: Grid
    x: Float32
    y: Float32
    z: Float32
    scale: Point
    reach_mm: float

    @cached_property
    def _to_index(self) -> NDArray[np.float64]:
        inverse: NDArray[np.float64] = np.linalg.inv(self.grid.affine)
        return inverse

    @property
    def edge_mm(self) -> float:
        """Surfaces farther than this from a voxel's centre do not cut the voxel (gradients up to 1.5)."""
        return 0.75 * sum(self.grid.spacing_mm)

    def whole(self) -> Region:
        """All voxels."""
        return Region((slice(None), slice(None), slice(None)), self.x, self.y, self.z)

    def region(self, low: ArrayLike, high: ArrayLike, margin_mm: float = 3.0) -> Region | None:
        """The voxels that may lie between two corners (body coordinates, mm); None where there are none."""
        scale = np.asarray(self.scale)
        pad = self.reach_mm + margin_mm + max(self.grid.spacing_mm)
        lo, hi = np.asarray(low) * scale - pad, np.asarray(high) * scale + pad
        corners = np.array(
            [[(lo, hi)[i][0], (lo, hi)[j][1], (lo, hi)[k][2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
        )
        index = corners @ self._to_index[:3, :3].T + self._to_index[:3, 3]
        first = np.maximum(np.floor(index.min(0)).astype(int), 0)
        last = np.minimum(np.ceil(index.max(0)).astype(int) + 1, self.grid.shape)
        # a box one voxel thin has no neighbours to measure a gradient with
        if np.any(last - first < 2):
            return None
        box = (slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2]))
        return Region(box, self.x[box], self.y[box], self.z[box])

    def coverage(self, f: Float32) -> Float32:
        """The fraction of each voxel inside {f < 0}: partial volume to first order.

        A plane with index-space gradient g cuts a voxel in the fraction 1/2 - f / sum|g|, exactly so for
        planes across one axis. The slopes are means of the absolute one-sided differences, so that a tube
        thinner than a voxel keeps about its own volume.

        Args:
            f: (X, Y, Z) implicit function at the voxel centres, mm.
        """
        fraction = (f < 0).astype(np.float32)
        flat = np.ascontiguousarray(f).reshape(-1)
        index = np.flatnonzero(np.abs(flat) < self.edge_mm)
        if index.size == 0:
            return fraction
        here = flat[index]
        slope = np.full(index.shape, 1e-3, np.float32)
        stride = 1
        for count in reversed(f.shape):
            along = (index // stride) % count
            up, down = along < count - 1, along > 0
            difference = np.abs(flat[index + stride * up] - here) + np.abs(here - flat[index - stride * down])
            slope += difference / np.maximum(up.astype(np.float32) + down, 1.0)
            stride *= count
        fraction.reshape(-1)[index] = np.clip(0.5 - here / slope, 0.0, 1.0)
        return fraction


def ellipsoid(at: Region, centre: Point, radii: Point, rotation: Rotation | None = None) -> Float32:
    """Signed distance (approximate) to an ellipsoid; `rotation` has its axes as rows."""
    return ellipsoid_at(*offsets(at, centre, rotation), radii)


def offsets(at: Region, centre: Point, rotation: Rotation | None = None) -> tuple[Float32, Float32, Float32]:
    """Offsets from `centre` (mm) along the rows of `rotation`, by default along the body's axes."""
    u, v, w = at.x - centre[0], at.y - centre[1], at.z - centre[2]
    if rotation is not None:
        u, v, w = (np.asarray(a * u + b * v + c * w, np.float32) for a, b, c in rotation)
    return u, v, w


def ellipsoid_at(u: Float32, v: Float32, w: Float32, radii: Point) -> Float32:
    """Signed distance (approximate) to an ellipsoid from offsets u, v, w along its axes (mm)."""
    u, v, w = u / radii[0], v / radii[1], w / radii[2]
    k0 = np.sqrt(u * u + v * v + w * w)
    u, v, w = u / radii[0], v / radii[1], w / radii[2]
    k1 = np.sqrt(u * u + v * v + w * w) + 1e-6
    return np.asarray(k0 * (k0 - 1.0) / k1, np.float32)


def ellipse(u: Float32, v: Float32, ru: float | Float32, rv: float | Float32) -> Float32:
    """Signed distance (approximate) to an elliptic cylinder with offsets u, v and radii ru, rv (mm)."""
    a, b = u / ru, v / rv
    k0 = np.sqrt(a * a + b * b)
    a, b = a / ru, b / rv
    return np.asarray(k0 * (k0 - 1.0) / (np.sqrt(a * a + b * b) + 1e-6), np.float32)


def segment(at: Region, start: Point, end: Point, radius: tuple[float, float]) -> Float32:
    """Signed distance (approximate) to a capsule whose radius goes from `radius[0]` to `radius[1]`."""
    d = [e - s for s, e in zip(start, end, strict=True)]
    length2 = max(sum(c * c for c in d), 1e-6)
    u, v, w = at.x - start[0], at.y - start[1], at.z - start[2]
    t = np.clip((u * d[0] + v * d[1] + w * d[2]) / length2, 0.0, 1.0)
    u, v, w = u - t * d[0], v - t * d[1], w - t * d[2]
    return np.asarray(np.sqrt(u * u + v * v + w * w) - (radius[0] + t * (radius[1] - radius[0])), np.float32)


def tube(
    body: BodyCoordinates, points: Sequence[Point], radii: Sequence[float]
) -> tuple[Region, Float32] | None:
    """A tube through `points` (mm) with a radius (mm) at each: its region and signed distance; None outside
    the grid.

    Distances are cut at 12 mm beyond the wall, where f is constant.
    """
    corners, r = np.asarray(points), max(radii)
    whole = body.region(corners.min(0) - r, corners.max(0) + r, _BEYOND_MM)
    if whole is None:
        return None
    f = np.full(whole.x.shape, _BEYOND_MM, np.float32)
    for i in range(len(points) - 1):
        ends, r = corners[i : i + 2], max(radii[i], radii[i + 1])
        part = body.region(ends.min(0) - r, ends.max(0) + r, _BEYOND_MM)
        if part is None:
            continue
        inner = relative(part.box, whole.box)
        distance = segment(part, points[i], points[i + 1], (radii[i], radii[i + 1]))
        f[inner] = np.minimum(f[inner], distance)
    return whole, f


def smooth_union(f: Float32, g: Float32, width_mm: float) -> Float32:
    """The union of two shapes with the crease filled over about `width_mm` (quadratic smooth minimum)."""
    h = np.clip(0.5 + 0.5 * (g - f) / width_mm, 0.0, 1.0)
    return np.asarray(g + (f - g) * h - width_mm * h * (1.0 - h), np.float32)


def smooth_intersection(f: Float32, g: Float32, width_mm: float) -> Float32:
    """The intersection of two shapes with its edge rounded over about `width_mm`."""
    return np.negative(smooth_union(-f, -g, width_mm))


def rotation_about(degrees: Point) -> Rotation:
    """Rotations about x, then y, then z; the rows are the axes of the rotated shape."""
    a, b, c = np.deg2rad(degrees)
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    rows = [[float(value) for value in row] for row in (rz @ ry @ rx).T]
    return (
        (rows[0][0], rows[0][1], rows[0][2]),
        (rows[1][0], rows[1][1], rows[1][2]),
        (rows[2][0], rows[2][1], rows[2][2]),
    )
