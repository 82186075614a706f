"""`monai-sfda benchmark --guard`: the guard's choice of each run stands beside the last weights."""

from __future__ import annotations

import json

import pytest

from monai_sfda.benchmark.run import Benchmark, method_comparison
from monai_sfda.benchmark.table import cells, over_seeds
from monai_sfda.evaluation.metrics import StructureScore
from monai_sfda.evaluation.summary import summarise
from monai_sfda.workflow.demo import decision_in_words
from monai_sfda.workflow.experiment import Experiment
from monai_sfda.workflow.results import results_table

(ARM,) = method_comparison(["tent"]).arms


def write_summary(folder, dice):
    """An evaluation of one case in which every structure has this Dice."""
    score = StructureScore(1, "liver", dice, dice / (2 - dice), 2.0, 5.0, 9.0, "defined", 9, 9, 9, 9, 8)
    protocol = {"name": "whole_volume", "largest_component": False}
    summary = summarise([score], task="abdomen", domain="target", split="test", cases=1, protocol=protocol)
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


def finished(out, chosen, *, unadapted=0.4, last=0.6, on_the_way=0.75):
    """The folder of an experiment whose steps have run."""
    experiment = Experiment("abdomen", out, out, arms=(ARM,), guard=True)
    verdict = "reject" if chosen == "unadapted" else "accept"
    guard = {"enabled": True, "chosen": chosen, "verdict": verdict, "reasons": ["so it is"]}
    record = dict.fromkeys(("title", "history", "signals", "settings", "phantom")) | {"guard": guard}
    run = experiment.run_folder(ARM)
    run.mkdir(parents=True)
    (run / "adaptation.json").write_text(json.dumps(record), encoding="utf-8")
    write_summary(experiment.unadapted_folder(ARM), unadapted)
    write_summary(experiment.test_folder(ARM), last)
    write_summary(experiment.bound_test_folder(False), 0.9)
    if chosen not in ("unadapted", "last"):
        write_summary(experiment.published_folder(ARM), on_the_way)
    return experiment


@pytest.mark.parametrize(
    ("chosen", "dice", "gap", "regret", "accepted"),
    [
        ("unadapted", 0.4, 0.0, 0.2, 0),
        ("last", 0.6, 0.4, 0.0, 1),
        ("epoch_0004", 0.75, 0.7, -0.15, 1),
    ],
)
def test_the_choice_has_a_row_with_its_regret(tmp_path, chosen, dice, gap, regret, accepted):
    experiment = finished(tmp_path, chosen)
    rows = results_table(experiment, experiment.arms)
    assert [row["title"] for row in rows] == [
        "unadapted",
        "Tent",
        "Tent, the guard's choice",
        "supervised bound",
    ]
    choice = rows[2]
    assert choice["dice"] == pytest.approx(dice)
    assert choice["gap_closed"] == pytest.approx(gap)
    assert choice["measures"] == {"accepted": accepted, "regret, Dice": pytest.approx(regret)}
    head, body = cells(over_seeds({3: rows}))
    assert body[2][head.index("accepted")] == str(accepted)
    assert body[1][head.index("accepted")] == ""


def test_a_checkpoint_that_was_published_is_shown_beside_the_last_weights(tmp_path):
    on_the_way = finished(tmp_path / "a", "epoch_0004")
    assert set(on_the_way.results_for(ARM)) == {"unadapted", "adapted", "supervised bound", "published"}
    assert on_the_way.published_folder(ARM).name == "tent_published_test"
    for chosen in ("unadapted", "last"):
        experiment = finished(tmp_path / chosen, chosen)
        assert set(experiment.results_for(ARM)) == {"unadapted", "adapted", "supervised bound"}


def test_without_the_option_no_guard_is_asked(tmp_path):
    experiment = Experiment("abdomen", tmp_path, tmp_path / "out", arms=(ARM,))
    assert experiment.guard_of(ARM) is None
    assert experiment.published_folder(ARM) == experiment.test_folder(ARM)
    assert "--guard" not in Benchmark("abdomen", tmp_path).command(method_comparison(["tent"]))
    assert Benchmark("abdomen", tmp_path, guard=True).command(method_comparison(["tent"])).endswith("--guard")


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ("unadapted", "published: the unadapted model"),
        ("last", "published: the method's last weights"),
        ("epoch_0012", "published: epoch 12"),
    ],
)
def test_the_demo_says_what_was_published(chosen, words):
    said = decision_in_words({"verdict": "reject", "chosen": chosen, "reasons": ["the liver has vanished"]})
    assert said == f"verdict reject (the liver has vanished); {words}"
