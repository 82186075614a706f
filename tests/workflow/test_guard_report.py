"""What the report says of the guard, from the record of a run."""

from __future__ import annotations

import io

import matplotlib.image
import pytest

from monai_sfda.errors import DataError
from monai_sfda.evaluation.guard_figure import signals_along_the_run
from monai_sfda.evaluation.report import ReportContent, render_report
from monai_sfda.workflow.guard_report import ESTIMATE, guard_section, judged_on, published
from tests.evaluation.test_report import Page

MINUS = "\N{MINUS SIGN}"


def record(chosen="epoch_0004", verdict="accept", **changes):
    """Of a run with one checkpoint on the way."""
    guard = {
        "enabled": True,
        "adaptation_scans": [1, 2, 4],
        "guard_scans": [3],
        "subjects": 4,
        "adaptation_subjects": 3,
        "guard_subjects": 1,
        "guard_scans_adapted_to": False,
        "candidates": [
            {"name": name, "epoch": epoch}
            for name, epoch in (("unadapted", 0), ("epoch_0004", 4), ("last", 8))
        ],
        "optimised_signals": ["entropy"],
        "verdict": verdict,
        "chosen": chosen,
        "best": "epoch_0004",
        "reasons": ["it agrees better with itself"],
        "estimates": {"unadapted": 0.0, "epoch_0004": 0.1234, "last": -0.05},
        "signals": {
            "unadapted": {"entropy": 0.05, "agreement": 0.61, "vanished": 0.0},
            "epoch_0004": {"entropy": 0.01, "agreement": 0.83, "vanished": 0.0, "changed": 0.25},
            "last": {"entropy": 0.001, "vanished": 3.0, "changed": 0.5},
        },
        "vetoes": {"last": ["liver has vanished", "spleen has vanished"]},
    }
    return {"verdict": verdict, "guard": guard | changes}


def page_of(entry):
    section = guard_section(entry)
    content = ReportContent(
        "Run", "abdomen", "tent", verdict=entry["verdict"], guard=section, chosen=entry["guard"]["chosen"]
    )
    return Page(render_report(content))


def test_the_candidates_stand_beside_each_other_with_what_they_were_chosen_by():
    text = page_of(record()).text
    for words in (
        "Verdict: Accepted",
        "In use: model.pt and the bundle hold the weights of epoch 4, a checkpoint on the way.",
        "It judged by 1 scan of 1 subject (A3) that the method never saw. No label was read. It compared the "
        "unadapted model with 2 checkpoints of the run.",
        "signal unadapted epoch 4 published last how to read it",
        f"{ESTIMATE} +0.000 +0.123 {MINUS}0.050 higher is better",
        "agreement under small changes 0.6100 0.8300 \N{EN DASH} higher is better",
        "entropy, nats* 0.0500 0.0100 0.0010 lower is better",
        "vanished structures 0 0 3 lower is better",
        "changed pixels \N{EN DASH} 0.2500 0.5000",
        "last may not be chosen: liver has vanished; spleen has vanished.",
        "* The method itself minimises this",
        "What the guard cannot see",
    ):
        assert words in text, words
    assert "not judged by a guard" not in text


def test_a_run_without_its_own_signal_needs_no_note():
    assert "minimises" not in page_of(record(optimised_signals=[])).text


@pytest.mark.parametrize(
    ("chosen", "verdict", "words"),
    [
        ("unadapted", "reject", "hold the unadapted model, exactly as the source site released it"),
        ("unadapted", "unsure", "A person who has looked at both may decide to use it."),
        ("last", "accept", "hold the method's last weights, which adapted.pt holds too"),
    ],
)
def test_what_is_in_use_is_said_in_words(chosen, verdict, words):
    said = published(record(chosen, verdict))
    assert words in said
    assert ("A person" in said) == (verdict == "unsure")
    assert words in page_of(record(chosen, verdict)).text


def test_scans_that_served_for_both_are_told():
    few = record(guard_scans=[1, 2], guard_subjects=2, guard_scans_adapted_to=True)["guard"]
    assert judged_on(few) == (
        "It judged by 2 scans of 2 subjects (A1, A2), which were adapted to as well: there were too few to "
        "keep any back."
    )
    many = record(guard_scans=list(range(1, 41)), guard_subjects=40)["guard"]
    assert "A12, …)" in judged_on(many)


@pytest.mark.parametrize("entry", [{}, {"guard": {"enabled": False}}])
def test_a_run_that_no_guard_judged_has_no_section(entry):
    assert guard_section({"verdict": "unsure", **entry}) is None


def test_the_figure_has_a_panel_a_number_and_refuses_what_does_not_fit():
    def size(numbers):
        series = {f"signal {i}": [0.1 * i, None, 0.3] for i in range(numbers)}
        image = matplotlib.image.imread(io.BytesIO(signals_along_the_run([0, 4, 8], series, 2)))
        return image.shape[:2]

    assert size(3)[0] < size(4)[0] == size(6)[0]  # three a row
    assert size(1)[1] < size(2)[1] < size(3)[1] == size(9)[1]
    with pytest.raises(DataError, match="nothing to draw"):
        signals_along_the_run([0, 4], {"entropy": [1.0]}, 0)
    with pytest.raises(DataError, match="nothing to draw"):
        signals_along_the_run([0, 4], {}, 0)


def test_a_signal_that_is_no_number_is_shown_as_none():
    entry = record()
    entry["guard"]["signals"]["last"] |= {"entropy": None, "edges": None}
    entry["guard"]["estimates"]["last"] = None
    text = page_of(entry).text
    assert f"{ESTIMATE} +0.000 +0.123 \N{EN DASH}" in text
    assert "entropy, nats* 0.0500 0.0100 \N{EN DASH}" in text
    assert "edges" not in text.split("What the guard cannot see")[0]
