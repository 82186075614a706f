"""Mean and variance of a stream of vectors, by class or all together, in one pass."""

from __future__ import annotations

import torch
from torch import Tensor


class RunningMoments:
    """Count, mean and centred second moment of vectors that come in batches; memory independent of their
    number.

    Batches are merged by Chan's update in float64, which stays exact however far the mean is from zero.
    Nothing waits for a GPU until a result is read.

    Args:
        classes: K; 1 for vectors without classes.
        dimension: D.
        device: of the vectors.
    """

    def __init__(self, classes: int, dimension: int, device: torch.device | str = "cpu") -> None:
        self.count = torch.zeros(classes, dtype=torch.float64, device=device)
        self.mean = torch.zeros(classes, dimension, dtype=torch.float64, device=device)
        self._scatter = torch.zeros(classes, dimension, dtype=torch.float64, device=device)

    def update(self, points: Tensor, classes: Tensor | None = None) -> None:
        """Adds vectors.

        Args:
            points: (N, D).
            classes: (N,) of each; None where there is one class.
        """
        z = points.double()
        if classes is None:
            count = torch.full_like(self.count, z.shape[0])
            # Two passes: several times faster on the CPU than torch.var_mean over the first axis.
            mean = z.mean(0, keepdim=True)
            scatter = (z - mean).square().sum(0, keepdim=True)
        else:
            member = torch.nn.functional.one_hot(classes.long(), len(self.count)).double()
            count = member.sum(0)
            mean = member.T @ z / count.clamp_min(1)[:, None]
            scatter = member.T @ (z - mean[classes.long()]).square()
        total = self.count + count
        share = (count / total.clamp_min(1))[:, None]
        delta = mean - self.mean
        self._scatter += scatter + delta.square() * self.count[:, None] * share
        self.mean += delta * share
        self.count = total

    @property
    def variance(self) -> Tensor:
        """(K, D), divided by the count; 0 for a class without vectors."""
        return self._scatter / self.count.clamp_min(1)[:, None]
