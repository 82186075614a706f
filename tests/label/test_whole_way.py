"""The whole way of a hospital through a real server, as 3D Slicer and OHIF drive it, on a folder and a PACS:
next sample, segment, correct, save, adapt, watch, sign off, segment better, roll back.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from monailabel.client.client import MONAILabelClientException

from monai_sfda.label.demo.orthanc import Orthanc
from monai_sfda.label.demo.studies import PhantomStudy, write_series
from tests.label import orthanc as pacs
from tests.label import segmentation_objects as objects
from tests.label.servers import add_users, started
from tests.label.slicer import Slicer, strokes
from tests.label.trained import (  # noqa: F401
    METHOD,
    MODEL,
    STRUCTURES,
    TASK,
    LabelledScan,
    Trained,
    canonical,
    trained,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
CHOSEN = TASK.structures[0].name
AXIAL = 2
MARGIN = 0.05
"""So much better, in mean Dice on scans that no adaptation sees, the adapted version must be at least."""


@dataclass
class Site:
    """A hospital's server and what holds its studies.

    Attributes:
        url: of the server.
        studies: folder or DICOMweb address.
        workstation: folder of the client, none of the server's.
        orthanc: the PACS, or None.
        folder: of the studies where there is no PACS.
        series: of DICOM written so far.
    """

    url: str
    workstation: Path
    orthanc: Orthanc | None
    folder: Path
    series: int = field(default=0)

    def slicer(self, user: str) -> Slicer:
        """Somebody's 3D Slicer."""
        return Slicer(self.url, self.workstation / user, user)

    def receive(self, scan: LabelledScan, model: str, *, dicom: bool = True) -> str:
        """A study arrives; returns what a client may call it by."""
        return receive(self, scan, model, dicom=dicom)


def receive(site: Any, scan: LabelledScan, model: str, *, dicom: bool) -> str:
    site.series += 1
    if site.orthanc is None and not dicom:
        shutil.copyfile(scan.image, site.folder / scan.image.name)
        return scan.image.name.removesuffix(".nii.gz")
    study = PhantomStudy(site.series, "CT", "HEART", model=model, seed="whole way")
    folder = (site.workstation if site.orthanc else site.folder) / f"dicom_{site.series:03d}"
    files = write_series(scan.image, folder, study, across=AXIAL)
    if site.orthanc is not None:
        site.orthanc.store(files)
    return str(study.uid("series"))


@pytest.fixture(params=["folder", "orthanc"])
def site(request, trained: Trained, tmp_path: Path) -> Iterator[Site]:  # noqa: F811
    """A server on phantom studies of one scanner, in a folder (NIfTI and DICOM) or in a PACS."""
    folder = tmp_path / "studies"
    folder.mkdir()
    options = ["--users", str(add_users(tmp_path / "users.json")), "--bundles", str(trained.bundles)]
    options += ["--device", "cpu"]
    here = Site("", tmp_path / "workstation", None, folder)
    here.workstation.mkdir()
    if request.param == "folder":
        for number, scan in enumerate(trained.studies):
            here.receive(scan, "Simulator 1", dicom=number % 2 == 0)
        with started(folder, tmp_path / "home", *options) as server:
            here.url = server.url
            yield here
        return
    with pacs.started(tmp_path / "orthanc") as orthanc:
        here.orthanc = orthanc
        for scan in trained.studies:
            here.receive(scan, "Simulator 1")
        with started(orthanc.dicomweb, tmp_path / "home", *options) as server:
            here.url = server.url
            yield here


def test_a_hospital_corrects_adapts_signs_off_and_rolls_back(site: Site, trained: Trained) -> None:  # noqa: F811
    reader, adapter, approver = (site.slicer(user) for user in ("reader", "adapter", "approver"))
    look_round(reader, len(trained.studies))
    image_id, scan = next_sample(reader, trained)
    labelmap = segment_and_correct(reader, image_id, scan)
    reader.save(image_id, labelmap, list(STRUCTURES))
    check_saved(site, reader, image_id, labelmap)
    before, _ = reader.segment(MODEL, image_id)

    number = adapt(site, reader, adapter)
    assert reader.segment(MODEL, image_id)[1]["model_version"] == 1, "nobody has signed it off"
    sign_off(reader, approver, number)
    better_on_unseen_scans(site, reader, trained, number)

    path = f"/sfda/models/{MODEL}/rollback"
    assert reader.send("POST", path, json={"reason": "x"}).status_code == 403
    assert approver.send("POST", path, json={"reason": "as it was"}).status_code == 200
    again, said = reader.segment(MODEL, image_id)
    assert said["model_version"] == 1
    np.testing.assert_array_equal(canonical(again), canonical(before))


def look_round(reader: Slicer, studies: int) -> None:
    """`/info` and the datastore."""
    info = reader.client.info()
    model = info["models"][MODEL]
    assert model["type"] == "segmentation"
    assert model["labels"] == STRUCTURES
    assert "version 1" in model["description"]
    assert next(iter(info["trainers"])) == f"adapt_{MODEL}"
    assert f"{MODEL}_scribbles" in info["models"]
    assert len(reader.client.datastore()["objects"]) == studies


def next_sample(reader: Slicer, trained: Trained) -> tuple[str, LabelledScan]:  # noqa: F811
    """The study that the server gives, and which phantom it is."""
    sample = reader.client.next_sample("random", {})
    file = reader.download(sample["id"])
    scan = next((scan for scan in trained.studies if scan.is_shown_by(file)), None)
    assert scan is not None, "the image that came is none of the studies"
    return sample["id"], scan


def segment_and_correct(reader: Slicer, image_id: str, scan: LabelledScan) -> Path:
    """Scribbles over what is missed and what is too much of a structure make it better, and no other one
    worse; returns the mask.
    """
    labelmap, said = reader.segment(MODEL, image_id)
    assert said["label_names"] == STRUCTURES
    assert said["model_version"] == 1
    assert said["volumes_ml"][CHOSEN] > 0
    assert "not for diagnosis" in said["intended_use"]
    assert set(np.unique(canonical(labelmap))) <= {0, *STRUCTURES.values()}
    values, truth = on_the_same_voxels(labelmap, scan)
    mask, right = values == STRUCTURES[CHOSEN], truth == STRUCTURES[CHOSEN]
    missed, too_much = strokes(mask, right, AXIAL), strokes(~mask, ~right, AXIAL)
    answer, said = reader.scribble(MODEL, image_id, labelmap, list(STRUCTURES), CHOSEN, missed, too_much)
    corrected = in_the_models_order(answer, said["label_names"])
    mask = np.asarray(nibabel.load(corrected).dataobj) == STRUCTURES[CHOSEN]
    assert mask[missed].all()
    assert not mask[too_much].any()
    before, after = scan.dices(labelmap), scan.dices(corrected)
    assert after[CHOSEN] > before[CHOSEN] + 0.1, (before, after)
    assert all(after[name] >= before[name] - 0.01 for name in STRUCTURES), (before, after)
    return corrected


def in_the_models_order(labelmap: Path, names: Mapping[str, int]) -> Path:
    """A correction answers with the chosen structure first; the panel keeps the order of its segments."""
    segments = nibabel.load(labelmap)
    values = np.asarray(segments.dataobj)
    ordered = np.zeros_like(values)
    for name, index in STRUCTURES.items():
        ordered[values == names[name]] = index
    file = labelmap.with_name("segments.nii.gz")
    nibabel.save(nibabel.Nifti1Image(ordered, segments.affine), file)
    return file


def on_the_same_voxels(labelmap: Path, scan: LabelledScan) -> tuple[np.ndarray, np.ndarray]:
    """The labelmap as it is stored, and the truth with its axes turned alike."""
    segments = nibabel.load(labelmap)
    there = nibabel.io_orientation(segments.affine)
    truth = nibabel.apply_orientation(
        scan.truth(), nibabel.orientations.ornt_transform([[0, 1], [1, 1], [2, 1]], there)
    )
    values = np.asarray(segments.dataobj)
    assert values.shape == truth.shape
    return values, truth


def check_saved(site: Site, reader: Slicer, image_id: str, labelmap: Path) -> None:
    """The label is the study's final one; in the PACS as a DICOM SEG with references, names and codes."""
    entry = reader.client.datastore()["objects"][image_id]
    assert "final" in entry["labels"]
    if site.orthanc is None:
        file = reader.client.download_label(image_id, "final")
        np.testing.assert_array_equal(canonical(file), canonical(labelmap))
        return
    held = [objects.read(site.orthanc.files_of(series)) for series in site.orthanc.series("SEG")]
    assert [len(files) for files in held] == [1]
    images = next(
        files
        for files in (objects.read(site.orthanc.files_of(s)) for s in site.orthanc.series("CT"))
        if files[0].SeriesInstanceUID == image_id
    )
    objects.check(held[0][0], images, labelmap, TASK, algorithm="SEMIAUTOMATIC", version=1)


def adapt(site: Site, reader: Slicer, adapter: Slicer) -> int:
    """Starts the adaptation as a client does, watches it, and returns the number of the new version."""
    with pytest.raises(MONAILabelClientException, match="403"):
        reader.client.train_start(f"adapt_{MODEL}", {})
    options = {"method": METHOD, "scanner": "Phantom Imaging, Simulator 1", "min_studies": 4}
    if site.orthanc is None:
        adapter.client.train_start(f"adapt_{MODEL}", options | {"scanner": "any"})
    else:  # OHIF's *Update Model* sends the options of all panels to /train/
        adapter.client.train_start(None, {f"adapt_{MODEL}": options, f"fine_tune_{MODEL}": {}})
    assert reader.client.train_status(check_if_running=True)
    deadline = time.monotonic() + 900
    seen = set()
    while reader.client.train_status(check_if_running=True):
        status = reader.client.train_status()
        seen.add(status["status"])
        stats = reader.client.info()["train_stats"][f"adapt_{MODEL}"]
        assert stats["epoch"] <= stats["total_epochs"]
        assert time.monotonic() < deadline, status
        time.sleep(1)
    status = reader.client.train_status()
    assert status["status"] == "DONE", status
    assert "RUNNING" in seen
    job = status["job"]
    assert job["verdict"] == "accept", status["details"]
    assert reader.client.info()["train_stats"][f"adapt_{MODEL}"]["best_metric"] > 0.0445
    report = reader.send("GET", status["report"])
    assert report.status_code == 200
    assert "not for diagnosis" in report.text.lower()
    return int(job["version"])


def sign_off(reader: Slicer, approver: Slicer, number: int) -> None:
    """Before and after are looked at, then the approver activates; a reader may not."""
    path = f"/sfda/models/{MODEL}/versions/{number}"
    page = reader.send("GET", f"{path}/before_after")
    assert page.status_code == 200
    picture = reader.send("GET", f"{path}/before_after/1.png")
    assert picture.headers["content-type"] == "image/png"
    assert reader.send("POST", f"{path}/activate", json={}).status_code == 403
    answer = approver.send("POST", f"{path}/activate", json={"reason": "looked at three studies"})
    assert answer.status_code == 200, answer.text
    assert f"version {number}:" in reader.client.info()["models"][MODEL]["description"]


def better_on_unseen_scans(site: Site, reader: Slicer, trained: Trained, number: int) -> None:  # noqa: F811
    """Studies that arrive after the adaptation are segmented better by the new version than by the old."""
    gains = []
    for scan in trained.unseen:
        name = site.receive(scan, "Simulator 1")
        wait_for_study(reader, name)
        new, said = reader.segment(MODEL, name)
        old, said_of_old = reader.segment(MODEL, name, version="1")
        assert (said["model_version"], said_of_old["model_version"]) == (number, 1)
        gains.append(scan.dice(new) - scan.dice(old))
    assert min(gains) > 0, gains
    print("gains on scans that no adaptation sees:", [round(gain, 3) for gain in gains])
    assert np.mean(gains) > MARGIN, gains


def wait_for_study(reader: Slicer, name: str) -> None:
    """Until the server has noticed a study that has just arrived."""
    deadline = time.monotonic() + 180
    while reader.send("GET", "/datastore/image/info", params={"image": name}).status_code == 404:
        assert time.monotonic() < deadline
        time.sleep(1)
