"""From training over adaptation to inference: strange scans are warned of, a model's own are not."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_sfda.catalog import find_task
from monai_sfda.data.listing import list_cases, read_case
from monai_sfda.phantom import write_phantoms
from tests.integration.commands import ABDOMEN, QUICK, QUICK_ADAPT, SAMPLING, run_in_process


def inference(checkpoint: Path, images: Path, out: Path, domain: str, bundle: Path = ABDOMEN) -> dict:
    """What `inference.json` says; the adapted bundle brings its own network and sampling."""
    small = bundle == ABDOMEN
    run_in_process(
        bundle,
        ("inference", "small") if small else ("inference",),
        dataset_dir=images,
        checkpoint=checkpoint,
        domain=domain,
        output_dir=out,
        **(SAMPLING if small else {}),
    )
    return json.loads((out / "inference.json").read_text(encoding="utf-8"))


def write_scans(
    folder: Path, task: str, domain: str, data: Path, split: str = "train", most: int = 2
) -> Path:
    """Scans of an official layout as a plain folder of NIfTI files."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in list_cases(find_task(task), domain, split, data, labels=False).cases[:most]:
        scan, _ = read_case(case, find_task(task), domain, with_label=False)
        name = f"{task}_{domain}_{split}_{case.number}.nii.gz"
        nib.save(nib.Nifti1Image(scan.array[0], scan.affine), folder / name)
    return folder


def write_noise(folder: Path) -> Path:
    """A scan of noise on the grid of the first scan of the folder, the last by name."""
    image = nib.load(min(folder.glob("*.nii.gz")))
    noise = np.random.default_rng(0).normal(100, 30, image.shape).astype(np.float32)
    nib.save(nib.Nifti1Image(noise, image.affine), folder / "z_noise.nii.gz")
    return folder


@pytest.fixture(scope="module")
def images(phantoms, tmp_path_factory) -> Path:
    """Two own scans of the source, then noise."""
    return write_noise(write_scans(tmp_path_factory.mktemp("own"), "abdomen", "source", phantoms))


def test_own_scans_are_familiar_and_noise_is_warned_of(source_run, images, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    found = inference(source_run / "release" / "model.pt", images, tmp_path / "out", "source")
    assert found["compared_with"] == {
        "domain": "source",
        "scans": "training and validation",
        "subjects": 4,
        "shift_expected": False,
    }
    verdicts = [scan["familiarity"]["verdict"] for scan in found["scans"]]
    assert verdicts[:2] == ["familiar", "familiar"]
    assert verdicts[2] in ("unusual", "unlike")  # four subjects make wide intervals
    assert "the source scans that the model knows (score" in caplog.text
    assert "compared with 4 source subjects of the model: 2 familiar, " in caplog.text
    assert "(cases 3: see inference.json)" in caplog.text
    strange = found["scans"][2]["familiarity"]
    assert strange["score"] == max(strange["aspects"].values()) > 1
    assert "times as far as usual" in strange["reasons"][0]
    assert (tmp_path / "out" / "z_noise_seg.nii.gz").is_file()
    kept = (tmp_path / "out" / "inference.json").read_text(encoding="utf-8")
    assert "noise" not in kept
    assert str(tmp_path) not in kept


def test_an_unadapted_models_target_scans_are_said_to_be_shifted(source_run, phantoms, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    scans = write_scans(tmp_path / "scans", "abdomen", "target", phantoms, most=1)
    found = inference(source_run / "release" / "model.pt", scans, tmp_path / "out", "target")
    assert found["compared_with"]["domain"] == "source"
    assert found["compared_with"]["shift_expected"] is True
    assert "not made for target scans, so that a shift is expected" in caplog.text


def test_a_release_without_reference_says_so_and_works(source_run, images, tmp_path, caplog):
    release = tmp_path / "release"
    shutil.copytree(source_run / "release", release)
    manifest = json.loads((release / "release.json").read_text(encoding="utf-8"))
    del manifest["reference_scans"]
    (release / "release.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = inference(release / "model.pt", images, tmp_path / "out", "source")
    assert "has no reference level" in found["compared_with"]["missing"]
    assert all("familiarity" not in scan for scan in found["scans"])
    assert "has no reference level" in caplog.text


def test_an_adapted_bundle_knows_the_scans_it_was_adapted_to(source_run, phantoms, tmp_path):
    out = tmp_path / "adapt"
    run_in_process(
        ABDOMEN,
        ("adapt", "small"),
        dataset_dir=phantoms,
        release=source_run / "release",
        method="adabn",
        output_dir=out,
        **QUICK_ADAPT | {"guard#enabled": False},
    )
    record = json.loads((out / "adaptation.json").read_text(encoding="utf-8"))
    assert record["reference_scans"] == {"domain": "target", "subjects": 3}
    scans = write_noise(write_scans(tmp_path / "scans", "abdomen", "target", phantoms))
    bundle = out / "bundle"
    found = inference(bundle / "models" / "model.pt", scans, tmp_path / "out", "target", bundle)
    assert found["compared_with"]["domain"] == "target"
    assert found["compared_with"]["shift_expected"] is False
    assert [scan["familiarity"]["verdict"] for scan in found["scans"][:2]] == ["familiar"] * 2
    known = json.loads((bundle / "models" / "reference_scans.json").read_text(encoding="utf-8"))
    assert known == json.loads((out / "reference_scans.json").read_text(encoding="utf-8"))
    assert known["model_sha256"] == record["adapted_sha256"]


@pytest.mark.long
def test_another_body_part_is_warned_of(tmp_path):
    """A source model of ten subjects that has learnt the organs; new abdomens beside a heart and a brain."""
    write_phantoms("abdomen", tmp_path / "data", subjects=10, seed=100, matrix=96, workers=2)
    write_phantoms("abdomen", tmp_path / "new", subjects=3, seed=120, matrix=96, workers=2)
    write_phantoms("cardiac", tmp_path / "heart", subjects=2, seed=100, matrix=64, workers=2)
    write_phantoms("brain", tmp_path / "head", subjects=2, seed=100, matrix=96, workers=2)
    out = tmp_path / "train"
    learnt = {**QUICK, "max_epochs": 6, "training#epoch_length": 40, "batch_size": 8}
    run_in_process(ABDOMEN, ("train", "small"), dataset_dir=tmp_path / "data", output_dir=out, **learnt)
    scans = tmp_path / "scans"
    write_scans(scans, "abdomen", "source", tmp_path / "new", "train", 3)
    write_scans(scans, "brain_modality", "source", tmp_path / "head", "train", 1)
    write_scans(scans, "cardiac", "source", tmp_path / "heart", "train", 1)
    found = inference(out / "release" / "model.pt", scans, tmp_path / "out", "source")
    verdicts = [scan["familiarity"]["verdict"] for scan in found["scans"]]
    own = len(verdicts) - 2
    assert verdicts[:own] == ["familiar"] * own
    assert "familiar" not in verdicts[own:]
