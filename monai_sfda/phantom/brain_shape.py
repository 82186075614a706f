"""The outer surfaces of a brain: cerebrum, cerebellum, brain stem, and what skull stripping leaves of it.

Brain coordinates: mm, x to the right, y to the front, z up; the origin lies between the thalami, some 10 mm
behind the middle of the plane of the commissures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_sfda.phantom.draws import Point, normal
from monai_sfda.phantom.geometry import (
    Float32,
    Region,
    ellipsoid,
    ellipsoid_at,
    rotation_about,
    segment,
    smooth_intersection,
    smooth_union,
)


@dataclass(frozen=True)
class BrainShape:
    """Outer surfaces in the reference brain.

    Attributes:
        cerebrum_mm: half width, length and height of both hemispheres above their base.
        temporal_mm: radii of a temporal lobe.
        cerebellum_mm: radii of a cerebellar hemisphere.
        fluid_mm: how far beyond the brain the skull stripping cuts.
    """

    cerebrum_mm: Point
    temporal_mm: Point
    cerebellum_mm: Point
    fluid_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> BrainShape:
        """Proportions of an adult."""
        return cls(
            (normal(rng, 67.0, 1.5), normal(rng, 86.0, 2.0), normal(rng, 64.0, 1.5)),
            (normal(rng, 25.0, 0.8), normal(rng, 43.0, 1.5), normal(rng, 20.0, 0.8)),
            (normal(rng, 31.0, 1.0), normal(rng, 29.0, 1.0), normal(rng, 22.0, 1.0)),
            normal(rng, 0.4, 0.3),
        )

    def cerebrum(self, at: Region) -> Float32:
        """Signed distance (approximate) to the hull of both hemispheres, fissures closed."""
        # narrower towards the forehead than behind the ears
        widening = 1.0 + np.clip(at.y + 18.0, -40.0, 100.0) * 0.0011
        hemispheres = ellipsoid_at(at.x * widening, at.y, at.z - 5.0, self.cerebrum_mm)
        base = -19.0 + 7.0 * np.clip(-at.y / 55.0, 0.0, 1.0)
        f = smooth_intersection(hemispheres, np.asarray(base - at.z, np.float32), 14.0)
        for side in (1, -1):
            turned = rotation_about((-8.0, 0.0, side * 8.0))
            lobe = ellipsoid(at, (side * 41.0, -3.0, -19.0), self.temporal_mm, turned)
            f = smooth_union(f, lobe, 5.0)
        return f

    def cerebellum(self, at: Region) -> Float32:
        """Signed distance (approximate) to the cerebellum, folia closed."""
        vermis = ellipsoid(at, (0.0, -50.0, -30.0), (12.0, 24.0, 20.0))
        for side in (1, -1):
            vermis = smooth_union(vermis, ellipsoid(at, (side * 24.0, -52.0, -35.0), self.cerebellum_mm), 6.0)
        return vermis

    def stem(self, at: Region) -> Float32:
        """Signed distance (approximate) to midbrain, pons and medulla."""
        axis = segment(at, (0.0, -12.0, -6.0), (0.0, -26.0, -40.0), (15.0, 11.0))
        medulla = segment(at, (0.0, -26.0, -40.0), (0.0, -36.0, -72.0), (10.0, 7.0))
        pons = ellipsoid(at, (0.0, -15.0, -30.0), (17.0, 11.0, 13.0))
        return smooth_union(smooth_union(axis, pons, 5.0), medulla, 5.0)

    def stripped(self, at: Region, cerebrum: Float32, cerebellum: Float32, stem: Float32) -> Float32:
        """Signed distance (approximate) to the surface that skull stripping cuts along: a little beyond the
        brain, over its furrows, the basal cisterns and the tentorium.
        """
        cisterns = ellipsoid(at, (0.0, -8.0, -24.0), (24.0, 24.0, 11.0))
        tentorium = ellipsoid(at, (0.0, -46.0, -17.0), (42.0, 27.0, 8.0))
        brain = smooth_union(smooth_union(cerebrum, cerebellum, 14.0), stem, 8.0)
        return smooth_union(brain, np.minimum(cisterns, tentorium), 6.0) - self.fluid_mm
