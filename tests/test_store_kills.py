"""Several processes change one store and are killed at random points, or while a version is copied in and
comes into place: every listed version stays whole, and exactly one is active.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import pytest

from monai_sfda.store import ModelStore, StoreReader
from tests.builders import REPOSITORY
from tests.store_runs import write_adapted_run, write_source_run


def listed_versions_are_whole(reader):
    """One look without a lock, as a server takes it."""
    active = reader.active("abdomen")
    for version in [active, *reader.versions("abdomen")]:
        faults = version.faults()
        assert not faults or not version.folder.is_dir(), faults  # not there: pruned while it was looked at


@pytest.mark.parametrize(
    ("processes", "operations", "least_kills"),
    [(2, 60, 8), pytest.param(4, 1000, 60, marks=pytest.mark.long)],
)
def test_kills_leave_every_listed_version_whole_and_exactly_one_active(
    tmp_path, processes, operations, least_kills
):
    chance = random.Random(processes)
    source = os.urandom(100_000)
    store = ModelStore(tmp_path / "store")
    write_source_run(tmp_path / "run_source", source)
    store.publish(tmp_path / "run_source")
    for number in range(3):
        write_adapted_run(tmp_path / f"run_{number}", os.urandom(400_000), source)
    reader = StoreReader(tmp_path / "store")

    def start(seed):
        words = [sys.executable, "-m", "tests.store_worker", str(tmp_path), str(seed)]
        return subprocess.Popen(words, cwd=REPOSITORY, stderr=subprocess.DEVNULL), seed

    def started(seed=None):
        pattern = "operations_*" if seed is None else f"operations_{seed}"
        return sum(path.stat().st_size for path in tmp_path.glob(pattern))

    running = [start(seed) for seed in range(processes)]
    kills, deadline = 0, time.monotonic() + 500
    try:
        while started() < operations or kills < least_kills:
            assert time.monotonic() < deadline
            process, seed = running[place := chance.randrange(processes)]
            while not started(seed) and process.poll() is None:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.3))
            process.kill()
            process.wait()
            kills += 1
            running[place] = start(processes + kills)
            listed_versions_are_whole(reader)
    finally:
        for process, _ in running:
            process.kill()
            process.wait()
    assert [path.read_text(encoding="utf-8") for path in tmp_path.glob("fault_*")] == []

    listed_versions_are_whole(reader)
    assert store.verify("abdomen") == {}
    store.publish(tmp_path / "run_0")  # the next writer clears what the killed ones left
    assert list((tmp_path / "store" / "incoming").iterdir()) == []
    assert list((tmp_path / "store").rglob(".*")) == []

    log = store.log("abdomen")
    assert log.damaged == 0
    assert len({change["id"] for change in log.changes}) == len(log.changes)
    published = [change["version"] for change in log.changes if change["action"] == "publish"]
    assert sorted(published) == sorted(set(published))
    assert {version.number for version in store.versions("abdomen")} <= set(published)
    changes = [change for change in log.changes if change["action"] in ("activate", "rollback")]
    assert changes[-1]["version"] == store.active("abdomen").number
    # Each change starts from what the one before left: none was lost, none happened beside the lock.
    assert [change["before"] for change in changes[1:]] == [change["version"] for change in changes[:-1]]


_PUBLISH = """
import sys
from pathlib import Path
from monai_sfda.store import ModelStore
ModelStore(Path(sys.argv[1])).publish(Path(sys.argv[2]))
"""


def test_a_kill_while_a_version_is_copied_or_comes_into_place_leaves_it_whole_or_unlisted(tmp_path):
    """Files of 8 MB: whoever copied them into place would be met half way by a kill at the first sight."""
    source, store = os.urandom(100_000), ModelStore(tmp_path / "store")
    write_source_run(tmp_path / "source", source)
    store.publish(tmp_path / "source")
    write_adapted_run(tmp_path / "adapted", os.urandom(8_000_000), source)
    versions, incoming = tmp_path / "store" / "abdomen" / "versions", tmp_path / "store" / "incoming"
    cut_short = 0
    for number in range(8):
        next_version = versions / f"{len(list(versions.iterdir())) + 1:04d}"

        def is_there(place=next_version, copied=number * 2_000_000):
            """From the fifth on the version in its place, before that so many bytes in the incoming copy."""
            if place.exists():
                return True
            try:
                sizes = [path.stat().st_size for path in incoming.glob("*/bundle/models/*model.pt*")]
            except FileNotFoundError:  # renamed away, or cleared, while it was looked at
                return False
            return copied < 8_000_000 and max(sizes, default=-1) >= copied

        words = [sys.executable, "-c", _PUBLISH, str(tmp_path / "store"), str(tmp_path / "adapted")]
        process = subprocess.Popen(words, cwd=REPOSITORY)
        while process.poll() is None and not is_there():
            pass
        process.kill()
        process.wait()
        cut_short += process.returncode != 0
        assert store.verify("abdomen") == {}
        assert store.active("abdomen").number == 1
    assert cut_short >= 4
    assert store.publish(tmp_path / "adapted").faults() == []
    assert list(incoming.iterdir()) == []
