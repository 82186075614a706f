"""Which of some scans is the most worth labelling: far from what is known, and from what was labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Aspects = Mapping[str, float]


def novelties(candidates: Sequence[Aspects], covered: Sequence[Aspects]) -> list[float]:
    """How far each scan is from the model's reference and from every scan that is covered already.

    A scan is the point of `monai_sfda.guard.triage`, and the distance is that of it; the covered scans are
    those with a label and those that somebody has been given to label just now. The scan of the highest
    novelty is then the next one of greedy k-centre selection: asked again and again, each answer covered,
    this gives the order of `triage`, but goes on from what was labelled in any other order.

    Args:
        candidates: of each scan, aspect to deviation.
        covered: of each covered scan, the same.

    Returns:
        exp(distance) - 1 of each candidate: the score of a scan at that distance from the reference.
    """
    names = sorted({name for scan in (*candidates, *covered) for name in scan})
    points, centres = _points(candidates, names), _points(covered, names)
    distance = points.max(1, initial=0.0)
    for centre in centres:
        np.minimum(distance, np.abs(points - centre).max(1, initial=0.0), out=distance)
    return [float(value) for value in np.expm1(distance)]


def _points(scans: Sequence[Aspects], names: Sequence[str]) -> NDArray[np.float64]:
    """(scans, names) coordinates log(1 + deviation)."""
    rows = [[scan.get(name, 0.0) for name in names] for scan in scans]
    points: NDArray[np.float64] = np.log1p(np.array(rows, dtype=np.float64).reshape(len(scans), len(names)))
    return points
