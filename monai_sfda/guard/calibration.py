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
from numpy.typing import NDArray
from safetensors.numpy import load, save

from monai_sfda.files import write_atomically, write_json
from monai_sfda.guard.estimate import ChangeEstimator

THRESHOLDS, FOREST = "calibration.json", "calibration.safetensors"


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
        write_atomically(folder / FOREST, save(_packed(self.estimator)))
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
        return Calibration(
            _unpacked(tuple(data["signals"]), load(forest)),
            float(data["accept_from"]),
            float(data["reject_below"]),
            data["made_from"],
        )


def _packed(forest: ChangeEstimator) -> dict[str, NDArray[Any]]:
    """Seven bytes a node: a node's left successor follows it, its right one is so many nodes on, and it has
    one number, as float32, which is more than the runs carry: the threshold of an inner node, the value of a
    leaf.
    """
    inner = forest.feature >= 0
    place = np.arange(len(inner))
    if not np.array_equal(forest.left[inner], place[inner] + 1):
        raise ValueError("the trees are not in the order of a walk that goes left first")
    further = np.where(inner, forest.right - place, 0)
    if further.max(initial=0) > np.iinfo(np.uint16).max or forest.feature.max() > np.iinfo(np.int8).max:
        raise ValueError("a tree has too many nodes, or there are too many signals")
    return {
        "usual": forest.usual.astype(np.float32),
        "roots": forest.roots.astype(np.int32),
        "feature": forest.feature.astype(np.int8),
        "number": np.where(inner, forest.threshold, forest.value).astype(np.float32),
        "right": further.astype(np.uint16),
    }


def _unpacked(names: tuple[str, ...], packed: Mapping[str, NDArray[Any]]) -> ChangeEstimator:
    feature, number = packed["feature"].astype(np.int16), packed["number"].astype(np.float64)
    inner = feature >= 0
    place = np.arange(len(inner), dtype=np.int32)
    return ChangeEstimator(
        names,
        usual=packed["usual"].astype(np.float64),
        roots=packed["roots"],
        feature=feature,
        threshold=np.where(inner, number, 0.0),
        left=np.where(inner, place + 1, 0).astype(np.int32),
        right=np.where(inner, place + packed["right"], 0).astype(np.int32),
        value=np.where(inner, 0.0, number),
    )


@lru_cache(maxsize=1)
def shipped_calibration() -> Calibration:
    """The calibration of this version of the package."""
    here = resources.files("monai_sfda.guard")
    thresholds = here.joinpath(THRESHOLDS).read_text(encoding="utf-8")
    return Calibration.parse(thresholds, here.joinpath(FOREST).read_bytes())
