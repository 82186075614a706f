"""The HTML report: complete in itself, safe, honest, and readable without colours or images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_sfda.errors import DataError, SettingError
from monai_sfda.evaluation.figures import overlay
from monai_sfda.evaluation.metrics import StructureScore
from monai_sfda.evaluation.report import ReportContent, render_report, write_report
from tests.html_page import Page

MakeScore = Callable[..., StructureScore]
MakeSummary = Callable[..., dict[str, Any]]
HOSTILE = (
    "<script src=\"http://evil.example/x.js\">alert('x')</script>"
    "<img src=http://evil.example/y onerror=z>\"'{{ 7*7 }}"
)
MINUS = "\N{MINUS SIGN}"


@pytest.fixture
def content(make_summary: MakeSummary) -> ReportContent:
    """A full report."""
    return ReportContent(
        title="Adaptation of the abdomen model",
        task="abdomen",
        method="sfs",
        verdict="accept",
        reasons=["Agreement rose from 0.64 to 0.91."],
        results={
            "centre blob": make_summary(0.1),
            "adapted": make_summary(0.8, assd=4.0),
            "unadapted": make_summary(0.4, assd=10.0, missed=2),
            "supervised bound": make_summary(0.9),
        },
        overlays=[("Case 1, slice 20", overlay(np.zeros((8, 8)), np.ones((8, 8), np.uint8), None, ()))],
        history=[(step, "entropy", 1.0 / (step + 1)) for step in range(5)],
        settings={"learning_rate": 5e-5, "method_settings": {"projections": 100}},
        versions={"monai": "1.6.1"},
        split="test, 12 cases",
        notes=["Case 3 has thick slices."],
        volumes={
            "before": {2: {"liver": 1400.0, "left_kidney": None}, 1: {"liver": 1600.0, "left_kidney": 100.0}},
            "after": {2: {"liver": 1412.34, "left_kidney": None}, 1: {"liver": 1500.0, "left_kidney": 150.0}},
        },
        volumes_cut=[2],
        signals={
            moment: {"entropy": entropy, "class_ratio": {"background": 0.9, "left_kidney": share}}
            for moment, entropy, share in (("before", 0.021, 0.0014), ("after", 0.0239, 0.0043))
        },
    )


def test_the_report_is_one_file_that_loads_nothing(tmp_path: Path, content: ReportContent) -> None:
    path = tmp_path / "deep" / "report.html"
    write_report(path, content)
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "form", "base"}
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert (attributes.get(name) or "data:image/png;base64,").startswith("data:image/png;base64,"), (
                tag,
                name,
            )
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_the_report_says_what_happened(content: ReportContent) -> None:
    text = Page(render_report(content)).text
    for words in (
        "Adaptation of the abdomen model",
        "It shows slices of the scans: it may go only where they may.",
        "Abdominal organs, CHAOS MR to BTCV CT",
        "Not for diagnosis",
        "Verdict: Accepted",
        "Agreement rose from 0.64 to 0.91.",
        "Mean Dice after 0.800",
        "patient's right is on the left of the image",
        "No scan, label or per-patient record of the source was read.",
        "No label of the target was read",
        "adapted to test, 12 cases",
        "Case 3 has thick slices.",
        "learning_rate 5e-05",
        "method_settings.projections 100",
        "monai 1.6.1",
        "before 1500.0 1400.0 to 1600.0 100.0 100.0 to 100.0",
        "A1 1600.0 → 1500.0 100.0 → 150.0 A2* 1400.0 → 1412.3 – → –",
        "* The slices of A2 are larger than the network's input and were cut at the centre",
        "0.0210 before, 0.0239 after (nats a pixel)",
        "Lower does not mean better",
        "left kidney 0.14 0.43",
        "A1 and E1 are not the same case",
        f"divided by n {MINUS} 1",
        "unadapted spleen 0 2 0",
    ):
        assert words in text, words
    assert "Phantom" not in text


def test_results_stand_in_the_order_of_reading_with_change_and_gap(content: ReportContent) -> None:
    text = Page(render_report(content)).text
    head = f"structure unadapted adapted supervised bound centre blob adapted {MINUS} unadapted gap closed"
    values = (
        "0.400 ± 0.000, n 12 0.800 ± 0.000, n 12 0.900 ± 0.000, n 12 0.100 ± 0.000, n 12 +0.400 better 80%"
    )
    assert f"{head} liver {values}" in text
    assert "† The means may be over different cases" in text


def test_the_report_can_be_heard_and_navigated(content: ReportContent) -> None:
    page = Page(render_report(content))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert all(len(image.get("alt") or "") > 20 for image in page.all("img"))
    assert len(page.all("img")) == 3
    assert all(cell.get("scope") in ("row", "col") for cell in page.all("th"))
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(identifiers)) == len(identifiers)
    assert all(section["aria-labelledby"] in identifiers for section in page.all("section"))


def test_phantom_results_are_named_so(content: ReportContent) -> None:
    content.phantom = True
    text = Page(render_report(content)).text
    assert "Phantom results. All scans are simulated" in text
    assert "Scores on phantoms" in text
    assert "Predicted volumes of the unlabelled scans, phantoms" in text


def test_hostile_texts_stay_text(content: ReportContent) -> None:
    plain = [tag for tag, _ in Page(render_report(content)).elements]
    content.title = content.method = content.split = HOSTILE
    content.reasons = content.notes = content.warnings = [HOSTILE]
    content.settings = {"learning_rate": HOSTILE, "method_settings": {HOSTILE: HOSTILE}}
    content.versions = {HOSTILE: HOSTILE}
    content.overlays = [(HOSTILE, content.overlays[0][1])]
    content.history = [(step, HOSTILE, 1.0) for step in range(3)]
    content.results = {**content.results, HOSTILE: content.results["centre blob"]}
    page = Page(render_report(content))
    assert "script" not in {tag for tag, _ in page.elements}
    assert len(page.all("img")) == plain.count("img")
    assert "alert('x')" in page.text
    assert "{{ 7*7 }}" in page.text


def test_file_names_and_folders_are_withheld(content: ReportContent) -> None:
    secret = "/data/SMITH_JOHN/scan.nii.gz"
    content.title = content.split = content.method = content.task = f"of {secret}"
    content.reasons = content.notes = content.target_labels_read = [f"read {secret}"]
    content.settings = {"dataset_dir": "SMITH_JOHN", "remark": secret, "image": Path("SMITH_JOHN")}
    content.overlays = [(secret, content.overlays[0][1])]
    content.history = [(0, secret, 1.0)]
    content.warnings = [f"read {secret}"]
    content.embedding = (secret, content.overlays[0][1])
    content.results = {**content.results, secret: content.results["adapted"]}
    assert "SMITH" not in render_report(content)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("accept", "Accepted"),
        ("reject", "Rejected"),
        ("unsure", "Unsure"),
        (None, "Unsure (not judged by a guard)"),
    ],
)
def test_every_verdict_makes_a_report_without_anything_else(verdict: str | None, words: str) -> None:
    page = Page(render_report(ReportContent(title="Run", task="my own task", method="tent", verdict=verdict)))
    assert f"Verdict: {words}" in page.text
    assert "my own task" in page.text
    assert ("not to reach the verdict" in page.text) == (verdict is not None)
    assert "Scores" not in page.text
    assert page.all("img") == []


def test_an_unknown_verdict_and_an_image_that_is_not_png_are_refused(content: ReportContent) -> None:
    content.verdict = "acept"
    with pytest.raises(SettingError, match=r"'acept'.*accept"):
        render_report(content)
    content.verdict, content.overlays = "accept", [("Case 1", b"GIF89a")]
    with pytest.raises(DataError, match="not PNG"):
        render_report(content)


def test_the_figures_at_the_top_say_which_model_is_in_use(make_summary: MakeSummary) -> None:
    scores = {"unadapted": make_summary(0.4), "adapted": make_summary(0.8), "published": make_summary(0.7)}

    def top(chosen: str | None, *names: str) -> str:
        results = {name: scores[name] for name in names}
        content = ReportContent(title="Run", task="abdomen", method="sfs", results=results, chosen=chosen)
        return Page(render_report(content)).text

    text = top("epoch_0004", "unadapted", "adapted", "published")
    for words in (
        "Mean Dice before 0.400 Mean Dice epoch 4 (published) 0.700 Mean Dice after (not published) 0.800",
        "Change in mean Dice, epoch 4 (published) +0.300",
        "Change in mean Dice, after (not published) +0.400",
    ):
        assert words in text
    assert "Mean Dice before (published) 0.400" in top("unadapted", "unadapted", "adapted")
    assert "Mean Dice after (published) 0.800 Change in mean Dice +0.400" in top(
        "last", "unadapted", "adapted"
    )


def test_the_report_warns_where_its_numbers_mislead(make_summary: MakeSummary) -> None:
    def warnings(**changes: Any) -> str:
        return Page(render_report(ReportContent(title="Run", task="abdomen", method="sfs", **changes))).text

    def results(before: float, after: float, **others: Any) -> dict[str, Any]:
        return {"unadapted": make_summary(before), "adapted": make_summary(after)} | others

    assert "Before you rely on this" not in warnings(verdict="accept", results=results(0.4, 0.8))
    assert "lower than before" in warnings(verdict="accept", results=results(0.8, 0.4))
    assert "higher than before" in warnings(verdict="reject", results=results(0.4, 0.8))
    blob = {"centre blob": make_summary(0.85)}
    assert "does not beat the centre blob" in warnings(results=results(0.4, 0.8, **blob))
    few = warnings(results={"adapted": make_summary(0.8, cases=1)})
    assert "With 1 case, a single patient" in few
    other = warnings(results={"unadapted": make_summary(0.4), "adapted": make_summary(0.8, split="val")})
    assert "split differs" in other
    assert "Mean Dice before" not in other


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"method_settings": {"class_proportions": "oracle"}}},
        {"target_labels_read": ["image-level tags"]},
    ],
)
def test_a_run_that_read_target_labels_is_not_called_label_free(changes: dict[str, Any]) -> None:
    text = Page(render_report(ReportContent(title="Run", task="abdomen", method="sfs", **changes))).text
    assert "It is a benchmark, not a label-free result." in text
    assert "Labels of the target were used" in text
    assert "No label of the target was read" not in text


def test_a_run_that_read_the_source_is_not_called_source_free() -> None:
    content = ReportContent(title="Run", task="abdomen", method="prior matching", source_data_read=True)
    text = Page(render_report(content)).text
    assert "It is not source-free." in text
    assert "record of the source was read" not in text


def test_a_report_of_pictures_speaks_of_pictures() -> None:
    content = ReportContent(
        title="Run", task="street", method="MAS3", pictures=True, phantom=True, source_data_read=True
    )
    text = Page(render_report(content)).text
    assert "This adaptation used pictures of the source." in text
    assert "unlabelled target pictures" in text
    for word in ("scan", "patient", "slice"):
        assert word not in text.replace("may name a patient or a site", "")


def scored(make_score: MakeScore, cases: int, dice: float) -> list[StructureScore]:
    return [make_score(case, "left_kidney", dice=dice + 0.01 * case) for case in range(1, cases + 1)]


@pytest.mark.parametrize(("cases", "folded"), [(1, False), (12, False), (13, True)])
def test_cases_stand_one_by_one_and_many_are_folded(
    content: ReportContent, make_score: MakeScore, cases: int, folded: bool
) -> None:
    after = [*scored(make_score, cases - 1, 0.6), make_score(cases, "left_kidney", dice=0.1)]
    content.scores = {"unadapted": scored(make_score, cases, 0.4), "adapted": after}
    content.volumes = {"after": {case: {"liver": 1000.0 + case} for case in range(1, cases + 1)}}
    page = Page(render_report(content))
    assert [("open" not in attributes) for attributes in page.all("details")] == [folded, folded]
    assert f"E{cases} {0.4 + 0.01 * cases:.3f} → 0.100 worse" in page.text
    assert f"worse by over 0.05 1 of {cases}" in page.text
    noun = "case" if cases == 1 else "cases"
    assert f"In 1 of the {cases} evaluated {noun} some structure lost more than 0.05 Dice" in page.text
    assert f"left kidney in 1 of {cases}" in page.text
    assert f"A{cases} – → {1000 + cases}.0" in page.text
    content.scores = {"unadapted": after, "adapted": after}
    assert "No structure of the" in Page(render_report(content)).text


def test_scores_of_results_that_may_not_be_compared_are_not_joined(
    content: ReportContent, make_score: MakeScore, make_summary: MakeSummary
) -> None:
    content.scores = {name: scored(make_score, 2, 0.4) for name in ("unadapted", "adapted")}
    content.results = {"unadapted": make_summary(0.4), "adapted": make_summary(0.8, split="val")}
    assert "Case by case" not in Page(render_report(content)).text


def test_a_gap_that_cannot_be_stated_is_a_dash_with_its_reason(make_summary: MakeSummary) -> None:
    def page(bound: float, **others: Any) -> str:
        results = {"unadapted": make_summary(0.4), "adapted": make_summary(0.5)} | others
        results["supervised bound"] = make_summary(bound)
        report = ReportContent(title="Run", task="abdomen", method="sfs", results=results)
        return Page(render_report(report)).text

    assert "Gap to the bound (0.300) closed – the bound is no better than unadapted" in page(0.3)
    assert "‡ The bound is no better than the unadapted model here" in page(0.3)
    blob = page(0.6, **{"centre blob": make_summary(0.7)})
    assert "closed – the bound does not beat the centre blob" in blob
    assert "§ The bound does not beat the centre blob here" in blob
    assert "The adapted model and the supervised bound do not beat the centre blob" in blob
    assert "Gap to the bound (0.900) closed 20%" in page(0.9)
    absent = make_summary(0.4)
    absent["dice"]["per_class"]["spleen"]["n"], absent["undefined"]["spleen"]["one_empty"] = 11, 1
    other_cases = page(0.9, adapted=absent)
    assert "Gap to the bound (0.900) closed – the means may be over different cases" in other_cases


def test_overlap_and_distance_that_disagree_are_pointed_out(make_summary: MakeSummary) -> None:
    def page(after: float, assd: float) -> str:
        results = {"unadapted": make_summary(0.4, assd=5.0), "adapted": make_summary(after, assd=assd)}
        report = ReportContent(title="Run", task="abdomen", method="sfs", results=results)
        return Page(render_report(report)).text

    assert "Mean Dice got better, but the mean surface distance (ASSD) got worse: 5.0 mm before" in page(
        0.8, 9.0
    )
    assert "Mean Dice got worse, but" in page(0.3, 4.0)
    assert "surface distance (ASSD) got" not in page(0.8, 4.0)
    assert "worse than the unadapted one" in page(0.3, 9.0)


def test_without_an_evaluation_the_report_says_that_nothing_was_measured() -> None:
    text = Page(render_report(ReportContent(title="Run", task="abdomen", method="sfs"))).text
    assert "No evaluation is part of this report" in text


def test_the_embedding_and_its_caption_are_shown(content: ReportContent) -> None:
    before = len(Page(render_report(content)).all("img"))
    content.embedding = ("What to look for: dots", content.overlays[0][1])
    page = Page(render_report(content))
    assert len(page.all("img")) == before + 1
    assert "What to look for: dots" in page.text


def test_the_protocol_and_the_split_stand_with_the_numbers(make_summary: MakeSummary) -> None:
    whole = {"name": "whole_volume", "largest_component": False, "split_source": "16 and 4 as in SIFA"}
    published = {
        "name": "paper",
        "paper": "SFS",
        "looks_at_labels": True,
        "largest_component": False,
        "mean_of": [],
    }

    def page(before: dict[str, Any], after: dict[str, Any]) -> str:
        results = {
            "unadapted": make_summary(0.4) | {"protocol": before},
            "adapted": make_summary(0.8) | {"protocol": after},
        }
        return Page(render_report(ReportContent("t", "abdomen", "SFS", results=results))).text

    own = page(whole, whole)
    assert "by evaluation protocol whole_volume" in own
    assert "evaluation protocol whole_volume; target test split (16 and 4 as in SIFA)." in own
    assert "crops scans" not in own
    paper = page(published, published)
    assert "by evaluation protocol paper" in paper
    assert "evaluation protocol paper of SFS, which looks at the evaluated labels" in paper
    assert "A published evaluation protocol was used that crops scans" in paper
    mixed = page(whole, published)
    assert "protocol name differs (unadapted: whole_volume, adapted: paper)" in mixed
    assert "Mean Dice before" not in mixed
