"""Case by case: what metrics.csv gives back, and which cases got worse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from monai_sfda.errors import DataError
from monai_sfda.evaluation.case_chart import case_chart
from monai_sfda.evaluation.cases import case_changes, read_metrics
from monai_sfda.evaluation.metrics import StructureScore
from monai_sfda.evaluation.summary import write_metrics

MakeScore = Callable[..., StructureScore]
GONE = {"dice": None, "iou": None, "assd_mm": None, "hd95_mm": None, "hd_mm": None, "state": "both_empty"}


def test_metrics_read_back_as_they_were_written(tmp_path: Path, make_score: MakeScore) -> None:
    scores = [make_score(1, "liver", dice=1 / 3), make_score(2, "left_kidney", **GONE)]
    write_metrics(tmp_path / "metrics.csv", scores)
    assert read_metrics(tmp_path / "metrics.csv") == scores


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("a,b\n1,2\n", "not the metrics.csv"),
        (
            "case,structure,dice,iou,assd_mm,hd95_mm,hd_mm,state,predicted_ml,reference_ml\n"
            "1,liver,nan,,,,,defined,1,1\n",
            "no finite number",
        ),
        (
            "case,structure,dice,iou,assd_mm,hd95_mm,hd_mm,state,predicted_ml,reference_ml\n"
            "1,liver,0.5,,,,,fine,1,1\n",
            "'fine'",
        ),
    ],
)
def test_files_that_are_no_metrics_are_refused(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "metrics.csv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_metrics(path)


def test_worse_cases_are_those_that_lost_more_than_five_hundredths(make_score: MakeScore) -> None:
    before = [make_score(c, "liver", dice=0.8) for c in (1, 2, 3)] + [make_score(4, "liver", **GONE)]
    after = [make_score(c, "liver", dice=d) for c, d in ((3, 0.9), (2, 0.76), (1, 0.74), (4, 0.0))]
    (liver,) = case_changes(before, after)
    assert [(c.case, c.is_worse) for c in liver.cases] == [(1, True), (2, False), (3, False), (4, False)]
    assert (liver.worse, liver.compared) == (1, 3)
    assert liver.cases[3].change is None


def test_other_cases_are_not_compared(make_score: MakeScore) -> None:
    with pytest.raises(DataError, match="same cases"):
        case_changes([make_score(1, "liver")], [make_score(2, "liver")])
    with pytest.raises(DataError, match="same cases"):
        case_changes([], [])


def test_every_structure_is_drawn_and_none_is_an_error(make_score: MakeScore) -> None:
    names = [f"organ_{i}_$x^" for i in range(7)]
    before = [make_score(case, name, dice=0.8) for case in (1, 2) for name in names]
    after = [make_score(case, name, dice=0.5 * case) for case in (1, 2) for name in names]
    one = case_chart(case_changes([before[0]], [after[0]]))
    all_of_them = case_chart(case_changes(before, after))
    assert one.startswith(b"\x89PNG")
    assert len(all_of_them) > 2 * len(one)
    empty = [make_score(1, "liver", **GONE)]
    with pytest.raises(DataError, match="no case"):
        case_chart(case_changes(empty, empty))
