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
    ROAD: Paint(((98, 98, 100),), spread=5, mottle=6),
    SIDEWALK: Paint(((159, 151, 144),), spread=7, mottle=7),
    BUILDING: Paint(((177, 137, 108), (172, 152, 124), (172, 134, 115)), (107, 94, 85), spread=10, mottle=8),
    WALL: Paint(((138, 130, 118),), (106, 101, 93), spread=8, mottle=9),
    FENCE: Paint(((109, 85, 61),), (74, 93, 60), spread=8, mottle=6),
    POLE: Paint(((69, 73, 77),), spread=6, mottle=4),
    TRAFFIC_LIGHT: Paint(((37, 40, 37),), spread=5, mottle=4),
    TRAFFIC_SIGN: Paint(((192, 44, 44), (41, 77, 175), (213, 182, 52)), spread=8, mottle=4),
    VEGETATION: Paint(((60, 107, 47), (76, 119, 53)), (86, 68, 51), spread=8, mottle=18),
    TERRAIN: Paint(((135, 145, 81),), spread=8, mottle=12),
    SKY: Paint(((155, 190, 229),), spread=5, mottle=3),
    PERSON: Paint(
        ((167, 65, 72), (65, 86, 156), (203, 194, 180), (97, 56, 111)), (54, 54, 76), spread=12, mottle=6
    ),
    RIDER: Paint(((208, 116, 43), (48, 141, 133), (194, 185, 70)), (46, 46, 52), spread=10, mottle=6),
    CAR: Paint(((158, 33, 40), (44, 67, 143), (211, 212, 216), (41, 41, 47)), spread=8, mottle=4),
    TRUCK: Paint(((202, 197, 184), (73, 126, 156), (164, 141, 74)), (135, 53, 52), spread=8, mottle=4),
    BUS: Paint(((214, 166, 38), (202, 94, 41)), spread=7, mottle=4),
    TRAIN: Paint(((211, 219, 210),), (41, 129, 92), spread=6, mottle=4),
    MOTORCYCLE: Paint(((31, 31, 37), (130, 32, 50)), spread=6, mottle=5),
    BICYCLE: Paint(((79, 149, 156), (148, 71, 119)), (132, 127, 123), spread=8, mottle=5),
    EGO: Paint(((49, 50, 54),), spread=6, mottle=4),
    STATIC: Paint(((74, 84, 67),), spread=6, mottle=4),
}
_GLASS = {"game": (44, 62, 84), "camera": (66, 80, 96)}
_DARK = {"game": (22, 22, 26), "camera": (36, 38, 40)}
_LIGHT = {
    "game": {ROAD: (236, 232, 214), TRAFFIC_LIGHT: (255, 120, 40), TRAFFIC_SIGN: (250, 250, 244)},
    "camera": {ROAD: (206, 205, 194), TRAFFIC_LIGHT: (240, 135, 75), TRAFFIC_SIGN: (229, 229, 224)},
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
    red, blue = rng.uniform(0.95, 1.02), rng.uniform(0.98, 1.05)
    return Drive(
        exposure=float(rng.uniform(0.95, 1.15)),
        white_balance=(float(red), 1.0, float(blue)),
        visibility_m=float(rng.uniform(150, 350)),
        noise=float(rng.uniform(1.5, 3.0)),
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
    return np.asarray(np.cos(np.arctan(0.6 * radius)) ** 4)


def _blur(colour: Floats, sigma: float) -> Floats:
    return np.asarray(ndimage.gaussian_filter(colour, (sigma, sigma, 0)))


def _as_bytes(colour: Floats) -> NDArray[np.uint8]:
    return np.asarray(np.rint(colour.clip(0, 255)), dtype=np.uint8)
