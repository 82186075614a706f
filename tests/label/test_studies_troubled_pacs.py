"""A PACS that breaks off, refuses, is silent or asks for a login: nothing half is kept, nothing is lost."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from monai_sfda.catalog import ABDOMEN, SOFT_TISSUE
from monai_sfda.errors import SettingError
from monai_sfda.label.studies import Credentials, open_datastore, unlabelled_images
from monai_sfda.label.studies.downloads import keep_within
from monai_sfda.label.studies.errors import PacsError
from monai_sfda.label.studies.multipart import MultipartError, MultipartReader, boundary_of, dicom_message
from tests.data_readers import build
from tests.label.dicom_phantoms import write_study
from tests.label.orthanc import orthanc  # noqa: F401
from tests.label.troubled_pacs import relayed

TASKS = {"abdomen": ABDOMEN}


@pytest.fixture
def relay(orthanc):  # noqa: F811
    """A relay to an Orthanc that holds nothing."""
    for series in orthanc.series():
        orthanc.delete(series)
    with relayed(orthanc.url) as relay:
        relay.orthanc = orthanc
        yield relay


def opened(relay, cache, **options):
    datastore = open_datastore(relay.dicomweb, cache=cache, tasks=TASKS, timeout_s=5.0, **options)
    datastore.cache.settled_seconds = 0.0
    return datastore


def one_series(relay, tmp_path, **options):
    study = write_study(tmp_path / "study", **options)
    relay.orthanc.store_folder(study.folder)
    return study.series[0]


def label_file(path, labels, affine):
    return str(build.write_nifti(path, labels.astype(np.uint8), affine))


def test_a_download_that_breaks_off_leaves_nothing(relay, tmp_path):
    series = one_series(relay, tmp_path)
    datastore = opened(relay, tmp_path / "cache")
    assert datastore.list_images() == [series.uid]
    relay.broken_after = 9000
    with pytest.raises(PacsError, match="breaks off"):
        datastore.get_image_uri(series.uid)
    assert not list((datastore.work / "series").rglob("*.dcm"))
    relay.broken_after = None
    assert len(list(Path(datastore.get_image_uri(series.uid)).iterdir())) == 12


def test_a_series_that_could_not_be_looked_at_is_not_called_unknown(relay, tmp_path):
    series = one_series(relay, tmp_path)
    datastore = opened(relay, tmp_path / "cache")
    relay.failing = "/instances"
    assert datastore.list_images() == []
    with pytest.raises(PacsError, match="error"):
        datastore.get_image_uri(series.uid)
    relay.failing = None
    assert Path(datastore.get_image_uri(series.uid)).is_dir()


_FETCH = """
import sys
from pathlib import Path
from monai_sfda.label.studies import open_datastore
open_datastore(sys.argv[1], cache=Path(sys.argv[2])).get_image_uri(sys.argv[3])
"""


@pytest.mark.long
def test_a_process_that_is_killed_in_a_download_leaves_nothing_that_counts(relay, tmp_path):
    series = one_series(relay, tmp_path)
    relay.slow_after = 9000
    words = [sys.executable, "-c", _FETCH, relay.dicomweb, str(tmp_path / "cache"), series.uid]
    child = subprocess.Popen(words)
    end = time.monotonic() + 300
    while not list(tmp_path.glob("cache/*/series/*/.*.tmp")):
        assert child.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    child.kill()
    child.wait()
    relay.slow_after = None
    datastore = opened(relay, tmp_path / "cache")
    assert not list((datastore.work / "series").glob("*/*/volumes.json"))
    assert len(list(Path(datastore.get_image_uri(series.uid)).iterdir())) == 12


def test_many_ask_for_a_series_and_it_is_fetched_once(relay, tmp_path):
    series = one_series(relay, tmp_path)
    datastore = opened(relay, tmp_path / "cache")
    with ThreadPoolExecutor(6) as threads:
        folders = set(threads.map(lambda _: datastore.get_image_uri(series.uid), range(6)))
    assert len(folders) == 1
    assert len([path for _, path in relay.asked if path.endswith(f"/series/{series.uid}")]) == 1


def test_a_pacs_that_deletes_nothing_keeps_superseded_objects(relay, tmp_path):
    series = one_series(relay, tmp_path)
    relay.refused = frozenset({"DELETE"})
    datastore = opened(relay, tmp_path / "cache")
    for number in (1, 2):
        file = label_file(tmp_path / f"{number}.nii.gz", series.labels == number, series.affine)
        name = ABDOMEN.structures[number - 1].name
        datastore.save_label(series.uid, file, "final", {"label_info": [{"name": name}]})
        time.sleep(1.1)  # the objects tell their order by seconds
    outcome = datastore.get_label_info(series.uid, "final")["segmentation"]
    held = {s["MainDicomTags"]["SeriesInstanceUID"] for s in relay.orthanc.series("SEG")}
    assert held == {outcome["series"], *outcome["superseded"]}
    assert len(held) == 2
    new = opened(relay, tmp_path / "other")
    assert list(new.label_of(series.uid).info["label_names"]) == [ABDOMEN.structures[1].name]
    relay.refused = frozenset()
    datastore.remove_label(series.uid, "final")
    assert relay.orthanc.series("SEG") == []


def test_a_label_that_the_pacs_did_not_take_is_kept_and_sent_later(relay, tmp_path):
    series = one_series(relay, tmp_path)
    datastore = opened(relay, tmp_path / "cache")
    file = label_file(tmp_path / "l.nii.gz", series.labels, series.affine)
    datastore.get_image_uri(series.uid)
    relay.refused = frozenset({"POST"})
    with pytest.raises(PacsError, match="kept here"):
        datastore.save_label(series.uid, file, "final", {})
    assert datastore.get_labeled_images() == [series.uid]
    relay.refused, relay.down = frozenset(), True
    datastore.refresh()
    with pytest.raises(PacsError, match="kept here"):
        datastore.save_label(series.uid, file, "final", {"saved_by": "dr"})
    relay.down = False
    new = opened(relay, tmp_path / "cache")
    assert new.get_label_info(series.uid, "final")["segmentation"]["pending"]
    assert new.get_label_info(series.uid, "final")["saved_by"] == "dr"
    new.list_images()
    new.close()
    assert len(relay.orthanc.series("SEG")) == 1
    assert not new.get_label_info(series.uid, "final")["segmentation"]["pending"]


def test_what_is_here_is_used_while_the_pacs_is_silent(relay, tmp_path):
    series = one_series(relay, tmp_path)
    datastore = opened(relay, tmp_path / "cache")
    place = datastore.get_image_uri(series.uid)
    relay.down = True
    datastore.refresh()
    assert datastore.known(series.uid)
    assert datastore.get_image_uri(series.uid) == place
    assert datastore.image_file(series.uid).is_file()
    with pytest.raises(PacsError):
        datastore.get_image_uri("1.2.3")


def test_a_segmentation_of_something_else_is_no_label(relay, tmp_path):
    series = one_series(relay, tmp_path)
    file = label_file(tmp_path / "l.nii.gz", series.labels == 1, series.affine)
    other = open_datastore(
        relay.dicomweb, cache=tmp_path / "other", tasks={"soft_tissue": SOFT_TISSUE}, timeout_s=5.0
    )
    other.save_label(series.uid, file, "final", {"label_info": [{"name": SOFT_TISSUE.structures[0].name}]})
    assert len(relay.orthanc.series("SEG")) == 1
    datastore = opened(relay, tmp_path / "cache")
    assert unlabelled_images(datastore) == [series.uid]
    datastore.save_label(series.uid, file, "final", {"label_info": [{"name": "liver"}]})
    datastore.remove_label(series.uid, "final")
    assert len(relay.orthanc.series("SEG")) == 1


def test_silence_is_said_to_be_and_not_waited_for_again(relay, tmp_path):
    datastore = open_datastore(relay.dicomweb, cache=tmp_path, tasks=TASKS, timeout_s=0.5)
    relay.silent = 1.0
    with pytest.raises(PacsError, match="in time"):
        datastore.list_images()
    began = time.monotonic()
    with pytest.raises(PacsError, match="in time"):
        datastore.list_images()
    assert time.monotonic() - began < 0.3
    relay.silent, relay.down = 0.0, True
    datastore.refresh()
    with pytest.raises(PacsError, match="does not answer"):
        datastore.list_images()
    relay.down = False
    datastore.refresh()
    assert datastore.list_images() == []


def test_a_login_and_no_proxy_of_the_environment(relay, tmp_path, monkeypatch):
    relay.login = "app:se cret"
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(PacsError, match="login"):
        opened(relay, tmp_path / "a").list_images()
    login = Credentials(user="app", password="se cret")
    assert opened(relay, tmp_path / "b", credentials=login).list_images() == []
    assert "cret" not in repr(login)
    with pytest.raises(SettingError, match="authority"):
        opened(relay, tmp_path / "c", credentials=Credentials(ca_file=tmp_path / "none.pem"))


def test_an_address_that_is_no_dicomweb(relay, tmp_path):
    address = relay.dicomweb.replace("/dicom-web", "/app")
    with pytest.raises(PacsError):
        open_datastore(address, cache=tmp_path, tasks=TASKS).list_images()


def test_the_least_recently_used_go_first(tmp_path):
    for number in range(4):
        entry = tmp_path / f"entry{number}" / "inner"
        entry.mkdir(parents=True)
        (entry / "file").write_bytes(bytes(1000))
        os.utime(entry.parent, (1000 + number, 1000 + number))
    (tmp_path / ".lock").touch()
    os.utime(tmp_path / "entry1")  # in use
    assert keep_within(tmp_path, 2e-6, keep=tmp_path / "entry0") == 2000
    assert {p.name for p in tmp_path.iterdir()} == {"entry0", "entry1", ".lock"}


@pytest.mark.parametrize("size", [1, 2, 7, 64, 100_000])
def test_multipart_messages_in_blocks_of_any_size(tmp_path, size):
    bodies = [b"", b"a\r\n--b", bytes(range(256)) * 5, b"\r\n\r\n", b"\r\n--monai-sfda"]
    files = [tmp_path / str(n) for n in range(len(bodies))]
    for file, body in zip(files, bodies, strict=True):
        file.write_bytes(body)
    message, content_type = dicom_message(files)
    boundary = boundary_of(content_type)
    blocks = [message[i : i + size] for i in range(0, len(message), size)]
    assert [b"".join(part) for part in MultipartReader(blocks, boundary).parts()] == bodies
    for cut in (0, 20, len(message) // 2, len(message) - 4):
        with pytest.raises(MultipartError):
            [b"".join(part) for part in MultipartReader([message[:cut]], boundary).parts()]
