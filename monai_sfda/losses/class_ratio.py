"""How far predicted class ratios are from a prior: Kullback-Leibler divergence, both ways."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Direction = Literal["prior_to_predicted", "predicted_to_prior"]
Normalisation = Literal["softmax", "largest_class"]
# A class that the prior rules out costs much to predict, not infinitely much. Ours: the paper does not say.
LEAST_PRIOR = 1e-8


def predicted_class_ratio(logits: Tensor, normalisation: Normalisation = "softmax") -> Tensor:
    """Share of each class in each image, the mean over its pixels of the softmax p: tau^_k = mean_i p_k(i).

    Half precision is raised to float32.

    Args:
        logits: (B, K, *spatial).
        normalisation: `largest_class` divides p by the pixel's largest p before the mean, as the published
            code of AdaEnt does; the mean is then divided by its sum (*ours*), so that it is a ratio again.

    Returns:
        (B, K), rows of sum 1.

    Source: AdaEnt, Section 2.
    """
    p = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(1)
    if normalisation == "largest_class":
        p = p / p.amax(1, keepdim=True)
    ratio = p.flatten(2).mean(2)
    return ratio / ratio.sum(1, keepdim=True)


def label_class_ratio(label: Tensor, num_classes: int) -> Tensor:
    """Share of each class in each label, tau_k = pixels of class k / pixels.

    Args:
        label: (B, *spatial) or (B, 1, *spatial), classes from 0 to K - 1.
        num_classes: K.

    Returns:
        (B, K) float64, rows of sum 1.
    """
    flat = label.flatten(1).long()
    images = torch.arange(len(flat), device=label.device)[:, None]
    counts = torch.bincount((images * num_classes + flat).flatten(), minlength=len(flat) * num_classes)
    return counts.view(len(flat), num_classes).double() / flat.shape[1]


def class_ratio_divergence(
    prior: Tensor, predicted: Tensor, direction: Direction = "prior_to_predicted"
) -> Tensor:
    """Mean over the batch of KL(tau_e, tau^) = sum_k tau_e_k log(tau_e_k / tau^_k), or the other way round.

    A class of share 0 in the first argument adds nothing. Where the prior is the second, shares of it below
    1e-8 count as 1e-8.

    Args:
        prior: (B, K) or (K,) tau_e, rows of sum 1.
        predicted: (B, K) tau^, rows of sum 1. Gradients flow to it.
        direction: `prior_to_predicted` is KL(tau_e, tau^), as AdaEnt's paper writes; `predicted_to_prior` is
            KL(tau^, tau_e), as its code computes.

    Returns:
        A scalar in nats, 0 where the two are equal.

    Source: AdaEnt, Eq. 3.
    """
    prior = prior.to(predicted).expand_as(predicted)
    tiny = torch.finfo(predicted.dtype).tiny
    log_predicted = predicted.clamp_min(tiny).log()
    if direction == "prior_to_predicted":
        terms = prior * (prior.clamp_min(tiny).log() - log_predicted)
    else:
        terms = predicted * (log_predicted - prior.clamp_min(LEAST_PRIOR).log())
    return terms.sum(1).mean()
