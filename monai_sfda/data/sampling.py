"""Which slices make a batch: a pure function of the seed and the iteration, so that a resumed run draws the
same ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monai_sfda.errors import SettingError


class SliceSampler:
    """Draws slice indices, every slice once a pass, with rare classes drawn more often where labels say where
    they are.

    A batch takes each place with probability `rare_share` for a rare draw: a class is drawn uniformly among
    those present anywhere, then one of its slices uniformly. The other places walk through a permutation of
    all slices that is new in every pass.

    Args:
        length: number of slices.
        batch_size: slices a batch over all processes.
        seed: of all draws.
        presence: (length, K) bool, which foreground classes a slice shows; None without labels: no rare
            draws.
        rare_share: 0 to 1.
        first: index of the first of the slices that are drawn from.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        presence: NDArray[np.bool_] | None = None,
        rare_share: float = 0.5,
        first: int = 0,
    ) -> None:
        if length < 1 or batch_size < 1:
            raise SettingError(
                f"{length} slices in batches of {batch_size} cannot be drawn",
                remedy="give at least one slice and batch size 1",
            )
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.first = first
        self.rare_share = rare_share if presence is not None else 0.0
        self._slices_of_class = [] if presence is None else [np.flatnonzero(c) for c in presence.T if c.any()]
        self._pass = -1
        self._order: NDArray[np.intp] = np.zeros(0, dtype=np.intp)

    @property
    def epoch_length(self) -> int:
        """Iterations that walk once through all slices."""
        return -(-self.length // self.batch_size)

    def batch(self, iteration: int) -> list[int]:
        """Slice indices of an iteration, counted from 0."""
        draws = np.random.default_rng([self.seed, 1, iteration])
        indices = [self._walk(iteration * self.batch_size + place) for place in range(self.batch_size)]
        if self._slices_of_class and self.rare_share:
            for place in np.flatnonzero(draws.random(self.batch_size) < self.rare_share):
                slices = self._slices_of_class[draws.integers(len(self._slices_of_class))]
                indices[place] = int(slices[draws.integers(len(slices))])
        return [self.first + index for index in indices]

    def _walk(self, position: int) -> int:
        number, offset = divmod(position, self.length)
        if number != self._pass:
            self._pass = number
            self._order = np.random.default_rng([self.seed, 0, number]).permutation(self.length)
        return int(self._order[offset])
