"""Membership attacks as pure functions: scores of subjects against what a release states, and how often they
are right.

A score is higher for a subject that looks more like one of those that the release was made from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from monai_sfda.prototypes import Prototypes

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class ClassMoments:
    """A subject's embeddings of one class: how many, their mean (D,) and covariance (D, D), float64."""

    count: int
    mean: Tensor
    covariance: Tensor


def class_moments(z: Tensor, label: Tensor) -> dict[int, ClassMoments]:
    """Moments of embeddings (N, D) by their labels (N,)."""
    found = {}
    for k in label.unique().tolist():
        points = z[label == k].double()
        mean = points.mean(0)
        found[k] = ClassMoments(len(points), mean, (points - mean).T @ (points - mean) / len(points))
    return found


def log_likelihood(subject: Mapping[int, ClassMoments], prototypes: Prototypes) -> float:
    """Mean log-likelihood of a subject's labelled pixels under their classes' prototypes, every class
    weighing the same.

    E log N(z; mu, S) = -1/2 (D log 2 pi + log det S + tr S^-1 (C + (m - mu)(m - mu)^T)) with the subject's
    own mean m and covariance C. A thousandth of the mean variance is added to S, which may be singular.
    """
    values = []
    for k, moments in subject.items():
        if not bool(prototypes.available[k]):
            continue
        covariance = prototypes.covariance[k]
        dimension = covariance.shape[0]
        covariance = covariance + 1e-3 * covariance.trace() / dimension * torch.eye(dimension)
        away = moments.mean - prototypes.mean[k]
        spread = moments.covariance + torch.outer(away, away)
        quadratic = torch.linalg.solve(covariance, spread).trace()
        log_determinant = torch.linalg.slogdet(covariance).logabsdet
        values.append(-0.5 * float(dimension * math.log(2 * math.pi) + log_determinant + quadratic))
    return float(np.mean(values))


def closeness(own: Floats, released: Floats, spread: Floats) -> float:
    """Minus the squared distance of a subject's values from the released means.

    Args:
        own, released: (V,).
        spread: (V,) standard deviation of each value over the population, which the attacker knows.
    """
    return -float((((own - released) / spread) ** 2).sum())


def map_closeness(own: Tensor, released: Tensor) -> float:
    """Minus the squared distance of a subject's own map of the structures from a released one.

    Args:
        own, released: (K, X, Y, N) and (K, X, Y, N'); where one reaches farther along the last axis, its ends
            are left out.
    """
    cells = min(own.shape[-1], released.shape[-1])
    first, second = (m.double().narrow(-1, (m.shape[-1] - cells) // 2, cells)[1:] for m in (own, released))
    return -float((first - second).square().sum())


def standardised(scores: Floats) -> Floats:
    """(models, subjects) with mean 0 and standard deviation 1 in every model.

    Two networks have embeddings of other scales. An attacker can do this with subjects of his own.
    """
    mean, std = scores.mean(1, keepdims=True), scores.std(1, keepdims=True)
    return (scores - mean) / np.maximum(std, 1e-12)


def calibrated(scores: Floats, member: Bools) -> Floats:
    """Each score minus the subject's mean over the other models that were made without it.

    What is left is not that a subject is easy, but that it is easier here than elsewhere (Carlini et al.
    2022, "Membership inference attacks from first principles", offline attack, with the mean alone).

    Args:
        scores: (models, subjects), standardised.
        member: (models, subjects), whether the subject is in the model.
    """
    outside = ~member
    total, count = (scores * outside).sum(0), outside.sum(0)
    # A model that was made without the subject is not its own reference.
    reference = (total - scores * outside) / np.maximum(count - outside, 1)
    return scores - reference


def mean_auc(scores: Floats, member: Bools) -> float:
    """Mean over models of the probability that a member scores higher than a subject that is none.

    A tie counts half. Models in which all or none are members do not count.

    Args:
        scores, member: (models, subjects).
    """
    inside, outside = member.sum(1), (~member).sum(1)
    both = (inside > 0) & (outside > 0)
    ranks = (rankdata(scores, axis=1) * member).sum(1)
    above = ranks[both] - inside[both] * (inside[both] + 1) / 2
    return float((above / (inside[both] * outside[both])).mean())


def bootstrap_interval(
    scores: Floats, member: Bools, *, draws: int = 1000, seed: int = 0, models_too: bool = True
) -> tuple[float, float]:
    """95% percentile interval of `mean_auc`, drawing subjects and models anew, each with replacement.

    Both are random, and every score belongs to one of each (the pigeonhole bootstrap, Owen 2007, Annals of
    Applied Statistics 1(2)). Wider than a bootstrap over the scores, which are not independent.

    Args:
        scores, member: (models, subjects).
        draws: of the bootstrap.
        seed: of the draws.
        models_too: False keeps the models: for many draws from one population by one network.
    """
    rng = np.random.default_rng(seed)
    models, subjects = scores.shape
    found = []
    for _ in range(draws):
        rows = rng.integers(0, models, models) if models_too else np.arange(models)
        columns = rng.integers(0, subjects, subjects)
        found.append(mean_auc(scores[np.ix_(rows, columns)], member[np.ix_(rows, columns)]))
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return float(low), float(high)


def found_at(scores: Floats, member: Bools, false_alarms: float = 0.05) -> float:
    """Share of members above the level that this share of the others exceeds; all models together."""
    level = np.quantile(scores[~member], 1 - false_alarms)
    return float((scores[member] > level).mean())


def combined(scores: Sequence[Floats]) -> Floats:
    """The sum of several attacks' scores, each standardised: one attack with all that they know."""
    return np.sum([standardised(score) for score in scores], axis=0)
