"""A real file system that is too small: our error, no half-written result, and the run goes on when there is
room.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.builders import REPOSITORY
from tests.integration.commands import ABDOMEN, QUICK, QUICK_ADAPT, bundle_command
from tests.store_runs import write_adapted_run, write_source_run

pytestmark = pytest.mark.long


@pytest.fixture
def inside(tmp_path):
    """Runs a shell command with a tmpfs of the given size at `small`; skips where mounts are not allowed."""
    small = tmp_path / "small"
    small.mkdir()
    mount = f"mount -t tmpfs -o size={{size}} tmpfs {small}"
    tool = shutil.which("unshare")
    if (
        tool is None
        or subprocess.run([tool, "-rm", "sh", "-c", mount.format(size="1m")], check=False).returncode
    ):
        pytest.skip("this user may not mount a small file system (unshare -rm)")

    def run(size, command):
        return subprocess.run(
            [tool, "-rm", "sh", "-c", f"{mount.format(size=size)} && {command}"],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )

    return small, run


@pytest.mark.parametrize("job", ["train", "adapt", "inference"])
def test_a_full_disk_ends_with_our_line_and_nothing_half_written(phantoms, source_run, tmp_path, inside, job):
    small, run = inside
    settings = {"dataset_dir": phantoms, "output_dir": small / "out"}
    if job == "train":
        settings |= QUICK
    elif job == "adapt":
        settings |= QUICK_ADAPT | {"release": source_run / "release"}
    else:
        scans = tmp_path / "scans"
        scans.mkdir()
        for path in sorted(phantoms.rglob("img/*.nii.gz")):
            shutil.copy(path, scans)
        settings |= {"dataset_dir": scans, "checkpoint": source_run / "release" / "model.pt"}
        settings |= {"image_size": 64, "pixel_size_mm": 6.4, "domain": "target"}
    command = shlex.join(bundle_command(ABDOMEN, (job, "small"), **settings))
    size = "20k" if job == "inference" else "300k"
    done = run(size, f"{command}; code=$?; find {small} -type f | sed 's/^/left: /'; exit $code")
    assert done.returncode == 1, done.stdout
    lines = done.stdout.strip().splitlines()
    left = [line.removeprefix("left: ") for line in lines if line.startswith("left: ")]
    last = [line for line in lines if not line.startswith("left: ")][-1]
    assert last.startswith("monai_sfda: error: "), done.stdout
    assert "space left" in last
    assert not [path for path in left if ".tmp" in path]
    for name in ("model.pt", "adapted.pt", "adaptation.json", "release.json", "inference.json"):
        assert not [path for path in left if path.endswith(name)], left


def test_a_run_that_met_a_full_disk_goes_on_when_there_is_room(phantoms, source_run, tmp_path, inside):
    small, run = inside
    settings = {"dataset_dir": phantoms, "output_dir": small / "out", "release": source_run / "release"}
    command = shlex.join(bundle_command(ABDOMEN, ("adapt", "small"), **settings, **QUICK_ADAPT))
    script = f"{command}; echo first=$?; mount -o remount,size=50m {small}; {command}; echo second=$?; "
    done = run("300k", script + f"cp {small}/out/adaptation.json {tmp_path}")
    assert "first=1" in done.stdout, done.stdout
    assert "second=0" in done.stdout, done.stdout
    assert json.loads((tmp_path / "adaptation.json").read_text(encoding="utf-8"))["method"] == "sfs"


def test_a_full_disk_lists_no_version_of_the_store_and_pruning_makes_room(tmp_path, inside):
    small, run = inside
    weights = bytes(250_000)
    write_source_run(tmp_path / "source", weights)
    write_adapted_run(tmp_path / "adapted", bytes(250_001), weights)
    write_adapted_run(tmp_path / "large", bytes(600_000), weights)
    words = [sys.executable, "-m", "monai_sfda", "models"]

    def models(*arguments):
        return shlex.join([*words, *(str(a) for a in arguments), "--store", str(small / "store")])

    publications = " && ".join(models("publish", tmp_path / n) for n in ("source", "adapted", "adapted"))
    commands = {
        "large": models("publish", tmp_path / "large"),
        "fill": f"dd if=/dev/zero of={small}/filler bs=1k count=10000 2>/dev/null; echo filled",
        "activate": models("activate", "abdomen", 2),
        "prune": models("prune", "abdomen", "--keep", 1),
        "again": models("activate", "abdomen", 3),
        "verify": models("verify"),
        "log": models("log", "abdomen"),
    }
    script = "; ".join(f"{command}; echo {name}=$?" for name, command in commands.items())
    done = run("1m", f"{publications} && {{ {script}; find {small} -type f; }}")
    text = done.stdout
    assert "large=1" in text, text
    assert "activate=1" in text, text
    assert "monai_sfda: error: cannot be written (No space left on device)" in text
    assert "removed versions of abdomen: 2" in text
    assert "version 3 of abdomen is active" in text
    assert "abdomen: 2 versions are whole" in text
    assert [line for line in text.splitlines() if "incoming/" in line or ".tmp" in line] == []
