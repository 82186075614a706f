"""Cross-entropy of a segmentation, optionally with the per-image class weights of SFS."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from monai_sfda.catalog import IGNORED


def image_class_weights(label: Tensor, num_classes: int) -> Tensor:
    """Per image, the weight of class k: the mean pixel count of the classes present, over the count of k.

    Classes absent from an image have weight 0 there (no pixel asks for it). Ignored pixels do not count.

    Args:
        label: (B, *spatial) integer classes, or `IGNORED`.
        num_classes: K.

    Returns:
        (B, K) float weights.

    Source: the published code of SFS (abdomen task).
    """
    offsets = torch.arange(label.shape[0], device=label.device).mul(num_classes)
    flat = (label.flatten(1).long() + offsets[:, None])[label.flatten(1) != IGNORED]
    counts = torch.bincount(flat, minlength=label.shape[0] * num_classes).reshape(label.shape[0], num_classes)
    present = counts > 0
    mean = counts.sum(1).double() / present.sum(1).clamp_min(1)
    return torch.where(
        present, mean[:, None] / counts.clamp_min(1), torch.zeros((), dtype=torch.double, device=label.device)
    ).float()


def segmentation_cross_entropy(logits: Tensor, label: Tensor, *, weighted: bool = False) -> Tensor:
    """Mean over pixels of -w_y log p_y; ignored pixels are left out, and the loss of nothing else is 0.

    Args:
        logits: (B, K, *spatial).
        label: (B, 1, *spatial) or (B, *spatial), integer classes, or `IGNORED`.
        weighted: w is `image_class_weights`; otherwise w = 1.

    Returns:
        A scalar.
    """
    if label.dim() == logits.dim():
        label = label.squeeze(1)
    known = label != IGNORED
    loss = functional.cross_entropy(logits, label.long(), ignore_index=IGNORED, reduction="none")
    if weighted:
        weights = image_class_weights(label, logits.shape[1])
        of_known = label.flatten(1).long() * known.flatten(1)
        loss = loss * weights.gather(1, of_known).reshape(loss.shape)
    return loss.sum() / known.sum().clamp_min(1)
