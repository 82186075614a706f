"""The test of drift: its false alarms as computed, simulated and bounded, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest

from monai_sfda.errors import SettingError
from monai_sfda.guard.aspects import ASPECTS
from monai_sfda.guard.drift import DriftTest
from monai_sfda.guard.reference import CONFIDENCE

_OF_PICTURES = ("shares", "places_rows", "places_columns")
_OF_SCANS = (
    *("volumes", "slice_distance", "extent_left_right", "extent_back_front", "extent_foot_head"),
    *("places_left_right", "places_back_front", "places_foot_head"),
)


def simulated(test: DriftTest, shares, runs: int, seed: int):
    """The scan of the first alarm of each run, or infinity: the definition, all runs side by side."""
    rng = np.random.default_rng(seed)
    level, first = np.zeros(runs), np.full(runs, np.inf)
    for number, share in enumerate(shares, start=1):
        up = rng.random(runs) < share
        level = np.where(up, level + test.step, np.maximum(level - 1, 0))
        first[(level >= test.threshold) & np.isinf(first)] = number
    return first


@pytest.mark.parametrize(
    "test", [DriftTest(), DriftTest(0.02, 0.2, 0.01, 400), DriftTest(0.2, 0.5, 0.1, 100)]
)
def test_false_alarms_are_as_rare_as_stated(test):
    stated = test.alarm_probability(test.horizon, test.usual_share)
    assert stated <= test.false_alarm
    assert test.alarm_probability(test.horizon, test.usual_share, test.threshold - 1) > test.false_alarm
    runs = 20000
    first = simulated(test, [test.usual_share] * test.horizon, runs, seed=7)
    assert np.isfinite(first).mean() == pytest.approx(stated, abs=4 * np.sqrt(stated / runs))
    assert test.alarm_probability(test.horizon, test.usual_share / 2) < stated / 2


def test_the_mean_delay_is_that_of_simulated_runs():
    test = DriftTest()
    first = simulated(test, [0.25] * 1000, 20000, seed=8)
    error = first.std() / np.sqrt(len(first))
    assert test.mean_scans_to_alarm(0.25) == pytest.approx(first.mean(), abs=4 * error)


def test_closed_forms():
    """h = 1: the first stranger is an alarm, so that the run length is geometric."""
    test = DriftTest(0.1, 0.5, 0.9, 5)
    assert test.alarm_probability(5, 0.1, 1) == pytest.approx(1 - 0.9**5)
    always = DriftTest()
    assert always.mean_scans_to_alarm(1.0) == -(-always.threshold // always.step)
    assert always.alarm_probability(1000, 0.0) == 0


def test_a_change_is_found_and_dated():
    test = DriftTest()
    quiet = [False] * 30 + [True] + [False] * 29
    drift = test([*quiet, *[True] * 10])
    assert drift.detected
    assert drift.alarm == 60 + -(-test.threshold // test.step)
    assert drift.began == 61
    assert (drift.scans, drift.strange) == (70, 11)
    assert "alarm at scan 65 of 70, the change began near scan 61" in test.in_words(drift)


def test_an_alarm_is_not_taken_back():
    test = DriftTest()
    assert test([True] * 10 + [False] * 500).alarm == 5


def test_what_is_quiet_is_said_with_its_numbers():
    test = DriftTest()
    few = test([True, True, False])
    assert not few.detected
    assert test.in_words(few) == "too few scans to say whether the model drifts: 3, where 5 could alarm"
    many = test(([False] * 19 + [True]) * 10)
    assert not many.detected
    assert "no drift seen in 200 scans, of which 10 are not like those" in test.in_words(many)
    assert test([]).levels == ()


@pytest.mark.parametrize("left_out", [_OF_PICTURES, _OF_SCANS])
def test_the_usual_share_is_above_what_the_reference_allows(left_out):
    """The union bound over the aspects that a scan, or a picture, has; the median of several parts is beyond
    the edge only where half of them are, which is twice as likely at the most.
    """
    names = [name for name in ASPECTS if name not in left_out]
    several = [name for name in names if name in ("volumes", "shares") or name.startswith("places")]
    assert (1 - CONFIDENCE) * (len(names) + len(several)) < 0.02 < DriftTest().usual_share


@pytest.mark.parametrize(
    "settings",
    [
        {"usual_share": 0.0},
        {"usual_share": 0.3},
        {"drifted_share": 1.0},
        {"false_alarm": 0.0},
        {"horizon": 0},
    ],
)
def test_settings_that_make_no_test_are_refused(settings):
    with pytest.raises(SettingError, match="make"):
        DriftTest(**settings)
