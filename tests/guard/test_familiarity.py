"""Verdicts: own scans are familiar, strangers are not, and the reasons say what a reader can check."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from monai_sfda.guard import compare, fit_reference
from tests.guard.test_reference import LABELS, profile, reference


@pytest.fixture(scope="module")
def known():
    return reference(12)


def test_new_scans_of_the_same_kind_are_familiar(known):
    verdicts = [compare(profile(seed), known, LABELS).verdict for seed in range(100, 400)]
    assert verdicts.count("familiar") >= 0.98 * len(verdicts)


def strangers():
    p = profile(500)
    nothing = torch.tensor([1.0, 0, 0, 0, 0]).double()
    mirrored = p.centre.clone()
    mirrored[:, 0] = 300 - mirrored[:, 0]
    return [
        ("no organ", replace(p, class_share=nothing), "no pixel of any structure"),
        ("mirrored", replace(p, centre=mirrored), "way to the right between structures"),
        ("statistics", replace(p, layer_distances=p.layer_distances * 40), "network's early layers"),
        ("field", replace(p, extent=p.extent * torch.tensor([1, 1, 0.2])), "field of view from foot to head"),
        ("unsure", replace(p, confidence=p.confidence * 0.6), "mean confidence where"),
        ("slices", replace(p, slice_mm=0.3), "distance between slices: 0.3 mm, usually 3."),
        ("grey", replace(p, histogram=p.histogram.flip(0)), "histogram of the normalised intensities"),
    ]


@pytest.mark.parametrize(("name", "stranger", "reason"), strangers(), ids=[s[0] for s in strangers()])
def test_strangers_are_named_with_their_reason(known, name, stranger, reason):
    found = compare(stranger, known, LABELS)
    assert found.verdict != "familiar"
    assert reason in found.reasons[0]
    assert found.score == max(found.aspects.values()) > 1


def test_a_removed_kidney_makes_no_stranger(known):
    share = profile(500).class_share.clone()
    share[0], share[2] = share[0] + share[2], 0.0
    assert compare(replace(profile(500), class_share=share), known, LABELS).verdict == "familiar"


def test_statistics_nearer_than_usual_are_not_unusual(known):
    found = compare(replace(profile(500), layer_distances=torch.zeros(4).double()), known, LABELS)
    assert found.aspects["early_layers"] == 0


def test_what_is_no_number_is_unlike_and_still_json(known):
    broken = replace(profile(500), entropy=float("nan"))
    found = compare(broken, known, LABELS)
    assert found.verdict == "unlike"
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["score"] == 1000


def test_scans_that_are_all_the_same_make_a_reference():
    same = [profile(0)] * 3
    known = fit_reference(same, list("abc"), LABELS, domain="source", scans="training")
    assert compare(same[0], known, LABELS).verdict == "familiar"
    assert compare(replace(same[0], histogram=same[0].histogram.flip(0)), known, LABELS).verdict == "unlike"


def test_a_network_without_batch_norm_is_compared_by_the_rest():
    profiles = [replace(profile(i), layer_distances=torch.zeros(0).double()) for i in range(8)]
    known = fit_reference(profiles, list("abcdefgh"), LABELS, domain="source", scans="training")
    found = compare(profiles[0], known, LABELS)
    assert found.verdict == "familiar"
    assert "early_layers" not in found.aspects
    assert {"intensities", "volumes", "confidence"} <= found.aspects.keys()


def test_pictures_have_no_size():
    labels = {"road": 0, "sky": 1, "car": 2, "tree": 3, "person": 4}
    flat = [
        replace(profile(i), extent=torch.ones(3).double(), centre=profile(i).centre / 300) for i in range(8)
    ]
    known = fit_reference(flat, list("abcdefgh"), labels, domain="source", scans="training", pictures=True)
    found = compare(flat[0], known, labels, pictures=True)
    assert {"shares", "places_rows", "places_columns"} <= found.aspects.keys()
    assert not {"volumes", "extent_left_right", "slice_distance", "places_foot_head"} & found.aspects.keys()
