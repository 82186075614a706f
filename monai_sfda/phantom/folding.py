"""The folding of a cortex: sheets at nearly equal distances that run into it from the surface.

The sheets are where a narrow-band random field g is zero. Over the surface of a brain such a set is a
labyrinth of lines that neither cross nor end, half a wavelength apart: so are sulci. With the field's phase
instead of its value the distance to the nearest sheet is known everywhere:

    g = sum_m cos(k_m p + phi_m),  A^2 = g^2 + |grad g|^2 / k^2,  distance = asin(g / A) / k,

which is exact for one plane wave.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_sfda.phantom.draws import Point
from monai_sfda.phantom.geometry import Float32
from monai_sfda.phantom.warp import Warp

_WAVES = 28
# How far the sheets lean: the share of the way from surface to centre that is a way through g as well. With
# 0 all sheets would point at the centre, with 1 they would not know where the surface is.
_LEAN = 0.6


@dataclass(frozen=True)
class Folding:
    """Sheets under the surface of an ellipsoid round the origin.

    Attributes:
        radii_mm: of the ellipsoid whose surface is folded.
        waves: (M, 3) wave vectors of g, all of the same length, rad/mm.
        phases: (M,) radians.
        bend: displacement that makes the sheets meander.
    """

    radii_mm: Point
    waves: Float32
    phases: Float32
    bend: Warp

    @classmethod
    def draw(cls, rng: np.random.Generator, radii_mm: Point, wavelength_mm: float) -> Folding:
        """A folding with sheets about half of `wavelength_mm` apart at the surface."""
        direction = rng.normal(size=(_WAVES, 3))
        direction *= 2 * np.pi / (wavelength_mm * np.linalg.norm(direction, axis=1, keepdims=True))
        phases = rng.uniform(0, 2 * np.pi, _WAVES)
        bend = Warp.draw(rng, 0.09 * wavelength_mm, wavelength_mm, 3.0 * wavelength_mm)
        return cls(radii_mm, direction.astype(np.float32), phases.astype(np.float32), bend)

    def sheet_distance(self, points: NDArray[np.float64]) -> Float32:
        """Signed distances (...,) in mm to the nearest sheet at points (..., 3) in mm."""
        radii = np.asarray(self.radii_mm, np.float32)
        scaled = (points + self.bend.displacement(points)).astype(np.float32) / radii
        depth = np.linalg.norm(scaled, axis=-1, keepdims=True) + np.float32(1e-3)
        outwards = scaled / depth
        leaning = 1.0 - _LEAN + _LEAN * np.minimum(depth, 1.2)
        angle = (radii * outwards * leaning) @ self.waves.T + self.phases
        value = np.cos(angle).sum(-1)
        slope = np.sin(angle) @ self.waves
        normal = outwards / radii
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        inwards = (slope * normal).sum(-1, keepdims=True)
        # g changes along the surface, and by the share of the lean across it
        square = (slope**2).sum(-1) - (1.0 - _LEAN**2) * inwards[..., 0] ** 2
        k = np.linalg.norm(self.waves[0])
        amplitude = np.sqrt(value**2 + square / k**2) + np.float32(1e-6)
        # towards the centre the sheets come closer
        closer = np.minimum(depth / leaning, 1.1)[..., 0]
        return np.asarray(np.arcsin(value / amplitude) / k * closer, np.float32)
