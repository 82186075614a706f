"""The soft Dice loss of a batch, which may lie on several processes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from monai_sfda import processes
from monai_sfda.catalog import IGNORED

SMOOTH = 1e-5


def soft_dice_loss(logits: Tensor, label: Tensor, *, background: bool = True) -> Tensor:
    """1 - mean over structures of (2 sum p y + s) / (sum p + sum y + s), sums over all pixels of the batch.

    p are the class probabilities, y the one-hot label, s = 1e-5; background is left out of the mean, and
    ignored pixels out of the sums. MONAI's
    `DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)` on one process; over
    several, the sums are those of all, which MONAI's cannot take.

    Args:
        logits: (B, K, *spatial).
        label: (B, 1, *spatial) integer classes, or `IGNORED`.
        background: whether class 0 is background; otherwise it counts as all others.

    Returns:
        A scalar, the same on every process.

    Source: Milletari et al. 2016, V-Net, with probabilities unsquared.
    """
    known = label != IGNORED
    p = logits.softmax(1) * known
    y = functional.one_hot((label * known).squeeze(1).long(), logits.shape[1]).movedim(-1, 1).to(p) * known
    axes = [d for d in range(p.dim()) if d != 1]
    sums = processes.total(torch.stack([(p * y).sum(axes), p.sum(axes), y.sum(axes)]))[:, int(background) :]
    dice = (2 * sums[0] + SMOOTH) / (sums[1] + sums[2] + SMOOTH)
    return 1 - dice.mean()
