"""Volumes and places of predicted structures beside the reference scans."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from monai_sfda.guard.anatomy import anatomy_signals
from monai_sfda.guard.aspects import ASPECTS, measure
from monai_sfda.guard.familiarity import compare
from tests.guard.test_reference import LABELS, profile, reference


@pytest.fixture(scope="module")
def known():
    return reference(12)


def test_volumes_are_the_mean_deviation_by_hand(known):
    p = profile(500)
    found = anatomy_signals(p, known, LABELS)
    volumes = measure(p, known.centre, LABELS)["volumes"]
    levels = known.levels["volumes"]
    away = [
        abs(ASPECTS["volumes"].scale(volumes[name]) - levels[name].mean) / levels[name].half_width()
        for name in volumes
    ]
    assert found["volumes"] == pytest.approx(sum(away) / 4)
    assert found["volumes_farthest"] == pytest.approx(max(away))
    assert found.keys() == {"volumes", "volumes_farthest", "places", "places_farthest"}


def test_exchanged_kidneys_move_the_places_alone(known):
    p = profile(500)
    exchanged = [0, 1, 3, 2, 4]
    even = p.class_share.clone()
    even[2] = even[3] = (even[2] + even[3]) / 2
    before = anatomy_signals(replace(p, class_share=even), known, LABELS)
    after = anatomy_signals(replace(p, class_share=even, centre=p.centre[exchanged]), known, LABELS)
    assert after["volumes"] == before["volumes"]
    assert after["places"] > 3 * before["places"]
    assert after["places_farthest"] > 2


def test_a_missing_structure_shows_in_the_volumes_and_has_no_place(known):
    share = profile(500).class_share.clone()
    share[0], share[4] = share[0] + share[4], 0.0
    found = anatomy_signals(replace(profile(500), class_share=share), known, LABELS)
    assert found["volumes_farthest"] > 5
    assert found["places"] < 1
    # `familiarity` forgives it, as an organ may have been removed.
    assert compare(replace(profile(500), class_share=share), known, LABELS).verdict == "familiar"


def test_nothing_predicted_has_no_places(known):
    nothing = torch.tensor([1.0, 0, 0, 0, 0]).double()
    found = anatomy_signals(replace(profile(500), class_share=nothing), known, LABELS)
    assert found.keys() == {"volumes", "volumes_farthest"}
    assert found["volumes"] > 5


def test_other_intensities_change_nothing(known):
    p = profile(500)
    other = replace(
        p, histogram=p.histogram.flip(0), layer_distances=p.layer_distances * 50, class_mean=p.class_mean + 9
    )
    assert anatomy_signals(other, known, LABELS) == anatomy_signals(p, known, LABELS)
