"""What lies inside a brain: deep nuclei, hippocampi, ventricles, choroid plexus and the great vessels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from monai_sfda.phantom.brain_fields import BrainFields
from monai_sfda.phantom.brain_tissues import BrainTissue
from monai_sfda.phantom.draws import Point, mirrored, normal
from monai_sfda.phantom.geometry import ellipsoid, rotation_about, tube
from monai_sfda.phantom.layers import TissueLayer

BrainLayer = TissueLayer[BrainTissue]

_Path = tuple[tuple[Point, ...], tuple[float, ...]]

# Nuclei on the right: tissue, centre, radii (mm), rotation (degrees).
_NUCLEI: tuple[tuple[BrainTissue, Point, Point, Point], ...] = (
    (BrainTissue.STRIATUM, (26.0, 9.0, 3.0), (6.0, 17.0, 11.0), (0.0, 0.0, 14.0)),
    (BrainTissue.PALLIDUM, (19.5, 5.0, 0.0), (4.5, 9.0, 7.0), (0.0, 0.0, 22.0)),
    (BrainTissue.THALAMUS, (11.0, -8.0, 7.0), (9.0, 15.0, 10.0), (0.0, 0.0, 20.0)),
    (BrainTissue.CORTEX, (24.0, 4.0, -18.0), (8.0, 8.0, 8.0), (0.0, 0.0, 0.0)),  # amygdala
)

# Paths on the right: points and radii (mm).
_CAUDATE: _Path = (
    ((12.0, 26.0, 5.0), (14.0, 16.0, 13.0), (17.0, 0.0, 21.0), (22.0, -20.0, 20.0)),
    (6.5, 5.5, 3.5, 2.5),
)
_HIPPOCAMPUS: _Path = (((25.0, -4.0, -20.0), (29.0, -18.0, -15.0), (24.0, -32.0, -5.0)), (5.0, 4.0, 3.0))
_LATERAL_VENTRICLE: _Path = (
    ((10.0, 33.0, 3.0), (9.0, 22.0, 11.0), (9.0, 4.0, 19.0), (14.0, -16.0, 20.0), (24.0, -38.0, 12.0)),
    (4.0, 6.0, 5.5, 6.0, 8.0),
)
_OCCIPITAL_HORN: _Path = (((24.0, -38.0, 12.0), (22.0, -60.0, 7.0)), (6.5, 2.0))
_TEMPORAL_HORN: _Path = (((24.0, -38.0, 12.0), (34.0, -30.0, -8.0), (33.0, -8.0, -17.0)), (6.0, 2.4, 1.8))
_VENTRICLES = (_LATERAL_VENTRICLE, _OCCIPITAL_HORN, _TEMPORAL_HORN)
_PLEXUS: _Path = (((24.0, -38.0, 12.0), (19.0, -26.0, 16.0)), (3.0, 1.6))

# Arteries and veins of the base and the midline: points and radii (mm).
_PAIRED_ARTERIES: tuple[_Path, ...] = (
    (
        ((13.0, 14.0, -22.0), (25.0, 18.0, -17.0), (38.0, 14.0, -9.0), (42.0, -4.0, -1.0)),
        (2.2, 1.7, 1.5, 1.1),
    ),
    (((13.0, 14.0, -22.0), (3.0, 24.0, -17.0), (2.0, 40.0, 2.0), (2.0, 28.0, 32.0)), (2.0, 1.3, 1.1, 0.9)),
    (((2.0, -3.0, -24.0), (16.0, -14.0, -15.0), (19.0, -32.0, -9.0)), (1.4, 1.2, 0.9)),
)
_BASILAR: _Path = (((0.0, -3.0, -44.0), (0.0, 0.0, -34.0), (0.0, -3.0, -24.0)), (1.8, 1.8, 1.6))
_VEINS: tuple[_Path, ...] = (
    # straight sinus, superior sagittal sinus
    (((0.0, -30.0, 12.0), (0.0, -40.0, 10.0), (0.0, -72.0, -8.0)), (1.4, 1.8, 2.2)),
    (
        ((0.0, 60.0, 50.0), (0.0, 20.0, 69.0), (0.0, -30.0, 66.0), (0.0, -74.0, 28.0), (0.0, -84.0, -6.0)),
        (1.0, 1.8, 2.4, 2.8, 3.0),
    ),
)
_INTERNAL_CEREBRAL_VEIN: _Path = (((2.0, 6.0, 11.0), (2.0, -18.0, 15.0), (0.5, -30.0, 12.0)), (0.8, 0.9, 1.2))


@dataclass(frozen=True)
class BrainInterior:
    """The parts inside the brain of one subject.

    Attributes:
        nuclei: factor on the size of the deep nuclei.
        ventricles: factors on the widths of the right and the left ventricle; grows with age.
        third_mm: half width of the third ventricle.
        vessels: factor on the widths of the vessels.
    """

    nuclei: float
    ventricles: tuple[float, float]
    third_mm: float
    vessels: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> BrainInterior:
        """Narrow ventricles of the young to the wide ones of the old, never quite symmetric."""
        wide = float(np.exp(normal(rng, 0.0, 0.22)))
        return cls(
            nuclei=normal(rng, 1.0, 0.04),
            ventricles=(wide * normal(rng, 1.0, 0.06), wide * normal(rng, 1.0, 0.06)),
            third_mm=1.6 * wide,
            vessels=normal(rng, 1.0, 0.12),
        )

    def layers(self, fields: BrainFields) -> Iterator[BrainLayer]:
        """Nuclei, then ventricles, then what floats in them."""
        for side, wide in zip((1, -1), self.ventricles, strict=True):
            yield from self._nuclei(fields, side)
            for path in _VENTRICLES:
                yield from _along(fields, BrainTissue.CEREBROSPINAL_FLUID, path, side, wide)
            yield from _along(fields, BrainTissue.CHOROID_PLEXUS, _PLEXUS, side, wide)
        third, fourth = (self.third_mm, 13.0, 9.0), (5.0 * self.ventricles[0], 4.0, 9.0)
        for centre, radii in (((0.0, -2.0, 3.0), third), ((0.0, -36.0, -34.0), fourth)):
            at = fields.body.region(np.subtract(centre, radii), np.add(centre, radii))
            if at is not None:
                yield fields.layer(BrainTissue.CEREBROSPINAL_FLUID, at, ellipsoid(at, centre, radii))

    def vessel_layers(self, fields: BrainFields) -> Iterator[BrainLayer]:
        """Arteries of the base and of the Sylvian fissure, veins and sinuses of the midline."""
        for side in (1, -1):
            for path in _PAIRED_ARTERIES:
                yield from _along(fields, BrainTissue.ARTERY, path, side, self.vessels)
            yield from _along(fields, BrainTissue.VEIN, _INTERNAL_CEREBRAL_VEIN, side, self.vessels)
        yield from _along(fields, BrainTissue.ARTERY, _BASILAR, 1, self.vessels)
        for path in _VEINS:
            yield from _along(fields, BrainTissue.VEIN, path, 1, self.vessels)

    def _nuclei(self, fields: BrainFields, side: int) -> Iterator[BrainLayer]:
        for tissue, centre, radii, degrees in _NUCLEI:
            middle = mirrored(centre, side)
            size = (radii[0] * self.nuclei, radii[1] * self.nuclei, radii[2] * self.nuclei)
            reach = max(size)
            at = fields.body.region(np.subtract(middle, reach), np.add(middle, reach))
            if at is not None:
                turned = rotation_about((degrees[0], degrees[1], side * degrees[2]))
                yield fields.layer(tissue, at, ellipsoid(at, middle, size, turned))
        yield from _along(fields, BrainTissue.STRIATUM, _CAUDATE, side, self.nuclei)
        yield from _along(fields, BrainTissue.CORTEX, _HIPPOCAMPUS, side, self.nuclei)


def _along(
    fields: BrainFields, tissue: BrainTissue, path: _Path, side: int, widening: float
) -> Iterator[BrainLayer]:
    points, radii = path
    found = tube(fields.body, [mirrored(p, side) for p in points], [r * widening for r in radii])
    if found is not None:
        yield fields.layer(tissue, *found)
