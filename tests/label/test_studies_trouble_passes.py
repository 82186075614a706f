"""Trouble that passes by itself leaves no trace: what is pending is sent, what the PACS holds is found again,
and what two writers say of an image at once is all kept.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from monai_sfda.catalog import ABDOMEN, CARDIAC
from monai_sfda.errors import SettingError
from monai_sfda.label.studies import open_datastore, unlabelled_images
from monai_sfda.label.studies.errors import PacsError
from tests.label.dicom_phantoms import write_study
from tests.label.orthanc import orthanc  # noqa: F401
from tests.label.test_studies_labels import label_file, studies  # noqa: F401
from tests.label.test_studies_troubled_pacs import one_series, opened, relay  # noqa: F401

NAMES = [structure.name for structure in ABDOMEN.structures]


def one_structure(path, series, number):
    """A label file of one structure, and the words that say so."""
    file = label_file(path, series.labels == number, series.affine)
    return file, {"label_info": [{"name": NAMES[number - 1]}]}


def test_a_study_that_is_gone_does_not_hold_up_the_labels_of_others(relay, tmp_path):  # noqa: F811
    made = [write_study(tmp_path / name, patient=name) for name in ("gone", "there")]
    for study in made:
        relay.orthanc.store_folder(study.folder)
    gone, there = (study.series[0] for study in made)
    datastore = opened(relay, tmp_path / "cache")
    relay.refused = frozenset({"POST"})
    for series in (gone, there):
        datastore.get_image_uri(series.uid)
        file = label_file(tmp_path / "l.nii.gz", series.labels, series.affine)
        with pytest.raises(PacsError, match="kept here"):
            datastore.save_label(series.uid, file, "final", {})
    relay.refused = frozenset()
    for held in relay.orthanc.series("MR"):
        if held["MainDicomTags"]["SeriesInstanceUID"] == gone.uid:
            relay.orthanc.delete(held)
    again = opened(relay, tmp_path / "cache")
    again.refresh()
    again.segmentations.send_pending()
    assert len(relay.orthanc.series("SEG")) == 1
    outcomes = {uid: again.labels.get(uid, "final").info["segmentation"] for uid in (gone.uid, there.uid)}
    assert not outcomes[there.uid]["pending"]
    assert not outcomes[gone.uid]["pending"], "there is nothing to send it to"
    assert outcomes[gone.uid]["reason"]
    assert again.labels.get(gone.uid, "final").file.is_file(), "the label is kept"


@pytest.mark.parametrize("trouble", ["a look that fails", "a download that breaks off"])
def test_a_corrected_study_stays_corrected_after_a_moment_of_trouble(relay, tmp_path, trouble):  # noqa: F811
    """The app's folder was lost: the PACS alone has the label, and answers badly for a moment."""
    series = one_series(relay, tmp_path)
    file, info = one_structure(tmp_path / "l.nii.gz", series, 1)
    opened(relay, tmp_path / "lost").save_label(series.uid, file, "final", info)
    datastore = opened(relay, tmp_path / "new")
    datastore.get_image_uri(series.uid)
    if trouble == "a look that fails":
        (held,) = relay.orthanc.series("SEG")
        relay.failing = f"/series/{held['MainDicomTags']['SeriesInstanceUID']}/instances"
        assert not datastore.segmentations.has(series.uid)
    else:
        relay.broken_after = 500
        datastore.segmentations.adopt(series.uid)
        assert datastore.labels.get(series.uid, "final") is None
    relay.failing = relay.broken_after = None
    for there in (datastore, opened(relay, tmp_path / "new")):
        there.refresh()
        there.segmentations._looked = float("-inf")  # ten seconds later
        assert unlabelled_images(there) == []
        assert list(there.label_of(series.uid).info["label_names"]) == [NAMES[0]]


KILLED = """
import os, signal, sys
from pathlib import Path
from monai_sfda.catalog import ABDOMEN
from monai_sfda.label.studies import open_datastore, saving
address, cache, image, file, name = sys.argv[1:]
saving.write_label = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
studies = open_datastore(address, cache=Path(cache), tasks={"abdomen": ABDOMEN})
studies.cache.settled_seconds = 0.0
studies.save_label(image, file, "final", {"label_info": [{"name": name}]})
"""


def test_a_label_whose_server_was_killed_before_the_pacs_had_it_is_sent_later(relay, tmp_path):  # noqa: F811
    series = one_series(relay, tmp_path)
    file, info = one_structure(tmp_path / "liver.nii.gz", series, 1)
    opened(relay, tmp_path / "cache").save_label(series.uid, file, "final", info)
    (older,) = relay.orthanc.series("SEG")
    file, _ = one_structure(tmp_path / "kidney.nii.gz", series, 2)
    words = [relay.dicomweb, str(tmp_path / "cache"), series.uid, file, NAMES[1]]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *words], stderr=subprocess.PIPE, text=True, timeout=300
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    datastore = opened(relay, tmp_path / "cache")
    assert list(datastore.get_label_info(series.uid, "final")["label_names"]) == [NAMES[1]]
    datastore.list_images()
    datastore.close()
    held = [s["MainDicomTags"]["SeriesInstanceUID"] for s in relay.orthanc.series("SEG")]
    outcome = datastore.get_label_info(series.uid, "final")["segmentation"]
    assert held == [outcome["series"]], "the new one is there, and the older one is not"
    assert held != [older["MainDicomTags"]["SeriesInstanceUID"]]
    assert not outcome["pending"]


def test_what_cannot_be_kept_is_refused_before_a_mask_is_written(studies, tmp_path):  # noqa: F811
    source = studies.series
    file = label_file(tmp_path / "l.nii.gz", source.labels, source.affine)
    for wrong in (float("nan"), "\ud800"):
        with pytest.raises(SettingError, match="JSON"):
            studies.save_label(studies.volume, file, "final", {"params": {"a": wrong}})
    assert not list(studies.labels.folder.rglob("*.nii.gz"))


def test_the_model_that_segmented_last_is_meant(tmp_path):
    """Also when it had segmented the image before."""
    study = write_study(tmp_path / "root" / "mr").series[0]
    tasks = {"abdomen": ABDOMEN, "cardiac": CARDIAC}
    datastore = open_datastore(str(tmp_path / "root"), cache=tmp_path / "cache", tasks=tasks)
    image = datastore.resolve(study.uid)
    file = label_file(tmp_path / "l.nii.gz", study.labels, study.affine)
    for model in ("abdomen", "cardiac", "abdomen"):
        datastore.note_segmented(image, model, 1)
    datastore.save_label(image, file, "final", {})
    assert datastore.get_label_info(image, "final")["model"] == "abdomen"


def test_two_who_write_at_once_lose_nothing_of_what_is_known(studies):  # noqa: F811
    def say(writer):
        for number in range(25):
            studies.update_image_info(studies.volume, {f"{writer}_{number}": number})
            studies.note_segmented(studies.volume, f"{writer}_{number}", 1)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(say, ("a", "b")))
    expected = {f"{writer}_{number}" for writer in "ab" for number in range(25)}
    assert expected <= set(studies.get_image_info(studies.volume))
    assert expected == set(studies.records.get(studies.volume)["segmented"])
    assert np.isfinite([s["ts"] for s in studies.records.get(studies.volume)["segmented"].values()]).all()


def test_a_label_that_is_being_sent_is_not_sent_twice(relay, tmp_path, monkeypatch):  # noqa: F811
    """The sender looks while somebody saves: it waits, and finds that there is nothing left to do."""
    series = one_series(relay, tmp_path)
    datastore = opened(relay, tmp_path / "cache")
    datastore.get_image_uri(series.uid)
    sent, store, threads = [], datastore.pacs.store, ThreadPoolExecutor(1)

    def slow_store(*words):
        looking = threads.submit(datastore.segmentations.send_pending)
        with pytest.raises(TimeoutError):
            looking.result(timeout=1.0)
        sent.append(looking)
        monkeypatch.setattr(datastore.pacs, "store", lambda *again: sent.append(again))
        store(*words)

    monkeypatch.setattr(datastore.pacs, "store", slow_store)
    file, info = one_structure(tmp_path / "l.nii.gz", series, 1)
    datastore.save_label(series.uid, file, "final", info)
    (looking,) = sent
    assert looking.result(timeout=60.0) is None
    assert sent == [looking], "nothing was sent but by the one who saved"
    assert len(relay.orthanc.series("SEG")) == 1
