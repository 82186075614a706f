"""Fine-tuning's labels by name, its subjects held out, its verdict."""

import numpy as np
import pytest

from monai_sfda.catalog import ABDOMEN
from monai_sfda.errors import DataError
from monai_sfda.evaluation.metrics import score_case
from monai_sfda.label.adaptation.finish_fine_tuning import judge
from monai_sfda.label.adaptation.selection import Selection
from monai_sfda.label.adaptation.tuning_data import hold_out, remapped, values_of

OWN = {s.name: s.index for s in ABDOMEN.structures}


def test_without_names_the_values_are_the_models():
    assert values_of({}, ABDOMEN) == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}


def test_values_go_by_their_names_whatever_their_order_and_strangers_become_background():
    stored = {"spleen": 1, "left_kidney": 2, "tumour": 3, "liver": 5, "right_kidney": 7}
    mapping = values_of({"label_names": stored}, ABDOMEN)
    label = np.array([[[0, 1, 2, 3, 5, 7]]], np.uint16)
    expected = [0, OWN["spleen"], OWN["left_kidney"], 0, OWN["liver"], OWN["right_kidney"]]
    assert remapped(label, mapping).tolist() == [[expected]]


@pytest.mark.parametrize(
    "names",
    [{"liver": 1}, {**OWN, "spleen": 1}, {**OWN, "spleen": "x"}, ["liver", "spleen"], "liver"],
)
def test_a_label_that_does_not_name_every_structure_once_is_not_used(names):
    assert values_of({"label_names": names}, ABDOMEN) is None


def test_a_value_without_a_meaning_is_an_error():
    with pytest.raises(DataError, match="9"):
        remapped(np.full((2, 2, 2), 9), {0: 0, 1: 1})


@pytest.mark.parametrize(("subjects", "held"), [(1, 0), (2, 0), (3, 1), (5, 2), (12, 3)])
def test_subjects_are_never_on_both_sides(subjects, held):
    studies = tuple(f"{n}{part}" for n in range(subjects) for part in "ab")
    split = hold_out(Selection(studies, tuple(study[:-1] for study in studies)))
    sides = [{study[:-1] for study in side} for side in (split.learnt, split.held_out)]
    assert not sides[0] & sides[1]
    assert (len(sides[1]), split.held_out_subjects) == (held, held)
    assert (split.limit is None) == (held >= 2)


def scores(*shares):
    """Scores of one case a share: that part of every organ's voxels is found."""
    labels = ABDOMEN.labels
    found = []
    for case, share in enumerate(shares, start=1):
        truth = np.zeros((20, 20, 4), np.uint8)
        for index in range(1, 5):
            truth[5 * (index - 1) : 5 * index] = index
        guess = truth.copy()
        guess[:, int(20 * share) :] = 0
        found += score_case(case, guess, truth, (1.0, 1.0, 1.0), labels)
    return found


@pytest.mark.parametrize(
    ("before", "after", "subjects", "verdict"),
    [
        ((0.5, 0.5), (0.9, 0.9), 2, "accept"),
        ((0.9, 0.9), (0.5, 0.5), 2, "reject"),
        ((0.9, 0.9), (0.9, 0.9), 2, "unsure"),
        ((0.5,), (0.9,), 1, "unsure"),
        ((0.9,), (0.5,), 1, "reject"),
    ],
)
def test_the_verdict_rests_on_held_out_subjects(before, after, subjects, verdict):
    found, reasons, numbers = judge(scores(*before), scores(*after), subjects)
    assert found == verdict, reasons
    assert numbers["subjects"] == subjects
    assert reasons


def test_without_held_out_subjects_nobody_knows():
    verdict, reasons, numbers = judge([], [], 0)
    assert (verdict, numbers["gain"]) == ("unsure", None)
    assert "nobody knows" in reasons[0]


def test_a_gain_that_costs_one_organ_is_not_accepted():
    before, after = scores(0.5, 0.5), scores(0.95, 0.95)
    worse = scores(0.1, 0.1)
    mixed = [b if b.structure == "spleen" else a for a, b in zip(after, worse, strict=True)]
    verdict, reasons, _ = judge(before, mixed, 2)
    assert verdict == "unsure"
    assert any("spleen lost" in reason for reason in reasons)
