"""The verdict on an adaptation, from label-free signals of scans that it never saw."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from monai_sfda.guard.signals import SIGNALS, ScanSignals
from monai_sfda.release import ClassRatio

ACCEPT, REJECT, UNSURE = "accept", "reject", "unsure"
UNADAPTED = "unadapted"
FEWEST_SUBJECTS = 3
"""Fewer target subjects than this never make a verdict better than `unsure`."""


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


@dataclass(frozen=True)
class Judgement:
    """What the guard says of a run.

    Attributes:
        verdict: `accept`, `reject` or `unsure`.
        chosen: name of the candidate whose weights are published: the best on `accept`, else `unadapted`.
        best: name of the candidate with the highest estimate, whatever the verdict.
        reasons: in words.
        estimates: candidate to the estimated change of the mean Dice against the unadapted model.
        signals: candidate to signal to its mean over the scans where it is defined.
        vetoes: candidate to why it may not be chosen.
    """

    verdict: str
    chosen: str
    best: str
    reasons: tuple[str, ...]
    estimates: Mapping[str, float]
    signals: Mapping[str, Mapping[str, float]]
    vetoes: Mapping[str, Sequence[str]]

    def to_json(self) -> dict[str, Any]:
        """As it stands in `adaptation.json` under `guard`."""
        return {
            "verdict": self.verdict,
            "chosen": self.chosen,
            "best": self.best,
            "reasons": list(self.reasons),
            "estimates": {name: round(value, 4) for name, value in self.estimates.items()},
            "signals": {
                candidate: {name: round(value, 6) for name, value in values.items()}
                for candidate, values in self.signals.items()
            },
            "vetoes": {name: list(reasons) for name, reasons in self.vetoes.items() if reasons},
        }


def mean_signals(candidate: Candidate) -> dict[str, float]:
    """Each signal's mean over the scans where it is defined."""
    return {
        name: fmean(values)
        for name in SIGNALS
        if (values := [scan.values[name] for scan in candidate.scans if name in scan.values])
    }


def judge(
    unadapted: Candidate,
    candidates: Sequence[Candidate],
    *,
    optimised: Collection[str],
    subjects: int,
    labels: Mapping[str, int],
    class_ratio: ClassRatio | None,
) -> Judgement:
    """Compares the candidates with the unadapted model.

    Args:
        unadapted: the model before.
        candidates: weights along the run, the last among them.
        optimised: names of the signals that the method itself minimises; they say nothing about it.
        subjects: target subjects in all.
        labels: class names to indices.
        class_ratio: of the release.
    """
    before = mean_signals(unadapted)
    signals = {UNADAPTED: before} | {candidate.name: mean_signals(candidate) for candidate in candidates}
    used = [name for name in ("agreement",) if name not in optimised]
    estimates = {
        name: fmean([values.get(s, 0.0) - before.get(s, 0.0) for s in used]) if used else 0.0
        for name, values in signals.items()
    }
    vetoes: dict[str, list[str]] = {
        candidate.name: [
            f"{structure.replace('_', ' ')} has vanished"
            for structure in unadapted.scans[0].shares
            if all(scan.shares[structure] == 0 for scan in candidate.scans)
            and any(scan.shares[structure] > 0 for scan in unadapted.scans)
        ]
        for candidate in candidates
    }
    allowed = [name for name in estimates if not vetoes.get(name)]
    best = max(allowed, key=lambda name: estimates[name])
    if best == UNADAPTED:
        verdict, reasons = REJECT, ("no checkpoint agrees better with itself than the unadapted model",)
    elif subjects < FEWEST_SUBJECTS:
        verdict, reasons = UNSURE, (f"fewer than {FEWEST_SUBJECTS} target subjects",)
    else:
        verdict, reasons = ACCEPT, (f"{best} agrees better with itself than the unadapted model",)
    chosen = best if verdict == ACCEPT else UNADAPTED
    return Judgement(verdict, chosen, best, reasons, estimates, signals, vetoes)
