"""The tutorial's bundle on the real scans that it is made for: from training on CT to masks of MR."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pydicom

from monai_sfda.catalog import SOFT_TISSUE
from tests.builders import BUNDLES, real
from tests.integration.commands import run_in_process
from tests.zoo import check_zoo_ready

BUNDLE = BUNDLES / SOFT_TISSUE.bundle
# A job of seconds: what it learns does not matter.
SAMPLING = {"image_size": 64, "pixel_size_mm": 4.0}
QUICK = SAMPLING | {"max_epochs": 1, "batch_size": 4}


def test_train_adapt_evaluate_inference_on_real_scans(tmp_path):
    data = real("ibsi_sts")
    train, adapt, scored, masks = (tmp_path / name for name in ("train", "adapt", "evaluate", "inference"))
    run_in_process(
        BUNDLE,
        ("train", "small"),
        dataset_dir=data,
        output_dir=train,
        **{"training#epoch_length": 12},
        **QUICK,
    )
    run_in_process(
        BUNDLE,
        ("adapt", "small"),
        dataset_dir=data,
        release=train / "release",
        output_dir=adapt,
        **{"adaptation#epoch_length": 3},
        **QUICK,
    )
    record = json.loads((adapt / "adaptation.json").read_text(encoding="utf-8"))
    assert record["method"] == "sfs"
    assert (record["target_images"], record["target_labels_read"]) == (5, False)
    assert "STS_" not in (adapt / "report.html").read_text(encoding="utf-8") + json.dumps(record)
    for run in (train, adapt):
        check_zoo_ready(run / "bundle", tmp_path)

    run_in_process(
        BUNDLE,
        ("train", "evaluate", "small"),
        dataset_dir=data,
        checkpoint=adapt / "adapted.pt",
        domain="target",
        split="test",
        output_dir=scored,
        **SAMPLING,
    )
    summary = json.loads((scored / "summary.json").read_text(encoding="utf-8"))
    assert summary["cases"] == 2
    assert set(summary["dice"]["per_class"]) == {"tumour"}
    blob = json.loads((scored / "summary_centre_blob.json").read_text(encoding="utf-8"))
    assert 0.2 < blob["dice"]["mean"] < 0.5, "the masks are not where the page says that they are"

    # by itself, as a site that was handed the bundle would
    series = data / "dicom" / "STS_008" / "MR_T1"
    run_in_process(adapt / "bundle", ("inference",), dataset_dir=series, output_dir=masks, dicom_seg=True)
    (mask,) = masks.glob("*_seg.nii.gz")
    scan, segmentation = nib.load(data / "nifti" / "STS_008" / "MR_T1_image.nii.gz"), nib.load(mask)
    assert segmentation.shape == scan.shape
    np.testing.assert_allclose(segmentation.affine, scan.affine, atol=1e-3)
    (result,) = json.loads((masks / "inference.json").read_text(encoding="utf-8"))["scans"]
    found = bool(np.asarray(segmentation.dataobj).any())  # a few steps may find nothing
    assert ("segments" in result["dicom_seg"], "skipped" in result["dicom_seg"]) == (found, not found)
    if found:
        stored = pydicom.dcmread(next(masks.glob("*_seg.dcm")))
        assert "not for diagnosis" in stored.SeriesDescription
