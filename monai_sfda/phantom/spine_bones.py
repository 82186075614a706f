"""Discs, vertebral bodies and posterior elements of a column as layers of tissue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np

from monai_sfda.phantom.draws import normal, uniform
from monai_sfda.phantom.geometry import BodyCoordinates, Float32, Region, ellipse, segment
from monai_sfda.phantom.layers import TissueLayer
from monai_sfda.phantom.spine_column import LEVELS, Column, Disc, Frame, Vertebra
from monai_sfda.phantom.spine_tissues import SpineLabel, SpineTissue
from monai_sfda.phantom.tissues import Tissue

SpineLayer = TissueLayer[Enum]

# Compact bone as gradient echoes show it, a little thicker than it is; and how far behind the back of a body
# the middle of the canal lies.
_SHELL_MM = 0.7
CANAL_MM = 9.5


@dataclass(frozen=True)
class Marrow:
    """The marrow of one subject.

    Attributes:
        fat: share of yellow marrow by level.
        patches: how much that varies within a body.
        phases: of the patches by level, radians.
        angioma: level, offsets (mm) and radius (mm) of a haemangioma, a ball of fat; None without.
    """

    fat: tuple[float, ...]
    patches: float
    phases: tuple[float, ...]
    angioma: tuple[int, tuple[float, float, float], float] | None

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Marrow:
        """From the red marrow of the young to the yellow one of the old; a haemangioma in one of four."""
        fat = uniform(rng, 0.15, 0.6)
        level = int(rng.integers(2, 9))
        place = (uniform(rng, -9.0, 9.0), uniform(rng, -6.0, 8.0), uniform(rng, -4.0, 4.0))
        return cls(
            fat=tuple(
                float(np.clip(fat + 0.015 * i + normal(rng, 0.0, 0.03), 0.05, 0.85))
                for i in range(len(LEVELS))
            ),
            patches=uniform(rng, 0.03, 0.12),
            phases=tuple(uniform(rng, 0.0, 2 * np.pi) for _ in LEVELS),
            angioma=(level, place, uniform(rng, 3.5, 7.0)) if rng.random() < 0.25 else None,
        )

    def share(self, level: int, u: Float32, v: Float32, w: Float32, edge: Float32) -> Float32:
        """Share of yellow marrow at offsets in a body whose surface is `edge` mm away (negative inside)."""
        phase = self.phases[level]
        waves = np.sin(u / 4.1 + phase) * np.sin(v / 3.3 - phase) + np.sin(w / 3.7 + 2.0 * phase)
        share = self.fat[level] + self.patches * waves
        if self.angioma is not None and self.angioma[0] == level:
            _, (a, b, c), radius = self.angioma
            distance = np.sqrt((u - a) ** 2 + (v - b) ** 2 + (w - c) ** 2) - radius
            share = np.maximum(share, np.clip(0.5 - distance / 1.5, 0.0, 1.0) * 0.9)
        # more fat round the middle, where the basivertebral vein enters from the back
        near_vein = np.exp(-((w / 4.0) ** 2) - ((v + 6.0) / 9.0) ** 2)
        return np.asarray(np.clip(share + 0.15 * near_vein, 0.0, 1.0) * (edge < 0), np.float32)


def disc_layers(body: BodyCoordinates, disc: Disc) -> Iterator[SpineLayer]:
    """One disc: annulus, nucleus, and what wear has made of both."""
    at = _around(body, disc.frame, (34.0, 30.0, 22.0))
    if at is None:
        return
    label = SpineLabel.INTERVERTEBRAL_DISC if disc.labelled else SpineLabel.BACKGROUND
    cover = body.coverage(disc.shape(at))
    yield SpineLayer(SpineTissue.ANNULUS, at.box, cover, label)
    u, v, w = disc.frame.offsets(at)
    width, depth = disc.half_axes
    # the nucleus lies a little behind the middle; towards the end plates it ends in cartilage
    radius2 = (u / (0.72 * width)) ** 2 + ((v + 1.0) / (0.70 * depth)) ** 2 + (w / (0.75 * disc.height)) ** 2
    nucleus = np.asarray(cover * np.clip(1.6 * (1.0 - radius2), 0.0, 1.0), np.float32)
    yield SpineLayer(SpineTissue.NUCLEUS, at.box, nucleus, None)
    worn = np.asarray(cover * np.float32(disc.degeneration), np.float32)
    yield SpineLayer(SpineTissue.DEGENERATE_DISC, at.box, worn, None)


def body_layers(
    body: BodyCoordinates, vertebra: Vertebra, marrow: Marrow, wear: tuple[float, float]
) -> Iterator[SpineLayer]:
    """One vertebral body: compact bone, marrow, basivertebral vein.

    Args:
        body: coordinates of the grid.
        vertebra: which.
        marrow: of the subject.
        wear: degeneration of the discs above and below, beside which the marrow turns to fat.
    """
    at = _around(body, vertebra.frame, (34.0, 30.0, 26.0))
    if at is None:
        return
    level = LEVELS.index(vertebra.name)
    u, v, w = vertebra.frame.offsets(at)
    above, below = vertebra.above(u, v, w), vertebra.below(u, v, w)
    f = np.maximum(vertebra.cross_section(u, v, w), np.maximum(above, below))
    yield _background(Tissue.CORTICAL_BONE, body, at, f)
    inner = body.coverage(np.asarray(f + _SHELL_MM, np.float32))
    yield SpineLayer(SpineTissue.RED_MARROW, at.box, inner, SpineLabel.BACKGROUND)
    share = marrow.share(level, u, v, w, f)
    for plate, degeneration in zip((above, below), wear, strict=True):
        if degeneration > 0.5:
            share = np.maximum(share, degeneration * np.clip(1.3 + plate / 5.0, 0.0, 1.0) * (plate < 0))
    yield SpineLayer(SpineTissue.YELLOW_MARROW, at.box, np.asarray(inner * share, np.float32), None)
    vein = segment(
        at, vertebra.frame.point(-vertebra.depth, 0.0), vertebra.frame.point(-3.0, 0.0), (2.0, 0.9)
    )
    yield _background(Tissue.VENOUS_BLOOD, body, at, np.maximum(vein, f))


def posterior_layers(
    body: BodyCoordinates, vertebra: Vertebra, marrow: Marrow, upper: bool
) -> Iterator[SpineLayer]:
    """Pedicles, arch with the spinous process, transverse processes and facets; of the sacrum its wings.

    `upper` is true of thoracic vertebrae, whose spinous processes point down.
    """
    at = _around(body, vertebra.frame, (62.0, 70.0, 40.0))
    if at is None:
        return
    u, v, w = vertebra.frame.offsets(at)
    half, canal = 0.5 * vertebra.height, v + 0.84 * vertebra.depth + CANAL_MM
    side = np.abs(u)
    if vertebra.name.startswith("S"):
        wings = np.maximum(ellipse(u, v + 8.0, 58.0, 15.0), np.abs(w) - half - 2.0)
        crest = np.maximum(np.maximum(side - 5.0, np.abs(canal + 12.0) - 5.0), np.abs(w) - half)
        bone = np.minimum(wings, crest)
    else:
        pedicle = np.maximum(ellipse(side - 15.5, w - 0.45 * half, 4.6, 7.0), np.abs(canal - 1.0) - 10.0)
        arch = np.maximum(ellipse(u, canal + 2.0, 19.0, 14.5), np.abs(w + 0.5 * half) - 0.62 * half)
        arch = np.maximum(arch, -ellipse(u, canal, 12.0, 9.0))
        fall = 0.7 if upper else 0.15
        spinous = np.maximum(side - 2.8, np.abs(canal + 27.0) - 14.0)
        spinous = np.maximum(spinous, np.abs(w - fall * (canal + 13.0) + 0.6 * half) - 8.0)
        transverse = np.maximum(
            np.maximum(np.abs(side - 26.0) - 12.0, np.abs(canal - 1.0) - 3.5), np.abs(w) - 5.0
        )
        facets = np.sqrt((side - 17.0) ** 2 + (canal + 7.0) ** 2 + ((w + half) / 1.6) ** 2) - 7.0
        bone = np.minimum(np.minimum(np.minimum(pedicle, arch), np.minimum(spinous, transverse)), facets)
    bone = np.asarray(bone, np.float32)
    yield _background(Tissue.CORTICAL_BONE, body, at, bone)
    inner = body.coverage(np.asarray(bone + 1.3 * _SHELL_MM, np.float32))
    yield SpineLayer(SpineTissue.RED_MARROW, at.box, inner, SpineLabel.BACKGROUND)
    fat = np.float32(marrow.fat[LEVELS.index(vertebra.name)] + 0.1)
    yield SpineLayer(SpineTissue.YELLOW_MARROW, at.box, inner * fat, None)


def column_layers(body: BodyCoordinates, column: Column, marrow: Marrow) -> Iterator[SpineLayer]:
    """Discs first, then the bones that lie between them."""
    for vertebra in column.vertebrae:
        yield from posterior_layers(body, vertebra, marrow, upper=vertebra.name.startswith("T"))
    for disc in column.discs:
        yield from disc_layers(body, disc)
    wear = [0.0, *(disc.degeneration for disc in column.discs), 0.0]
    for i, vertebra in enumerate(column.vertebrae):
        yield from body_layers(body, vertebra, marrow, (wear[i], wear[i + 1]))


def _around(body: BodyCoordinates, frame: Frame, reach: tuple[float, float, float]) -> Region | None:
    centre = np.array([frame.x, frame.y, frame.z])
    return body.region(centre - reach, centre + reach)


def _background(tissue: Enum, body: BodyCoordinates, at: Region, f: Float32) -> SpineLayer:
    return SpineLayer(tissue, at.box, body.coverage(np.asarray(f, np.float32)), SpineLabel.BACKGROUND)
