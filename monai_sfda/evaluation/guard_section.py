"""What a report says of the guard, before it is laid out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GuardRow:
    """One number of every candidate.

    Attributes:
        title: of the number, with its unit.
        direction: `higher is better`, `lower is better`, or empty.
        cells: a text a candidate.
        optimised: whether the method minimises it, so that it says nothing about this run.
    """

    title: str
    direction: str
    cells: tuple[str, ...]
    optimised: bool = False


@dataclass(frozen=True)
class GuardSection:
    """The candidates of a run and what the guard saw of them.

    Attributes:
        published: which weights are in use and which are not, in a sentence or two.
        judged_on: scans and subjects of the guard, in a sentence.
        candidates: titles, the unadapted model first.
        chosen: place of the published one among them.
        main: rows that every report shows.
        others: rows that a reader unfolds.
        vetoes: (candidate, why it may not be chosen).
        figure: the estimate and the main signals along the run, as PNG.
    """

    published: str
    judged_on: str
    candidates: tuple[str, ...]
    chosen: int
    main: tuple[GuardRow, ...]
    others: tuple[GuardRow, ...]
    vetoes: tuple[tuple[str, str], ...]
    figure: bytes

    @property
    def optimised(self) -> bool:
        """Whether some number says nothing about the run."""
        return any(row.optimised for row in (*self.main, *self.others))
