"""A random sample of pixels from a stream of slices, the same number of every class."""

from __future__ import annotations

import torch
from torch import Tensor


class PixelSample:
    """Keeps at most `count` pixels of every class, each with equal chance, without knowing how many come.

    Every pixel draws a random key and the `count` smallest keys of a class stay (bottom-k sampling). The keys
    depend on the seed and on the pixel's place in the stream alone: two networks that see the same stream
    keep the same pixels wherever they agree on the class.

    Args:
        num_classes: K.
        count: pixels a class.
        seed: of the keys.
    """

    def __init__(self, num_classes: int, count: int, seed: int) -> None:
        self.count = count
        self._generator = torch.Generator().manual_seed(seed)
        self._keys = [torch.zeros(0, dtype=torch.float64) for _ in range(num_classes)]
        self._points: list[Tensor | None] = [None] * num_classes

    def update(self, z: Tensor, classes: Tensor) -> None:
        """Offers pixels.

        Args:
            z: (B, D, H, W) embeddings.
            classes: (B, H, W) integer classes, on the CPU.
        """
        flat = classes.reshape(-1)
        keys = torch.rand(flat.numel(), generator=self._generator, dtype=torch.float64)
        height, width = classes.shape[-2:]
        for k in flat.unique().tolist():
            held, points = self._keys[k], self._points[k]
            limit = float(held[-1]) if len(held) == self.count else 1.0
            index = torch.nonzero((flat == k) & (keys < limit)).squeeze(1)
            image, place = index // (height * width), index % (height * width)
            new = z[image.to(z.device), :, (place // width).to(z.device), (place % width).to(z.device)]
            new = new.float().cpu()
            both = torch.cat([held, keys[index]])
            order = both.argsort(stable=True)[: self.count]
            self._keys[k] = both[order]
            self._points[k] = (new if points is None else torch.cat([points, new]))[order]

    def result(self) -> tuple[Tensor, Tensor]:
        """The sample: embeddings (N, D) float32, and classes (N,), ordered by class."""
        found = [(k, points) for k, points in enumerate(self._points) if points is not None]
        classes = torch.cat([torch.full((len(points),), k) for k, points in found])
        return torch.cat([points for _, points in found]), classes
