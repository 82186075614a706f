"""Case by case: which cases gained and which lost through adaptation, from two `metrics.csv`."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_sfda.errors import DataError
from monai_sfda.evaluation.metrics import BOTH_EMPTY, DEFINED, METRICS, ONE_EMPTY, StructureScore

WORSE_BY = 0.05
"""A case counts as worse when its Dice fell by more than this."""


@dataclass(frozen=True)
class CaseChange:
    """The Dice of one structure of one case.

    Attributes:
        case: number among the evaluated cases.
        before, after: Dice; None where the structure is in neither prediction nor reference.
    """

    case: int
    before: float | None
    after: float | None

    @property
    def change(self) -> float | None:
        """After - before; None where one of the two is."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def is_worse(self) -> bool:
        """Whether Dice fell by more than `WORSE_BY`."""
        return self.change is not None and self.change < -WORSE_BY


@dataclass(frozen=True)
class StructureChanges:
    """One structure over all cases.

    Attributes:
        structure: its name.
        cases: by number.
    """

    structure: str
    cases: tuple[CaseChange, ...]

    @property
    def worse(self) -> int:
        """Cases whose Dice fell by more than `WORSE_BY`."""
        return sum(case.is_worse for case in self.cases)

    @property
    def compared(self) -> int:
        """Cases with a Dice before and after."""
        return sum(case.change is not None for case in self.cases)


def case_changes(
    before: Sequence[StructureScore], after: Sequence[StructureScore]
) -> tuple[StructureChanges, ...]:
    """The Dice of every case before and after, by structure.

    Raises:
        DataError: when the two are not of the same cases and structures.
    """
    first, second = ({(s.case, s.structure): s.dice for s in scores} for scores in (before, after))
    if first.keys() != second.keys() or not first:
        raise DataError(
            "the results before and after adaptation are not of the same cases and structures",
            remedy="evaluate both models on one split of one data set",
        )
    return tuple(
        StructureChanges(
            structure,
            tuple(
                CaseChange(case, first[case, structure], second[case, structure])
                for case in sorted({c for c, s in first if s == structure})
            ),
        )
        for structure in dict.fromkeys(structure for _, structure in first)
    )


def read_metrics(path: Path) -> list[StructureScore]:
    """Read a `metrics.csv`.

    Raises:
        DataError: when the file cannot be read or is not what an evaluation writes.
    """
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), strict=True)
        return [_score(row) for row in rows]
    except OSError as error:
        raise DataError(
            f"cannot be read ({error.strerror or error})",
            remedy="give the metrics.csv of an evaluation",
            path=path,
        ) from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(
            f"is not the metrics.csv of an evaluation ({type(error).__name__}: {error})",
            remedy="run the evaluation again",
            path=path,
        ) from error


def _score(row: dict[str, str]) -> StructureScore:
    if row["state"] not in (DEFINED, BOTH_EMPTY, ONE_EMPTY):
        raise ValueError(f"state '{row['state']}' is unknown")
    metrics = {name: None if row[name] == "" else _finite(row[name]) for name in METRICS}
    return StructureScore(
        case=int(row["case"]),
        structure=row["structure"],
        state=row["state"],
        predicted_ml=None if row["predicted_ml"] == "" else _finite(row["predicted_ml"]),
        reference_ml=None if row["reference_ml"] == "" else _finite(row["reference_ml"]),
        predicted_voxels=int(row["predicted_voxels"]),
        reference_voxels=int(row["reference_voxels"]),
        common_voxels=int(row["common_voxels"]),
        **metrics,
    )


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"'{text}' is no finite number")
    return value
