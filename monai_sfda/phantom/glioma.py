"""A glioma: core, rim, necrosis, oedema, and how it pushes the brain aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.brain_fields import BrainFields
from monai_sfda.phantom.brain_tissues import BrainTissue, Grade, TumourLabel
from monai_sfda.phantom.draws import Point, mirrored, near, normal, uniform
from monai_sfda.phantom.geometry import Float32, Region, Rotation, ellipsoid, rotation_about
from monai_sfda.phantom.layers import TissueLayer

# Where gliomas arise, in white matter of the right hemisphere (mm), and how often. All gliomas: frontal 40%,
# temporal 29%, parietal 14%, occipital 3% (Larjavaara et al., Incidence of gliomas by anatomic location,
# Neuro-Oncology 2007;9:319). In the insula 25% of low-grade gliomas, 11% of glioblastomas (Duffau and
# Capelle, Preferential brain locations of low-grade gliomas, Cancer 2004;100:2622). The rest is ours.
_PLACES: dict[str, Point] = {
    "frontal": (27.0, 38.0, 24.0),
    "temporal": (44.0, -8.0, -18.0),
    "insular": (36.0, 6.0, 4.0),
    "parietal": (30.0, -34.0, 34.0),
    "occipital": (32.0, -58.0, 12.0),
}
_SHARES: dict[Grade, tuple[float, ...]] = {
    "HGG": (0.40, 0.30, 0.11, 0.15, 0.04),
    "LGG": (0.42, 0.22, 0.25, 0.08, 0.03),
}
_RIPPLES = 16


@dataclass(frozen=True)
class Ripples:
    """A random field of unit variance that makes the surfaces of a tumour irregular: a sum of plane waves.

    Attributes:
        waves: (M, 3) wave vectors, rad/mm.
        phases: (M,) radians.
    """

    waves: Float32
    phases: Float32

    @classmethod
    def draw(cls, rng: np.random.Generator, shortest_mm: float, longest_mm: float) -> Ripples:
        """Wavelengths between two lengths, equally many an octave."""
        length = np.exp(rng.uniform(np.log(shortest_mm), np.log(longest_mm), (_RIPPLES, 1)))
        direction = rng.normal(size=(_RIPPLES, 3))
        direction *= 2 * np.pi / (length * np.linalg.norm(direction, axis=1, keepdims=True))
        phases = rng.uniform(0, 2 * np.pi, _RIPPLES)
        return cls(direction.astype(np.float32), phases.astype(np.float32))

    def at(self, region: Region) -> Float32:
        """The field at the voxels of a region, (X, Y, Z)."""
        total = np.zeros(region.x.shape, np.float32)
        for (a, b, c), phase in zip(self.waves, self.phases, strict=True):
            total += np.cos(a * region.x + b * region.y + c * region.z + phase)
        return total * np.float32(np.sqrt(2.0 / _RIPPLES))


@dataclass(frozen=True)
class Nodule:
    """A solid enhancing part of a core: centre and radius, mm."""

    centre: Point
    radius: float


@dataclass(frozen=True)
class Focus:
    """The part of a core that has a rim: an ellipsoid of the core's form inside or across it.

    Attributes:
        offset: of its centre from the core's, mm.
        scale: of its radii relative to the core's.
    """

    offset: Point
    scale: float

    def grown(self, factor: float) -> Focus:
        """The focus of a core `factor` times as wide."""
        x, y, z = self.offset
        return replace(self, offset=(x * factor, y * factor, z * factor))


@dataclass(frozen=True)
class Glioma:
    """A tumour in brain coordinates (mm).

    Attributes:
        grade: high or low.
        centre, radii, rotation: the ellipsoid that the core is a rippled form of.
        roughness_mm: standard deviation of the core's surface.
        border_mm: over how much the core gives way to brain beyond partial volume; tumours infiltrate.
        rim_mm: mean thickness of the enhancing rim; 0 for none.
        focus: the part of the core that the rim surrounds; None: the whole core. The rest is solid tumour
            that does not enhance.
        nodules: enhancing parts inside the core.
        oedema_mm: mean extent of the oedema beyond the core, in white matter.
        push: relative displacement of the brain round the centre, 0 to 1.
        surface, shell, fingers: ripples of the core's surface, of the rim's thickness, of the oedema.
    """

    grade: Grade
    centre: Point
    radii: Point
    rotation: Rotation
    roughness_mm: float
    border_mm: float
    rim_mm: float
    focus: Focus | None
    nodules: tuple[Nodule, ...]
    oedema_mm: float
    push: float
    surface: Ripples
    shell: Ripples
    fingers: Ripples

    @classmethod
    def draw(cls, rng: np.random.Generator, grade: Grade) -> Glioma:
        """High grade: a rim that enhances, in half of them round a part of the core alone, round necrosis;
        wide oedema, mass effect. Low grade: a large core that does not enhance, or in nodules or round a
        small focus alone; narrower oedema, less displacement.
        """
        place = list(_PLACES.values())[int(rng.choice(len(_PLACES), p=_SHARES[grade]))]
        side = 1 if rng.random() < 0.5 else -1
        centre = near(rng, mirrored(place, side), 5.0)
        high = grade == "HGG"
        size = uniform(rng, 13.0, 23.0) if high else uniform(rng, 14.0, 25.0)
        radii = (size * normal(rng, 1.0, 0.12), size * normal(rng, 1.1, 0.12), size * normal(rng, 0.95, 0.12))
        if high:
            nodules = _nodules(rng, centre, size, int(rng.integers(0, 3)), (0.25, 0.4))
            rim, focus = uniform(rng, 3.0, 5.5), _focus(rng, radii)
        else:
            nodules, rim, focus = _low_grade_enhancement(rng, centre, radii)
        return cls(
            grade=grade,
            centre=centre,
            radii=radii,
            rotation=rotation_about((uniform(rng, -40, 40), uniform(rng, -40, 40), uniform(rng, -40, 40))),
            roughness_mm=size * uniform(rng, 0.08, 0.15),
            border_mm=uniform(rng, 0.5, 1.5) if high else uniform(rng, 1.5, 4.0),
            rim_mm=rim,
            nodules=nodules,
            oedema_mm=uniform(rng, 9.0, 20.0) if high else uniform(rng, 4.0, 12.0),
            push=uniform(rng, 0.25, 0.5) if high else uniform(rng, 0.05, 0.25),
            surface=Ripples.draw(rng, 11.0, 45.0),
            shell=Ripples.draw(rng, 8.0, 30.0),
            fingers=Ripples.draw(rng, 16.0, 50.0),
            focus=focus,
        )

    def grown(self, factor: float) -> Glioma:
        """The same tumour some months later, `factor` times as wide, with more oedema and mass effect."""
        return replace(
            self,
            radii=(self.radii[0] * factor, self.radii[1] * factor, self.radii[2] * factor),
            focus=None if self.focus is None else self.focus.grown(factor),
            oedema_mm=self.oedema_mm * factor,
            push=min(self.push * factor, 0.6),
        )

    def displaced(self, points: NDArray[np.float64], give: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where the tissue at points (..., 3) was before the tumour grew, mm.

        x -> c + (x - c) (1 - push give exp(-|x - c|^2 / (2 s^2))), s = 1.6 mean radii: one to one for push <
        1.

        Args:
            points: where tissue is now, brain coordinates.
            give: (...,) 0 where nothing moves (at the skull) to 1.
        """
        away = points - np.asarray(self.centre)
        width = 1.6 * float(np.mean(self.radii))
        fall = np.exp(-(away**2).sum(-1) / (2.0 * width**2))
        moved: NDArray[np.float64] = points - away * (self.push * give * fall)[..., None]
        return moved

    def layers(self, fields: BrainFields) -> Iterator[TissueLayer[BrainTissue]]:
        """Oedema in white matter, then the core from outside inwards."""
        reach = max(self.radii) + 2.5 * self.roughness_mm + 2.2 * self.oedema_mm
        at = fields.body.region(np.subtract(self.centre, reach), np.add(self.centre, reach))
        if at is None:
            return
        ripple = self.surface.at(at)
        core = ellipsoid(at, self.centre, self.radii, self.rotation) + self.roughness_mm * ripple
        extent = self.oedema_mm * np.maximum(1.0 + 0.45 * self.fingers.at(at), 0.15)
        # oedema follows the white matter and, but close to the core, hardly enters the cortex
        along = np.minimum(fields.white[at.box] + np.clip(0.8 - 0.15 * core, 0.12, 0.8), 1.0)
        oedema = fields.body.coverage((core - extent) / 2.0) * along * fields.wall[at.box]
        yield TissueLayer(BrainTissue.OEDEMA, at.box, oedema, TumourLabel.OEDEMA)

        # a growing core fills sulci and ventricles
        room = fields.hemispheres[at.box]
        solid = fields.body.coverage(core / (1.0 + self.border_mm)) * room
        inner = BrainTissue.NON_ENHANCING_TUMOUR
        if self.rim_mm == 0 or self.focus is not None:
            yield TissueLayer(inner, at.box, solid, TumourLabel.NECROTIC_AND_NON_ENHANCING)
        if self.rim_mm > 0:
            part = core
            if self.focus is not None:
                centre = np.add(self.centre, self.focus.offset)
                radii = np.multiply(self.radii, self.focus.scale)
                own = ellipsoid(at, _point(centre), _point(radii), self.rotation) + self.roughness_mm * ripple
                part = np.maximum(own, core)
                solid = fields.body.coverage(part / (1.0 + self.border_mm)) * room
            yield TissueLayer(BrainTissue.ENHANCING_TUMOUR, at.box, solid, TumourLabel.ENHANCING)
            thickness = self.rim_mm * np.clip(1.0 + 0.5 * self.shell.at(at), 0.3, 2.2)
            yield self._inside(fields, at, inner, part + thickness, room)
            yield self._inside(fields, at, BrainTissue.NECROSIS, part + thickness + 1.5, room)
        for nodule in self.nodules:
            ball = ellipsoid(at, nodule.centre, (nodule.radius,) * 3) + 0.2 * nodule.radius * ripple
            cover = fields.body.coverage(np.maximum(ball, core + 1.0)) * room
            yield TissueLayer(BrainTissue.ENHANCING_TUMOUR, at.box, cover, TumourLabel.ENHANCING)

    def _inside(
        self, fields: BrainFields, at: Region, tissue: BrainTissue, f: Float32, room: Float32
    ) -> TissueLayer[BrainTissue]:
        cover = fields.body.coverage(np.asarray(f, np.float32)) * room
        return TissueLayer(tissue, at.box, cover, TumourLabel.NECROTIC_AND_NON_ENHANCING)


def _focus(rng: np.random.Generator, radii: Point) -> Focus | None:
    """Half of the high-grade cores enhance as a whole; of the others a part of 0.6 to 0.8 of their width, off
    the centre. That solid tumour without enhancement is common is known, its share and place are ours.
    """
    scale, direction = uniform(rng, 0.6, 0.8), rng.normal(size=3)
    if rng.random() < 0.5:
        return None
    offset = direction / np.linalg.norm(direction) * np.multiply(radii, 1.0 - scale)
    return Focus(_point(offset), scale)


def _low_grade_enhancement(
    rng: np.random.Generator, centre: Point, radii: Point
) -> tuple[tuple[Nodule, ...], float, Focus | None]:
    """Nodules, thickness of a rim (mm) and the focus that it surrounds, of a low-grade core.

    Of eleven low-grade cases of BraTS whose volumes we read (docs/phantoms.md) one has no enhancing tumour,
    three have 0.1 to 1.2 ml, six 2 to 17 ml and one, of necrosis as large, 90 ml. Here 35% have none, 45%
    one to three nodules and 20% a rim round a part of 0.3 to 0.5 of the core's width.
    """
    kind = rng.random()
    if kind < 0.35:
        return (), 0.0, None
    if kind < 0.8:
        size = float(np.mean(radii))
        return _nodules(rng, centre, size, int(rng.integers(1, 4)), (0.22, 0.42)), 0.0, None
    scale, direction = uniform(rng, 0.3, 0.5), rng.normal(size=3)
    offset = direction / np.linalg.norm(direction) * np.multiply(radii, 0.7 * (1.0 - scale))
    return (), uniform(rng, 2.5, 4.5), Focus(_point(offset), scale)


def _point(xyz: NDArray[np.float64]) -> Point:
    x, y, z = (float(v) for v in xyz)
    return x, y, z


def _nodules(
    rng: np.random.Generator, centre: Point, size: float, count: int, share: tuple[float, float]
) -> tuple[Nodule, ...]:
    """Nodules off the centre of a core; `share` bounds their radius relative to the core's size."""
    return tuple(Nodule(near(rng, centre, 0.35 * size), size * uniform(rng, *share)) for _ in range(count))
