"""The reference of a model: what the scans that it knows are like, as aggregates over at least three
subjects.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy import stats

from monai_sfda.catalog import without_background
from monai_sfda.disclosure import MINIMUM_SUBJECTS, enough_scans
from monai_sfda.guard.aspects import ASPECTS, ZERO_IF_ABSENT, Centre, measure
from monai_sfda.guard.profile import ScanProfile

CONFIDENCE = 0.999
"""One more scan of the same kind lies within the interval of an aspect with this probability."""
SMALLEST_STD = 1e-6
"""Of scans that differ in nothing at all."""
_DIGITS = 6


@dataclass(frozen=True)
class Level:
    """An aspect's values over scans, on the aspect's scale.

    Attributes:
        mean, std: over scans.
        subjects: number of them, at least `MINIMUM_SUBJECTS`.
    """

    mean: float
    std: float
    subjects: int

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Level:
        """Reads a level of `release.json`; a `ValueError` for what no interval can be made of."""
        level = Level(float(data["mean"]), float(data["std"]), int(data["subjects"]))
        if not (math.isfinite(level.mean) and level.std > 0 and level.subjects >= MINIMUM_SUBJECTS):
            raise ValueError(f"a level of {level.subjects} subjects with standard deviation {level.std}")
        return level

    def half_width(self) -> float:
        """Half of the interval in which one more value of the same normal distribution lies.

        t s sqrt(1 + 1/n), with Student's t quantile of n - 1 degrees of freedom: wide where few subjects
        were seen (Hahn and Meeker, Statistical Intervals, 1991, section 4.7).
        """
        quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, self.subjects - 1))
        return quantile * self.std * math.sqrt(1 + 1 / self.subjects)


@dataclass(frozen=True)
class Reference:
    """What the scans that a model knows are like. No value of a single subject, nothing of any place in an
    image.

    Attributes:
        domain: `source` or `target`: whose scans.
        scans: which, in words.
        subjects: number of them.
        centre: from which the distances are measured; a class of too few subjects is left out.
        levels: aspect to part to its level.
    """

    domain: str
    scans: str
    subjects: int
    centre: Centre
    levels: Mapping[str, Mapping[str, Level]]

    def to_json(self) -> dict[str, Any]:
        """As it stands in `release.json` and `adaptation.json`."""
        known = self.centre.scans > 0

        def by_class(values: torch.Tensor) -> list[list[float] | None]:
            return [
                [_rounded(x) for x in row] if keep else None
                for row, keep in zip(values.tolist(), known.tolist(), strict=True)
            ]

        return {
            "domain": self.domain,
            "scans": self.scans,
            "subjects": self.subjects,
            "histogram": [_rounded(x) for x in self.centre.histogram.tolist()],
            "class_mean": by_class(self.centre.class_mean),
            "class_variance": by_class(self.centre.class_variance),
            "levels": {
                aspect: {
                    part: {
                        "mean": _rounded(level.mean),
                        "std": _rounded(level.std),
                        "subjects": level.subjects,
                    }
                    for part, level in parts.items()
                }
                for aspect, parts in self.levels.items()
            },
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Reference:
        """Reads `to_json`'s form.

        Raises:
            KeyError, TypeError, ValueError: for anything else.
        """
        known = [row is not None for row in data["class_mean"]]
        dimension = max(len(row) for row in data["class_mean"] if row is not None)

        def by_class(rows: Sequence[Sequence[float] | None]) -> torch.Tensor:
            filled = [[0.0] * dimension if row is None else list(row) for row in rows]
            return torch.tensor(filled, dtype=torch.float64)

        return Reference(
            domain=str(data["domain"]),
            scans=str(data["scans"]),
            subjects=int(data["subjects"]),
            centre=Centre(
                torch.tensor(data["histogram"], dtype=torch.float64),
                by_class(data["class_mean"]),
                by_class(data["class_variance"]),
                torch.tensor(known, dtype=torch.float64),
            ),
            levels={
                aspect: {part: Level.from_json(level) for part, level in parts.items()}
                for aspect, parts in data["levels"].items()
                if aspect in ASPECTS
            },
        )


def fit_reference(
    profiles: Sequence[ScanProfile],
    subjects: Sequence[str],
    labels: Mapping[str, int],
    *,
    domain: str,
    scans: str,
    pictures: bool = False,
) -> Reference | None:
    """The reference of some scans; None with too few subjects (`enough_scans`).

    The same holds of every part by itself: a structure, a pair of structures or a bin of the histogram that
    too few subjects show is left out, so that nothing says what one of them has. Each scan's distances are
    measured from the centre of the other subjects' scans, as those of a new scan will be.

    Args:
        profiles: of the scans.
        subjects: of each scan; only their number is kept.
        labels: class names to indices.
        domain: `source` or `target`.
        scans: which they are, in words.
        pictures: whether nothing has a size in mm.
    """
    if not enough_scans(subjects):
        return None
    values: dict[str, dict[str, list[tuple[str, float]]]] = {}
    for profile, subject in zip(profiles, subjects, strict=True):
        others = [p for p, other in zip(profiles, subjects, strict=True) if other != subject]
        for aspect, parts in measure(profile, Centre.of(others), labels, pictures=pictures).items():
            for part, value in parts.items():
                scaled = ASPECTS[aspect].scale(value)
                if math.isfinite(scaled):
                    values.setdefault(aspect, {}).setdefault(part, []).append((subject, scaled))
    shown = _shown(torch.stack([profile.class_share for profile in profiles]), subjects)
    structures = {name for name, index in without_background(labels).items() if shown[index]}
    levels = {
        aspect: {
            part: _level(aspect, found)
            for part, found in parts.items()
            if enough_scans(subject for subject, _ in found)
            and (aspect not in ZERO_IF_ABSENT or part in structures)
        }
        for aspect, parts in values.items()
    }
    centre = Centre.of(profiles)
    kept = torch.where(shown, centre.scans, torch.zeros_like(centre.scans))
    filled = _shown(torch.stack([profile.histogram for profile in profiles]), subjects)
    histogram = centre.histogram * filled
    histogram = histogram / histogram.sum().clamp_min(SMALLEST_STD)
    return Reference(
        domain=domain,
        scans=scans,
        subjects=len(set(subjects)),
        centre=Centre(histogram, centre.class_mean, centre.class_variance, kept),
        levels={aspect: parts for aspect, parts in levels.items() if parts},
    )


def _shown(shares: torch.Tensor, subjects: Sequence[str]) -> torch.Tensor:
    """(K,) bool: which columns of (scans, K) shares are above 0 in the scans of enough subjects."""
    columns = shares.T.tolist()
    return torch.tensor(
        [
            enough_scans(s for s, share in zip(subjects, column, strict=True) if share > 0)
            for column in columns
        ]
    )


def _level(aspect: str, found: Sequence[tuple[str, float]]) -> Level:
    numbers = torch.tensor([value for _, value in found], dtype=torch.float64)
    mean, std = float(numbers.mean()), float(numbers.std())
    floor = ASPECTS[aspect].floor * (mean if ASPECTS[aspect].is_distance else 1.0)
    return Level(mean, max(std, floor, SMALLEST_STD), len({subject for subject, _ in found}))


def _rounded(value: float) -> float:
    """To `_DIGITS` significant digits: more say nothing."""
    return float(f"{value:.{_DIGITS}g}")
