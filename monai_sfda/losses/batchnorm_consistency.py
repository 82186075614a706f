"""Consistency of batch-norm scales and shifts with the source's, weighted by transferability."""

from __future__ import annotations

from typing import Literal

from torch import Tensor


def channel_distance(
    source_mean: Tensor, source_variance: Tensor, target_mean: Tensor, target_variance: Tensor, eps: float
) -> Tensor:
    """How far a channel's statistics lie apart: d = |mu_S / sqrt(var_S + eps) - mu_T / sqrt(var_T + eps)|.

    Args:
        source_mean, source_variance, target_mean, target_variance: (C,) of one layer.
        eps: of that layer's batch norm.

    Returns:
        (C,), without unit.

    Source: OSUDA, Eq. 5.
    """
    source = source_mean * (source_variance + eps).rsqrt()
    return (source - target_mean * (target_variance + eps).rsqrt()).abs()


def transferability(distance: Tensor) -> Tensor:
    """Weights a_c = C (1 + d_c)^-1 / sum_c' (1 + d_c')^-1, large where statistics changed little; mean 1.

    Args:
        distance: (C,) distances d of the channels of *all* layers, C of them together. The paper normalises
            by layers times channels, which is the same only where all layers are equally wide.

    Returns:
        (C,) weights. No gradient flows through them.

    Source: OSUDA, the text below Eq. 5, corrected.
    """
    closeness = 1 / (1 + distance.detach())
    return closeness / closeness.mean()


def batchnorm_consistency(
    source_scale: Tensor,
    scale: Tensor,
    source_shift: Tensor,
    shift: Tensor,
    weight: Tensor,
    reduction: Literal["sum", "mean"] = "sum",
) -> Tensor:
    """L_HBS = sum_c (1 + a_c) (|gamma_S,c - gamma_T,c| + |beta_S,c - beta_T,c|), or the mean over channels.

    Where a parameter equals the source's, the gradient is 0.

    Args:
        source_scale, scale: (C,) gamma of the source and of the network that adapts, all layers' channels.
        source_shift, shift: (C,) beta of both.
        weight: (C,) a, see `transferability`.
        reduction: `sum` (the paper's; grows with the network) or `mean`.

    Returns:
        A scalar.

    Source: OSUDA, Eq. 4.
    """
    per_channel = (1 + weight) * ((source_scale - scale).abs() + (source_shift - shift).abs())
    return per_channel.sum() if reduction == "sum" else per_channel.mean()
