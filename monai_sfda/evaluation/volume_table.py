"""Predicted volumes before and after adaptation as a table: median and range a structure, then the cases."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from monai_sfda.evaluation.comparison import NOTHING

Volumes = Mapping[str, Mapping[int, Mapping[str, float | None]]]


@dataclass(frozen=True)
class VolumeTable:
    """Texts of a table.

    Attributes:
        structures: columns.
        moments: titles of the models, in the order of the run.
        summary: (title, cells) with median and range over cases, a row a moment.
        cases: (case, cells), every cell a text a moment, in ml.
    """

    structures: tuple[str, ...]
    moments: tuple[str, ...]
    summary: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    cases: tuple[tuple[int, tuple[tuple[str, ...], ...]], ...]


def volume_table(volumes: Volumes, titles: Mapping[str, str]) -> VolumeTable | None:
    """The table; None without a volume.

    Args:
        volumes: moment to case number to structure to volume in ml.
        titles: of the moments, in the order of the run.
    """
    structures = tuple(dict.fromkeys(n for by in volumes.values() for case in by.values() for n in case))
    numbers = sorted({number for by_case in volumes.values() for number in by_case})
    if not structures:
        return None

    def value(moment: str, number: int, structure: str) -> float | None:
        return volumes.get(moment, {}).get(number, {}).get(structure)

    summary = []
    for moment in titles:
        if moment not in volumes:
            continue
        cells = []
        for structure in structures:
            known = [v for n in numbers if (v := value(moment, n, structure)) is not None]
            spread = f"{_text(min(known))} to {_text(max(known))}" if known else ""
            cells.append((_text(statistics.median(known)) if known else NOTHING, spread))
        summary.append((titles[moment], tuple(cells)))
    cases = [
        (
            number,
            tuple(
                tuple(_text(value(moment, number, structure)) for moment in titles)
                for structure in structures
            ),
        )
        for number in numbers
    ]
    return VolumeTable(structures, tuple(titles.values()), tuple(summary), tuple(cases))


def _text(ml: float | None) -> str:
    return NOTHING if ml is None else f"{ml:.1f}"
