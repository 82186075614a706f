"""`monai-sfda check` on every layout with every fault that a download of it can have.

The fault is named, with its file and what to do, the job that it concerns is not ready, and nothing else is
said.
"""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from monai_sfda.catalog import (
    SPINE,
)
from monai_sfda.cli import app
from monai_sfda.data.listing import list_cases
from monai_sfda.workflow.check import BOUND, JOBS, SOURCE_TEST, check_data
from tests.integration.downloads import TASKS
from tests.integration.faults import FAULTS, missing_label

JOBS_OF = {
    ("source", "train"): ("train", "train"),
    ("target", "train"): ("adapt", BOUND),
    ("target", "test"): ("evaluate", "evaluate"),
}
TABLE = [
    pytest.param(fault, task, *place, id=f"{task.name}-{fault.name}-{'-'.join(place)}".replace(" ", "_"))
    for number, fault in enumerate(FAULTS)
    for turn, task in enumerate(fault.tasks)
    for place in [fault.where[(number + turn) % len(fault.where)]]
]


@pytest.mark.parametrize(("fault", "task", "domain", "split"), TABLE)
def test_a_planted_fault_is_named_and_nothing_else(copy_of, fault, task, domain, split) -> None:
    data = copy_of(task)
    cases = list(list_cases(task, domain, split, data).cases)
    named = fault.plant(cases).relative_to(data)
    result = check_data(task, data)
    blocked = {job: problems for job, problems in result.problems.items() if problems}
    said = (
        [str(doubt) for doubt in result.doubts] if fault.doubt else [p for ps in blocked.values() for p in ps]
    )
    for line in said:
        assert re.search(fault.words, line), line
        assert len(line.split(": ", 1)[1]) > 10, "a remedy"
        assert str(data.parent) not in line
    assert any(str(named) in line for line in said), said
    if fault.doubt:
        assert not blocked
        return
    expected = {JOBS_OF[domain, split][fault.of_label]}
    if task is SPINE and fault.of_label:  # one label for the image of either domain
        expected |= {"train", BOUND} if split == "train" else {"evaluate", SOURCE_TEST}
    assert set(blocked) == expected
    assert not result.doubts


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_nothing_is_said_of_sound_phantoms(sound, task) -> None:
    result = check_data(task, sound(task))
    assert result.problems == {job: [] for job in JOBS}
    assert result.doubts == []


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_command_names_the_fault_on_every_layout(copy_of, task) -> None:
    data = copy_of(task)
    cases = list(list_cases(task, "target", "test", data).cases)
    image = missing_label(cases).relative_to(data)
    done = CliRunner().invoke(app, ["check", "--task", task.name, str(data)], env={"COLUMNS": "80"})
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    _, faults = done.stdout.split("\nevaluate: not ready\n")
    fault, *_ = faults.split(f"\n{SOURCE_TEST}")  # of the spine: one label for the images of both domains
    assert " ".join(fault.split()).startswith(
        "- the label is missing of the image: complete the download; expected"
    )
    assert fault.splitlines()[-1].strip() == str(image)
    assert "train: ready" in done.stdout
    assert "adapt: ready" in done.stdout
    assert all(len(line) <= 80 or " " not in line.strip() for line in done.stdout.splitlines())
