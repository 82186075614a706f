"""The entropy of a segmentation's predictions, of each pixel and in the mean."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def pixel_entropy(logits: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Entropy of each pixel's prediction, -sum_k w_k p_k log p_k, in nats, with p the softmax of the logits.

    0 where a pixel is certain, log K where it is undecided between all classes. Computed from the
    log-softmax, so that certain predictions have finite gradients.

    Args:
        logits: (B, K, *spatial). Half precision is computed in float32.
        class_weights: (K,) weights w; None for 1.

    Returns:
        (B, *spatial).
    """
    half = logits.dtype in (torch.float16, torch.bfloat16)
    log_p = functional.log_softmax(logits.float() if half else logits, dim=1)
    p_log_p = log_p.exp() * log_p
    if class_weights is not None:
        p_log_p = p_log_p * class_weights.to(log_p).reshape(-1, *[1] * (logits.dim() - 2))
    return -p_log_p.sum(1)


def mean_entropy(logits: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Mean over pixels of `pixel_entropy`.

    Args:
        logits: (B, K, *spatial).
        class_weights: (K,) weights; None for 1.

    Returns:
        A scalar.

    Source: OSUDA, Eq. 6, which lacks the minus; Shannon 1948.
    """
    return pixel_entropy(logits, class_weights).mean()
