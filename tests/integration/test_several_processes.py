"""torchrun with the bundles' multi_gpu files, on the CPU: the same results as one process, one writer, one
error.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch

from monai_sfda.engines.handlers import read_history
from monai_sfda.prototypes import Prototypes
from tests.builders import REPOSITORY
from tests.integration.commands import ABDOMEN, QUICK, QUICK_ADAPT, bundle_command, run_in_process, run_words


def torchrun(job, overrides, *, configs=None, processes=2):
    """The command that docs/how_to_several_gpus.md gives, with small.json stacked last."""
    launcher = (
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc_per_node={processes}",
    )
    names = configs or (job, f"multi_gpu_{job}", "small")
    return bundle_command(ABDOMEN, names, launcher=launcher, **overrides)


def same_history(first, second, rel):
    here, there = read_history(first), read_history(second)
    assert [row[:2] for row in here] == [row[:2] for row in there]
    assert here
    for a, b in zip(here, there, strict=True):
        assert a[2] == pytest.approx(b[2], rel=rel, abs=1e-4), a


def test_two_processes_train_and_adapt_as_one(phantoms, source_run, tmp_path):
    train, adapt = tmp_path / "train", tmp_path / "adapt"
    done = run_words(torchrun("train", {"dataset_dir": phantoms, "output_dir": train, **QUICK}))
    assert done.returncode == 0, done.stdout
    same_history(train, source_run, rel=0.02)
    here, there = (Prototypes.load(f / "release" / "prototypes.safetensors") for f in (train, source_run))
    assert torch.equal(here.subjects, there.subjects)
    torch.testing.assert_close(here.pixel_share, there.pixel_share, rtol=1e-12, atol=0)
    records = [
        json.loads((f / "release" / "release.json").read_text(encoding="utf-8")) for f in (train, source_run)
    ]
    assert [r["training"]["processes"] for r in records] == [2, 1]
    assert records[0]["validation"].keys() == records[1]["validation"].keys()
    assert [r["reference_scans"]["subjects"] for r in records] == [4, 4]

    settings = {
        "dataset_dir": phantoms,
        "release": source_run / "release",
        **QUICK_ADAPT,
        "class_proportions": "predicted",
    }
    done = run_words(torchrun("adapt", {**settings, "output_dir": adapt}))
    assert done.returncode == 0, done.stdout
    alone = tmp_path / "alone"
    run_in_process(ABDOMEN, ("adapt", "small"), output_dir=alone, **settings)
    same_history(adapt, alone, rel=1e-3)
    first, second = (torch.load(f / "adapted.pt", weights_only=True) for f in (adapt, alone))
    assert list(first) == list(second)
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-2, atol=1e-3)
    for name in (
        "model.pt",
        "adaptation.json",
        "reference_scans.json",
        "report.html",
        "bundle/configs/multi_gpu_adapt.json",
    ):
        assert (adapt / name).is_file(), name
    assert len(list((adapt / "tensorboard").glob("events*"))) == 1


@pytest.mark.long
def test_two_machines_adapt_as_one_process(phantoms, source_run, tmp_path):
    """Two torchruns that meet, as docs/how_to_several_gpus.md starts them on two machines; here both are one
    machine, each with its own folder for temporary files.
    """
    settings = {"dataset_dir": phantoms, "release": source_run / "release", **QUICK_ADAPT}
    out, alone = tmp_path / "together", tmp_path / "alone"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = (
        *(sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1"),
        *("--rdzv_id=sfda", "--rdzv_backend=c10d", f"--rdzv_endpoint=127.0.0.1:{port}"),
    )
    words = bundle_command(
        ABDOMEN, ("adapt", "multi_gpu_adapt", "small"), launcher=launcher, output_dir=out, **settings
    )
    machines = []
    for number in range(2):
        folder = tmp_path / f"machine{number}"
        folder.mkdir()
        machines.append(
            subprocess.Popen(
                words,
                cwd=REPOSITORY,
                env=os.environ | {"TMPDIR": str(folder)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
            )
        )
    texts = [machine.communicate(timeout=540)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], texts
    run_in_process(ABDOMEN, ("adapt", "small"), output_dir=alone, **settings)
    same_history(out, alone, rel=1e-3)
    assert json.loads((out / "adaptation.json").read_text(encoding="utf-8"))["settings"]["processes"] == 2


@pytest.mark.parametrize(
    ("job", "configs", "words"),
    [
        ("train", ("train", "small"), "stack multi_gpu_train.json on train.json"),
        ("inference", ("inference", "small"), "start it without torchrun"),
    ],
)
def test_torchrun_without_the_multi_gpu_file_is_refused(phantoms, tmp_path, job, configs, words):
    """Two processes would train the same model twice into one folder."""
    out = tmp_path / "run"
    done = run_words(torchrun(job, {"dataset_dir": phantoms, "output_dir": out}, configs=configs))
    assert done.returncode != 0
    assert words in done.stdout
    assert not out.exists()


def test_a_bad_scan_stops_all_processes_before_anything_is_written(phantoms, tmp_path):
    out = tmp_path / "run"
    done = run_words(torchrun("train", {"dataset_dir": tmp_path / "nowhere", "output_dir": out, **QUICK}))
    assert done.returncode != 0
    assert "monai_sfda: error: " in done.stdout
    assert "nowhere" in done.stdout
    assert not out.exists()


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_stopped_processes_go_on_to_the_same_weights(phantoms, source_run, tmp_path, how):
    """torchrun is told to stop, or one of its processes is killed; the same command goes on."""
    settings = {
        "dataset_dir": phantoms,
        "release": source_run / "release",
        **QUICK_ADAPT,
        "max_epochs": 5,
        "adaptation#epoch_length": 30,
    }
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    done = run_words(torchrun("adapt", {**settings, "output_dir": whole}))
    assert done.returncode == 0, done.stdout

    command = torchrun("adapt", {**settings, "output_dir": parts})
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 180
        while not (parts / "history.csv").is_file():  # the first epoch is done
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        if how == signal.SIGKILL:
            children = subprocess.run(
                ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
            )
            subprocess.run(["kill", "-9", children.stdout.split()[-1]], check=True)
        else:
            process.send_signal(how)
        assert process.wait(timeout=120) != 0
    text = (tmp_path / "log").read_text(encoding="utf-8")
    if how != signal.SIGKILL:
        assert "run the same command again" in text
        assert (parts / "checkpoint.pt").is_file()
    done = run_words(command)
    assert done.returncode == 0, done.stdout
    if how != signal.SIGKILL:
        assert "going on after iteration" in done.stdout
    first, second = (torch.load(f / "adapted.pt", weights_only=True) for f in (whole, parts))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not (parts / "checkpoint.pt").exists()
