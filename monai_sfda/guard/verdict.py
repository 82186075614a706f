"""The verdict on an adaptation, from label-free signals of scans that it never saw."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai_sfda.candidate_names import UNADAPTED, candidate_weights
from monai_sfda.catalog import without_background
from monai_sfda.guard.calibration import Calibration, shipped_calibration
from monai_sfda.guard.candidate import Candidate, mean_signals
from monai_sfda.guard.estimate import changes_of
from monai_sfda.guard.ratios import vanished
from monai_sfda.guard.signals import SIGNALS
from monai_sfda.release import ClassRatio

ACCEPT, REJECT, UNSURE = "accept", "reject", "unsure"
FEWEST_GUARD_SUBJECTS = 2
"""Fewer subjects of the guard's own never make a verdict better than `unsure`: of one, a single corrupted or
unusual scan decides, and no threshold was safe.
"""
MOST_PIECES = 8.0
"""Times as many connected pieces as before, from which a candidate is ruled out."""
_MOST_SIGNALS = 4


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


def judge(
    unadapted: Candidate,
    candidates: Sequence[Candidate],
    *,
    optimised: Collection[str],
    guard_subjects: int,
    labels: Mapping[str, int],
    class_ratio: ClassRatio | None,
    calibration: Calibration | None = None,
) -> Judgement:
    """Compares the candidates with the unadapted model, by estimates of the change of the mean Dice.

    - A candidate is vetoed when a structure has vanished that the unadapted model finds, or when the number
      of its pieces has exploded.
    - The best is the candidate with the highest estimate that is not vetoed; the unadapted model's own is 0.
    - `accept` from the calibration's `accept_from` on; `reject` below `reject_below`, or when all candidates
      are vetoed or the unadapted model itself is best; `unsure` between, with fewer than
      `FEWEST_GUARD_SUBJECTS` guard subjects, and where a signal is no number.

    Args:
        unadapted: the model before.
        candidates: weights along the run, the last among them.
        optimised: names of the signals that the method itself minimises; they say nothing about it.
        guard_subjects: subjects whom the guard has for itself; 0 where it judges by what was adapted to.
        labels: class names to indices.
        class_ratio: of the release.
        calibration: None for the package's own.
    """
    calibration = calibration or shipped_calibration()
    changes = {candidate.name: changes_of(unadapted.scans, candidate.scans) for candidate in candidates}
    estimates = {UNADAPTED: 0.0} | {
        name: calibration.estimator.estimate(values, without=optimised) for name, values in changes.items()
    }
    vetoes = {
        candidate.name: [
            *_vanished(unadapted, candidate, labels, class_ratio),
            *_exploded(unadapted, candidate),
        ]
        for candidate in candidates
    }
    allowed = [name for name in estimates if not vetoes.get(name)]
    best = max(allowed, key=lambda name: estimates[name])
    highest = estimates[best]
    if best == UNADAPTED:
        verdict = REJECT
    elif highest >= calibration.accept_from:
        verdict = ACCEPT if guard_subjects >= FEWEST_GUARD_SUBJECTS else UNSURE
    else:
        verdict = REJECT if highest < calibration.reject_below else UNSURE
    reasons = _in_words(verdict, best, estimates, vetoes, calibration, guard_subjects)
    if best != UNADAPTED:
        parts = calibration.estimator.contributions(changes[best], without=optimised)
        reasons += _signals_in_words(parts, unadapted, next(c for c in candidates if c.name == best))
    return Judgement(
        verdict=verdict,
        chosen=best if verdict == ACCEPT else UNADAPTED,
        best=best,
        reasons=tuple(reasons),
        estimates=estimates,
        signals={c.name: mean_signals(c) for c in (unadapted, *candidates)},
        vetoes=vetoes,
    )


def _vanished(
    unadapted: Candidate, candidate: Candidate, labels: Mapping[str, int], class_ratio: ClassRatio | None
) -> list[str]:
    """Structures that no scan shows any more, and more than half of them did."""
    structures = without_background(labels)
    gone = [set(vanished(scan.shares, class_ratio, labels)) for scan in candidate.scans]
    were = [set(vanished(scan.shares, class_ratio, labels)) for scan in unadapted.scans]
    return [
        f"{_name(structure)} has vanished from every scan"
        for structure in structures
        if all(structure in scan for scan in gone)
        and 2 * sum(structure not in scan for scan in were) > len(were)
    ]


def _exploded(unadapted: Candidate, candidate: Candidate) -> list[str]:
    """Whether masks fall into many more pieces."""
    before, after = (mean_signals(c).get("components") for c in (unadapted, candidate))
    if after is None or after <= MOST_PIECES * max(1.0, before or 0.0):
        return []
    return [f"structures fall into {after:.0f} pieces on average, before {before or 0:.0f}"]


def _in_words(
    verdict: str,
    best: str,
    estimates: Mapping[str, float],
    vetoes: Mapping[str, Sequence[str]],
    calibration: Calibration,
    guard_subjects: int,
) -> list[str]:
    points = 100 * estimates[best]
    said = []
    if best == UNADAPTED:
        allowed = [name for name in estimates if name != UNADAPTED and not vetoes[name]]
        if allowed:
            highest = max(allowed, key=lambda name: estimates[name])
            said.append(
                f"every checkpoint is estimated to be worse than the unadapted model, the best of "
                f"them, {candidate_weights(highest)}, by "
                f"{-100 * estimates[highest]:.1f} Dice points"
            )
    else:
        said.append(
            f"{candidate_weights(best)} are estimated to change the mean Dice by {points:+.1f} points"
        )
    if verdict == UNSURE and estimates[best] >= calibration.accept_from:
        own = guard_subjects or "none"
        said.append(f"{own} of the target's subjects are the guard's own: too few to be sure")
    elif verdict == UNSURE:
        said.append(f"an estimate below {100 * calibration.accept_from:.1f} points may be a loss")
    elif verdict == REJECT and best != UNADAPTED:
        said.append(f"an estimate below {100 * calibration.reject_below:.1f} points is mostly a loss")
    for name, why in vetoes.items():
        said += [f"{candidate_weights(name)} are ruled out: {reason}" for reason in why]
    return said


def _signals_in_words(parts: Mapping[str, float], unadapted: Candidate, candidate: Candidate) -> list[str]:
    """The signals that speak most for and against, with their values before and after."""
    before, after = mean_signals(unadapted), mean_signals(candidate)
    ranked = sorted(parts, key=lambda name: -abs(parts[name]))
    return [
        f"{SIGNALS[name].title}: {before[name]:.3g} before, {after[name]:.3g} after "
        f"({100 * parts[name]:+.1f} points)"
        for name in ranked
        if name in before and name in after
    ][:_MOST_SIGNALS]


def _name(structure: str) -> str:
    return structure.replace("_", " ")
