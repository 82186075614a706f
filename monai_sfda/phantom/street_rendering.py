"""Two pictures of one scene: as a computer game draws it, and as a camera sees it.

The game has saturated colours, clean surfaces, a warm sun and hard shadows. The camera has its own colours
of things under an overcast sky, haze that grows with distance, a lens that darkens the corners and blurs,
exposure and white balance of the drive, noise of photons and of the sensor, and the blocks of a JPEG.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from monai_sfda.phantom.street_classes import (
    BICYCLE,
    BUILDING,
    BUS,
    CAR,
    EGO,
    FENCE,
    MOTORCYCLE,
    PERSON,
    POLE,
    RIDER,
    ROAD,
    SIDEWALK,
    SKY,
    STATIC,
    TERRAIN,
    TRAFFIC_LIGHT,
    TRAFFIC_SIGN,
    TRAIN,
    TRUCK,
    VEGETATION,
    WALL,
)
from monai_sfda.phantom.street_geometry import BODY, DARK, GLASS, LIGHT, SECOND, StreetCanvas

Colour = tuple[int, int, int]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Paint:
    """Colours of a class, red, green and blue of 255.

    Attributes:
        body: of which each thing takes one, by chance.
        second: for what is `SECOND` in it.
        spread: standard deviation between things, each channel alike and apart.
        mottle: standard deviation of the surface's texture.
    """

    body: tuple[Colour, ...]
    second: Colour = (90, 90, 90)
    spread: float = 6.0
    mottle: float = 4.0


GAME: dict[int, Paint] = {
    ROAD: Paint(((92, 90, 96),), spread=4),
    SIDEWALK: Paint(((176, 168, 152),), spread=6),
    BUILDING: Paint(((196, 132, 92), (208, 180, 132), (168, 104, 84)), (110, 88, 76), 12, 4),
    WALL: Paint(((150, 142, 128),), (112, 106, 96), 8, 6),
    FENCE: Paint(((124, 84, 50),), (68, 92, 50), 8),
    POLE: Paint(((58, 62, 70),), spread=5),
    TRAFFIC_LIGHT: Paint(((34, 34, 30),), spread=4),
    TRAFFIC_SIGN: Paint(((214, 30, 30), (28, 70, 200), (236, 196, 20)), spread=6),
    VEGETATION: Paint(((52, 118, 34), (70, 134, 40)), (88, 62, 40), 8, 16),
    TERRAIN: Paint(((150, 158, 74),), spread=8, mottle=9),
    SKY: Paint(((104, 166, 236),), spread=6, mottle=0),
    PERSON: Paint(((206, 60, 70), (60, 90, 190), (230, 220, 200), (110, 50, 130)), (50, 50, 80), 12),
    RIDER: Paint(((240, 120, 20), (30, 160, 150), (220, 210, 50)), (40, 40, 48), 10),
    CAR: Paint(((190, 20, 30), (30, 60, 170), (232, 232, 236), (30, 30, 36)), spread=8, mottle=2),
    TRUCK: Paint(((220, 214, 198), (60, 130, 170), (180, 150, 60)), (150, 40, 40), 8, 2),
    BUS: Paint(((240, 180, 10), (226, 90, 20)), spread=6, mottle=2),
    TRAIN: Paint(((232, 240, 230),), (16, 140, 90), 6, 2),
    MOTORCYCLE: Paint(((20, 20, 26), (150, 16, 40)), spread=6),
    BICYCLE: Paint(((70, 170, 180), (170, 60, 130)), (146, 140, 134), 8),
    EGO: Paint(((40, 40, 44),)),
    STATIC: Paint(((70, 84, 60),)),
}
CAMERA: dict[int, Paint] = {
    ROAD: Paint(((104, 106, 104),), spread=5, mottle=6),
    SIDEWALK: Paint(((142, 134, 136),), spread=7, mottle=7),
    BUILDING: Paint(((158, 142, 124), (136, 124, 116), (176, 164, 146)), (104, 100, 94), 10, 8),
    WALL: Paint(((126, 118, 108),), (100, 96, 90), 8, 9),
    FENCE: Paint(((94, 86, 72),), (80, 94, 70), 8, 6),
    POLE: Paint(((80, 84, 84),), spread=6),
    TRAFFIC_LIGHT: Paint(((40, 46, 44),), spread=5),
    TRAFFIC_SIGN: Paint(((170, 58, 58), (54, 84, 150), (190, 168, 84)), spread=8),
    VEGETATION: Paint(((68, 96, 60), (82, 104, 66)), (84, 74, 62), 8, 18),
    TERRAIN: Paint(((120, 132, 88),), spread=8, mottle=12),
    SKY: Paint(((206, 214, 222),), spread=5, mottle=3),
    PERSON: Paint(((128, 70, 74), (70, 82, 122), (176, 168, 160), (84, 62, 92)), (58, 58, 72), 12, 6),
    RIDER: Paint(((176, 112, 66), (66, 122, 116), (168, 160, 90)), (52, 52, 56), 10, 6),
    CAR: Paint(((126, 46, 50), (58, 74, 116), (190, 192, 196), (52, 52, 58)), spread=8, mottle=4),
    TRUCK: Paint(((184, 180, 170), (86, 122, 142), (148, 132, 88)), (120, 66, 64), 8, 4),
    BUS: Paint(((188, 152, 66), (178, 98, 62)), spread=7, mottle=4),
    TRAIN: Paint(((190, 198, 190),), (66, 118, 94), 6, 4),
    MOTORCYCLE: Paint(((42, 42, 48), (110, 48, 60)), spread=6, mottle=5),
    BICYCLE: Paint(((88, 128, 132), (126, 82, 108)), (118, 114, 112), 8, 5),
    EGO: Paint(((58, 60, 64),)),
    STATIC: Paint(((78, 84, 74),)),
}
_GLASS = {"game": (44, 62, 84), "camera": (88, 98, 108)}
_DARK = {"game": (22, 22, 26), "camera": (44, 46, 48)}
_LIGHT = {
    "game": {ROAD: (236, 232, 214), TRAFFIC_LIGHT: (255, 120, 40), TRAFFIC_SIGN: (250, 250, 244)},
    "camera": {ROAD: (176, 178, 174), TRAFFIC_LIGHT: (226, 150, 110), TRAFFIC_SIGN: (208, 208, 204)},
}
_SKIN: Colour = (206, 164, 136)
_HAZE = np.array([206.0, 212.0, 218.0])


@dataclass(frozen=True)
class Drive:
    """What the pictures of one drive share.

    Attributes:
        exposure: factor on light.
        white_balance: factors on red, green and blue.
        visibility_m: distance at which haze has taken 63% of the contrast.
        noise: sensor noise, standard deviation of 255.
        jpeg_quality: of the compression.
    """

    exposure: float
    white_balance: tuple[float, float, float]
    visibility_m: float
    noise: float
    jpeg_quality: int


def draw_drive(rng: np.random.Generator) -> Drive:
    """A drive's camera and weather."""
    red, blue = rng.uniform(0.9, 1.04), rng.uniform(0.98, 1.12)
    return Drive(
        exposure=float(rng.uniform(0.72, 1.0)),
        white_balance=(float(red), 1.0, float(blue)),
        visibility_m=float(rng.uniform(60, 140)),
        noise=float(rng.uniform(2.5, 5.0)),
        jpeg_quality=int(rng.integers(55, 80)),
    )


def render_game(canvas: StreetCanvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(rows, columns, 3) uint8: the scene as a game draws it."""
    colour = _surfaces(canvas, GAME, "game", rng)
    sun = np.where(canvas.shadow > 0.3, 0.52, 1.0)[..., None] * np.array([1.06, 1.0, 0.9])
    colour = colour * canvas.light[..., None] ** 1.3 * sun
    far = np.exp(-canvas.depth_m / 600)[..., None]
    colour = colour * far + (1 - far) * np.array([170.0, 200.0, 235.0])
    return _as_bytes(_blur(colour, 0.35 * _scale(canvas)))


def render_camera(canvas: StreetCanvas, drive: Drive, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(rows, columns, 3) uint8: the scene as the camera of a drive sees it."""
    colour = _surfaces(canvas, CAMERA, "camera", rng)
    soft = ndimage.gaussian_filter(canvas.shadow, 5 * _scale(canvas))
    colour = colour * canvas.light[..., None] ** 0.6 * (1 - 0.3 * soft)[..., None]
    far = np.exp(-canvas.depth_m / drive.visibility_m)[..., None]
    far = np.where((canvas.label == SKY)[..., None], 1.0, far)
    colour = colour * far + (1 - far) * _HAZE
    colour = (
        colour * drive.exposure * np.array(drive.white_balance) * _vignette(canvas.camera.shape)[..., None]
    )
    colour = _blur(colour, 0.7 * _scale(canvas)).clip(0, 255)
    photons = rng.normal(size=colour.shape) * np.sqrt(colour) * 0.25
    colour = colour + photons + rng.normal(size=colour.shape) * drive.noise
    file = io.BytesIO()
    Image.fromarray(_as_bytes(colour)).save(file, "JPEG", quality=drive.jpeg_quality)
    return np.asarray(Image.open(file))


def _scale(canvas: StreetCanvas) -> float:
    """Pixels of this picture to one of a picture of 1024 columns; at least a half, as lenses have limits."""
    return max(canvas.camera.shape[1] / 1024, 0.5)


def _surfaces(canvas: StreetCanvas, paints: dict[int, Paint], style: str, rng: np.random.Generator) -> Floats:
    """The colour of every surface in even light."""
    colour = np.zeros((*canvas.camera.shape, 3))
    things = int(canvas.thing.max()) + 1
    choices, shades = rng.random(things), rng.normal(size=(things, 3)) * 0.5 + rng.normal(size=(things, 1))
    texture = _texture(canvas.camera.shape, rng)
    for label, paint in paints.items():
        where = canvas.label == label
        bodies = np.array(paint.body, dtype=float)
        of_thing = bodies[(choices * len(bodies)).astype(int)] + paint.spread * shades
        part, thing = canvas.part[where], canvas.thing[where]
        light = _LIGHT[style].get(label, _SKIN if label in (PERSON, RIDER) else (240, 236, 220))
        fixed = {SECOND: paint.second, GLASS: _GLASS[style], DARK: _DARK[style], LIGHT: light}
        values = np.where((part == BODY)[:, None], of_thing[thing], 0.0)
        for kind, value in fixed.items():
            values[part == kind] = value
        colour[where] = values + paint.mottle * texture[where][:, None]
    return colour.clip(0, 255)


def _texture(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Zero mean, unit variance: noise of two sizes."""
    fine, coarse = (ndimage.gaussian_filter(rng.normal(size=shape), s * shape[1] / 1024) for s in (1.2, 7.0))
    return np.asarray(0.7 * fine / fine.std() + 0.7 * coarse / coarse.std())


def _vignette(shape: tuple[int, int]) -> Floats:
    """cos^4 of the angle to the axis, of a lens of moderate width."""
    rows, columns = np.indices(shape, dtype=np.float64)
    radius = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2) / shape[1]
    return np.asarray(np.cos(np.arctan(1.0 * radius)) ** 4)


def _blur(colour: Floats, sigma: float) -> Floats:
    return np.asarray(ndimage.gaussian_filter(colour, (sigma, sigma, 0)))


def _as_bytes(colour: Floats) -> NDArray[np.uint8]:
    return np.rint(colour.clip(0, 255)).astype(np.uint8)
