"""Estimates the change of the mean Dice from the changes of label-free signals, by a forest that many judged
runs have grown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from monai_sfda.guard.signals import SIGNALS, ScanSignals

Floats = NDArray[np.float64]
NOTHING_PREDICTED = {
    **dict.fromkeys((name for name in SIGNALS if name.startswith("agreement")), 0.0),
    **dict.fromkeys(("atlas_dice", "soft_dice", "soft_dice_worst", "confidence"), 0.0),
    **dict.fromkeys(("continuity", "largest_component", "beside_dice"), 0.0),
}
"""What a signal of masks counts as where a network predicts no structure: the worst that it can be. Only
where another scan or the other network has it; a task that never has a signal has none."""


def changes_of(unadapted: Sequence[ScanSignals], candidate: Sequence[ScanSignals]) -> dict[str, float]:
    """How each signal changes: the median over scans of candidate minus unadapted.

    The median, so that one corrupted scan among good ones does not decide.

    The two signals that compare with the unadapted model (`neither` better) are taken as they are. A signal
    that neither network has on a scan is left out there; one that is undefined everywhere is absent.

    Args:
        unadapted, candidate: signals of the same scans, in the same order.
    """
    had = {name for scan in (*unadapted, *candidate) for name in scan.values}
    before, after = ([_completed(scan.values, had) for scan in scans] for scans in (unadapted, candidate))
    found: dict[str, float] = {}
    for name, signal in SIGNALS.items():
        alone = signal.better == "neither"
        values = [
            new[name] - (0.0 if alone else old[name])
            for old, new in zip(before, after, strict=True)
            if name in new and (alone or name in old)
        ]
        if values:
            found[name] = median(values)
    return found


def _completed(values: Mapping[str, float], had: Collection[str]) -> dict[str, float]:
    lost = {name: worst for name, worst in NOTHING_PREDICTED.items() if name in had}
    return {**lost, **values}


@dataclass(frozen=True)
class ChangeEstimator:
    """A forest of regression trees: changes of signals to the change of the mean Dice.

    Each tree sends a run to a leaf by comparing signals with thresholds; the estimate is the mean over trees
    of the leaves' values. A signal that says nothing about a run, because its method minimises it or because
    it is undefined, counts as its usual value, in the growing of the forest as in its use.

    The trees are arrays, one entry a node: no library is needed to use what was grown.

    Attributes:
        names: (F,) signals.
        usual: (F,) median of each over the runs that it grew from.
        roots: (T,) node at which each tree begins.
        feature: (N,) which signal a node compares; -1 in a leaf.
        threshold: (N,) up to which a run goes left.
        left, right: (N,) next node.
        value: (N,) mean change of the runs that reached it.
    """

    names: tuple[str, ...]
    usual: Floats
    roots: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: Floats
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: Floats

    def estimate(self, changes: Mapping[str, float], *, without: Collection[str] = ()) -> float:
        """The estimated change of the mean Dice, as a share of 1.

        Args:
            changes: see `changes_of`.
            without: signals that say nothing about the run, because its method minimises them.
        """
        return float(self.value[self._leaves(self._features(changes, without))].mean())

    def contributions(
        self, changes: Mapping[str, float], *, without: Collection[str] = ()
    ) -> dict[str, float]:
        """How much each signal moves the estimate: the estimate less that with the signal at its usual value.

        They do not add up to the estimate: signals speak together.
        """
        features = self._features(changes, without)
        whole = float(self.value[self._leaves(features)].mean())
        found = {}
        for i, name in enumerate(self.names):
            if name in changes and name not in without:
                others = features.copy()
                others[i] = self.usual[i]
                found[name] = whole - float(self.value[self._leaves(others)].mean())
        return found

    def _features(self, changes: Mapping[str, float], without: Collection[str]) -> Floats:
        known = [changes.get(name, np.nan) if name not in without else np.nan for name in self.names]
        raw = np.array(known, dtype=np.float64)
        return np.where(np.isfinite(raw), raw, self.usual)

    def _leaves(self, features: Floats) -> NDArray[np.int32]:
        """The leaf that each tree sends a run to."""
        nodes = self.roots.copy()
        while True:
            compared = self.feature[nodes]
            inner = compared >= 0
            if not inner.any():
                return nodes
            goes_left = features[compared.clip(0)] <= self.threshold[nodes]
            nodes = np.where(inner, np.where(goes_left, self.left[nodes], self.right[nodes]), nodes)
