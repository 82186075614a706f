"""Soft neighbourhood density: do points of one class lie together in what the network says of them?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE = 0.05


def soft_neighbourhood_density(probabilities: Tensor, temperature: float = TEMPERATURE) -> float:
    """Mean entropy of the points' soft neighbourhoods.

    With rows f_i = p_i / |p_i| of softmax outputs, similarities s_ij = f_i f_j / T for j != i, and
    P_ij = exp s_ij / sum_(j != i) exp s_ij,

        SND = 1/N sum_i -sum_j P_ij log P_ij,

    in nats, from 0 (each point is near one other alone) to log(N - 1) (near all). Compare only samples of the
    same number of points.

    Args:
        probabilities: (N, K), N at least 3.
        temperature: T.

    Source: Saito et al. 2021, "Tune it the Right Way: Unsupervised Validation of Domain Adaptation via Soft
    Neighborhood Density", Eqs. 1 to 3.
    """
    f = functional.normalize(probabilities.float(), dim=1)
    similarity = f @ f.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    log_p = similarity.log_softmax(1)
    terms = log_p.exp() * log_p
    return float(-terms.fill_diagonal_(0).sum(1).mean())
