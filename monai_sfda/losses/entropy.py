"""The mean entropy of a segmentation's predictions."""

from __future__ import annotations

import torch
from torch import Tensor


def entropy(logits: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Mean over pixels of -sum_k w_k p_k log p_k, with p the softmax over classes, in nats.

    Half precision is raised to float32.

    Args:
        logits: (B, K, *spatial).
        class_weights: (K,) w_k; 1 for every class where none are given.

    Returns:
        A scalar, 0 to log K without weights.

    Source: AdaEnt, Eq. 2; OSUDA, Eq. 6, which lacks the minus.
    """
    log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(1)
    terms = -log_p.exp() * log_p
    if class_weights is not None:
        terms = terms * class_weights.to(terms).reshape(1, -1, *[1] * (terms.dim() - 2))
    return terms.sum(1).mean()
