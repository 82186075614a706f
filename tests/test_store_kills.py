"""Several processes change one store and are killed at random points: every listed version stays whole, and
exactly one is active.
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
