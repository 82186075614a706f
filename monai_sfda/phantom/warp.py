"""A smooth random deformation of a body: what makes two subjects with the same parts differ in shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WAVES = 18


@dataclass(frozen=True)
class Warp:
    """A smooth displacement field: a sum of plane waves.

    Attributes:
        waves: (M, 3) wave vectors, rad/mm.
        amplitudes: (M, 3) displacements, mm.
        phases: (M,) radians.
    """

    waves: NDArray[np.float64]
    amplitudes: NDArray[np.float64]
    phases: NDArray[np.float64]

    @classmethod
    def draw(
        cls, rng: np.random.Generator, rms_mm: float, shortest_mm: float = 45.0, longest_mm: float = 240.0
    ) -> Warp:
        """Wavelengths between two lengths, the long ones stronger; `rms_mm` is the rms of a component."""
        length = np.exp(rng.uniform(np.log(shortest_mm), np.log(longest_mm), _WAVES))
        direction = rng.normal(size=(_WAVES, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        amplitudes = rng.normal(size=(_WAVES, 3)) * length[:, None]
        amplitudes *= rms_mm / np.sqrt(0.5 * (amplitudes**2).sum(0).mean())
        return cls(2 * np.pi * direction / length[:, None], amplitudes, rng.uniform(0, 2 * np.pi, _WAVES))

    def displacement(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Displacements (..., 3) in mm at points (..., 3) in mm."""
        moved: NDArray[np.float64] = np.sin(points @ self.waves.T + self.phases) @ self.amplitudes
        return moved
