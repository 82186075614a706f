"""The brain bundles from training to masks: the modality chosen, four channels, regions."""

from __future__ import annotations

import csv
import json
import shutil

import nibabel
import pytest

from monai_sfda.errors import SfdaError
from monai_sfda.phantom import write_phantoms
from monai_sfda.phantom.brats import ROOT
from tests.builders import BUNDLES
from tests.integration.commands import run_in_process
from tests.zoo import check_zoo_ready

MODALITY, GRADE = BUNDLES / "brain_brats_modality_sfda", BUNDLES / "brain_brats_grade_sfda"
# A job of seconds: what it learns does not matter.
SIZE = {"image_size": 48, "pixel_size_mm": 6.0}
QUICK = SIZE | {"max_epochs": 1, "batch_size": 4}


@pytest.fixture(scope="module")
def brains(tmp_path_factory):
    out = tmp_path_factory.mktemp("brains") / "data"
    write_phantoms("brain", out, subjects=5, seed=3, matrix=40, workers=1)
    return out


def train_and_adapt(bundle, brains, out, **modality):
    """The release and the run of a training and an adaptation with OSUDA, each of four steps."""
    source, run = out / "train", out / "adapt"
    common = QUICK | {"dataset_dir": brains} | modality
    run_in_process(bundle, ("train", "small"), output_dir=source, **{"training#epoch_length": 4}, **common)
    run_in_process(
        bundle,
        ("adapt", "small"),
        output_dir=run,
        release=source / "release",
        **{"adaptation#epoch_length": 4},
        **common,
    )
    return source / "release", run


def test_another_modality_is_adapted_to_and_stays_with_the_adapted_bundle(brains, tmp_path):
    release, run = train_and_adapt(MODALITY, brains, tmp_path, target_modality="t1ce")
    assert json.loads((run / "adaptation.json").read_text(encoding="utf-8"))["modalities"] == {
        "source": "t2",
        "target": "t1ce",
    }
    adapted = json.loads((run / "bundle" / "configs" / "inference.json").read_text(encoding="utf-8"))
    assert adapted["target_modality"] == "t1ce"
    for bundle in (release.parent / "bundle", run / "bundle"):
        check_zoo_ready(bundle, tmp_path)
    chosen = {"target_modality": "t1ce", "checkpoint": run / "adapted.pt", "domain": "target"} | SIZE
    run_in_process(
        MODALITY,
        ("train", "evaluate", "small"),
        dataset_dir=brains,
        split="test",
        output_dir=tmp_path / "test",
        **chosen,
    )
    summary = json.loads((tmp_path / "test" / "summary.json").read_text(encoding="utf-8"))
    assert list(summary["dice"]["per_class"]) == ["whole_tumour"]
    (tmp_path / "scans").mkdir()
    scan = shutil.copy(next((brains / ROOT).rglob("*_t1ce.nii.gz")), tmp_path / "scans")
    run_in_process(
        MODALITY,
        ("inference", "small"),
        dataset_dir=tmp_path / "scans",
        output_dir=tmp_path / "masks",
        **chosen,
    )
    (mask,) = (tmp_path / "masks").glob("*_seg.nii.gz")
    assert nibabel.load(mask).shape == nibabel.load(scan).shape
    with pytest.raises(RuntimeError) as caught:
        run_in_process(
            MODALITY,
            ("adapt", "small"),
            dataset_dir=brains,
            release=release,
            output_dir=tmp_path / "other",
            source_modality="t1",
            **QUICK,
        )
    assert isinstance(caught.value.__cause__, SfdaError)
    assert "the release was trained on t2, source_modality is t1" in str(caught.value.__cause__)


def test_four_channels_and_regions_from_training_to_masks(brains, tmp_path):
    release, run = train_and_adapt(GRADE, brains, tmp_path)
    for bundle in (release.parent / "bundle", run / "bundle"):
        check_zoo_ready(bundle, tmp_path)
    volumes = json.loads((run / "adaptation.json").read_text(encoding="utf-8"))["volumes_ml"]["after"]["1"]
    structures = ("necrotic_non_enhancing_core", "oedema", "enhancing_tumour")
    assert volumes["whole_tumour"] == pytest.approx(sum(volumes[name] for name in structures))
    run_in_process(
        GRADE,
        ("train", "evaluate", "small"),
        dataset_dir=brains,
        domain="target",
        split="test",
        checkpoint=run / "adapted.pt",
        output_dir=tmp_path / "test",
        **SIZE,
    )
    summary = json.loads((tmp_path / "test" / "summary.json").read_text(encoding="utf-8"))
    assert list(summary["dice"]["per_class"]) == list(structures)
    assert list(summary["hd95_mm"]["per_region"]) == ["whole_tumour", "tumour_core"]
    with (tmp_path / "test" / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [row["structure"] for row in csv.DictReader(file)]
    assert len(rows) == 5 * summary["cases"]
    case = next((brains / ROOT / "LGG").iterdir())
    shutil.copytree(case, tmp_path / "scans")
    run_in_process(
        GRADE,
        ("inference", "small"),
        dataset_dir=tmp_path / "scans",
        checkpoint=run / "model.pt",
        output_dir=tmp_path / "masks",
        **SIZE,
    )
    assert len(list((tmp_path / "masks").glob("*_seg.nii.gz"))) == 1
    (scan,) = json.loads((tmp_path / "masks" / "inference.json").read_text(encoding="utf-8"))["scans"]
    assert "tumour_core" in scan["volume_ml"]
