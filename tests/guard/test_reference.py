"""The reference of a model: intervals of the right size, aggregates alone, and back from JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from monai_sfda.guard import ScanProfile, fit_reference
from monai_sfda.guard.aspects import ASPECTS, Centre, measure
from monai_sfda.guard.familiarity import compare
from monai_sfda.guard.profile import BINS
from monai_sfda.guard.reference import CONFIDENCE, Level, Reference

LABELS = {"background": 0, "liver": 1, "right_kidney": 2, "left_kidney": 3, "spleen": 4}
CENTRES = torch.tensor([[150, 150, 100], [220, 170, 110], [210, 110, 60], [80, 110, 70], [60, 120, 120]])


def profile(seed: int, **changes) -> ScanProfile:
    """A plausible abdomen of 300 x 300 x 200 mm, a little different with each seed."""
    rng = np.random.default_rng(seed)
    histogram = torch.tensor(rng.dirichlet(np.linspace(400, 100, BINS)))
    organs = np.array([0.08, 0.009, 0.009, 0.012]) * rng.lognormal(0, 0.15, 4)
    fields = {
        "layer_distances": torch.tensor(rng.lognormal(-3, 0.3, 4)),
        "histogram": histogram,
        "class_share": torch.tensor([1 - organs.sum(), *organs]),
        "class_mean": torch.tensor(3.0 * np.eye(5) + rng.normal(0, 0.1, (5, 5))),
        "class_variance": torch.tensor(rng.uniform(0.9, 1.1, (5, 5))),
        "entropy": float(rng.lognormal(-4, 0.2)),
        "confidence": torch.tensor(rng.uniform(0.94, 0.97, 5)),
        "centre": CENTRES + torch.tensor(rng.normal(0, 4, (5, 3))),
        "extent": torch.tensor([300.0, 300.0, 200.0]).double() * float(rng.uniform(0.95, 1.05)),
        "slice_mm": 5.0,
    }
    return ScanProfile(**(fields | changes))


def reference(count: int = 12, **options) -> Reference | None:
    subjects = [f"s{i}" for i in range(count)]
    profiles = [profile(i) for i in range(count)]
    given = {"domain": "source", "scans": "training"} | options
    return fit_reference(profiles, subjects, LABELS, **given)


@pytest.mark.parametrize("subjects", [3, 4, 12, 200])
def test_one_more_scan_lies_in_the_interval_as_often_as_it_says(subjects):
    """Half widths against 20 000 draws of n scans and one more, at the probability of the package."""
    rng = np.random.default_rng(subjects)
    drawn = rng.normal(5.0, 2.0, (20_000, subjects + 1))
    known, more = drawn[:, :-1], drawn[:, -1]
    unit = Level(0.0, 1.0, subjects).half_width()
    inside = np.abs(more - known.mean(1)) <= unit * known.std(1, ddof=1)
    assert inside.mean() == pytest.approx(CONFIDENCE, abs=1e-3)
    expected = stats.t.interval(CONFIDENCE, subjects - 1)[1] * np.sqrt(1 + 1 / subjects)
    assert unit == pytest.approx(expected, rel=1e-12)


def test_levels_are_mean_and_deviation_of_what_was_measured():
    found = reference()
    assert found is not None
    profiles = [profile(i) for i in range(12)]
    volumes = np.log([float(p.class_share[1] * p.extent.prod()) / 1000 + 1 for p in profiles])
    level = found.levels["volumes"]["liver"]
    assert (level.mean, level.subjects) == (pytest.approx(volumes.mean()), 12)
    assert level.std == pytest.approx(max(volumes.std(ddof=1), ASPECTS["volumes"].floor))
    # All slices are 5 mm apart: one more protocol of 5.5 mm must not be infinitely far.
    assert found.levels["slice_distance"]["scan"].std == ASPECTS["slice_distance"].floor


def test_distances_are_measured_from_the_other_subjects():
    """A scan that is in the list a hundred times would be at distance 0 from itself."""
    profiles = [profile(i) for i in range(4)]
    found = fit_reference(profiles, list("abcd"), LABELS, domain="source", scans="training")
    assert found is not None
    left_out = [
        measure(p, Centre.of([q for q in profiles if q is not p]), LABELS)["intensities"]["scan"]
        for p in profiles
    ]
    assert found.levels["intensities"]["scan"].mean == pytest.approx(np.mean(left_out))


def test_fewer_than_three_subjects_are_not_summarised():
    assert reference(2) is None
    twice = [profile(i) for i in range(4)]
    assert fit_reference(twice, list("aabb"), LABELS, domain="source", scans="training") is None


def test_a_class_of_two_subjects_is_left_out():
    profiles = [profile(i) for i in range(5)]
    for i in range(3):
        share = profiles[i].class_share.clone()
        share[0], share[4] = share[0] + share[4], 0.0
        profiles[i] = replace(profiles[i], class_share=share)
    found = fit_reference(profiles, list("abcde"), LABELS, domain="source", scans="training")
    assert found is not None
    data = found.to_json()
    assert data["class_mean"][4] is None
    assert data["class_variance"][4] is None
    assert not any("spleen" in pair for pair in data["levels"]["places_left_right"])
    # Its volumes in the others are 0, so that their mean would tell those of the two.
    assert set(data["levels"]["volumes"]) == {"liver", "right_kidney", "left_kidney"}


def test_a_bin_of_the_histogram_that_one_scan_fills_is_empty():
    profiles = [profile(i) for i in range(5)]
    histogram = torch.zeros(BINS, dtype=torch.float64)
    histogram[:8] = 1 / 8
    profiles = [replace(p, histogram=histogram) for p in profiles]
    metal = histogram * 0.9
    metal[40] = 0.1
    profiles[2] = replace(profiles[2], histogram=metal)
    found = fit_reference(profiles, list("abcde"), LABELS, domain="source", scans="training")
    torch.testing.assert_close(found.centre.histogram, histogram)


def test_json_holds_aggregates_alone_and_comes_back():
    found = reference()
    assert found is not None
    text = json.dumps(found.to_json(), allow_nan=False)
    assert "s0" not in text
    assert len(text) < 10_000
    back = Reference.from_json(json.loads(text))
    for seed in (50, 51):
        first, second = (compare(profile(seed), r, LABELS) for r in (found, back))
        assert first.aspects == pytest.approx(dict(second.aspects), rel=1e-3, abs=1e-4)
    for value in vars(profile(0)).values():
        single = torch.as_tensor(value).flatten().tolist()
        assert not any(f"{x:.6g}" in text for x in single if x not in (0.0, 1.0, 5.0))


@pytest.mark.parametrize("damage", [{"std": 0.0}, {"subjects": 1}, {"mean": float("nan")}])
def test_a_damaged_level_is_refused(damage):
    data = reference().to_json()
    data["levels"]["entropy"]["scan"] |= damage
    with pytest.raises(ValueError, match="level of"):
        Reference.from_json(data)
