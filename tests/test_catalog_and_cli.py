"""The catalog, the command line, and that neither waits for torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from monai_sfda.catalog import TASKS, find_task
from monai_sfda.errors import DataError, SettingError, nearest, report_errors_relative_to
from monai_sfda.phantom import PHANTOM_TASKS, write_phantoms
from monai_sfda.workflow.report import report_of_run
from tests.builders import BUNDLES, REPOSITORY


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monai_sfda", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize(
    "module", ["monai_sfda.catalog", "monai_sfda.ablations", "monai_sfda.cli", "monai_sfda.data.listing"]
)
def test_starts_without_torch_and_monai(module):
    code = f"import sys, {module}; print([m for m in ('torch', 'monai', 'matplotlib') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert done.stdout.strip() == "[]"


def test_help_names_the_commands_and_that_it_is_not_for_diagnosis():
    done = command("--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert all(name in text for name in ("demo", "phantom", "benchmark", "report", "not for diagnosis"))


def test_phantom_command_writes_the_official_layouts(tmp_path):
    done = command(
        "phantom", "--out", str(tmp_path / "p"), "--subjects", "2", "--matrix", "48", "--seed", "3"
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "p").rglob("img*.nii.gz"))) == 2
    assert len(list((tmp_path / "p").rglob("T2SPIR"))) == 2
    assert "not patient data" in next((tmp_path / "p").rglob("phantom.json")).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("phantom", "--task", "abdomn", "--out", "x"), "abdomen"),
        (("report", "nowhere"), "adapt.json"),
        (("report", "nowhere", "--result", "adapted"), "NAME=FOLDER"),
        (("benchmark", "--out", "x"), "nothing is compared: add --ablation all"),
        (("benchmark", "--out", "x", "--ablation", "roh"), "use rho"),
        (("benchmark", "--out", "x", "--ablation", "rho", "--seeds", "0;1"), "seed '0;1'"),
        (("benchmark", "--out", "x", "--ablation", "rho", "--set", "amp"), "KEY=VALUE"),
        (("benchmark", "--out", "x", "--ablation", "rho", "--set", "seed=3"), "the benchmark's own"),
    ],
)
def test_errors_are_one_line_and_status_1(arguments, message):
    done = command(*arguments)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("monai_sfda: error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_is_consistent(name):
    task = find_task(name)
    assert list(task.labels.values()) == list(range(len(task.structures) + (not task.pictures)))
    configuration = BUNDLES / task.bundle / "configs" / "train.json"
    first = find_task(json.loads(configuration.read_text(encoding="utf-8"))["task"])
    assert first.bundle == task.bundle
    assert first == task or name.startswith(f"{first.name}_")
    for domain in (task.source, task.target):
        splits = domain.splits_of(str(i) for i in range(20))
        assert not set(splits["train"]) & set(splits["test"])
        assert domain.split_source
    names = [part.name for part in (*task.structures, *task.regions)]
    assert len(set(names)) == len(names)
    assert all(set(region.indices) <= set(task.labels.values()) - {0} for region in task.regions)
    assert task.phantoms is None or task.phantoms in PHANTOM_TASKS


def test_unknown_task_lists_the_nearest():
    with pytest.raises(SettingError, match="abdomen"):
        find_task("abdomin")
    assert nearest("abdomin", TASKS) == ["abdomen"]
    assert nearest("brain", TASKS) == ["brain_grade", "brain_modality"]


def test_errors_name_files_relative_to_the_users_folder(tmp_path):
    with pytest.raises(DataError) as caught, report_errors_relative_to(tmp_path):
        raise DataError("it is bad", path=tmp_path / "a" / "b.nii.gz", remedy="mend it")
    assert str(caught.value) == "it is bad in a/b.nii.gz: mend it"
    assert str(tmp_path) not in str(DataError("x", path=tmp_path / "c.nii", remedy="y"))


def test_phantoms_of_an_unknown_task_are_refused(tmp_path):
    with pytest.raises(SettingError, match="soft_tissue"):
        write_phantoms("soft_tissue", tmp_path / "p", 2, 0)


def test_phantoms_go_by_the_names_of_tasks_too(tmp_path):
    write_phantoms("brain_modality", tmp_path / "p", 1, 3, matrix=32, workers=1)
    assert json.loads((tmp_path / "p" / "phantom.json").read_text(encoding="utf-8"))["task"] == "brain"


def test_report_of_nothing_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"adapt\.json"):
        report_of_run(tmp_path)
