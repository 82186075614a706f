"""metrics.csv and summary.json: what they hold, and that they are whole and strict."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_sfda.errors import DataError, OutputError
from monai_sfda.evaluation.cases import read_metrics
from monai_sfda.evaluation.metrics import StructureScore, score_case
from monai_sfda.evaluation.summary import read_summary, summarise, write_metrics, write_summary
from monai_sfda.evaluation.summary_table import summary_table

MakeScore = Callable[..., StructureScore]
MakeSummary = Callable[..., dict[str, Any]]
GONE = {"iou": None, "assd_mm": None, "hd95_mm": None, "hd_mm": None}
PROTOCOL = {"name": "whole_volume", "largest_component": False}


def summary_of(scores: list[StructureScore], cases: int) -> dict[str, Any]:
    return summarise(scores, task="abdomen", domain="target", split="test", cases=cases, protocol=PROTOCOL)


def test_a_summary_averages_cases_then_classes_and_counts_what_is_undefined(make_score: MakeScore) -> None:
    scores = [
        make_score(1, "liver", dice=0.9, assd_mm=1.0),
        make_score(1, "spleen", dice=0.5, assd_mm=4.0),
        make_score(2, "liver", dice=0.7, assd_mm=3.0),
        make_score(
            2, "spleen", **GONE | {"dice": 0.0, "iou": 0.0, "state": "one_empty", "predicted_ml": 0.0}
        ),
        make_score(3, "liver", dice=0.8, assd_mm=2.0),
        make_score(3, "spleen", **GONE | {"dice": None, "state": "both_empty"}),
    ]
    summary = summary_of(scores, 3)
    assert list(summary) == [
        *("task", "domain", "split", "cases"),
        *("dice", "iou", "assd_mm", "hd95_mm", "hd_mm"),
        *("undefined", "one_empty", "protocol"),
    ]
    assert summary["dice"]["per_class"]["liver"] == pytest.approx({"mean": 0.8, "std": 0.1, "n": 3})
    assert summary["dice"]["per_class"]["spleen"] == pytest.approx(
        {"mean": 0.25, "std": 0.5 / 2**0.5, "n": 2}
    )
    assert summary["dice"]["mean"] == pytest.approx((0.8 + 0.25) / 2)
    assert summary["assd_mm"]["per_class"]["spleen"] == {"mean": 4.0, "std": None, "n": 1}
    assert summary["assd_mm"]["mean"] == pytest.approx(3.0)
    assert summary["undefined"] == {
        "liver": {"both_empty": 0, "one_empty": 0},
        "spleen": {"both_empty": 1, "one_empty": 1},
    }
    assert summary["one_empty"] == {
        "liver": {"missed": 0, "invented": 0},
        "spleen": {"missed": 1, "invented": 0},
    }
    assert summary["protocol"] == PROTOCOL


def test_a_structure_that_no_case_has_leaves_the_mean_to_the_others(make_score: MakeScore) -> None:
    empty = make_score(1, "spleen", **GONE | {"dice": None, "state": "both_empty"})
    summary = summary_of([make_score(1, "liver", dice=0.6), empty], 1)
    assert summary["dice"]["mean"] == 0.6
    assert summary["dice"]["per_class"]["spleen"] == {"mean": None, "std": None, "n": 0}
    assert summary_of([empty], 1)["dice"]["mean"] is None


def test_incomplete_or_repeated_scores_are_refused(make_score: MakeScore) -> None:
    one, two = make_score(1, "liver"), make_score(2, "liver")
    for scores, cases, words in (
        ([], 0, "no case"),
        ([one, one], 1, "repeat"),
        ([one, two, make_score(2, "spleen")], 2, "every structure"),
        ([one, two], 3, "2 cases were scored of 3"),
    ):
        with pytest.raises(DataError, match=words):
            summary_of(scores, cases)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} in JSON")


def test_a_summary_of_empty_volumes_is_strict_json_and_reads_back(tmp_path: Path) -> None:
    empty = np.zeros((5, 5, 5), np.uint8)
    full = np.ones((5, 5, 5), np.uint8)
    labels = {"liver": 1, "spleen": 2}
    scores = [*score_case(1, empty, empty, (1, 1, 1), labels), *score_case(2, full, empty, (1, 1, 1), labels)]
    summary = summary_of(scores, 2)
    path = tmp_path / "out" / "summary.json"
    write_summary(path, summary)
    assert json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse) == summary
    assert read_summary(path) == summary
    assert summary["one_empty"]["liver"] == {"missed": 0, "invented": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["summary.json"]


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), np.zeros(2), {"inner": [1.0, float("nan")]}, {3: 1}]
)
def test_what_json_cannot_hold_is_refused_by_name_and_the_old_file_stays(
    tmp_path: Path, make_summary: MakeSummary, value: object
) -> None:
    path = tmp_path / "summary.json"
    write_summary(path, make_summary(0.5))
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"'protocol\.threshold"):
        write_summary(path, make_summary(0.9) | {"protocol": {"name": "x", "threshold": value}})
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path, make_summary: MakeSummary) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(OutputError, match=r"summary\.json"):
        write_summary(tmp_path / "file" / "summary.json", make_summary(0.5))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("{", "not valid JSON"),
        ("[]", "missing"),
        ('{"task": "abdomen"}', "domain"),
        ('{"task": NaN}', "NaN is not a number"),
        (b"\xff\xfe\x00", "not valid JSON"),
    ],
)
def test_files_that_are_no_summary_are_refused(tmp_path: Path, text: str | bytes | None, words: str) -> None:
    path = tmp_path / "summary.json"
    if isinstance(text, str):
        path.write_text(text, encoding="utf-8")
    elif isinstance(text, bytes):
        path.write_bytes(text)
    with pytest.raises(DataError, match=words):
        read_summary(path)


def test_metrics_csv_has_a_row_a_case_and_structure_and_no_file_name(
    tmp_path: Path, make_score: MakeScore
) -> None:
    path = tmp_path / "metrics.csv"
    gone = make_score(1, "spleen", **GONE | {"dice": None, "state": "both_empty", "predicted_ml": 0.0})
    write_metrics(path, [make_score(1, "liver", dice=1 / 3), gone])
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [
        *("case", "structure", "dice", "iou", "assd_mm", "hd95_mm", "hd_mm"),
        *("state", "predicted_ml", "reference_ml"),
        *("predicted_voxels", "reference_voxels", "common_voxels"),
    ]
    assert [(row["case"], row["structure"], row["state"]) for row in rows] == [
        ("1", "liver", "defined"),
        ("1", "spleen", "both_empty"),
    ]
    assert float(rows[0]["dice"]) == 1 / 3
    assert (rows[1]["dice"], rows[1]["hd_mm"], rows[1]["predicted_ml"]) == ("", "", "0.0")


def test_the_table_of_a_summary_has_three_digits_and_dashes(make_score: MakeScore) -> None:
    empty = make_score(1, "left_kidney", **GONE | {"dice": None, "state": "both_empty"})
    lines = summary_table(summary_of([make_score(1, "liver", dice=2 / 3, assd_mm=1.23456), empty], 1))
    assert [line.split() for line in lines.splitlines()] == [
        ["domain", "target,", "split", "test,", "1", "case,", "protocol", "whole_volume"],
        ["structure", "Dice", "std", "n", "ASSD", "mm"],
        ["liver", "0.667", "-", "1", "1.235"],
        ["left", "kidney", "-", "-", "0", "-"],
        ["mean", "of", "structures", "0.667", "1.235"],
    ]


def test_distances_of_a_protocol_stand_beside_the_usual_metrics(
    make_score: MakeScore, tmp_path: Path
) -> None:
    scores = [make_score(case, name) for case in (1, 2) for name in ("liver", "spleen", "both")]
    values = {"liver": (1.0, 3.0), "spleen": (4.0, None), "both": (8.0, 10.0)}
    distances = {"assd_voxel": {(case, n): v[case - 1] for n, v in values.items() for case in (1, 2)}}
    summary = summarise(
        scores,
        task="abdomen",
        domain="target",
        split="test",
        cases=2,
        protocol={"name": "paper", "mean_of": ["liver", "both"]},
        regions=["both"],
        distances=distances,
        mean_of=["liver", "both"],
    )
    assert summary["assd_voxel"]["per_class"]["liver"] == pytest.approx({"mean": 2, "std": 2**0.5, "n": 2})
    assert summary["assd_voxel"]["per_class"]["spleen"] == {"mean": 4, "std": None, "n": 1}
    assert summary["assd_voxel"]["mean"] == pytest.approx((2 + 9) / 2)  # of liver and the region
    lines = summary_table(summary).splitlines()
    assert lines[0].endswith("protocol paper")
    assert lines[1].endswith("ASSD voxels")
    assert lines[-1].split() == ["mean", "of", "liver,", "both", "0.800", "2.000", "5.500"]
    write_metrics(tmp_path / "metrics.csv", scores, distances)
    with (tmp_path / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["assd_voxel"] for row in rows] == ["1.0", "4.0", "8.0", "3.0", "", "10.0"]
    assert read_metrics(tmp_path / "metrics.csv") == scores
