"""A run that is killed or interrupted goes on with the same command and ends with the same weights."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest
import torch

from tests.builders import REPOSITORY
from tests.integration.commands import ABDOMEN, QUICK, QUICK_ADAPT, bundle_command

pytestmark = pytest.mark.long


def start(configs, log, **overrides):
    words = bundle_command(ABDOMEN, configs, **overrides)
    return subprocess.Popen(words, cwd=REPOSITORY, stdout=log.open("wb"), stderr=subprocess.STDOUT)


def wait_for_start(folder, process, runs_before, seconds=120):
    """Waits until this run has begun to train: every run opens an event file of its own."""
    deadline = time.monotonic() + seconds
    while len(list((folder / "tensorboard").glob("events*"))) <= runs_before:
        assert process.poll() is None, "the run ended before it was interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def weights(path):
    return torch.load(path, weights_only=True)


def jobs(phantoms, source_run):
    train = {"dataset_dir": phantoms, **QUICK, "max_epochs": 5, "training#epoch_length": 60}
    adapt = {
        "dataset_dir": phantoms,
        "release": source_run / "release",
        **QUICK_ADAPT,
        "max_epochs": 5,
        "adaptation#epoch_length": 30,
    }
    return {
        "train": (("train", "small"), train, "release/model.pt"),
        "adapt": (("adapt", "small"), adapt, "adapted.pt"),
    }


@pytest.mark.parametrize("job", ["train", "adapt"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_the_same_command_goes_on_to_the_same_weights(phantoms, source_run, tmp_path, job, how):
    configs, overrides, product = jobs(phantoms, source_run)[job]
    whole = start(configs, tmp_path / "whole.log", output_dir=tmp_path / "whole", **overrides)
    assert whole.wait(timeout=300) == 0, (tmp_path / "whole.log").read_text(encoding="utf-8")

    out = tmp_path / "parts"
    kills, code, text = 0, 1, ""
    for attempt in range(20):
        log = tmp_path / f"attempt{attempt}.log"
        runs_before = len(list((out / "tensorboard").glob("events*")))
        process = start(configs, log, output_dir=out, **overrides)
        if kills < 3:
            wait_for_start(out, process, runs_before)
            time.sleep(0.15 * (kills + 1))
            if process.poll() is None:
                process.send_signal(how)
                kills += 1
        code = process.wait(timeout=300)
        text = log.read_text(encoding="utf-8")
        if code == 0:
            break
        if how == signal.SIGINT and code not in (0, -signal.SIGKILL):
            assert "monai_sfda: error: interrupted" in text.strip().splitlines()[-1], text
        if how != signal.SIGKILL and "Traceback" not in text:
            assert (out / "checkpoint.pt").is_file()
        if (out / product).exists():
            weights(out / product)  # whole, or not there
    assert code == 0, text
    assert kills >= 1
    first, second = weights(tmp_path / "whole" / product), weights(out / product)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not (out / "checkpoint.pt").exists()
    assert not list(out.glob(".*tmp*"))
    if job == "adapt":
        assert_judged_alike(tmp_path / "whole", out)


def assert_judged_alike(whole, parts):
    """The same candidates, signals and verdict; nothing that was kept to judge is left."""
    first, second = (json.loads((f / "adaptation.json").read_text(encoding="utf-8")) for f in (whole, parts))
    assert len(first["guard"]["candidates"]) == 5
    for key in ("guard", "verdict", "reasons", "model_sha256"):
        assert first[key] == second[key]
    assert not (whole / "candidates").exists()
    assert not (parts / "candidates").exists()


def test_a_run_that_is_killed_while_it_is_judged_is_judged_again_alike(phantoms, source_run, tmp_path):
    configs, overrides, _ = jobs(phantoms, source_run)["adapt"]
    whole, out = tmp_path / "whole", tmp_path / "parts"
    log = tmp_path / "killed.log"
    process = start(configs, log, output_dir=out, **overrides)
    deadline = time.monotonic() + 300
    while "guard: looking at candidates" not in log.read_text(encoding="utf-8"):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (out / "adaptation.json").exists()
    assert len(list((out / "candidates").iterdir())) == 4
    for folder in (whole, out):
        done = start(configs, tmp_path / "log", output_dir=folder, **overrides)
        assert done.wait(timeout=300) == 0, (tmp_path / "log").read_text(encoding="utf-8")
    assert_judged_alike(whole, out)
