"""Which scans to label first: far from what the model knows, and far from each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

A_KIND_OF_ITS_OWN = 1.0
"""Novelty from which a scan is a kind of its own: that of a scan at the edge of what the model knows."""


@dataclass(frozen=True)
class Triage:
    """An order of scans, and which of them are near to which.

    Attributes:
        order: positions of the scans, the one to label first first.
        novelty: of each scan of `order`, in it: how far it is from the reference and from all scans before
            it, on the scale of the score. It never rises.
        nearest: of each scan, in the order given: the position of the nearest one that is a kind of its own,
            itself where it is; None for one that is nearer to what the model knows than to any of these.
    """

    order: tuple[int, ...]
    novelty: tuple[float, ...]
    nearest: tuple[int | None, ...]


def triage(aspects: Sequence[Mapping[str, float]]) -> Triage:
    """Farthest first, spread over kinds: greedy k-centre selection in the space of aspects.

    A scan is the point x with coordinates log(1 + d_a), d_a its deviation in aspect a (`Familiarity.aspects`;
    0 where it lacks the aspect); the reference is the origin. Two scans are max_a |x_a - y_a| apart: a scan's
    distance from the origin is then that of its score, which is the largest deviation. The logarithm because
    a scan at 50 half widths and one at 30 are strange in one way, those at 5 and 1 are not. Each next scan is
    the one farthest from its nearest neighbour among the origin and the scans before it; of equals the one of
    higher score. So the first is the scan of the highest score, and ten copies of it come last. After any
    number of scans, the farthest that any scan is from its nearest is at most twice the least possible
    (Gonzalez 1985, Theoretical Computer Science 38; as a rule of active learning: Sener and Savarese, ICLR
    2018).

    The novelty is exp(distance) - 1, the score of a scan at that distance from the origin.

    Args:
        aspects: of each scan, aspect to deviation.
    """
    names = sorted({name for scan in aspects for name in scan})
    points = np.log1p(
        np.array([[scan.get(name, 0.0) for name in names] for scan in aspects], dtype=np.float64)
    )
    points = points.reshape(len(aspects), len(names))
    scores = points.max(1, initial=0.0)
    distance, nearest = scores.copy(), np.full(len(aspects), -1)
    left = np.ones(len(aspects), dtype=bool)
    order: list[int] = []
    novelty: list[float] = []
    for _ in aspects:
        chosen = max(np.flatnonzero(left).tolist(), key=lambda i: (distance[i], scores[i], -i))
        order.append(chosen)
        novelty.append(math.expm1(float(distance[chosen])))
        left[chosen] = False
        from_chosen = np.abs(points - points[chosen]).max(1, initial=0.0)
        if novelty[-1] > A_KIND_OF_ITS_OWN:
            nearest[from_chosen < distance] = chosen
            nearest[chosen] = chosen
        distance = np.minimum(distance, from_chosen)
    return Triage(tuple(order), tuple(novelty), tuple(None if i < 0 else int(i) for i in nearest))
