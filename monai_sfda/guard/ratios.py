"""Predicted shares of the classes beside those that the release states."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from monai_sfda.losses import class_ratio_divergence
from monai_sfda.release import ClassRatio

SMALLEST_STD = 0.1
"""Of a share, relative to its mean: the source's scans may be of one kind, and any other infinitely far."""
OUTSIDE = 3.0
"""Standard deviations beyond which a share is outside what the release states."""
TINY = 0.01
"""A structure of less than this part of the source's mean share has vanished."""


def ratio_signals(
    soft: Tensor, hard: Tensor, source: ClassRatio, structures: Mapping[str, int]
) -> dict[str, float]:
    """The signals of class ratios.

    With the source's mean shares tau and their standard deviations s over subjects, the mean softmax tau^ and
    the shares r of the predicted classes:

    - `ratio_kl` = KL(tau || tau^), nats;
    - `composition_kl`: the same of the structures alone, each side scaled to sum 1, so that a larger field of
      view does not count; for two structures or more beside a background;
    - z_k = (r_k - tau_k) / max(s_k, 0.1 tau_k) of structures that the source shows: `ratio_z` is the mean of
      |z|, `ratio_z_largest` the largest, `ratio_outside` how many exceed 3.

    Args:
        soft: (K,) tau^.
        hard: (K,) r.
        source: of the release.
        structures: names to classes, background left out.
    """
    mean, std = (torch.tensor(values, dtype=torch.float64) for values in (source.mean, source.std))
    soft, hard = soft.double().cpu(), hard.double().cpu()
    found = {"ratio_kl": float(class_ratio_divergence(mean, soft[None]))}
    index = list(structures.values())
    if 1 < len(index) < len(mean):
        parts = [values[index] / values[index].sum().clamp_min(1e-12) for values in (mean, soft)]
        found["composition_kl"] = float(class_ratio_divergence(parts[0], parts[1][None]))
    seen = [k for k in index if source.mean[k] > 0]
    if seen:
        z = ((hard - mean) / std.maximum(SMALLEST_STD * mean).clamp_min(1e-12))[seen].abs()
        found["ratio_z"], found["ratio_z_largest"] = float(z.mean()), float(z.max())
        found["ratio_outside"] = float((z > OUTSIDE).sum())
    return found


def vanished(shares: Mapping[str, float], source: ClassRatio | None, labels: Mapping[str, int]) -> list[str]:
    """Structures of which nothing is predicted, or less than 1% of the source's mean share.

    Those that the source never shows cannot vanish.

    Args:
        shares: structure to predicted share of the pixels.
        source: of the release; without it only a share of 0 counts.
        labels: class names to indices.
    """
    if source is None:
        return [name for name, share in shares.items() if share == 0]
    return [
        name
        for name, share in shares.items()
        if (usual := source.mean[labels[name]]) > 0 and share < TINY * usual
    ]
