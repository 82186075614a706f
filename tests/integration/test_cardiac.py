"""The heart's bundle on phantoms: train, adapt, evaluate on coronal slices of scans of every orientation."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from monai_sfda.catalog import CARDIAC
from monai_sfda.data.listing import list_cases, read_case
from monai_sfda.phantom import write_phantoms
from monai_sfda.transforms import task_preprocessing
from monai_sfda.workflow.check import JOBS, check_data
from tests.builders import BUNDLES
from tests.integration.commands import run_in_process
from tests.zoo import check_zoo_ready

HEART = BUNDLES / CARDIAC.bundle
SAMPLING = {"image_size": 48, "pixel_size_mm": 5.0}
QUICK = SAMPLING | {"max_epochs": 1, "batch_size": 4}


@pytest.fixture(scope="module")
def hearts(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("hearts") / "data"
    write_phantoms("cardiac", out, subjects=4, seed=5, matrix=48, workers=2)
    return out


def test_check_finds_everything(hearts):
    result = check_data(CARDIAC, hearts)
    assert result.problems == {job: [] for job in JOBS}
    found = {(s.domain, s.split): (s.subjects, s.expected) for s in result.splits}
    assert found["source", "train"] == (3, 16)
    assert found["target", "test"] == (1, 4)


@pytest.mark.parametrize("domain", ["source", "target"])
def test_slices_are_coronal_with_the_head_and_the_right_side_last(hearts, domain):
    """Rows run to the patient's right, columns upwards, however a scan is stored."""
    preprocessing = task_preprocessing("cardiac", domain, pixel_size_mm=4.0)
    for case in list_cases(CARDIAC, domain, "train", hearts).cases:
        scan, classes = read_case(case, CARDIAC, domain, with_label=True)
        image, grid = preprocessing.image(scan.array, scan.affine)
        assert image.std() == pytest.approx(1.0, abs=0.1)
        slices = preprocessing.label(classes, grid)[:, 0].numpy()
        atrium, ventricle, aorta = (np.argwhere(slices == index).mean(0) for index in (2, 3, 4))
        assert ventricle[0] > atrium[0]  # slices run from the back to the front
        assert ventricle[1] < aorta[1]
        assert ventricle[2] < aorta[2]


def test_nothing_about_the_preprocessing_depends_on_a_label(hearts):
    """The published crop looks at the label; here a scan gives the same input whether its label is read."""
    preprocessing = task_preprocessing("cardiac", "target", pixel_size_mm=4.0)
    case = list_cases(CARDIAC, "target", "test", hearts).cases[0]
    unlabelled = list_cases(CARDIAC, "target", "test", hearts, labels=False).cases[0]
    one, other = (
        preprocessing.image(scan.array, scan.affine)[0]
        for scan, _ in (
            read_case(case, CARDIAC, "target", with_label=True),
            read_case(unlabelled, CARDIAC, "target", with_label=False),
        )
    )
    assert unlabelled.label is None
    np.testing.assert_array_equal(one.numpy(), other.numpy())
    # the top 2% are cut: at least so many voxels share the highest value
    assert float((one == one.max()).float().mean()) >= 0.015


def test_train_adapt_evaluate_inference(hearts, tmp_path):
    release = tmp_path / "train" / "release"
    train = QUICK | {"training#epoch_length": 12}
    run_in_process(HEART, ("train", "small"), dataset_dir=hearts, output_dir=tmp_path / "train", **train)
    manifest = json.loads((release / "release.json").read_text(encoding="utf-8"))
    assert manifest["task"] == "cardiac"
    run_in_process(
        HEART,
        ("adapt", "small"),
        dataset_dir=hearts,
        release=release,
        output_dir=tmp_path / "adapt",
        **QUICK,
        **{"adaptation#epoch_length": 3},
    )
    record = json.loads((tmp_path / "adapt" / "adaptation.json").read_text(encoding="utf-8"))
    assert record["method"] == "sfs"
    assert record["target_labels_read"] is False
    for run in ("train", "adapt"):
        check_zoo_ready(tmp_path / run / "bundle", tmp_path)
    run_in_process(
        HEART,
        ("train", "evaluate", "small"),
        dataset_dir=hearts,
        checkpoint=tmp_path / "adapt" / "adapted.pt",
        domain="target",
        split="test",
        output_dir=tmp_path / "evaluate",
        **SAMPLING,
    )
    summary = json.loads((tmp_path / "evaluate" / "summary.json").read_text(encoding="utf-8"))
    assert (summary["task"], summary["cases"]) == ("cardiac", 1)
    assert set(summary["dice"]["per_class"]) == {s.name for s in CARDIAC.structures}
    run_in_process(
        HEART,
        ("inference", "small"),
        dataset_dir=hearts / "mr_train",
        checkpoint=release / "model.pt",
        domain="source",
        output_dir=tmp_path / "inference",
        **SAMPLING,
    )
    for image in (hearts / "mr_train").glob("*_image.nii.gz"):
        scan = nibabel.load(image)
        mask = nibabel.load(tmp_path / "inference" / f"{image.name.removesuffix('.nii.gz')}_seg.nii.gz")
        assert mask.shape == scan.shape
        np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-5)
