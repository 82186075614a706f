"""Predicted volumes before and after adaptation as a table: median and range a structure, then the cases."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from monai_sfda.evaluation.comparison import NOTHING

BEFORE, AFTER = "before", "after"

Volumes = Mapping[str, Mapping[int, Mapping[str, float | None]]]


@dataclass(frozen=True)
class VolumeTable:
    """Texts of a table.

    Attributes:
        structures: columns.
        summary: (title, cells) with median and range over cases, a row before and a row after.
        cases: (case, cells), every cell (before, after) in ml.
    """

    structures: tuple[str, ...]
    summary: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    cases: tuple[tuple[int, tuple[tuple[str, str], ...]], ...]


def volume_table(volumes: Volumes) -> VolumeTable | None:
    """The table; None without a volume.

    Args:
        volumes: `before` and `after` to case number to structure to volume in ml.
    """
    structures = tuple(dict.fromkeys(n for by in volumes.values() for case in by.values() for n in case))
    numbers = sorted({number for by_case in volumes.values() for number in by_case})
    if not structures:
        return None

    def value(moment: str, number: int, structure: str) -> float | None:
        return volumes.get(moment, {}).get(number, {}).get(structure)

    summary = []
    for moment in (BEFORE, AFTER):
        if moment not in volumes:
            continue
        cells = []
        for structure in structures:
            known = [v for n in numbers if (v := value(moment, n, structure)) is not None]
            spread = f"{_text(min(known))} to {_text(max(known))}" if known else ""
            cells.append((_text(statistics.median(known)) if known else NOTHING, spread))
        summary.append((moment, tuple(cells)))
    cases = [
        (
            number,
            tuple(
                (_text(value(BEFORE, number, structure)), _text(value(AFTER, number, structure)))
                for structure in structures
            ),
        )
        for number in numbers
    ]
    return VolumeTable(structures, tuple(summary), tuple(cases))


def _text(ml: float | None) -> str:
    return NOTHING if ml is None else f"{ml:.1f}"
