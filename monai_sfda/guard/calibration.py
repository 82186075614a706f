"""What the verdict was calibrated with: the estimator and its thresholds, as they are shipped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from monai_sfda.guard.estimate import ChangeEstimator

FILE = "calibration.json"


@dataclass(frozen=True)
class Calibration:
    """An estimator of the change of the mean Dice, and what of its estimates is acted on.

    Attributes:
        estimator: learnt from judged runs on phantoms.
        accept_from: an estimate from this on is believed to be a gain.
        reject_below: an estimate below this is believed to be a loss.
        made_from: how it was made, for people: command, half of the population, numbers of runs.
    """

    estimator: ChangeEstimator
    accept_from: float
    reject_below: float
    made_from: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As it is shipped."""
        return {
            "kind": "monai_sfda calibration of the guard",
            "made_from": dict(self.made_from),
            "accept_from": self.accept_from,
            "reject_below": self.reject_below,
            "estimator": self.estimator.to_json(),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Calibration:
        """Reads what `to_json` gave."""
        return Calibration(
            ChangeEstimator.from_json(data["estimator"]),
            float(data["accept_from"]),
            float(data["reject_below"]),
            data["made_from"],
        )


@lru_cache(maxsize=1)
def shipped_calibration() -> Calibration:
    """The calibration of this version of the package."""
    text = resources.files("monai_sfda.guard").joinpath(FILE).read_text(encoding="utf-8")
    return Calibration.from_json(json.loads(text))
