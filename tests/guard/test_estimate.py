"""The estimator of the change of Dice: a small forest by hand, and one grown by another library."""

from __future__ import annotations

import numpy as np
import pytest

from monai_sfda.guard.calibration import FOREST, THRESHOLDS, Calibration
from monai_sfda.guard.estimate import ChangeEstimator, changes_of
from monai_sfda.guard.signals import ScanSignals

# Two trees: agreement up to 0 -> -4 points, else entropy up to -0.1 -> +2, else +6; and a stump on entropy.
BY_HAND = ChangeEstimator(
    names=("agreement", "entropy"),
    usual=np.array([0.0, 0.05]),
    roots=np.array([0, 5], np.int32),
    feature=np.array([0, -1, 1, -1, -1, 1, -1, -1], np.int16),
    threshold=np.array([0.0, 0, -0.1, 0, 0, 0.0, 0, 0]),
    left=np.array([1, 0, 3, 0, 0, 6, 0, 0], np.int32),
    right=np.array([2, 0, 4, 0, 0, 7, 0, 0], np.int32),
    value=np.array([0.0, -0.04, 0.0, 0.02, 0.06, 0.0, 0.01, -0.01]),
)


def scan(**values: float) -> ScanSignals:
    return ScanSignals(values, {}, np.zeros((1, 2, 2), np.uint8))


def test_changes_are_medians_over_scans() -> None:
    before = [scan(entropy=0.5, volumes=2.0), scan(entropy=0.3), scan(entropy=0.4)]
    after = [scan(entropy=0.4, volumes=1.0), scan(entropy=0.1, volumes=9.0), scan(entropy=90.0)]
    # one scan is beyond all bounds; the second had no volume before
    assert changes_of(before, after) == {"entropy": pytest.approx(-0.1), "volumes": pytest.approx(-1.0)}


def test_a_network_that_predicts_nothing_any_more_has_lost_all_agreement() -> None:
    before, after = [scan(agreement=0.8), scan(agreement=0.6)], [scan(), scan(agreement=0.6)]
    assert changes_of(before, after) == {"agreement": pytest.approx(-0.4)}
    assert changes_of([scan(entropy=0.1)], [scan(entropy=0.1)]) == {"entropy": 0.0}  # a task without it


def test_what_compares_with_the_unadapted_model_is_taken_as_it_is() -> None:
    assert changes_of([scan()], [scan(changed=0.2)]) == {"changed": pytest.approx(0.2)}


@pytest.mark.parametrize(
    ("agreement", "entropy", "expected"),
    [(0.1, 0.2, (0.06 - 0.01) / 2), (0.1, -0.2, (0.02 + 0.01) / 2), (-0.1, 0.0, (-0.04 + 0.01) / 2)],
)
def test_the_estimate_is_the_mean_of_the_leaves(agreement: float, entropy: float, expected: float) -> None:
    assert BY_HAND.estimate({"agreement": agreement, "entropy": entropy}) == pytest.approx(expected)


def test_a_signal_that_says_nothing_counts_as_usual() -> None:
    usual = BY_HAND.estimate({"agreement": 0.1, "entropy": 0.05})
    assert BY_HAND.estimate({"agreement": 0.1, "entropy": -9.0}, without={"entropy"}) == usual
    assert BY_HAND.estimate({"agreement": 0.1}) == usual
    assert BY_HAND.estimate({"agreement": 0.1, "entropy": float("nan")}) == usual


def test_a_contribution_is_what_the_estimate_loses_without_the_signal() -> None:
    found = BY_HAND.contributions({"agreement": 0.1, "entropy": -0.2})
    assert found == {"agreement": pytest.approx((0.02 + 0.04) / 2), "entropy": pytest.approx(0.015 - 0.025)}
    assert BY_HAND.contributions({"agreement": 0.1, "entropy": -0.2}, without={"agreement"}).keys() == {
        "entropy"
    }


def test_it_is_the_forest_that_was_grown_and_survives_being_written(tmp_path) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble", reason="the extra 'benchmark' is not installed")
    thresholds = pytest.importorskip("benchmarks.guard_thresholds")
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 2)).astype(np.float32)
    forest = ensemble.ExtraTreesRegressor(20, min_samples_leaf=4, random_state=0)
    forest.fit(x, 0.05 * x[:, 0] - 0.02 * x[:, 1] ** 2)
    trees = [tree.tree_ for tree in forest.estimators_]
    grown = thresholds.from_trees(trees, ("agreement", "entropy"), np.zeros(2))
    Calibration(grown, 0.03, 0.005, {"half": "development"}).write(tmp_path)
    again = Calibration.parse(
        (tmp_path / THRESHOLDS).read_text(encoding="utf-8"), (tmp_path / FOREST).read_bytes()
    )
    assert (again.accept_from, again.reject_below) == (0.03, 0.005)
    rows = [dict(zip(("agreement", "entropy"), map(float, row), strict=True)) for row in x[:50]]
    expected = forest.predict(x[:50])
    np.testing.assert_allclose([again.estimator.estimate(row) for row in rows], expected, atol=1e-7)
