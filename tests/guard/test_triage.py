"""Triage: the farthest first, every kind before its copies, and close to the best spread there is."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from monai_sfda.guard.triage import triage


def test_ten_copies_of_one_oddity_are_not_the_first_ten():
    copies = [{"intensities": 5.0, "volumes": 0.3}] * 10
    others = [{"intensities": 0.2, "volumes": 3.0}, {"slice_distance": 1.5}, {"entropy": 0.4}]
    found = triage([*copies, *others])
    assert set(found.order[:3]) == {0, 10, 11}
    assert found.order[0] == 0
    assert found.novelty[0] == pytest.approx(5.0)  # of the first it is the score
    assert found.novelty[3] == pytest.approx(0.4)  # nothing else is far from what is known or chosen
    assert found.novelty[-1] == 0
    assert found.nearest == (0,) * 10 + (10, 11, None)


def test_alone_in_one_aspect_the_distance_is_the_ratio_of_what_is_far():
    """At 50 and 30 half widths two scans are one kind; at 5 and 1 they are two."""
    far = triage([{"a": 50.0}, {"a": 30.0}])
    assert far.novelty == (pytest.approx(50.0), pytest.approx(51 / 31 - 1))
    assert far.nearest == (0, 0)
    near = triage([{"a": 5.0}, {"a": 1.0}])
    assert near.novelty == (pytest.approx(5.0), pytest.approx(1.0))


def test_what_a_model_knows_is_no_kind_to_label():
    found = triage([{"a": 0.3, "b": 0.9}, {"a": 0.8}, {}])
    assert found.order == (0, 1, 2)
    assert max(found.novelty) <= 1
    assert found.nearest == (None, None, None)
    assert triage([]).order == ()
    assert triage([{}, {}]).novelty == (0, 0)


def test_novelty_never_rises_and_every_scan_comes_once():
    rng = np.random.default_rng(3)
    scans = [dict(zip("abcde", rng.gamma(1.0, 1.5, 5), strict=True)) for _ in range(60)]
    found = triage(scans)
    assert sorted(found.order) == list(range(60))
    assert all(a >= b for a, b in itertools.pairwise(found.novelty))
    assert found.order[0] == max(range(60), key=lambda i: max(scans[i].values()))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_farthest_is_at_most_twice_as_far_as_in_the_best_choice(seed, count):
    """Gonzalez' bound, against every choice of so many scans beside the reference."""
    rng = np.random.default_rng(seed)
    scans = [dict(zip("abc", rng.gamma(1.0, 2.0, 3), strict=True)) for _ in range(9)]
    points = np.vstack([np.zeros(3), np.log1p([list(scan.values()) for scan in scans])])
    apart = np.abs(points[:, None] - points[None]).max(-1)

    def radius(chosen):
        return apart[:, [0, *(i + 1 for i in chosen)]].min(1).max()

    best = min(radius(chosen) for chosen in itertools.combinations(range(9), count))
    found = triage(scans)
    assert radius(found.order[:count]) <= 2 * best + 1e-12
    assert math.expm1(radius(found.order[:count])) == pytest.approx(found.novelty[count])
