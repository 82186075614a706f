"""Runs that the guard did not accept in the model store: what is listed, what may become active."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from monai_sfda.errors import StoreError
from monai_sfda.store import ModelStore
from tests.builders import REPOSITORY
from tests.store_runs import sha256, write_adapted_run, write_source_run


@pytest.fixture
def runs(tmp_path):
    """A source model and three runs; two of them published the unadapted weights, as the guard said."""
    write_source_run(tmp_path / "source")
    for verdict in ("accept", "unsure", "reject"):
        last = verdict.encode()
        run = write_adapted_run(
            tmp_path / verdict,
            weights=last if verdict == "accept" else b"source",
            verdict=verdict,
            adapted_sha256=sha256(last),
        )
        (run / "adapted.pt").write_bytes(last)
        (run / "bundle" / "models" / "reference_scans.json").write_text("{}", encoding="utf-8")
    return tmp_path


def models(store, *words):
    """`monai-sfda models` as a user types it."""
    return subprocess.run(
        [sys.executable, "-m", "monai_sfda", "models", *map(str, words), "--store", str(store)],
        cwd=REPOSITORY,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )


def test_verdicts_on_the_command_line(runs):
    store = runs / "store"
    assert models(store, "publish", runs / "source").returncode == 0
    said = {name: models(store, "publish", runs / name).stdout for name in ("accept", "unsure", "reject")}
    assert said["accept"] == "version 2 of abdomen is a candidate\n"
    for number, verdict in ((3, "unsure"), (4, "reject")):
        assert said[verdict].splitlines() == [
            f"version {number} of abdomen is a candidate",
            f"verdict {verdict}: it holds the unadapted weights of version 1; --last-weights publishes what "
            "the method came to",
        ]
    listed = models(store, "list").stdout
    assert [
        line.count("unadapted weights") for line in listed.splitlines() if "SFS" in line or "sfs" in line
    ] == [
        0,
        1,
        1,
    ]
    refused = models(store, "activate", "abdomen", 4)
    assert refused.returncode == 1
    assert "the guard rejected this model" in refused.stderr
    assert models(store, "activate", "abdomen", 2).stdout == "version 2 of abdomen is active\n"


def test_a_person_may_publish_the_last_weights_of_an_unsure_run_and_activate_them(runs):
    store = runs / "store"
    models(store, "publish", runs / "source")
    assert models(store, "publish", runs / "unsure", "--last-weights").returncode == 0
    version = ModelStore(store).version("abdomen", 2)
    assert (version.bundle / "models" / "model.pt").read_bytes() == b"unsure"
    assert version.manifest["model_sha256"] == sha256(b"unsure")
    assert not (version.bundle / "models" / "reference_scans.json").exists()
    assert (version.verdict, version.is_unadapted, version.faults()) == ("unsure", False, [])
    assert models(store, "activate", "abdomen", 2).returncode == 0


def test_the_last_weights_of_a_rejected_run_need_force_and_a_reason(runs):
    store = ModelStore(runs / "store")
    store.publish(runs / "source")
    with pytest.raises(StoreError, match="the guard rejected"):
        store.publish(runs / "reject", last_weights=True, activate=True)
    version = store.publish(
        runs / "reject", last_weights=True, activate=True, force=True, reason="a phantom of our own"
    )
    assert store.active("abdomen").number == version.number == 2
    assert (version.bundle / "models" / "model.pt").read_bytes() == b"reject"


def test_a_run_from_the_source_has_the_source_as_parent_not_a_version_that_kept_its_weights(runs):
    store = ModelStore(runs / "store")
    for name in ("source", "reject", "unsure"):
        store.publish(runs / name)
    assert store.publish(runs / "accept").parent == 1
    assert [v.parent for v in store.versions("abdomen")] == [None, 1, 1, 1]


def test_last_weights_that_are_missing_or_altered_are_refused(runs):
    store = ModelStore(runs / "store")
    with pytest.raises(StoreError, match="only an adapted model has last weights"):
        store.publish(runs / "source", last_weights=True)
    store.publish(runs / "source")
    (runs / "unsure" / "adapted.pt").write_bytes(b"another")
    with pytest.raises(StoreError, match="not the one that the run recorded"):
        store.publish(runs / "unsure", last_weights=True)
    (runs / "unsure" / "adapted.pt").unlink()
    with pytest.raises(StoreError, match="last weights are missing"):
        store.publish(runs / "unsure", last_weights=True)
    record = json.loads((runs / "accept" / "adaptation.json").read_text(encoding="utf-8"))
    del record["adapted_sha256"]
    (runs / "accept" / "adaptation.json").write_text(json.dumps(record), encoding="utf-8")
    assert store.publish(runs / "accept").number == 2
    assert len(store.versions("abdomen")) == 2
