"""Scores in a release: means over three subjects or more, nothing that one case can be found from."""

from __future__ import annotations

import pytest

from monai_sfda.evaluation.metrics import METRICS, StructureScore
from monai_sfda.evaluation.summary import summarise
from monai_sfda.workflow.released_scores import only_enough_subjects, releasable_summary


def score(case: int, structure: str, dice: float | None) -> StructureScore:
    """A structure of 100 voxels that is found to a share of `dice`; None: in neither."""
    voxels = 0 if dice is None else 100
    distance = None if not dice else 10 * (1 - dice)
    return StructureScore(
        case=case,
        structure=structure,
        dice=dice,
        iou=None if dice is None else dice / (2 - dice),
        assd_mm=distance,
        hd95_mm=distance,
        hd_mm=distance,
        state="both_empty" if dice is None else "defined" if dice else "one_empty",
        predicted_ml=float(voxels),
        reference_ml=float(voxels),
        predicted_voxels=voxels,
        reference_voxels=voxels,
        common_voxels=round(100 * (dice or 0)),
    )


def released(scores: list[StructureScore], subjects: str, pooled: bool = False) -> dict:
    """The release's summary of scores, of cases 1, 2, ... of these subjects."""
    of_case = dict(enumerate(subjects, start=1))
    options = {"task": "toy", "domain": "source", "split": "val", "cases": len(subjects), "pooled": pooled}
    kept = only_enough_subjects(scores, of_case)
    return releasable_summary(summarise(kept, protocol={"name": "whole_volume"}, **options))


LIVER = [score(case, "liver", dice) for case, dice in enumerate((0.9, 0.8, 0.7, 0.6), start=1)]


@pytest.mark.parametrize("dice", [(0.5, None, None, None), (0.5, 0.4, None, None)])
def test_a_structure_of_one_or_two_subjects_has_no_score(dice):
    found = released([*LIVER, *(score(i, "spleen", d) for i, d in enumerate(dice, start=1))], "abcd")
    for metric in METRICS:
        if metric != "iou":
            assert found[metric]["per_class"]["spleen"] == {"mean": None, "std": None, "n": 0}
    # The mean over structures would give it away.
    assert found["dice"]["mean"] == pytest.approx(0.75)
    assert found["dice"]["per_class"]["liver"] == {
        "mean": pytest.approx(0.75),
        "std": pytest.approx(0.1290994, rel=1e-6),
        "n": 4,
    }


def test_distances_that_few_cases_have_go_and_their_dice_stays():
    found = released([score(i, "spleen", d) for i, d in enumerate((0.5, 0.4, 0.0, 0.0), start=1)], "abcd")
    assert found["dice"]["per_class"]["spleen"]["n"] == 4
    assert found["assd_mm"]["per_class"]["spleen"] == {"mean": None, "std": None, "n": 0}


def test_four_scans_of_two_subjects_are_two_subjects():
    assert released(LIVER, "aabb")["dice"]["per_class"]["liver"]["mean"] is None


def test_nothing_counts_single_cases_and_the_overlap_is_told_once():
    found = released(LIVER, "abcd")
    assert set(found) == {
        "task",
        "domain",
        "split",
        "cases",
        "dice",
        "assd_mm",
        "hd95_mm",
        "hd_mm",
        "protocol",
    }


def test_pooled_scores_keep_both_overlaps_and_lose_what_two_show():
    spleen = [score(i, "spleen", d) for i, d in enumerate((0.5, 0.4, None, None), start=1)]
    found = released([*LIVER, *spleen], "abcd", pooled=True)
    assert found["dice"]["per_class"]["spleen"] == {"mean": None, "std": None, "n": 0}
    assert found["iou"]["per_class"]["spleen"] == {"mean": None, "std": None, "n": 0}
    assert found["dice"]["per_class"]["liver"]["mean"] == pytest.approx(0.75)
    assert found["iou"]["per_class"]["liver"]["mean"] == pytest.approx(0.75 / 1.25)
