"""The weights that a run could publish, how they are called, and what the guard knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from monai_sfda.guard.signals import SIGNALS, ScanSignals

UNADAPTED = "unadapted"
"""The source's weights: always a candidate."""
LAST = "last"
"""The weights that the method ended with."""


def candidate_name(epoch: int) -> str:
    """How weights that were kept at the end of an epoch are called in records and files."""
    return f"epoch_{epoch:04d}"


def candidate_title(name: str) -> str:
    """A candidate's name for people.

    >>> candidate_title("epoch_0012"), candidate_title("last")
    ('epoch 12', 'last')
    """
    word, _, number = name.partition("_")
    return f"{word} {int(number)}" if number.isdecimal() else name


def candidate_weights(name: str) -> str:
    """A candidate's weights in a sentence.

    >>> candidate_weights("epoch_0012"), candidate_weights("last")
    ('the weights of epoch 12', 'the last weights')
    """
    title = candidate_title(name)
    return f"the weights of {title}" if title != name else f"the {name} weights"


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
