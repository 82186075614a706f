"""Results side by side: changes, gaps, and when there is none to state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from monai_sfda.evaluation.comparison import (
    METRIC_DISPLAY,
    disagreements,
    metric_table,
    result_name,
    undefined_rows,
)
from monai_sfda.evaluation.gap import BELOW_BLOB, NO_ROOM, gap_closed

MakeSummary = Callable[..., dict[str, Any]]
DICE, ASSD = METRIC_DISPLAY[0], METRIC_DISPLAY[1]


@pytest.mark.parametrize(
    ("unadapted", "adapted", "bound", "higher", "expected"),
    [
        (0.4, 0.8, 0.9, True, 0.8),
        (0.4, 0.3, 0.9, True, -0.2),
        (10.0, 4.0, 2.0, False, 0.75),
        (0.9, 0.95, 0.9, True, None),
        (0.9, 0.95, 0.8, True, None),
        (2.0, 1.0, 3.0, False, None),
        (None, 0.9, 0.9, True, None),
        (0.4, 0.9, None, True, None),
    ],
)
def test_gap_closed(
    unadapted: float | None, adapted: float | None, bound: float | None, higher: bool, expected: float | None
) -> None:
    found = gap_closed(unadapted, adapted, bound, higher)
    assert found is None if expected is None else found == pytest.approx(expected)


def test_a_table_states_change_and_gap_in_the_metrics_own_direction(make_summary: MakeSummary) -> None:
    results = {
        "unadapted": make_summary(0.4, assd=10.0),
        "adapted": make_summary(0.8, assd=4.0),
        "supervised bound": make_summary(0.9, assd=2.0),
    }
    dice, assd = metric_table(results, DICE), metric_table(results, ASSD)
    assert [row.title for row in dice.rows] == ["liver", "spleen", "mean of structures"]
    assert dice.rows[0].cells[0] == ("0.400", "± 0.000, n 12")
    assert [(r.change, r.direction, r.gap) for r in dice.rows] == [("+0.400", "better", "80%")] * 3
    assert [(r.change, r.direction, r.gap) for r in assd.rows] == [
        ("\N{MINUS SIGN}6.00", "better", "75%")
    ] * 3
    assert not dice.uncertain


def test_a_distance_over_fewer_cases_is_neither_better_nor_worse(make_summary: MakeSummary) -> None:
    results = {"unadapted": make_summary(0.4, assd=2.0, missed=3), "adapted": make_summary(0.8, assd=3.0)}
    liver, spleen, mean = metric_table(results, ASSD).rows
    assert (liver.direction, liver.uncertain) == ("worse", False)
    assert (spleen.change, spleen.direction, spleen.uncertain) == ("+1.00", "", True)
    assert (mean.direction, mean.uncertain) == ("", True)
    assert [row.direction for row in metric_table(results, DICE).rows] == ["better"] * 3
    assert undefined_rows(results) == [("unadapted", "spleen", "0", "3", "0")]
    del results["unadapted"]["one_empty"]  # as an earlier version wrote it
    assert undefined_rows(results)[0][3:] == ("3 missed or invented", "\N{EN DASH}")


def test_results_of_other_cases_are_not_compared(make_summary: MakeSummary) -> None:
    results = {"unadapted": make_summary(0.4), "adapted": make_summary(0.8, split="val")}
    assert disagreements(results) == ["split differs (unadapted: test, adapted: val)"]
    assert not metric_table(results, DICE).has_change
    largest = {"protocol": {"name": "whole_volume", "largest_component": True}}
    assert (
        "largest_component"
        in disagreements({"unadapted": make_summary(0.4), "adapted": make_summary(0.4) | largest})[0]
    )
    assert disagreements({"centre blob": make_summary(0.1, split="val"), "adapted": make_summary(0.4)}) == []


def test_no_gap_is_stated_to_a_bound_that_bounds_nothing(make_summary: MakeSummary) -> None:
    def mean_row(bound: float, **others: Any) -> Any:
        results = {"unadapted": make_summary(0.4), "adapted": make_summary(0.5)} | others
        return metric_table(results | {"supervised bound": make_summary(bound)}, DICE).rows[-1]

    blob = {"centre blob": make_summary(0.6)}
    assert (mean_row(0.9, **blob).gap, mean_row(0.9, **blob).withheld) == ("20%", None)
    for row, reason in ((mean_row(0.55, **blob), BELOW_BLOB), (mean_row(0.4), NO_ROOM)):
        assert (row.gap, row.withheld) == ("\N{EN DASH}", reason)
    low_blob = {"centre blob": make_summary(0.1)}
    assert mean_row(0.3, **low_blob).withheld == NO_ROOM


def test_a_distance_is_bounded_from_below(make_summary: MakeSummary) -> None:
    results = {
        "unadapted": make_summary(0.4, assd=10.0),
        "adapted": make_summary(0.8, assd=4.0),
        "supervised bound": make_summary(0.9, assd=3.0),
        "centre blob": make_summary(0.1, assd=2.0),
    }
    table = metric_table(results, ASSD)
    assert {row.withheld for row in table.rows} == {BELOW_BLOB}
    assert table.withheld == (BELOW_BLOB,)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("bound", "supervised bound"),
        ("supervised_bound", "supervised bound"),
        ("centre_blob", "centre blob"),
        ("adapted", "adapted"),
        ("other_model", "other_model"),
    ],
)
def test_results_are_known_by_their_short_names_too(given: str, name: str) -> None:
    assert result_name(given) == name
