"""What the verdict was calibrated with: the estimator and its thresholds, as they are shipped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from monai_sfda.files import write_atomically, write_json
from monai_sfda.guard.estimate import ChangeEstimator

THRESHOLDS, FOREST = "calibration.json", "calibration.safetensors"
_ARRAYS = ("usual", "roots", "feature", "threshold", "left", "right", "value")


@dataclass(frozen=True)
class Calibration:
    """An estimator of the change of the mean Dice, and what of its estimates is acted on.

    Attributes:
        estimator: grown from judged runs on phantoms.
        accept_from: an estimate from this on is believed to be a gain.
        reject_below: an estimate below this is believed to be no gain.
        made_from: how it was made, for people: command, worlds, numbers of runs.
    """

    estimator: ChangeEstimator
    accept_from: float
    reject_below: float
    made_from: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Writes the two files that are shipped."""
        arrays = {name: np.ascontiguousarray(getattr(self.estimator, name)) for name in _ARRAYS}
        write_atomically(folder / FOREST, save(_smaller(arrays)))
        content = {
            "kind": "monai_sfda calibration of the guard",
            "made_from": dict(self.made_from),
            "accept_from": self.accept_from,
            "reject_below": self.reject_below,
            "signals": list(self.estimator.names),
        }
        write_json(folder / THRESHOLDS, content)

    @staticmethod
    def parse(thresholds: str, forest: bytes) -> Calibration:
        """Reads the contents of the two files."""
        data = json.loads(thresholds)
        wide: dict[str, Any] = {
            name: array.astype(np.float64) if array.dtype == np.float32 else array
            for name, array in load(forest).items()
        }
        return Calibration(
            ChangeEstimator(tuple(data["signals"]), **wide),
            float(data["accept_from"]),
            float(data["reject_below"]),
            data["made_from"],
        )


def _smaller(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as float32, which is more than the runs carry."""
    return {n: a.astype(np.float32) if a.dtype == np.float64 else a for n, a in arrays.items()}


@lru_cache(maxsize=1)
def shipped_calibration() -> Calibration:
    """The calibration of this version of the package."""
    here = resources.files("monai_sfda.guard")
    thresholds = here.joinpath(THRESHOLDS).read_text(encoding="utf-8")
    return Calibration.parse(thresholds, here.joinpath(FOREST).read_bytes())
