"""Estimates the change of the mean Dice from label-free signals, as a regression on many judged runs learnt
it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_sfda.guard.signals import SIGNALS, ScanSignals

Array = NDArray[np.float64]
CHANGE, LEVEL = "change", "level"
_CLIP = 3.0
"""Standardised features beyond this count as this: no single signal decides by being absurd."""


def features_of(unadapted: Sequence[ScanSignals], candidate: Sequence[ScanSignals]) -> dict[str, float]:
    """What the estimate is made from: of each signal its level, and its change scan by scan.

    `level:<signal>` is the candidate's mean over scans, `change:<signal>` the mean of candidate minus
    unadapted over the scans where both have it. A signal that is undefined everywhere is absent.

    Args:
        unadapted, candidate: signals of the same scans, in the same order.
    """
    found: dict[str, float] = {}
    for name in SIGNALS:
        after = [scan.values[name] for scan in candidate if name in scan.values]
        pairs = [
            scan.values[name] - before.values[name]
            for before, scan in zip(unadapted, candidate, strict=True)
            if name in scan.values and name in before.values
        ]
        if after:
            found[f"{LEVEL}:{name}"] = fmean(after)
        if pairs:
            found[f"{CHANGE}:{name}"] = fmean(pairs)
    return found


@dataclass(frozen=True)
class Estimate:
    """Of the change of the mean Dice.

    Attributes:
        mean: Dice of the candidate minus Dice of the unadapted model, as a share of 1.
        std: standard deviation of the error over the runs that were learnt from.
    """

    mean: float
    std: float


@dataclass(frozen=True)
class ChangeEstimator:
    """Linear estimator of the change of the mean Dice from the features that a run has.

    With x the standardised features and y the change, both clipped, m their mean and C their covariance over
    the judged runs: E[y | x_A] = m_y + c_A^T (C_AA + r I)^-1 (x_A - m_A) for the subset A of features that
    say something about the run, ridge r. One fit serves every subset: a method's own objective is left out
    by leaving out its rows and columns. A feature that a run lacks says nothing: it counts as the middle, in
    the estimate as nearly in the fit.

    Attributes:
        names: of the F features.
        centre, scale: (F,) median and spread over the runs that were learnt from.
        mean, covariance: (F + 1,), (F + 1, F + 1) of the standardised features and, last, the change.
        ridge: r.
        most: the change is clipped to [-most, most].
        candidates, runs: how many were learnt from.
    """

    names: tuple[str, ...]
    centre: Array
    scale: Array
    mean: Array
    covariance: Array
    ridge: float
    most: float
    candidates: int
    runs: int

    @staticmethod
    def fit(
        features: Sequence[Mapping[str, float]],
        changes: Sequence[float],
        *,
        names: Sequence[str],
        runs: int,
        weights: Sequence[float] | None = None,
        ridge: float = 0.1,
        most: float = 0.15,
    ) -> ChangeEstimator:
        """Learns from candidates whose true change is known.

        Args:
            features: of each candidate.
            changes: their true changes of the mean Dice.
            names: features to use; one that no candidate has is left out.
            runs: how many runs the candidates are of.
            weights: of the candidates; None for equal ones.
            ridge: r, in units of a standardised feature's variance.
            most: beyond this a change counts as this, so that the estimate is sharp where the decision is.
        """
        names = [name for name in names if any(name in row for row in features)]
        raw = np.array([[row.get(name, np.nan) for name in names] for row in features], dtype=np.float64)
        centre = np.nanmedian(raw, axis=0)
        low, high = np.nanpercentile(raw, [10, 90], axis=0)
        # 2.563 standard deviations of a normal distribution lie between its 10th and 90th percentile.
        scale = np.maximum((high - low) / 2.563, 1e-9)
        y = np.clip(np.asarray(changes, dtype=np.float64), -most, most)
        w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
        both = np.column_stack([_standardised(raw, centre, scale), y])
        mean = (w / w.sum()) @ both
        away = both - mean
        covariance = (away * (w / w.sum())[:, None]).T @ away
        return ChangeEstimator(tuple(names), centre, scale, mean, covariance, ridge, most, len(y), runs)

    def estimate(self, features: Mapping[str, float], *, without: Collection[str] = ()) -> Estimate:
        """The estimate from the features at hand.

        Args:
            features: see `features_of`.
            without: signals that say nothing about the run, because its method minimises them.
        """
        use, x, slopes = self._used(features, without)
        inner, cross = self.covariance[np.ix_(use, use)], self.covariance[use, -1]
        error = self.covariance[-1, -1] - 2 * slopes @ cross + slopes @ inner @ slopes
        return Estimate(float(self.mean[-1] + slopes @ x), math.sqrt(max(float(error), 0.0)))

    def contributions(
        self, features: Mapping[str, float], *, without: Collection[str] = ()
    ) -> dict[str, float]:
        """How much each signal adds to the estimate, its level and its change together."""
        use, x, slopes = self._used(features, without)
        found: dict[str, float] = {}
        for i, part in zip(use, slopes * x, strict=True):
            signal = _signal(self.names[i])
            found[signal] = found.get(signal, 0.0) + float(part)
        return found

    def _used(
        self, features: Mapping[str, float], without: Collection[str]
    ) -> tuple[list[int], Array, Array]:
        """Places of the features that are used, their standardised values, and their slopes."""
        use = [i for i, name in enumerate(self.names) if _signal(name) not in without]
        raw = np.array([features.get(self.names[i], np.nan) for i in use], dtype=np.float64)
        z = _standardised(raw, self.centre[use], self.scale[use])
        x = np.where(np.isnan(raw), 0.0, z - self.mean[use])
        inner, cross = self.covariance[np.ix_(use, use)], self.covariance[use, -1]
        return use, x, np.linalg.solve(inner + self.ridge * np.eye(len(use)), cross)

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "names": list(self.names),
            "centre": _short(self.centre),
            "scale": _short(self.scale),
            "covariance": _short(self.covariance),
            "mean": _short(self.mean),
            "ridge": self.ridge,
            "most": self.most,
            "candidates": self.candidates,
            "runs": self.runs,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> ChangeEstimator:
        """Reads what `to_json` gave."""
        return ChangeEstimator(
            tuple(data["names"]),
            np.array(data["centre"]),
            np.array(data["scale"]),
            np.array(data["mean"]),
            np.array(data["covariance"]),
            float(data["ridge"]),
            float(data["most"]),
            int(data["candidates"]),
            int(data["runs"]),
        )


def _standardised(raw: Array, centre: Array, scale: Array) -> Array:
    z = np.clip((raw - centre) / scale, -_CLIP, _CLIP)
    return np.where(np.isnan(z), 0.0, z)


def _signal(feature: str) -> str:
    """The signal that a feature is made of."""
    return feature.partition(":")[2]


def _short(values: Array) -> list[Any]:
    """Six significant digits, which is more than the runs carry."""
    return np.vectorize(lambda v: float(f"{v:.6g}"), otypes=[float])(values).tolist()  # type: ignore[no-any-return]
