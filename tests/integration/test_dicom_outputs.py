"""`inference.json` with `dicom_seg`: a folder of everything, what is written, skipped and said."""

from __future__ import annotations

import hashlib
import json
import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from monai.bundle import ConfigParser

from monai_sfda.data import dicom_segmentation
from monai_sfda.errors import OutputError, SettingError
from tests.builders import BUNDLES
from tests.data_readers import build
from tests.integration.commands import ABDOMEN, SAMPLING, run_in_process

SHAPE = (40, 36, 9)
MATRIX = build.affine((5.0, 5.0, 6.0), angles=(10, 0, 5))


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """Untrained weights beside a record that says what adapted them; they find every structure in noise."""
    folder = tmp_path_factory.mktemp("adapted")
    torch.manual_seed(3)
    parser = ConfigParser(json.loads((ABDOMEN / "configs" / "small.json").read_text(encoding="utf-8")))
    torch.save(parser.get_parsed_content("network_def").state_dict(), folder / "model.pt")
    sha256 = hashlib.sha256((folder / "model.pt").read_bytes()).hexdigest()
    record = {"method": "sfs", "adapted_sha256": sha256, "model_sha256": sha256}
    (folder / "adaptation.json").write_text(json.dumps(record), encoding="utf-8")
    return folder / "model.pt"


@pytest.fixture
def scans(tmp_path):
    """A DICOM series, the same as NIfTI, and a multi-frame object."""
    folder = tmp_path / "scans"
    volume = build.volume(SHAPE)
    build.write_dicom(folder / "a_series", volume, MATRIX, FrameOfReferenceUID="1.2.3")
    build.write_nifti(folder / "b_nifti.nii.gz", volume, MATRIX)
    build.write_enhanced(folder / "c_frames.dcm", volume, MATRIX, list(range(SHAPE[2])))
    return folder


def segment(scans, out, checkpoint, **more):
    settings = {"domain": "source", "device": "cpu", "dicom_seg": "true"} | SAMPLING | more
    run_in_process(
        ABDOMEN, ("inference", "small"), dataset_dir=scans, checkpoint=checkpoint, output_dir=out, **settings
    )
    return json.loads((out / "inference.json").read_text(encoding="utf-8"))["scans"]


def test_dicom_series_get_a_segmentation_and_others_the_reason(scans, adapted, tmp_path, caplog):
    out = tmp_path / "out"
    series, nifti, frames = segment(scans, out, adapted)
    found = [name for name, ml in series["volume_ml"].items() if ml > 0]
    assert series["dicom_seg"] == {"segments": found}
    assert nifti["dicom_seg"] == {"skipped": "the scan is no DICOM series"}
    said = "an enhanced multi-frame object, which dcmqi cannot refer to: export the series as single slices"
    assert frames["dicom_seg"] == {"skipped": said}
    assert {p.name for p in out.iterdir()} == {
        *("a_series_seg.nii.gz", "a_series_seg.dcm", "b_nifti_seg.nii.gz", "c_frames_seg.nii.gz"),
        *("inference.json", "cases.csv"),
    }
    assert "case 2: no DICOM segmentation: the scan is no DICOM series" in caplog.text
    said = caplog.text + (out / "inference.json").read_text(encoding="utf-8")
    assert "Doe" not in said
    assert "confidential" not in said
    segmentation = pydicom.dcmread(out / "a_series_seg.dcm")
    assert [s.SegmentLabel for s in segmentation.SegmentSequence] == found
    assert {s.SegmentAlgorithmName for s in segmentation.SegmentSequence} == {"monai_sfda 0.1.0 abdomen sfs"}
    assert "not for diagnosis" in segmentation.SeriesDescription
    assert segmentation.PatientName == "Doe^Jane"
    mask = np.asarray(nib.load(out / "a_series_seg.nii.gz").dataobj)
    bits = np.unpackbits(np.frombuffer(segmentation.PixelData, np.uint8)).sum()
    assert bits == np.count_nonzero(mask)
    np.testing.assert_array_equal(mask, np.asarray(nib.load(out / "b_nifti_seg.nii.gz").dataobj))


def test_without_the_keys_masks_stand_alone(scans, adapted, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_series_entropy.nii.gz").write_text("of an older run and its mask", encoding="utf-8")
    for entry in segment(scans, out, adapted, dicom_seg="false"):
        assert "dicom_seg" not in entry
        assert set(entry["confidence"]) == set(entry["volume_ml"])
    assert not list(out.glob("*.dcm"))
    assert not list(out.glob("*_entropy*"))


def test_a_failure_leaves_the_mask_and_no_older_segmentation(scans, adapted, tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_segmentation, "find_dcmqi", lambda: shutil.which("false"))
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_series_seg.dcm").write_text("of an older run", encoding="utf-8")
    with pytest.raises(RuntimeError) as caught:
        segment(scans, out, adapted)
    assert isinstance(caught.value.__cause__, OutputError)
    assert "1 of 3 scans have a NIfTI mask and no DICOM segmentation" in str(caught.value.__cause__)
    assert {p.name for p in out.glob("a_*")} == {"a_series_seg.nii.gz"}
    entries = json.loads((out / "inference.json").read_text(encoding="utf-8"))["scans"]
    assert "exit status 1" in entries[0]["dicom_seg"]["error"]


def test_pictures_are_no_dicom(adapted, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        run_in_process(
            BUNDLES / "street_cityscapes_sfda",
            ("inference", "small"),
            dataset_dir=tmp_path,
            checkpoint=street_weights(tmp_path),
            output_dir=tmp_path / "out",
            dicom_seg=True,
        )
    assert isinstance(caught.value.__cause__, SettingError)
    assert "the task has pictures: leave dicom_seg out" in str(caught.value.__cause__)


def street_weights(folder):
    text = (BUNDLES / "street_cityscapes_sfda" / "configs" / "small.json").read_text(encoding="utf-8")
    torch.save(
        ConfigParser(json.loads(text)).get_parsed_content("network_def").state_dict(), folder / "street.pt"
    )
    return folder / "street.pt"
