"""The weights that a run could publish, and what the guard knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from monai_sfda.guard.signals import SIGNALS, ScanSignals


@dataclass(frozen=True)
class Candidate:
    """Weights that could be published.

    Attributes:
        name: `unadapted`, `epoch_0004`, `last`.
        epoch: at whose end they were taken; 0 for the unadapted.
        scans: signals of the guard's scans, in the same order for every candidate.
    """

    name: str
    epoch: int
    scans: Sequence[ScanSignals]


def mean_signals(candidate: Candidate) -> dict[str, float]:
    """Each signal's mean over the scans where it is defined."""
    return {
        name: fmean(values)
        for name in SIGNALS
        if (values := [scan.values[name] for scan in candidate.scans if name in scan.values])
    }
