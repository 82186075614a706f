"""Things of a street: vehicles as boxes in perspective, people and two-wheelers, trees, poles with lights and
signs. Sizes in metres, of the usual things.
"""

from __future__ import annotations

import numpy as np

from monai_sfda.phantom.street_classes import (
    BICYCLE,
    BUS,
    CAR,
    MOTORCYCLE,
    PERSON,
    POLE,
    RIDER,
    TRAFFIC_LIGHT,
    TRAFFIC_SIGN,
    TRAIN,
    TRUCK,
    VEGETATION,
)
from monai_sfda.phantom.street_geometry import BODY, DARK, GLASS, LIGHT, SECOND, StreetCanvas

FACING, SIDE, TOP = 0.8, 1.05, 1.2
"""Light on surfaces that face the camera, the street and the sky."""


def box(
    canvas: StreetCanvas,
    x: tuple[float, float],
    y: tuple[float, float],
    z: tuple[float, float],
    label: int,
    thing: int,
    *,
    part: int = BODY,
    shade: float = 1.0,
) -> None:
    """A box's visible faces: the top where it is below the camera, the side towards it, and the near end."""
    (x0, x1), (y0, y1), (z0, z1) = x, y, z
    if y1 < canvas.camera.height_m:
        top = [(x0, y1, z0), (x1, y1, z0), (x1, y1, z1), (x0, y1, z1)]
        canvas.polygon(top, label, thing, part=part, light=TOP * shade)
    if x0 > 0 or x1 < 0:
        near = x0 if x0 > 0 else x1
        side = [(near, y0, z0), (near, y1, z0), (near, y1, z1), (near, y0, z1)]
        canvas.polygon(side, label, thing, part=part, light=SIDE * shade)
    end = [(x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)]
    canvas.polygon(end, label, thing, part=part, light=FACING * shade)


def _shadow(canvas: StreetCanvas, x: tuple[float, float], z: tuple[float, float], reach: float) -> None:
    (x0, x1), (z0, z1) = x, z
    canvas.cast_shadow([(x0, 0, z0), (x1 + reach, 0, z0 - 0.2), (x1 + reach, 0, z1), (x0, 0, z1)])


def _side_panes(
    canvas: StreetCanvas,
    x: tuple[float, float],
    y: tuple[float, float],
    z: tuple[float, float],
    panes: int,
    label: int,
    thing: int,
) -> None:
    """Panes on the side of a box that faces the camera's axis."""
    if x[0] <= 0 <= x[1]:
        return
    near = x[0] if x[0] > 0 else x[1]
    pitch = (z[1] - z[0]) / panes
    for number in range(panes):
        start, end = z[0] + (number + 0.1) * pitch, z[0] + (number + 0.9) * pitch
        pane = [(near, y[0], start), (near, y[1], start), (near, y[1], end), (near, y[0], end)]
        canvas.polygon(pane, label, thing, part=GLASS)


def _end_pane(
    canvas: StreetCanvas, x: tuple[float, float], y: tuple[float, float], z: float, label: int, thing: int
) -> None:
    inset = 0.1 * (x[1] - x[0])
    x0, x1 = x[0] + inset, x[1] - inset
    canvas.polygon([(x0, y[0], z), (x1, y[0], z), (x1, y[1], z), (x0, y[1], z)], label, thing, part=GLASS)


def _wheels(
    canvas: StreetCanvas, x: tuple[float, float], z: tuple[float, float], r: float, label: int, thing: int
) -> None:
    """Dark wheels: at the near end, and along the side that is seen."""
    for at in (x[0] + 0.15, x[1] - 0.35):
        canvas.polygon(
            [(at, 0, z[0]), (at + 0.2, 0, z[0]), (at + 0.2, r, z[0]), (at, r, z[0])], label, thing, part=DARK
        )
    if x[0] > 0 or x[1] < 0:
        near = x[0] if x[0] > 0 else x[1]
        for at in (z[0] + 0.18 * (z[1] - z[0]), z[0] + 0.82 * (z[1] - z[0])):
            tyre = [
                (near, 0, at - r),
                (near, 0, at + r),
                (near, 2 * r, at + 0.6 * r),
                (near, 2 * r, at - 0.6 * r),
            ]
            canvas.polygon(tyre, label, thing, part=DARK)


def car(canvas: StreetCanvas, x: float, z: float, rng: np.random.Generator) -> None:
    """A car of 4.2 m whose near end is at z."""
    thing, width, length = canvas.new_thing(), rng.uniform(1.7, 1.9), rng.uniform(3.9, 4.6)
    sides, ends = (x - width / 2, x + width / 2), (z, z + length)
    _shadow(canvas, sides, ends, 1.0)
    top = rng.uniform(1.4, 1.65)
    box(canvas, sides, (0.25, 0.9), ends, CAR, thing)
    cabin = (x - width / 2 + 0.15, x + width / 2 - 0.15)
    box(canvas, cabin, (0.9, top), (z + 0.7, z + length - 1.1), CAR, thing)
    _side_panes(canvas, cabin, (0.98, top - 0.1), (z + 0.8, z + length - 1.2), 2, CAR, thing)
    _end_pane(canvas, cabin, (0.98, top - 0.1), z + 0.7, CAR, thing)
    _wheels(canvas, sides, ends, 0.32, CAR, thing)
    for lamp in (sides[0] + 0.05, sides[1] - 0.35):
        lamps = [(lamp, 0.6, z), (lamp + 0.3, 0.6, z), (lamp + 0.3, 0.78, z), (lamp, 0.78, z)]
        canvas.polygon(lamps, CAR, thing, part=LIGHT)


def truck(canvas: StreetCanvas, x: float, z: float, rng: np.random.Generator) -> None:
    """A lorry: a closed cargo box on dark wheels, without windows, and the cab before it."""
    thing, width, length = canvas.new_thing(), 2.4, rng.uniform(6, 9)
    sides, ends = (x - width / 2, x + width / 2), (z, z + length)
    _shadow(canvas, sides, ends, 2.0)
    box(canvas, sides, (0.5, 2.4), (z + length - 1.8, z + length), TRUCK, thing, part=SECOND)
    box(canvas, sides, (0.45, 0.95), (z, z + length - 2.0), TRUCK, thing, part=DARK)
    box(canvas, sides, (0.95, rng.uniform(2.9, 3.5)), (z, z + length - 2.0), TRUCK, thing)
    _wheels(canvas, sides, ends, 0.48, TRUCK, thing)


def bus(canvas: StreetCanvas, x: float, z: float, rng: np.random.Generator) -> None:
    """A bus: one long box with a row of large windows."""
    thing, width, length = canvas.new_thing(), 2.5, rng.uniform(9, 12)
    sides, ends = (x - width / 2, x + width / 2), (z, z + length)
    _shadow(canvas, sides, ends, 2.0)
    box(canvas, sides, (0.35, 3.0), ends, BUS, thing)
    _side_panes(canvas, sides, (1.4, 2.5), ends, 6, BUS, thing)
    _end_pane(canvas, sides, (1.5, 2.6), z, BUS, thing)
    _wheels(canvas, sides, ends, 0.48, BUS, thing)


def train(canvas: StreetCanvas, x: float, z: float, rng: np.random.Generator) -> None:
    """A tram: long, high, in two colours, close to the ground, without visible wheels."""
    thing, width, length = canvas.new_thing(), 2.6, rng.uniform(18, 26)
    sides, ends = (x - width / 2, x + width / 2), (z, z + length)
    _shadow(canvas, sides, ends, 2.5)
    box(canvas, sides, (0.15, 3.7), ends, TRAIN, thing)
    box(canvas, sides, (0.15, 1.2), ends, TRAIN, thing, part=SECOND)
    _side_panes(canvas, sides, (1.6, 2.8), ends, 9, TRAIN, thing)
    _end_pane(canvas, sides, (1.6, 3.0), z, TRAIN, thing)


def person(
    canvas: StreetCanvas,
    x: float,
    z: float,
    rng: np.random.Generator,
    *,
    label: int = PERSON,
    seat: float = 0.0,
    thing: int | None = None,
) -> None:
    """A standing or walking person; with `seat`, the upper body of one who rides at that height."""
    number = canvas.new_thing() if thing is None else thing
    tall = rng.uniform(1.6, 1.9)
    legs, half = (0.48 * tall, rng.uniform(0.22, 0.3))
    base = seat - legs * 0.6 if seat else 0.0
    if not seat:
        _shadow(canvas, (x - 0.25, x + 0.25), (z - 0.1, z + 0.3), 1.0)
    stride = rng.uniform(0.02, 0.22)
    for side in (-1, 1):
        foot, hip = x + side * (0.08 + stride), x + side * 0.1
        leg = [(foot - 0.1, max(base, 0.1 if seat else 0), z), (foot + 0.1, max(base, 0.1 if seat else 0), z)]
        leg += [(hip + 0.12, base + legs, z), (hip - 0.12, base + legs, z)]
        canvas.polygon(leg, label, number, part=SECOND)
    shoulders = base + 0.83 * tall
    torso = [(x - 0.2, base + legs - 0.05, z), (x + 0.2, base + legs - 0.05, z)]
    torso += [(x + half, shoulders, z), (x - half, shoulders, z)]
    canvas.polygon(torso, label, number)
    canvas.disc((x, base + 0.92 * tall, z), 0.14, label, number, part=LIGHT)


def bicycle(canvas: StreetCanvas, x: float, z: float, rng: np.random.Generator, *, ridden: bool) -> None:
    """A bicycle seen from the side, with its rider if ridden."""
    thing = canvas.new_thing()
    for wheel in (x - 0.52, x + 0.52):
        canvas.disc((wheel, 0.34, z), 0.34, BICYCLE, thing, part=DARK)
        canvas.disc((wheel, 0.34, z), 0.26, BICYCLE, thing, part=SECOND)
    frame = [(x - 0.5, 0.3, z), (x + 0.5, 0.3, z), (x + 0.4, 0.95, z), (x + 0.3, 0.95, z), (x - 0.2, 0.85, z)]
    canvas.polygon(frame, BICYCLE, thing)
    if ridden:
        person(canvas, x - 0.1, z - 0.01, rng, label=RIDER, seat=0.95)


def motorcycle(canvas: StreetCanvas, x: float, z: float, rng: np.random.Generator, *, ridden: bool) -> None:
    """A motorcycle seen from the side, with its rider if ridden."""
    thing = canvas.new_thing()
    _shadow(canvas, (x - 1.0, x + 1.0), (z - 0.1, z + 0.4), 0.6)
    for wheel in (x - 0.7, x + 0.7):
        canvas.disc((wheel, 0.36, z), 0.36, MOTORCYCLE, thing, part=DARK)
    body = [(x - 0.95, 0.75, z), (x - 0.6, 0.3, z), (x + 0.6, 0.3, z), (x + 0.75, 1.05, z), (x, 0.9, z)]
    canvas.polygon(body, MOTORCYCLE, thing)
    seat = [(x - 0.95, 0.75, z), (x - 0.2, 0.75, z), (x - 0.2, 0.92, z), (x - 0.95, 0.92, z)]
    canvas.polygon(seat, MOTORCYCLE, thing, part=DARK)
    canvas.disc((x + 0.78, 0.95, z), 0.12, MOTORCYCLE, thing, part=LIGHT)
    if ridden:
        person(canvas, x - 0.2, z - 0.01, rng, label=RIDER, seat=0.95)


def tree(canvas: StreetCanvas, x: float, z: float, rng: np.random.Generator) -> None:
    """A trunk and a crown of overlapping discs; both are vegetation."""
    thing, stem = canvas.new_thing(), rng.uniform(1.8, 2.6)
    width = rng.uniform(0.14, 0.22)
    canvas.cast_shadow([(x, 0, z), (x + 4, 0, z - 0.5), (x + 4, 0, z + 2.5), (x, 0, z + 0.4)], 0.7)
    trunk = [(x - width, 0, z), (x + width, 0, z), (x + width, stem + 1, z), (x - width, stem + 1, z)]
    canvas.polygon(trunk, VEGETATION, thing, part=SECOND, light=FACING)
    size = rng.uniform(1.4, 2.4)
    for _ in range(9):
        dx, dy = rng.normal(0, 0.45 * size), rng.normal(0, 0.4 * size)
        centre = (x + dx, stem + size + dy, z)
        canvas.disc(centre, rng.uniform(0.45, 0.75) * size, VEGETATION, thing, light=1 + 0.15 * dy / size)


def _post(canvas: StreetCanvas, x: float, z: float, top: float) -> None:
    canvas.cast_shadow(
        [(x - 0.1, 0, z), (x + 2.5, 0, z - 0.15), (x + 2.5, 0, z + 0.1), (x - 0.1, 0, z + 0.2)]
    )
    canvas.polygon(
        [(x - 0.13, 0, z), (x + 0.13, 0, z), (x + 0.1, top, z), (x - 0.1, top, z)], POLE, canvas.new_thing()
    )


def lamp_post(canvas: StreetCanvas, x: float, z: float, rng: np.random.Generator) -> None:
    """A street lamp with an arm over the road."""
    top = rng.uniform(5, 7)
    _post(canvas, x, z, top)
    reach = x - np.sign(x) * 1.6
    arm = [(x, top - 0.2, z), (reach, top - 0.1, z), (reach, top + 0.1, z), (x, top, z)]
    canvas.polygon(arm, POLE, canvas.new_thing())


def traffic_light(canvas: StreetCanvas, x: float, z: float, rng: np.random.Generator) -> None:
    """A dark case with three lamps on a pole."""
    base = rng.uniform(2.2, 2.9)
    _post(canvas, x, z, base + 0.2)
    thing, half = canvas.new_thing(), 0.3
    case = [(x - half, base, z), (x + half, base, z), (x + half, base + 1.3, z), (x - half, base + 1.3, z)]
    canvas.polygon(case, TRAFFIC_LIGHT, thing)
    lit = int(rng.integers(3))
    for place in range(3):
        part = LIGHT if place == lit else DARK
        canvas.disc((x, base + 0.25 + 0.4 * place, z), 0.16, TRAFFIC_LIGHT, thing, part=part)


def traffic_sign(canvas: StreetCanvas, x: float, z: float, rng: np.random.Generator) -> None:
    """A round, square or triangular sign on a pole."""
    base = rng.uniform(2.0, 2.6)
    _post(canvas, x, z, base + 0.3)
    thing, size = canvas.new_thing(), rng.uniform(0.42, 0.55)
    kind = int(rng.integers(3))
    middle = base + size
    if kind == 0:
        canvas.disc((x, middle, z), size, TRAFFIC_SIGN, thing)
        canvas.disc((x, middle, z), 0.68 * size, TRAFFIC_SIGN, thing, part=LIGHT)
        return
    tip = 0.0 if kind == 2 else 1.0
    for scale, part in ((size, BODY), (0.6 * size, LIGHT)):
        outline = [(x - scale, middle - scale, z), (x + scale, middle - scale, z)]
        outline += [(x + tip * scale, middle + scale, z), (x - tip * scale, middle + scale, z)]
        canvas.polygon(outline, TRAFFIC_SIGN, thing, part=part)
