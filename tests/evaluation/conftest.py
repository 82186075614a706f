"""Small segmentations and summaries that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from monai_sfda.evaluation.metrics import StructureScore
from monai_sfda.evaluation.summary import summarise

MakeScore = Callable[..., StructureScore]
MakeSummary = Callable[..., dict[str, Any]]


@pytest.fixture
def random_blobs() -> Callable[[int], NDArray[np.uint8]]:
    """Three smooth random classes in a (40, 36, 20) volume, reaching its borders."""

    def make(seed: int) -> NDArray[np.uint8]:
        generator = np.random.default_rng(seed)
        fields = [ndimage.gaussian_filter(generator.normal(size=(40, 36, 20)), 3) for _ in range(4)]
        return np.asarray(np.argmax(fields, axis=0), dtype=np.uint8)

    return make


@pytest.fixture
def make_score() -> MakeScore:
    """A defined score of a case and structure; any attribute can be set."""

    def make(case: int, structure: str, **changes: Any) -> StructureScore:
        values: dict[str, Any] = {
            "dice": 0.8,
            "iou": 0.8 / 1.2,
            "assd_mm": 2.0,
            "hd95_mm": 5.0,
            "hd_mm": 9.0,
            "state": "defined",
            "predicted_ml": 100.0,
            "reference_ml": 110.0,
            "predicted_voxels": 1000,
            "reference_voxels": 1100,
            "common_voxels": 840,
        }
        return StructureScore(case=case, structure=structure, **(values | changes))

    return make


@pytest.fixture
def make_summary(make_score: MakeScore) -> MakeSummary:
    """A summary of liver and spleen over some cases, all with the same Dice and ASSD."""

    def make(
        dice: float, *, assd: float = 2.0, cases: int = 12, missed: int = 0, split: str = "test"
    ) -> dict[str, Any]:
        scores = []
        for case in range(1, cases + 1):
            scores.append(make_score(case, "liver", dice=dice, assd_mm=assd))
            gone = {
                "dice": 0.0,
                "iou": 0.0,
                "assd_mm": None,
                "hd95_mm": None,
                "hd_mm": None,
                "state": "one_empty",
                "predicted_ml": 0.0,
                "predicted_voxels": 0,
                "common_voxels": 0,
            }
            scores.append(
                make_score(case, "spleen", **(gone if case <= missed else {"dice": dice, "assd_mm": assd}))
            )
        protocol = {"name": "whole_volume", "largest_component": False}
        return summarise(scores, task="abdomen", domain="target", split=split, cases=cases, protocol=protocol)

    return make
