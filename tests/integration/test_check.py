"""`monai-sfda check`: counts, missing subjects, geometry, and exit status 1 exactly when a job could not
start.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from monai_sfda.catalog import ABDOMEN
from monai_sfda.workflow.check import BOUND, JOBS, check_data
from monai_sfda.workflow.check_page import classes_of, geometry_of
from tests.integration.test_bad_input import labels, truncate, unknown_value, volumes
from tests.test_catalog_and_cli import command


@pytest.fixture
def data(phantoms, tmp_path):
    shutil.copytree(phantoms, tmp_path / "data")
    return tmp_path / "data"


def by_split(result):
    return {(s.domain, s.split): s for s in result.splits}


def test_complete_phantoms_are_ready(data):
    result = check_data(ABDOMEN, data)
    assert result.problems == {job: [] for job in JOBS}
    splits = by_split(result)
    train = splits["source", "train"]
    assert (train.subjects, train.expected, len(train.missing)) == (3, 16, 13)
    assert geometry_of(train.summaries).startswith("96 x 96 x ")
    assert classes_of(train.summaries, ABDOMEN) == "every structure in every scan"
    fewer = [replace(train.summaries[0], classes=(1, 2)), *train.summaries[1:]]
    assert classes_of(fewer, ABDOMEN).startswith("scans with liver 3, right kidney 3, left kidney 2")
    assert splits["target", "test"].subjects == 1


def test_target_without_labels_is_ready_to_adapt_but_not_to_evaluate(data):
    shutil.rmtree(next(data.rglob("label")))
    problems = check_data(ABDOMEN, data).problems
    assert problems["train"] == []
    assert problems["adapt"] == []
    assert len(problems["evaluate"]) == 1


@pytest.mark.parametrize(
    ("victims", "damage", "job"), [(volumes, truncate, "adapt"), (labels, unknown_value, BOUND)]
)
def test_every_bad_file_is_named(data, victims, damage, job):
    for victim in victims(data)[:2]:
        damage(victim)
    problems = check_data(ABDOMEN, data).problems
    named = " ".join(problems[job] + problems["evaluate"])
    assert all(victim.name in named for victim in victims(data)[:2])
    assert problems["train"] == []
    assert problems[job]
    assert bool(problems["adapt"]) == (job == "adapt")


def test_command_says_what_is_wrong_and_exits_1(data, tmp_path):
    done = command("check", "--task", "abdomen", str(data))
    assert done.returncode == 0, done.stderr
    assert "train: ready" in done.stdout
    truncate(sorted(data.rglob("T2SPIR/DICOM_anon/*.dcm"))[3])
    done = command("check", "--task", "abdomen", str(data))
    assert done.returncode == 1
    assert "train, evaluate --domain source: not ready" in done.stdout
    assert str(tmp_path) not in done.stdout
    done = command("check", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert "nowhere" in done.stdout


def test_a_domain_that_is_not_there_is_said_once(data):
    shutil.rmtree(next(data.rglob("Train_Sets")))
    result = check_data(ABDOMEN, data)
    assert len([line for line in result.problems["train"] if "no CHAOS T2-SPIR MR scans" in line]) == 1
    assert result.problems["adapt"] == []


def test_a_subject_in_two_lists_spoils_the_evaluation(data, tmp_path):
    items = [
        {"image": str(image), "label": str(label), "subject": "same"}
        for image, label in zip(volumes(data)[:2], labels(data)[:2], strict=True)
    ]
    datalist = tmp_path / "list.json"
    stored = {
        "background": [0, 4, *range(5, 14)],
        "liver": 6,
        "right_kidney": 2,
        "left_kidney": 3,
        "spleen": 1,
    }
    stored["background"].remove(6)
    content = {"labels": stored, "target_train": items[:1], "target_test": items[1:]}
    datalist.write_text(json.dumps(content), encoding="utf-8")
    problems = check_data(ABDOMEN, data, datalist=datalist).problems
    assert problems["adapt"] == []
    assert "a subject of the test list who is in the train list too" in problems["evaluate"][0]
    assert volumes(data)[0].name in problems["evaluate"][0]
    assert volumes(data)[1].name in problems["evaluate"][0]
