"""How far a scan is from those that a model knows, and that in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from monai_sfda.guard.aspects import ASPECTS, Measurements, measure
from monai_sfda.guard.profile import ScanProfile
from monai_sfda.guard.reference import SMALLEST_STD, Level, Reference

FAMILIAR, UNUSUAL, UNLIKE = "familiar", "unusual", "unlike"
UNUSUAL_FROM, UNLIKE_FROM = 1.0, 2.0
_MOST_REASONS = 4
_FARTHEST = 1000.0
"""A deviation beyond this, or one that is no number, counts as this: JSON has no infinity."""


@dataclass(frozen=True)
class Familiarity:
    """A scan's distance from a reference.

    Attributes:
        aspects: aspect to its deviation: how many half widths of the reference's prediction interval the scan
            is from the mean; the median over the structures where the aspect has several parts, so that one
            unusual organ, or one that was removed, makes no stranger.
        reasons: in words, of the aspects that deviate by more than `UNUSUAL_FROM`, the farthest first.
    """

    aspects: Mapping[str, float]
    reasons: tuple[str, ...]

    @property
    def score(self) -> float:
        """The largest deviation; the domain-shift score of the scan."""
        return max(self.aspects.values(), default=0.0)

    @property
    def verdict(self) -> str:
        """`familiar` up to a score of 1, `unusual` up to 2, else `unlike`."""
        return FAMILIAR if self.score <= UNUSUAL_FROM else UNUSUAL if self.score <= UNLIKE_FROM else UNLIKE

    def to_json(self) -> dict[str, Any]:
        """As it stands in `inference.json`."""
        return {
            "verdict": self.verdict,
            "score": round(self.score, 3),
            "reasons": list(self.reasons),
            "aspects": {name: round(value, 3) for name, value in self.aspects.items()},
        }


def compare(
    profile: ScanProfile, reference: Reference, labels: Mapping[str, int], *, pictures: bool = False
) -> Familiarity:
    """Compares a scan with what a model knows.

    Args:
        profile: of the scan.
        reference: of the model.
        labels: class names to indices.
        pictures: whether nothing has a size in mm.
    """
    found = measure(profile, reference.centre, labels, pictures=pictures)
    deviations: dict[str, dict[str, float]] = {}
    for name, levels in reference.levels.items():
        parts = {
            part: deviation(name, found[name][part], level)
            for part, level in levels.items()
            if part in found.get(name, {})
        }
        if parts:
            deviations[name] = parts
    aspects = {name: median(parts.values()) for name, parts in deviations.items()}
    far = sorted((name for name in aspects if aspects[name] > UNUSUAL_FROM), key=lambda name: -aspects[name])
    reasons = tuple(_in_words(name, found, deviations[name], reference) for name in far[:_MOST_REASONS])
    return Familiarity(aspects, reasons)


def deviation(name: str, value: float, level: Level) -> float:
    """How many half widths of a level's prediction interval a value is from its mean, at most 1000.

    Of a distance only what exceeds the mean counts.

    Args:
        name: of the aspect.
        value: in the aspect's unit.
        level: of the reference.
    """
    aspect = ASPECTS[name]
    away = aspect.scale(value) - level.mean
    widths = max(0.0, away if aspect.is_distance else abs(away)) / level.half_width()
    return min(widths, _FARTHEST) if math.isfinite(away) else _FARTHEST


def _in_words(name: str, found: Measurements, deviations: Mapping[str, float], reference: Reference) -> str:
    """The aspect's part that is farthest, its value, and what is usual: mean and two standard deviations."""
    aspect = ASPECTS[name]
    part = max(deviations, key=lambda key: deviations[key])
    value, level = found[name][part], reference.levels[name][part]
    if aspect.is_distance:
        return f"{aspect.title}: {value / max(level.mean, SMALLEST_STD):.1f} times as far as usual"
    if name in ("volumes", "shares") and not any(found[name].values()):
        return "no pixel of any structure"
    title = aspect.title if part == "scan" else f"{aspect.title}, {part.replace('_', ' ')}"
    low, high = (aspect.back(level.mean + sign * 2 * level.std) for sign in (-1, 1))
    unit = f" {aspect.unit}" if aspect.unit else ""
    return f"{title}: {_number(value)}{unit}, usually {_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    """Three significant digits, without an exponent for what is large."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
