"""A site whose jobs take seconds: a store of a few bytes, a folder of small scans, steps that are small
processes of their own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from monai_sfda.catalog import ABDOMEN
from monai_sfda.label.adaptation import work
from monai_sfda.label.adaptation.jobs import Jobs
from monai_sfda.label.adaptation.steps import Step
from monai_sfda.label.models import InstalledModel
from monai_sfda.label.studies import open_datastore
from monai_sfda.store import ModelStore
from tests.builders import write_nifti
from tests.store_runs import write_adapted_run, write_source_run

WAIT = 60.0
CONFIGURATION = {"method": "mas3", "max_epochs": "@adaptation#max_epochs", "adaptation": {"max_epochs": 16}}


class Served(dict):
    """Models as the app has them, without a network."""

    def __init__(self, store: ModelStore) -> None:
        super().__init__({"abdomen": InstalledModel("abdomen", ABDOMEN, store)})
        self.store, self.device = store, "cpu"


class Site:
    """A site in a folder.

    `script` is the Python text that an adaptation's process runs instead of a bundle; `run` in it is the run
    folder, and `finish()` leaves what adapt.json would.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, scans: int = 6) -> None:
        self.root = root
        run = write_source_run(root / "source")
        (run / "bundle" / "configs" / "adapt.json").write_text(json.dumps(CONFIGURATION), encoding="utf-8")
        (run / "bundle" / "configs" / "train.json").write_text("{}", encoding="utf-8")
        self.store = ModelStore(root / "store", by="tests")
        self.store.publish(run)
        write_adapted_run(root / "finished")
        rng = np.random.default_rng(0)
        for number in range(scans):
            values = rng.normal(100, 20, (12, 12, 4)).astype(np.float32)
            write_nifti(root / "studies" / f"MUSTER_ERIKA_{number}.nii.gz", values)
        self.datastore = open_datastore(
            str(root / "studies"), cache=root / "cache", tasks={"abdomen": ABDOMEN}
        )
        self.script = "finish()"
        monkeypatch.setattr(work, "adaptation_steps", self._steps)

    def jobs(self, **more) -> Jobs:
        """The jobs of a server that starts now."""
        return Jobs(self.root / "jobs", models=Served(self.store), datastore=lambda: self.datastore, **more)

    def _steps(self, private, parent, options, device) -> list[Step]:
        out = private / "run"
        text = f"""
import json, os, pathlib, shutil, signal, subprocess, sys, time
run = pathlib.Path({str(out)!r})
def say(epoch):
    print(f"INFO x: adapt (sfs): epoch {{epoch}} of 4, iteration {{epoch * 5}}: entropy 0.25", flush=True)
def finish(verdict="accept"):
    shutil.copytree({str(self.root / "finished")!r}, run, dirs_exist_ok=True)
    record = json.loads((run / "adaptation.json").read_text())
    record |= dict(verdict=verdict, reasons=["estimated to change the mean Dice by +6.2 points"])
    record["guard"] = dict(enabled=True, best="last", estimates=dict(unadapted=0.0, last=0.062))
    (run / "adaptation.json").write_text(json.dumps(record))
{self.script}
"""
        words = (sys.executable, "-S", "-c", text)
        return [Step("adapt", words, (out / "adaptation.json", out / "report.html"), out / "checkpoint.pt")]


def until(true, seconds: float = WAIT):
    """Waits for something and returns it."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found


@pytest.fixture
def site(tmp_path, monkeypatch) -> Site:
    """A site of one's own."""
    return Site(tmp_path, monkeypatch)
