"""Regions, unions of structures: numbers by hand; they stand beside the structures, not among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monai_sfda.benchmark.table import cells, over_seeds
from monai_sfda.catalog import BRAIN_GRADE, Region
from monai_sfda.evaluation.comparison import METRIC_DISPLAY, metric_table, undefined_rows
from monai_sfda.evaluation.metrics import StructureScore, score_case
from monai_sfda.evaluation.summary import summarise
from monai_sfda.evaluation.summary_table import summary_table
from monai_sfda.workflow.results import result_row

LABELS = {"background": 0, "core": 1, "oedema": 2, "enhancing": 3}
REGIONS = (Region("whole_tumour", (1, 2, 3)), Region("tumour_core", (1, 3)))


def masks() -> tuple[np.ndarray, np.ndarray]:
    """Reference: one voxel of core, one of enhancing tumour, two of oedema along x. The prediction takes the
    enhancing voxel for core and one of oedema for background.
    """
    reference = np.zeros((8, 4, 4), np.uint8)
    reference[2:6, 1, 1] = (1, 3, 2, 2)
    prediction = reference.copy()
    prediction[2:6, 1, 1] = (1, 1, 2, 0)
    return prediction, reference


def scores(case: int = 1) -> list[StructureScore]:
    return score_case(case, *masks(), (2.0, 1.0, 1.0), LABELS, REGIONS)


def summary() -> dict[str, Any]:
    return summarise(
        scores(),
        task="brain_grade",
        domain="target",
        split="test",
        cases=1,
        protocol={"name": "whole_volume", "largest_component": False},
        regions=[region.name for region in REGIONS],
    )


def test_scores_of_regions_by_hand():
    by_name = {score.structure: score for score in scores()}
    dice = {name: score.dice for name, score in by_name.items()}
    assert list(dice) == ["core", "oedema", "enhancing", "whole_tumour", "tumour_core"]
    # core 2 * 1 / (2 + 1); oedema 2 * 1 / (1 + 2); enhancing missed; whole 2 * 3 / (3 + 4); core + enhancing
    # are confused with each other alone, so that their union is right
    assert dice == pytest.approx(
        {"core": 2 / 3, "oedema": 2 / 3, "enhancing": 0, "whole_tumour": 6 / 7, "tumour_core": 1}
    )
    whole, core = by_name["whole_tumour"], by_name["tumour_core"]
    assert (whole.iou, whole.reference_ml, whole.predicted_ml) == pytest.approx((3 / 4, 0.008, 0.006))
    # the missed voxel lies one voxel of 2 mm beyond the prediction; the other six distances are 0
    assert whole.hd_mm == 2
    assert whole.assd_mm == pytest.approx(2 / 7)
    assert (core.assd_mm, core.hd95_mm, core.hd_mm) == (0, 0, 0)


def test_a_summary_keeps_regions_out_of_the_means_over_classes():
    dice = summary()["dice"]
    assert list(dice["per_class"]) == ["core", "oedema", "enhancing"]
    assert dice["mean"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert dice["per_region"]["whole_tumour"] == {"mean": pytest.approx(6 / 7), "std": None, "n": 1}
    assert set(summary()["hd95_mm"]["per_region"]) == {"whole_tumour", "tumour_core"}
    assert summary()["one_empty"]["enhancing"] == {"missed": 1, "invented": 0}


def test_report_and_log_show_regions_after_the_structures_and_before_their_mean():
    results = {"unadapted": summary(), "adapted": summary()}
    table = metric_table(results, METRIC_DISPLAY[0])
    titles = [row.title for row in table.rows]
    assert titles == [
        *("core", "oedema", "enhancing"),
        *("whole tumour (region)", "tumour core (region)", "mean of structures"),
    ]
    assert table.rows[3].cells[0][0] == "0.857"
    assert undefined_rows(results)[0] == ("unadapted", "enhancing", "0", "1", "0")
    assert "whole tumour (region)  0.857" in summary_table(summary())


def test_a_benchmark_has_a_column_for_each_region():
    row = result_row("unadapted", summary())
    head, body = cells(over_seeds({0: [row]}))
    line = dict(zip(head, body[0], strict=True))
    assert (line["whole tumour (region)"], line["tumour core (region)"]) == ("0.857", "1.000")
    assert line["mean Dice"] == "0.444"
    assert row["assd_left_out"] == 1


def test_volumes_of_regions_are_sums_and_the_catalogs_regions_are_those_of_brats():
    names = [structure.name for structure in BRAIN_GRADE.structures]
    volumes = BRAIN_GRADE.with_regions(dict(zip(names, (1.0, 2.0, 4.0), strict=True)))
    assert volumes == dict(zip(names, (1.0, 2.0, 4.0), strict=True)) | {
        "whole_tumour": 7.0,
        "tumour_core": 5.0,
    }
