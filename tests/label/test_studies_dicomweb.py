"""A real PACS as the app's datastore: series found, fetched whole, and masks sent back as DICOM SEG."""

import io
import shutil
import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.dicom import scan_headers
from monai_sfda.errors import DataError, SettingError
from monai_sfda.label.studies import open_datastore, scanners, unlabelled_images
from monai_sfda.label.studies.errors import PacsError, StillArrivingError, UnknownImageError
from tests.data_readers import build
from tests.label.dicom_phantoms import same_place, write_study
from tests.label.orthanc import orthanc  # noqa: F401

TASKS = {"abdomen": ABDOMEN}
NAMES = [structure.name for structure in ABDOMEN.structures]


def opened(orthanc, cache, **options):  # noqa: F811
    datastore = open_datastore(orthanc.dicomweb, cache=cache, tasks=TASKS, **options)
    datastore.cache.settled_seconds = 0.3
    return datastore


def of_patient(orthanc, folder, patient, **options):  # noqa: F811
    study = write_study(folder / patient, patient=patient, **options)
    orthanc.store_folder(study.folder)
    return study


def held(orthanc, study, modality="SEG"):  # noqa: F811
    """The objects of a modality that the PACS holds of a study."""
    found = []
    for series in orthanc.series(modality):
        for content in orthanc.files_of(series):
            data = pydicom.dcmread(io.BytesIO(content))
            if data.StudyInstanceUID == study.uid:
                found.append(data)
    return found


def label_file(path, labels, affine):
    return str(build.write_nifti(path, labels.astype(np.uint8), affine))


def test_scans_are_found_as_soon_as_they_are_there(orthanc, tmp_path):  # noqa: F811
    mr = of_patient(orthanc, tmp_path, "FIND-1", scans=2, private=True, malformed=True, localizer=True)
    datastore = opened(orthanc, tmp_path / "cache")
    images = set(datastore.list_images())
    assert {series.uid for series in mr.series} <= images
    localizer = build.load(next((mr.folder / "localizer").iterdir())).SeriesInstanceUID
    assert localizer not in images
    assert not datastore.known(localizer)
    ct = of_patient(orthanc, tmp_path, "FIND-2", modality="CT", manufacturer="Other", model="B2").series[0]
    assert datastore.known(ct.uid)
    assert datastore.get_image_info(ct.uid)["Modality"] == "CT"
    datastore.refresh()
    assert scanners(datastore) == {("Phantom", "A1"): 2, ("Other", "B2"): 1}
    info = datastore.get_image_info(mr.series[0].uid)
    assert info["StudyInstanceUID"] == mr.uid
    served = str(datastore.json())
    assert "FIND" not in served
    assert "127.0.0.1" not in served
    for wrong in ("1.2.3", "", "/etc/passwd", "../x", mr.uid, localizer):
        assert not datastore.known(wrong)
        with pytest.raises(UnknownImageError):
            datastore.get_image_uri(wrong)


def test_a_series_is_fetched_whole_and_again_when_it_grows(orthanc, tmp_path):  # noqa: F811
    series = write_study(tmp_path / "GROW", patient="GROW").series[0]
    orthanc.store(series.files[:5])
    datastore = opened(orthanc, tmp_path / "cache")
    first = Path(datastore.get_image_uri(series.uid))
    assert len(list(first.iterdir())) == 5
    assert datastore.get_image_uri(series.uid) == str(first)
    orthanc.store(series.files[5:])
    second = Path(datastore.get_image_uri(series.uid))
    assert len(scan_headers(second)) == 12
    assert first.is_dir()  # somebody may be reading it
    volume = nib.load(datastore.image_file(series.uid))
    assert same_place(np.asarray(volume.dataobj), volume.affine, series.array, series.affine)


def test_a_series_that_keeps_arriving_is_not_used(orthanc, tmp_path):  # noqa: F811
    series = write_study(tmp_path / "ARRIVE", patient="ARRIVE", shape=(16, 16, 40)).series[0]
    orthanc.store(series.files[:3])
    datastore = opened(orthanc, tmp_path / "cache")
    datastore.cache.settled_seconds, datastore.cache.patience_seconds = 3.0, 4.0
    stop = threading.Event()

    def send():
        for file in series.files[3:]:
            if stop.wait(0.5):
                return
            orthanc.store([file])

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with pytest.raises(StillArrivingError, match="still arriving"):
            datastore.get_image_uri(series.uid)
    finally:
        stop.set()
        sender.join()


def test_echoes_of_one_series_are_images_of_their_own(orthanc, tmp_path):  # noqa: F811
    series = of_patient(orthanc, tmp_path, "ECHO", echoes=2).series[0]
    datastore = opened(orthanc, tmp_path / "cache")
    folder = datastore.get_image_uri(series.uid)
    assert {build.load(f).EchoTime for f in Path(folder).iterdir()} == {5}
    (other,) = (i for i in datastore.list_images() if i.startswith(f"{series.uid}_"))
    assert {build.load(f).EchoTime for f in Path(datastore.get_image_uri(other)).iterdir()} == {15}
    shutil.rmtree(tmp_path / "cache" / datastore.work.name / "series")
    assert {build.load(f).EchoTime for f in Path(datastore.get_image_uri(other)).iterdir()} == {15}


def test_masks_go_back_and_one_is_current(orthanc, tmp_path):  # noqa: F811
    study = of_patient(orthanc, tmp_path, "SEG")
    series = study.series[0]
    datastore = opened(orthanc, tmp_path / "cache")
    image = series.uid
    datastore.note_segmented(image, "abdomen", 2)
    liver = label_file(tmp_path / "a.nii.gz", series.labels == 1, series.affine)
    datastore.save_label(image, liver, "final", {"label_info": [{"name": "liver"}], "saved_by": "dr"})
    (first,) = held(orthanc, study)
    assert [s.SegmentLabel for s in first.SegmentSequence] == ["liver"]
    assert first.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert first.SegmentSequence[0].SegmentAlgorithmName.endswith("abdomen version 2")
    assert first.PatientID == "SEG"
    filled = int((series.labels == 1).any(axis=(0, 1)).sum())
    assert first.NumberOfFrames == filled
    whole = label_file(tmp_path / "b.nii.gz", series.labels, series.affine)
    datastore.save_label(image, whole, "final", {})
    (second,) = held(orthanc, study)
    assert [s.SegmentLabel for s in second.SegmentSequence] == NAMES
    assert second.SOPInstanceUID != first.SOPInstanceUID
    empty = label_file(tmp_path / "c.nii.gz", series.labels * 0, series.affine)
    datastore.save_label(image, empty, "final", {})
    assert held(orthanc, study) == []
    datastore.save_label(image, whole, "final", {})
    assert len(held(orthanc, study)) == 1
    datastore.remove_label(image, "final")
    assert held(orthanc, study) == []
    assert image in unlabelled_images(datastore)
    assert image in datastore.list_images()


def test_labels_in_the_pacs_are_found_when_the_apps_folder_is_lost(orthanc, tmp_path):  # noqa: F811
    study = of_patient(orthanc, tmp_path, "LOST")
    series = study.series[0]
    datastore = opened(orthanc, tmp_path / "cache")
    datastore.save_label(
        series.uid, label_file(tmp_path / "a.nii.gz", series.labels, series.affine), "final", {}
    )
    new = opened(orthanc, tmp_path / "other")
    assert series.uid not in unlabelled_images(new)
    assert new.get_labels_by_image_id(series.uid) == {"final": series.uid}
    label = nib.load(new.get_label_uri(series.uid, "final"))
    assert same_place(np.asarray(label.dataobj), label.affine, series.labels, series.affine)
    new.save_label(
        series.uid, label_file(tmp_path / "b.nii.gz", series.labels == 1, series.affine), "final", {}
    )
    assert len(held(orthanc, study)) == 2  # nothing is deleted that was not sent from here
    again = label_file(tmp_path / "c.nii.gz", series.labels == 2, series.affine)
    new.save_label(series.uid, again, "final", {})
    assert len(held(orthanc, study)) == 2
    new.remove_label(series.uid, "final")
    assert len(held(orthanc, study)) == 1
    assert series.uid in unlabelled_images(new)


def test_a_silent_pacs_is_said_to_be(tmp_path):
    datastore = open_datastore("http://127.0.0.1:9/dicom-web", cache=tmp_path, tasks=TASKS, timeout_s=2.0)
    for question in (datastore.list_images, datastore.status, lambda: datastore.get_image_uri("1.2")):
        with pytest.raises(PacsError) as error:
            question()
        assert "127.0.0.1" not in str(error.value)


@pytest.mark.parametrize("address", ["http://", "https://user:secret@pacs/dicom-web"])
def test_addresses_that_are_refused(tmp_path, address):
    with pytest.raises(SettingError) as error:
        open_datastore(address, cache=tmp_path)
    assert "secret" not in str(error.value)


def test_studies_are_neither_added_nor_removed_here(orthanc, tmp_path):  # noqa: F811
    series = of_patient(orthanc, tmp_path, "KEEP").series[0]
    datastore = opened(orthanc, tmp_path / "cache")
    with pytest.raises(SettingError, match="PACS"):
        datastore.remove_image(series.uid)
    with pytest.raises((SettingError, DataError)):
        datastore.add_image("x", str(series.files[0]), {})
