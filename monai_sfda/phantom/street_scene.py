"""The layout of a street: ground, rows of houses, walls, fences and trees at both sides, and the traffic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom import street_objects as objects
from monai_sfda.phantom.street_classes import (
    BUILDING,
    EGO,
    FENCE,
    ROAD,
    SIDEWALK,
    SKY,
    STATIC,
    TERRAIN,
    VEGETATION,
    WALL,
)
from monai_sfda.phantom.street_geometry import (
    DARK,
    FARTHEST_M,
    GLASS,
    LIGHT,
    SECOND,
    StreetCamera,
    StreetCanvas,
)

Things = list[tuple[float, Callable[[], None]]]


@dataclass(frozen=True)
class StreetHabits:
    """What streets of a data set are like.

    Attributes:
        half_road_m: smallest and largest distance of the kerb from the middle of the road.
        pavement_m: smallest and largest width of a sidewalk.
        houses: share of the roadside that is built on.
        people, cars: mean number in view.
        camera_height_m: smallest and largest.
        own_car: whether the bonnet of the car that carries the camera is seen (labelled, and ignored).
    """

    half_road_m: tuple[float, float]
    pavement_m: tuple[float, float]
    houses: float
    people: float
    cars: float
    camera_height_m: tuple[float, float]
    own_car: bool


GAME_HABITS = StreetHabits((4.2, 6.2), (2.2, 4.0), 0.6, 3.0, 2.6, (1.5, 2.0), False)
CITY_HABITS = StreetHabits((3.6, 5.2), (2.2, 3.6), 0.68, 4.0, 3.0, (1.3, 1.6), True)


def draw_scene(habits: StreetHabits, columns: int, rng: np.random.Generator) -> StreetCanvas:
    """A street as label, geometry and things; its picture is `columns` x `columns` / 2.

    Args:
        habits: what the streets are like.
        columns: of the picture.
        rng: of everything.
    """
    rows = columns // 2
    horizon = rows * rng.uniform(0.4, 0.5)
    middle = columns * rng.uniform(0.42, 0.58)
    camera = StreetCamera(
        (rows, columns), 0.72 * columns, rng.uniform(*habits.camera_height_m), (horizon, middle)
    )
    canvas = StreetCanvas(camera)
    canvas.paint(np.ones(camera.shape, dtype=bool), SKY, canvas.new_thing(), FARTHEST_M)
    half_road = float(rng.uniform(*habits.half_road_m))
    kerbs = {side: half_road + float(rng.uniform(*habits.pavement_m)) for side in (-1, 1)}
    lane = float(rng.uniform(-0.4, 0.4)) * half_road
    _ground(canvas, half_road, kerbs, lane, rng)
    things: Things = []
    for side in (-1, 1):
        _roadside(canvas, side, kerbs[side] - side * lane, habits, rng)
        _furniture(canvas, things, side, half_road - side * lane, kerbs[side] - side * lane, habits, rng)
    _traffic(canvas, things, half_road, lane, habits, rng)
    for _, paint in sorted(things, key=lambda thing: -thing[0]):
        paint()
    if habits.own_car:
        _own_car(canvas, rng)
    return canvas


def _ground(
    canvas: StreetCanvas, half_road: float, kerbs: dict[int, float], lane: float, rng: np.random.Generator
) -> None:
    """Terrain everywhere, sidewalks and the road on it, and the paint on the road."""
    x, z = canvas.camera.ground()
    x = x + lane
    ground = np.isfinite(z)
    near_z = np.minimum(z, FARTHEST_M)
    canvas.paint(ground, TERRAIN, canvas.new_thing(), z)
    verge = float(rng.uniform(0.8, 1.6)) if rng.random() < 0.4 else 0.0
    for side in (-1, 1):
        beside = ground & (side * x > half_road + verge) & (side * x < kerbs[side])
        canvas.paint(beside, SIDEWALK, canvas.new_thing(), z)
    road = canvas.new_thing()
    canvas.paint(ground & (np.abs(x) < half_road), ROAD, road, z)
    dashes = ground & (np.abs(x) < 0.09) & (np.mod(near_z + rng.uniform(0, 6), 6) < 3)
    edges = ground & (np.abs(np.abs(x) - half_road + 0.3) < 0.07)
    canvas.paint(dashes | edges, ROAD, road, z, part=LIGHT)
    if rng.random() < 0.3:
        near = float(rng.uniform(7, 16))
        stripes = (
            ground & (z > near) & (z < near + 3) & (np.abs(x) < half_road - 0.4) & (np.mod(x, 1.1) < 0.55)
        )
        canvas.paint(stripes, ROAD, road, z, part=LIGHT)


def _roadside(
    canvas: StreetCanvas, side: int, edge: float, habits: StreetHabits, rng: np.random.Generator
) -> None:
    """Plots from far to near along one side: a house, or a wall, a fence or a hedge before open land."""
    at = 90.0
    while at > 3.0:
        length = float(rng.uniform(7, 16))
        start = max(at - length, 1.2)
        if rng.random() < habits.houses:
            _house(canvas, side, edge + float(rng.uniform(0.0, 1.0)), start, at, rng)
        else:
            _open_plot(canvas, side, edge, start, at, rng)
        at = start - 0.01


@dataclass(frozen=True)
class _Facade:
    """The pixels that show a plane along the street, and where on it each looks.

    Attributes:
        pixels: their rows and columns.
        y, z: up and along the street, m.
    """

    pixels: tuple[NDArray[np.intp], NDArray[np.intp]]
    y: NDArray[np.float64]
    z: NDArray[np.float64]

    def set_part(self, canvas: StreetCanvas, which: NDArray[np.bool_], part: int) -> None:
        """Makes those of the pixels of another material."""
        rows, columns = self.pixels
        canvas.part[rows[which], columns[which]] = part


def _facade(
    canvas: StreetCanvas,
    x: float,
    height: float,
    ends: tuple[float, float],
    label: int,
    thing: int,
) -> _Facade:
    """Paints the upright plane at x between two distances, with its depth pixel by pixel."""
    start, end = ends
    plane = [(x, 0.0, start), (x, height, start), (x, height, end), (x, 0.0, end)]
    rows, columns = np.nonzero(canvas.polygon(plane, label, thing))
    camera = canvas.camera
    across = np.abs(columns + 0.5 - camera.centre[1])
    z = camera.focal * abs(x) / np.maximum(across, 1e-6)
    canvas.depth_m[rows, columns] = np.clip(z, 1, FARTHEST_M)
    y = camera.height_m - (rows + 0.5 - camera.centre[0]) * z / camera.focal
    return _Facade((rows, columns), y, z)


def _house(
    canvas: StreetCanvas, side: int, edge: float, start: float, end: float, rng: np.random.Generator
) -> None:
    """A box with rows of windows, a door and a base of another colour."""
    thing, x = canvas.new_thing(), side * edge
    height = float(rng.uniform(5, 14))
    away = x + side * 8
    gable = [(x, 0.0, start), (away, 0.0, start), (away, height, start), (x, height, start)]
    canvas.polygon(gable, BUILDING, thing, light=0.75)
    front = _facade(canvas, x, height, (start, end), BUILDING, thing)
    y, z = front.y, front.z
    storey, pitch = float(rng.uniform(2.6, 3.2)), float(rng.uniform(1.8, 2.8))
    of_storey = np.mod(y, storey)
    glass = (
        (of_storey > 0.9) & (of_storey < 2.2) & (y < height - 0.6) & (np.mod(z - start, pitch) > 0.45 * pitch)
    )
    front.set_part(canvas, glass, GLASS)
    front.set_part(canvas, y < 0.7, SECOND)
    front.set_part(canvas, (y < 2.1) & (np.abs(z - (start + end) / 2) < 0.6), DARK)


def _open_plot(
    canvas: StreetCanvas, side: int, edge: float, start: float, end: float, rng: np.random.Generator
) -> None:
    """Trees behind, and a wall, a fence or a hedge along the sidewalk."""
    for at in sorted(rng.uniform(start, end, int(rng.integers(1, 4))), reverse=True):
        objects.tree(canvas, side * (edge + float(rng.uniform(2.5, 6))), float(at), rng)
    kind, thing = rng.random(), canvas.new_thing()
    label = WALL if kind < 0.42 else FENCE if kind < 0.84 else VEGETATION
    height = float(rng.uniform(1.6, 2.4)) if label == WALL else float(rng.uniform(1.1, 1.7))
    plane = _facade(canvas, side * edge, height, (start, end), label, thing)
    y, z = plane.y, plane.z
    if label == FENCE:
        plane.set_part(canvas, (np.mod(z, 0.5) > 0.25) & (y < height - 0.15), SECOND)
    elif label == WALL:
        joints = (np.mod(z + 0.3 * np.floor(y / 0.5), 0.9) < 0.08) | (np.mod(y, 0.5) < 0.06)
        plane.set_part(canvas, joints, SECOND)


def _furniture(
    canvas: StreetCanvas,
    things: Things,
    side: int,
    kerb: float,
    edge: float,
    habits: StreetHabits,
    rng: np.random.Generator,
) -> None:
    """Poles, lights, signs, trees, bins, parked bicycles and people between kerb and houses."""

    def place(kind: Callable[..., None], near: float, far: float, x: float, **more: bool) -> None:
        z, seed = float(near * (far / near) ** rng.random()), int(rng.integers(2**31))
        things.append((z, lambda: kind(canvas, x, z, np.random.default_rng(seed), **more)))

    def beside(low: float, high: float) -> float:
        return side * float(kerb + (edge - kerb) * rng.uniform(low, high))

    for kind, chance in (
        (objects.lamp_post, 0.6),
        (objects.traffic_light, 0.6),
        (objects.traffic_sign, 0.75),
        (objects.tree, 0.35),
    ):
        for _ in range(2):
            if rng.random() < chance:
                place(kind, 7.0, 24.0, beside(0.05, 0.3))
    for _ in range(int(rng.poisson(habits.people / 2))):
        place(objects.person, 6.0, 22.0, beside(0.2, 0.9))
    if rng.random() < 0.3:
        place(objects.bicycle, 6.0, 13.0, beside(0.5, 0.9), ridden=False)
    if rng.random() < 0.3:
        place(objects.motorcycle, 6.0, 14.0, beside(0.0, 0.2), ridden=False)
    if rng.random() < 0.3:
        place(_bin, 7.0, 20.0, beside(0.6, 0.9))


def _bin(canvas: StreetCanvas, x: float, z: float, rng: np.random.Generator) -> None:
    """A dustbin: `static` in Cityscapes, which no class is made of."""
    objects.box(canvas, (x - 0.3, x + 0.3), (0, 1.1), (z, z + 0.6), STATIC, canvas.new_thing())


def _traffic(
    canvas: StreetCanvas,
    things: Things,
    half_road: float,
    lane: float,
    habits: StreetHabits,
    rng: np.random.Generator,
) -> None:
    """Vehicles in two lanes and parked at the kerb, at distances that leave room between them."""

    def place(kind: Callable[..., None], z: float, x: float, **more: bool) -> None:
        seed = int(rng.integers(2**31))
        things.append((z, lambda: kind(canvas, x - lane, z, np.random.default_rng(seed), **more)))

    for where in (-0.5, 0.5):
        at = float(rng.uniform(8, 14))
        for _ in range(3):
            kind = rng.choice(7, p=_vehicle_shares(habits))
            vehicle = (
                objects.car,
                objects.truck,
                objects.bus,
                objects.train,
                objects.motorcycle,
                objects.bicycle,
                None,
            )[kind]
            ridden = {"ridden": True} if kind in (4, 5) else {}
            if vehicle is not None:
                place(vehicle, at, where * half_road + float(rng.uniform(-0.4, 0.4)), **ridden)
            at += float(rng.uniform(9, 16)) + (12 if kind == 3 else 6 if kind in (1, 2) else 0)
    for side in (-1, 1):
        for _ in range(int(rng.poisson(habits.cars / 4))):
            place(objects.car, float(rng.uniform(8, 40)), side * (half_road - 1.0))


def _vehicle_shares(habits: StreetHabits) -> NDArray[np.float64]:
    """Of car, truck, bus, train, motorcycle, bicycle, nothing."""
    shares = np.array([habits.cars / 9, 0.12, 0.12, 0.1, 0.1, 0.12, 0.12])
    return np.asarray(shares / shares.sum())


def _own_car(canvas: StreetCanvas, rng: np.random.Generator) -> None:
    """The bonnet at the lower edge."""
    rows, columns = canvas.camera.shape
    row, column = np.indices(canvas.camera.shape)
    reach = rows * float(rng.uniform(0.05, 0.09))
    bonnet = row > rows - reach * np.sqrt(np.clip(1 - ((column - columns / 2) / (0.48 * columns)) ** 2, 0, 1))
    canvas.paint(bonnet, EGO, canvas.new_thing(), 1.0)
