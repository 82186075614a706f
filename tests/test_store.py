"""The model store: what is listed is whole, one version is active, and nothing of a patient comes in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from monai_sfda.errors import OutputError, StoreError
from monai_sfda.store import ModelStore, StoreReader
from monai_sfda.store.lock import locked
from tests.builders import REPOSITORY
from tests.store_runs import write_adapted_run, write_source_run


@pytest.fixture
def runs(tmp_path):
    write_source_run(tmp_path / "source")
    for verdict in ("accept", "unsure", "reject"):
        write_adapted_run(tmp_path / verdict, weights=verdict.encode(), verdict=verdict)
    return tmp_path


@pytest.fixture
def store(runs):
    """A store with a source model, active, and three candidates: 2 accepted, 3 unsure, 4 rejected."""
    store = ModelStore(runs / "store", by="anna")
    for name in ("source", "accept", "unsure", "reject"):
        store.publish(runs / name)
    return store


def actions(store):
    return [(c["action"], c["version"], c["by"]) for c in store.log("abdomen").changes]


def test_the_first_version_is_the_source_and_active_and_others_are_candidates(store):
    assert store.models() == ["abdomen"]
    assert [(v.number, v.kind, v.parent, v.verdict) for v in store.versions("abdomen")] == [
        (1, "source", None, None),
        (2, "adapted", 1, "accept"),
        (3, "adapted", 1, "unsure"),
        (4, "adapted", 1, "reject"),
    ]
    assert store.active("abdomen").number == 1
    assert store.previous("abdomen") is None
    assert store.verify("abdomen") == {}


def test_a_version_is_a_complete_copy_and_what_names_patients_stays_outside(store, runs):
    (runs / "accept" / "bundle" / "eval").mkdir()
    (runs / "accept" / "bundle" / "eval" / "patient_seg.nii.gz").write_bytes(b"mask")
    version = store.publish(runs / "accept")
    files = {p.relative_to(version.folder).as_posix() for p in version.folder.rglob("*") if p.is_file()}
    assert files == {
        "manifest.json",
        "adaptation.json",
        "report.html",
        "bundle/LICENSE",
        "bundle/configs/inference.json",
        "bundle/configs/metadata.json",
        "bundle/docs/README.md",
        "bundle/models/model.pt",
    }
    assert (version.bundle / "models" / "model.pt").read_bytes() == b"accept"
    manifest = (version.folder / "manifest.json").read_text(encoding="utf-8")
    assert str(runs) not in manifest
    assert "patient" not in manifest
    assert json.loads(manifest)["intended_use"] == "research; not for diagnosis"


def test_activate_and_roll_back_go_the_way_back_step_by_step(store):
    for number in (2, 3):
        store.activate("abdomen", number)
    assert store.previous("abdomen").number == 2
    assert [store.rollback("abdomen").number for _ in range(2)] == [2, 1]
    with pytest.raises(StoreError, match="no other version of 'abdomen' was active before version 1"):
        store.rollback("abdomen")
    assert store.active("abdomen").number == 1
    assert actions(store)[-4:] == [
        ("activate", 2, "anna"),
        ("activate", 3, "anna"),
        ("rollback", 2, "anna"),
        ("rollback", 1, "anna"),
    ]


def test_a_rejected_model_is_active_only_by_force_and_with_a_reason_that_is_kept(store, runs):
    for settings in ({}, {"force": True}, {"reason": "why"}, {"force": True, "reason": " "}):
        with pytest.raises(StoreError, match="the guard rejected this model"):
            store.activate("abdomen", 4, **settings)
        with pytest.raises(StoreError, match="the guard rejected this model"):
            store.publish(runs / "reject", activate=True, **settings)
    assert len(store.versions("abdomen")) == 4
    store.activate("abdomen", 4, force=True, reason="compared with the labels of 20 scans")
    last = store.log("abdomen").changes[-1]
    assert (last["forced"], last["reason"], last["before"]) == (
        True,
        "compared with the labels of 20 scans",
        1,
    )

    store.activate("abdomen", 2)
    assert store.rollback("abdomen").number == 1  # not back to the rejected one


def test_publish_can_activate_an_accepted_model_at_once(store, runs):
    assert store.publish(runs / "accept", activate=True).number == 5
    assert store.active("abdomen").number == 5
    assert [a[:2] for a in actions(store)[-2:]] == [("publish", 5), ("activate", 5)]
    assert store.rollback("abdomen").number == 1


def test_rollback_takes_under_a_second_with_a_model_of_full_size(tmp_path):
    weights = os.urandom(80_000_000)  # DeepLabV3 on VGG16
    store = ModelStore(tmp_path / "store")
    store.publish(write_source_run(tmp_path / "source", weights))
    store.publish(write_adapted_run(tmp_path / "adapted", source=weights), activate=True)
    start = time.process_time()  # the hash and the renames; a busy machine's waiting is not the store's
    store.rollback("abdomen")
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("report.html", lambda p: p.write_text("other", encoding="utf-8"), "report.html was altered"),
        ("bundle/models/model.pt", lambda p: p.unlink(), "bundle/models/model.pt is missing"),
        ("bundle/models/more.pt", lambda p: p.write_bytes(b"more"), "bundle/models/more.pt was added"),
        ("manifest.json", lambda p: p.write_bytes(p.read_bytes() + b" "), "manifest.json was altered"),
        ("manifest.json", lambda p: p.write_bytes(b"{"), "manifest.json cannot be read"),
        ("manifest.json", lambda p: p.unlink(), "manifest.json is missing"),
    ],
)
def test_verify_names_what_was_changed_and_the_other_versions_still_work(store, name, change, message):
    change(store.version("abdomen", 2).folder / name)
    found = store.verify("abdomen")
    assert list(found) == [2]
    assert found[2][0].startswith(message)
    store.activate("abdomen", 3)
    assert store.rollback("abdomen").number == 1


def test_an_altered_version_is_not_activated(store):
    (store.version("abdomen", 2).bundle / "models" / "model.pt").write_bytes(b"other")
    with pytest.raises(StoreError, match=r"version 2 is not whole: bundle/models/model\.pt was altered"):
        store.activate("abdomen", 2)
    assert store.active("abdomen").number == 1


def test_prune_keeps_the_active_the_one_before_sources_and_the_newest(store, runs):
    for _ in range(4):
        store.publish(runs / "accept")  # 5 to 8
    for number in (2, 3, 5):
        store.activate("abdomen", number)
    assert store.prune("abdomen", keep=1) == [2, 4, 6, 7]
    assert [v.number for v in store.versions("abdomen")] == [1, 3, 5, 8]
    assert [store.rollback("abdomen").number for _ in range(2)] == [3, 1]  # 2 is passed over
    assert store.publish(runs / "accept").number == 9
    with pytest.raises(StoreError, match="0 versions cannot be kept"):
        store.prune("abdomen", keep=0)
    assert store.verify("abdomen") == {}


def test_a_number_is_never_given_twice(store, runs):
    for path in (store.root / "abdomen" / "versions" / "0004").rglob("*"):
        if path.is_file():
            path.unlink()
    (store.root / "abdomen" / "versions" / "0004").rename(runs / "taken_away")
    assert store.publish(runs / "accept").number == 5
    assert ("gone", 4, None) in actions(store)


def test_a_log_without_its_last_lines_is_completed_and_a_torn_one_spoils_no_other(store):
    path = store.root / "abdomen" / "log.jsonl"
    store.activate("abdomen", 2)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]) + lines[-2][:25])  # publish 4 torn, activate 2 lost
    store.activate("abdomen", 3)
    log = store.log("abdomen")
    assert log.damaged == 1
    assert [(c["action"], c["version"]) for c in log.changes][-3:] == [
        ("publish", 4),
        ("activate", 2),
        ("activate", 3),
    ]
    assert path.read_bytes().startswith(b"".join(lines[:-2]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.mkdir(), "no model to publish"),
        (lambda p: write_source_run(p, domain="target"), "trained on the target domain's labels"),
        (lambda p: write_adapted_run(p, source=b"unknown"), "is no version of 'abdomen'"),
        (lambda p: (write_adapted_run(p) / "checkpoint.pt").write_bytes(b""), "the run is unfinished"),
        (lambda p: (write_adapted_run(p) / "report.html").unlink(), "the report is missing"),
        (lambda p: (write_adapted_run(p) / "adaptation.json").write_text("{"), "record cannot be read"),
        (lambda p: (write_adapted_run(p) / "bundle/models/model.pt").write_bytes(b"x"), "not the one that"),
        (lambda p: (write_source_run(p) / "bundle/models/model.pt").unlink(), "has no models/model.pt"),
    ],
)
def test_what_cannot_be_published_is_an_error_and_leaves_nothing(store, tmp_path, make, message):
    make(tmp_path / "bad")
    before = sorted(p for p in store.root.rglob("*"))
    with pytest.raises(StoreError, match=message):
        store.publish(tmp_path / "bad")
    assert sorted(p for p in store.root.rglob("*")) == before


def test_an_adapted_model_cannot_be_the_first(runs):
    with pytest.raises(StoreError, match="first"):
        ModelStore(runs / "store").publish(runs / "accept")
    assert ModelStore(runs / "store").models() == []


def test_models_of_other_names_are_apart_and_a_source_bundle_is_enough(store, runs):
    store.publish(runs / "source" / "bundle", model="abdomen-child")
    assert store.models() == ["abdomen", "abdomen-child"]
    assert [v.number for v in store.versions("abdomen-child")] == [1]
    for name in ("../out", "incoming", ".hidden", "A"):
        with pytest.raises(StoreError, match="is no name for a model"):
            store.publish(runs / "source", model=name)


def test_what_is_not_there_is_named_with_what_is(store, tmp_path):
    with pytest.raises(StoreError, match="no model 'abdomn' in the store: there are: abdomen"):
        store.active("abdomn")
    with pytest.raises(StoreError, match="has no version 9: there are: 1, 2, 3, 4"):
        store.activate("abdomen", 9)
    with pytest.raises(StoreError, match=r"no model store: store\.json is missing in elsewhere"):
        StoreReader(tmp_path / "elsewhere").models()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_during_a_change_does_not_keep_the_lock(tmp_path):
    with locked(tmp_path / "lock", patience=0):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    taken = False
    try:
        with locked(tmp_path / "lock", patience=0):
            taken = os.waitpid(child, os.WNOHANG) == (0, 0)  # while the child lives
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert taken


def test_a_lock_that_another_holds_is_our_error_after_the_patience(store):
    with (
        locked(store.root / "lock", patience=0),
        pytest.raises(StoreError, match="another process has held the store for 0"),
    ):
        ModelStore(store.root, patience=0.05).rollback("abdomen")
    assert store.active("abdomen").number == 1


def test_a_store_that_cannot_be_written_is_our_error(runs):
    (runs / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        ModelStore(runs / "file" / "store").publish(runs / "source")


def test_the_command_line_has_tables_and_our_error_line_and_no_torch(store):
    def command(*words):
        return subprocess.run(
            [
                sys.executable,
                "-X",
                "importtime",
                "-m",
                "monai_sfda",
                "models",
                *words,
                "--store",
                str(store.root),
            ],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=120,
        )

    assert command("activate", "abdomen", "2", "--by", "ben", "--reason", "tried").returncode == 0
    done = command("list")
    assert done.returncode == 0, done.stderr
    assert " torch\n" not in done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["1", "rollback", "source"] in [row[:3] for row in rows]
    assert ["2", "active", "adapted", "1", "sfs", "accept"] in [row[:6] for row in rows]
    assert "ben" in command("log", "abdomen").stdout
    assert "adapted from version: 1" in command("show", "abdomen").stdout
    assert command("rollback", "abdomen").stdout == "version 1 of abdomen is active\n"
    assert command("verify").stdout == "abdomen: 4 versions are whole\n"
    assert command("prune", "abdomen", "--keep", "1").stdout == "removed versions of abdomen: 2, 3\n"
    done = command("activate", "abdomen", "4")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("monai_sfda: error: the guard rejected this model")
