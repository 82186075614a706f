"""`monai-sfda benchmark` as a user runs it: killed in the middle, it goes on and ends with the same table."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from monai_sfda.ablations import ABLATIONS
from monai_sfda.errors import SettingError
from monai_sfda.workflow.experiment import Experiment
from tests.builders import REPOSITORY
from tests.integration.commands import QUICK

TINY = QUICK | {"max_epochs": 1, "adaptation#epoch_length": 3}


def command(data, out, *arguments):
    settings = [part for name, value in TINY.items() for part in ("--set", f"{name}={value}")]
    return [
        *(sys.executable, "-m", "monai_sfda", "benchmark", "--data", str(data), "--out", str(out)),
        *("--seeds", "3", *settings, *arguments),
    ]


def run(log, *arguments):
    with log.open("wb") as stream:
        done = subprocess.run(
            command(*arguments),
            cwd=REPOSITORY,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=900,
        )
    assert done.returncode == 0, log.read_text(encoding="utf-8")


def kill_when(path, how, log, *arguments):
    """Starts the command and kills it as soon as a file is there; the file must not be there before."""
    assert not path.exists()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command(*arguments), cwd=REPOSITORY, stdout=stream, stderr=subprocess.STDOUT
        )
    deadline = time.monotonic() + 600
    while not path.exists():
        assert process.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(how)
    assert process.wait(timeout=60) != 0


def results(out, name):
    """The table without what differs from run to run: time and memory."""
    content = json.loads((out / "results" / f"{name}.json").read_text(encoding="utf-8"))
    for row in [*content["rows"], *(row for rows in content["seeds"].values() for row in rows)]:
        row.pop("seconds")
        row.pop("peak_memory_bytes")
    return content


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_killed_benchmark_goes_on_to_the_same_table(phantoms, tmp_path):
    chosen = ("--ablation", "classifier,filters", "--record", str(tmp_path / "record"))
    run(tmp_path / "whole.log", phantoms, tmp_path / "whole", *chosen)

    out = tmp_path / "parts"
    seed = out / "seed3"
    # In the first training, the parent asked to end; then in adaptation, killed, its step living on.
    kill_when(
        seed / "steps" / "train_source.json", signal.SIGTERM, tmp_path / "1.log", phantoms, out, *chosen
    )
    assert not (seed / "train_source" / "release").exists()
    kill_when(
        seed / "steps" / "sfs_predicted.json", signal.SIGKILL, tmp_path / "2.log", phantoms, out, *chosen
    )
    trained = (seed / "train_source" / "release" / "release.json").stat().st_mtime_ns
    run(tmp_path / "3.log", phantoms, out, *chosen)

    assert (seed / "train_source" / "release" / "release.json").stat().st_mtime_ns == trained
    assert "train on the source" not in (tmp_path / "3.log").read_text(encoding="utf-8")
    for name in ("classifier", "filters"):
        assert results(out, name) == results(tmp_path / "whole", name)
        png = (out / "results" / f"{name}.png").read_bytes()
        assert png == (tmp_path / "whole" / "results" / f"{name}.png").read_bytes()
    interrupted = json.loads((seed / "steps" / "sfs_predicted.json").read_text(encoding="utf-8"))
    assert interrupted["seconds"] is None or interrupted["attempts"] > 1

    products = [*seed.rglob("adapted.pt"), *seed.rglob("summary.json"), *seed.rglob("release.json")]
    times = {path: path.stat().st_mtime_ns for path in products}
    run(tmp_path / "4.log", phantoms, out, *chosen)
    assert len(times) > 6
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert " s  seed" not in (tmp_path / "4.log").read_text(encoding="utf-8")

    content = results(out, "classifier")
    assert [row["title"] for row in content["rows"]] == [
        "unadapted",
        "SFS, classifier tuned (default)",
        "SFS, classifier fixed",
        "supervised bound",
    ]
    assert content["phantom"] is True
    assert content["versions"]["torch"]
    assert content["machine"]["cores"] >= 1
    assert str(tmp_path) not in json.dumps(content)
    recorded = (tmp_path / "record" / "classifier.md").read_text(encoding="utf-8")
    assert "Phantom results" in recorded
    assert str(tmp_path) not in recorded


def test_a_loss_that_is_the_configurations_own_is_not_trained_again(tmp_path):
    cross, weighted, dice = ABLATIONS["loss"].arms
    default = ABLATIONS["umap"].arms[0]
    small = Experiment("abdomen", tmp_path, tmp_path / "out")
    assert small.run_folder(dice) == small.run_folder(default)
    assert small.release_of(dice) == small.release_of(default)
    assert len({small.release_of(arm) for arm in (cross, weighted, dice)}) == 3
    full = Experiment("abdomen", tmp_path, tmp_path / "out", configs=())
    assert full.run_folder(weighted) == full.run_folder(default)
    assert full.run_folder(dice) != full.run_folder(default)
    asked = Experiment("abdomen", tmp_path, tmp_path / "out", common={"training#loss": "cross_entropy"})
    assert asked.run_folder(cross) == asked.run_folder(default)


def test_another_datalist_is_another_experiment(tmp_path):
    path = tmp_path / "list.json"
    path.write_text("{}", encoding="utf-8")
    experiment = Experiment("abdomen", tmp_path, tmp_path / "out", common={"datalist": path})
    experiment.commands.claim_folder()
    experiment.commands.claim_folder()
    path.write_text('{"labels": {}}', encoding="utf-8")
    with pytest.raises(SettingError, match="other settings"):
        experiment.commands.claim_folder()
