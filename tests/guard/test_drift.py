"""The test of drift: its false alarms as computed, simulated and bounded, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest

from monai_sfda.errors import SettingError
from monai_sfda.guard.aspects import ASPECTS
from monai_sfda.guard.drift import RISING, DriftTest, among_highest, in_words
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
    words = in_words(drift, RISING([False] * 70), test)
    assert words == (
        "the model drifts: too many unfamiliar scans, alarm at scan 66, the change began near scan 61; 11 of "
        "70 scans in order are not like those that the model knows"
    )


def test_an_alarm_is_not_taken_back():
    test = DriftTest()
    assert test([True] * 10 + [False] * 500).alarm == 6


def test_what_is_quiet_is_said_with_its_numbers():
    test = DriftTest()
    few, none = test([True, True, False]), RISING([False] * 3)
    assert not few.detected
    words = in_words(few, none, test)
    assert words == "too few scans to say whether the model drifts: 3, where 6 could alarm"
    many = test(([False] * 19 + [True]) * 10)
    assert not many.detected
    assert in_words(many, none, test).startswith("no drift seen: 10 of 200 scans in order are not like those")
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


def test_highest_of_those_so_far():
    assert among_highest([1, 2, 3, 4, 5, 5, 0, 0, 0, 4.5], 0.2) == [False] * 4 + [True] + [False] * 5
    assert among_highest([5, 4, 3, 2, 1] * 4) == [False] * 20  # equal ones are no news
    assert among_highest([]) == []


@pytest.mark.parametrize("draw", ["normal", "standard_cauchy"])
def test_scores_that_do_not_change_alarm_as_rarely_as_stated_whatever_their_distribution(draw):
    rng = np.random.default_rng(5)
    runs, scans = 1500, 200
    hits = np.array([among_highest(getattr(rng, draw)(size=scans)) for _ in range(runs)])
    expected = np.array([np.floor(0.2 * t + 1e-9) / t for t in range(1, scans + 1)])
    assert np.abs(hits.mean(0) - expected).max() < 5 * np.sqrt(0.2 * 0.8 / runs)
    assert abs(np.corrcoef(hits[:, 20:].T)[0, 1:].mean()) < 0.02  # independent of those before
    alarms = np.mean([RISING(row).detected for row in hits])
    assert alarms <= RISING.alarm_probability(scans, 0.2) + 4 * np.sqrt(0.025 / runs)


def test_scores_that_rise_are_found_though_every_scan_stays_familiar():
    rng = np.random.default_rng(6)
    delays = []
    for _ in range(50):
        drift = RISING(among_highest([*rng.normal(0.3, 0.1, 40), *rng.normal(0.6, 0.1, 60)]))
        delays.append((drift.alarm or 1000) - 40)
    assert np.median(delays) < 15
    assert max(delays) < 60
    assert 30 <= drift.began <= 45
