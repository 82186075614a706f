"""What an analysis of an ablation gives: numbers for its table, and its figure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monai_sfda.errors import DataError
from monai_sfda.files import whole_folder

MEASURES, FIGURE = "measures.json", "figure.png"


@dataclass(frozen=True)
class Analysis:
    """Results beside the scores.

    Attributes:
        measures: title of a table's row to name of the measure to value; None where undefined.
        figure: a PNG image.
    """

    measures: Mapping[str, Mapping[str, float | None]]
    figure: bytes

    def write(self, folder: Path) -> None:
        """Writes it whole or not at all."""
        with whole_folder(folder) as beside:
            (beside / FIGURE).write_bytes(self.figure)
            text = json.dumps(self.measures, indent=2, allow_nan=False) + "\n"
            (beside / MEASURES).write_text(text, encoding="utf-8")

    @staticmethod
    def read(folder: Path) -> Analysis:
        """Reads what `write` wrote; a `DataError` when it is damaged."""
        try:
            measures = json.loads((folder / MEASURES).read_text(encoding="utf-8"))
            return Analysis(measures, (folder / FIGURE).read_bytes())
        except (OSError, ValueError) as error:
            raise DataError(
                "the analysis cannot be read", path=folder.name, remedy="delete its folder and run again"
            ) from error
