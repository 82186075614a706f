"""The report of a run with its evaluations, from the files that commands leave: hashes, prototypes, cases."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from monai_sfda.errors import DataError
from monai_sfda.release import Release
from monai_sfda.workflow.report import report_of_run
from tests.builders import REPOSITORY
from tests.integration.commands import ABDOMEN, QUICK_ADAPT, SAMPLING, run_in_process


@pytest.fixture(scope="module")
def run(phantoms, source_run, tmp_path_factory):
    """An adaptation from a release without prototype of the spleen, and two evaluations."""
    out = tmp_path_factory.mktemp("report")
    release = Release.read(source_run / "release")
    count = release.prototypes.count * torch.tensor([1, 1, 1, 1, 0])
    replace(release, prototypes=replace(release.prototypes, count=count)).write(out / "release")
    places = {"release": out / "release", "output_dir": out / "run"}
    run_in_process(ABDOMEN, ("adapt", "small"), dataset_dir=phantoms, **places, **QUICK_ADAPT)
    for name, weights in (("before", out / "release" / "model.pt"), ("after", out / "run" / "adapted.pt")):
        run_in_process(
            ABDOMEN,
            ("train", "evaluate", "small"),
            dataset_dir=phantoms,
            checkpoint=weights,
            domain="target",
            split="test",
            output_dir=out / name,
            **SAMPLING,
        )
    return out


def page_of(run, **results) -> str:
    return report_of_run(run / "run", {k: run / v for k, v in results.items()}).read_text(encoding="utf-8")


def test_a_lost_prototype_is_named_in_record_and_report(run):
    record = json.loads((run / "run" / "adaptation.json").read_text(encoding="utf-8"))
    assert "spleen" in record["structures_without_prototype"]
    assert any(reason.startswith("spleen: the release has no prototype") for reason in record["reasons"])
    page = page_of(run)
    relied_on = page[page.index("Before you rely on this") :]
    assert "Spleen: the release has no prototype of it" in relied_on.split("</ul>")[0]


def test_the_right_evaluations_are_compared_case_by_case(run):
    page = page_of(run, unadapted="before", adapted="after")
    assert "Mean Dice before" in page
    assert '<th scope="row">E1</th>' in page
    assert '<th scope="row">A3</th>' in page
    assert (
        "2 unlabelled target scans of 2 subjects, beside 1 of 1 subject that only the guard saw "
        "(3 of the 24 subjects of the official train split)" in page
    )
    assert "What to look for" in page
    assert "no hash" not in page


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (
            {"unadapted": "after", "adapted": "before"},
            "'unadapted' was scored with this run's adapted weights",
        ),
        ({"adapted": "before"}, r"'adapted' was scored with the release's model\.pt"),
        ({"supervised bound": "after"}, "'supervised bound'"),
    ],
)
def test_swapped_evaluations_are_refused_and_the_report_stays(run, results, message):
    before = page_of(run)
    with pytest.raises(DataError, match=message):
        page_of(run, **results)
    assert (run / "run" / "report.html").read_text(encoding="utf-8") == before


def test_an_evaluation_of_an_earlier_version_is_shown_with_a_warning(run, tmp_path):
    shutil.copytree(run / "before", tmp_path / "old")
    summary = json.loads((tmp_path / "old" / "summary.json").read_text(encoding="utf-8"))
    del summary["checkpoint_sha256"], summary["one_empty"]
    (tmp_path / "old" / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (tmp_path / "old" / "metrics.csv").unlink()
    page = page_of(run, unadapted=tmp_path / "old", adapted="after")
    assert "&#39;unadapted&#39; recorded no hash of its weights" in page
    assert "Case by case</h2>" not in page


def test_other_results_are_shown_and_named_on_stderr(run):
    command = [sys.executable, "-m", "monai_sfda", "report", str(run / "run")]
    command += ["--result", f"adapted={run / 'after'}", "--result", f"unadaptd={run / 'before'}"]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, encoding="utf-8", check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (note,) = [line for line in done.stderr.splitlines() if line.startswith("monai_sfda: note:")]
    assert "'unadaptd' is shown but not compared" in note
    assert "unadapted" in note
    assert "unadaptd</th>" in (run / "run" / "report.html").read_text(encoding="utf-8")
