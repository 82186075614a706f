"""Which scan is the most worth labelling, by how far it is from what is known and labelled."""

from __future__ import annotations

import numpy as np
import pytest

from monai_sfda.guard.triage import triage
from monai_sfda.label.next_study.ranking import novelties


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_asked_again_and_again_it_is_the_order_of_triage(seed):
    random = np.random.default_rng(seed)
    scans = [{name: float(random.exponential(2)) for name in ("a", "b", "c")} for _ in range(12)]
    left, covered, order, novelty = list(range(12)), [], [], []
    while left:
        found = novelties([scans[i] for i in left], [scans[i] for i in covered])
        best = int(np.argmax(found))
        order.append(left[best])
        novelty.append(found[best])
        covered.append(left.pop(best))
    expected = triage(scans)
    assert tuple(order) == expected.order
    assert novelty == pytest.approx(expected.novelty)


def test_alone_its_novelty_is_its_score():
    assert novelties([{"intensity": 3.0, "volumes": 0.5}], []) == pytest.approx([3.0])


def test_beside_a_copy_that_is_labelled_it_is_nothing_new():
    scan, other = {"intensity": 50.0}, {"volumes": 4.0}
    assert novelties([scan, other], [dict(scan)]) == pytest.approx([0.0, 4.0])


def test_an_aspect_that_one_of_them_lacks_counts_as_usual():
    assert novelties([{"a": 1.0}], [{"b": 3.0}]) == pytest.approx([1.0])


def test_nothing_to_choose_from():
    assert novelties([], [{"a": 1.0}]) == []
