"""The estimator of the change of Dice, against numbers computed otherwise."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_sfda.guard.estimate import ChangeEstimator, features_of
from monai_sfda.guard.signals import ScanSignals

NAMES = ["change:entropy", "level:entropy", "change:soft_dice"]


def judged(count: int, seed: int = 0) -> tuple[list[dict[str, float]], list[float]]:
    """Candidates whose change is a known linear function of two features, and noise; the third repeats the
    first.
    """
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, 2))
    third = x[:, 0] + 0.1 * draw.normal(size=count)
    y = 0.02 * x[:, 0] - 0.01 * x[:, 1] + 0.005 * draw.normal(size=count)
    rows = [dict(zip(NAMES, (*pair, extra), strict=True)) for pair, extra in zip(x, third, strict=True)]
    return rows, y.tolist()


def scan(**values: float) -> ScanSignals:
    return ScanSignals(values, {}, np.zeros((1, 2, 2), np.uint8))


def test_features_are_means_over_scans_and_paired_changes() -> None:
    before = [scan(entropy=0.5, soft_dice=0.8), scan(entropy=0.3)]
    after = [scan(entropy=0.4, soft_dice=0.9), scan(entropy=0.1, soft_dice=0.7)]
    found = features_of(before, after)
    assert found == {
        "level:entropy": pytest.approx(0.25),
        "change:entropy": pytest.approx(-0.15),
        "level:soft_dice": pytest.approx(0.8),
        "change:soft_dice": pytest.approx(0.1),  # the second scan has none before
    }


def test_without_ridge_it_is_least_squares() -> None:
    rows, changes = judged(400)
    fitted = ChangeEstimator.fit(rows, changes, names=NAMES, runs=100, ridge=0.0, most=1.0)
    x = np.clip((np.array([[r[n] for n in NAMES] for r in rows]) - fitted.centre) / fitted.scale, -3, 3)
    solution, *_ = np.linalg.lstsq(np.column_stack([np.ones(400), x]), np.array(changes), rcond=None)
    expected = np.column_stack([np.ones(400), x]) @ solution
    found = [fitted.estimate(row) for row in rows]
    np.testing.assert_allclose([e.mean for e in found], expected, atol=1e-10)
    # the error of the fit is the standard deviation of its residuals
    assert found[0].std == pytest.approx(np.std(np.array(changes) - expected), rel=1e-6)


def test_a_left_out_signal_is_as_if_it_had_never_been_seen() -> None:
    rows, changes = judged(300)
    whole = ChangeEstimator.fit(rows, changes, names=NAMES, runs=100)
    alone = ChangeEstimator.fit(rows, changes, names=[NAMES[2]], runs=100)
    for row in rows[:10]:
        assert whole.estimate(row, without={"entropy"}).mean == pytest.approx(alone.estimate(row).mean)
        changed = row | {"change:entropy": 99.0, "level:entropy": -99.0}
        assert whole.estimate(changed, without={"entropy"}) == whole.estimate(row, without={"entropy"})


def test_what_a_run_lacks_moves_nothing() -> None:
    rows, changes = judged(300)
    fitted = ChangeEstimator.fit(rows, changes, names=NAMES, runs=100)
    assert fitted.estimate({}).mean == pytest.approx(np.mean(changes))
    assert set(fitted.contributions({}).values()) == {0.0}


def test_contributions_add_up_to_the_estimate() -> None:
    rows, changes = judged(300)
    fitted = ChangeEstimator.fit(rows, changes, names=NAMES, runs=100)
    parts = fitted.contributions(rows[0])
    assert set(parts) == {"entropy", "soft_dice"}
    assert np.mean(changes) + sum(parts.values()) == pytest.approx(fitted.estimate(rows[0]).mean)


def test_an_absurd_signal_counts_as_a_large_one() -> None:
    rows, changes = judged(300)
    fitted = ChangeEstimator.fit(rows, changes, names=NAMES, runs=100)
    far, absurd = ({**rows[0], "change:soft_dice": value} for value in (50.0, 1e12))
    assert fitted.estimate(far) == fitted.estimate(absurd)


def test_a_weight_counts_as_so_many_copies() -> None:
    rows, changes = judged(60)
    settings = {"names": NAMES, "runs": 1}
    weighted = ChangeEstimator.fit(rows, changes, weights=[3.0] * 20 + [1.0] * 40, **settings)
    copied = ChangeEstimator.fit(rows[:20] * 2 + rows, changes[:20] * 2 + changes, **settings)
    assert copied.mean[-1] == pytest.approx(weighted.mean[-1])
    assert copied.covariance[-1, -1] == pytest.approx(weighted.covariance[-1, -1])


def test_it_survives_being_written() -> None:
    rows, changes = judged(300)
    fitted = ChangeEstimator.fit(rows, changes, names=NAMES, runs=100)
    again = ChangeEstimator.from_json(json.loads(json.dumps(fitted.to_json())))
    for row in rows[:5]:
        assert again.estimate(row).mean == pytest.approx(fitted.estimate(row).mean, abs=1e-5)


def test_a_feature_that_no_candidate_has_is_left_out() -> None:
    rows, changes = judged(50)
    assert ChangeEstimator.fit(rows, changes, names=[*NAMES, "change:atlas"], runs=9).names == tuple(NAMES)
