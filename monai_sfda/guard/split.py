"""Which unlabelled target scans are adapted to, and which are kept for the guard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_sfda.data.case import Case

FEWEST_SUBJECTS = 3
"""Target subjects from which some are kept back for the guard."""
TWO_FROM = 5
"""Target subjects from which at least two are the guard's: of one, a single unusual patient decides."""


@dataclass(frozen=True)
class TargetSplit:
    """Case numbers of a run's target scans.

    Attributes:
        adaptation: scans that the method sees.
        guard: scans that the guard judges by; all of them where there are too few subjects to keep any back.
        subjects, adaptation_subjects, guard_subjects: how many are behind all of them, and behind each part.
    """

    adaptation: tuple[int, ...]
    guard: tuple[int, ...]
    subjects: int
    adaptation_subjects: int
    guard_subjects: int

    @property
    def shared(self) -> bool:
        """Whether the guard's scans are adapted to as well."""
        return not set(self.adaptation).isdisjoint(self.guard)

    def to_json(self) -> dict[str, Any]:
        """As it stands in `adaptation.json` under `guard`: numbers alone."""
        return {
            "adaptation_scans": list(self.adaptation),
            "guard_scans": list(self.guard),
            "subjects": self.subjects,
            "adaptation_subjects": self.adaptation_subjects,
            "guard_subjects": self.guard_subjects,
            "guard_scans_adapted_to": self.shared,
        }


def number_kept_back(subjects: int, share: float) -> int:
    """How many of some subjects are the guard's alone.

    Of n, `share` n rounded to the nearest, at least one, at least two of `TWO_FROM` and more, and never all;
    none of fewer than `FEWEST_SUBJECTS`.

    >>> [number_kept_back(n, 0.25) for n in (2, 3, 5, 10, 40)]
    [0, 1, 2, 3, 10]
    """
    if subjects < FEWEST_SUBJECTS:
        return 0
    return min(max(int(share * subjects + 0.5), 2 if subjects >= TWO_FROM else 1), subjects - 1)


def split_by_subject(cases: Sequence[Case], share: float, seed: int) -> TargetSplit:
    """Keeps the scans of some subjects, drawn by the seed, for the guard.

    How many is said by `number_kept_back`; where it says none, all scans serve for both.

    Args:
        cases: of the target; scans of one subject stay together.
        share: of the subjects, between 0 and 1.
        seed: of the draw.
    """
    subjects = list(dict.fromkeys(case.subject for case in cases))
    numbers = tuple(case.number for case in cases)
    n = len(subjects)
    kept = number_kept_back(n, share)
    if not kept:
        return TargetSplit(numbers, numbers, n, n, n)
    order = np.random.default_rng([seed, n]).permutation(n)
    guard = {subjects[int(i)] for i in order[:kept]}
    return TargetSplit(
        adaptation=tuple(case.number for case in cases if case.subject not in guard),
        guard=tuple(case.number for case in cases if case.subject in guard),
        subjects=n,
        adaptation_subjects=n - kept,
        guard_subjects=kept,
    )
