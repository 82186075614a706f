"""The commands of the README as a user types them, each in a process of its own."""

from __future__ import annotations

import csv
import hashlib
import json

import nibabel as nib
import numpy as np
import pytest

from monai_sfda.catalog import ABDOMEN as TASK
from tests.builders import REPOSITORY
from tests.integration.commands import ABDOMEN, QUICK, QUICK_ADAPT, SAMPLING, run_command

B = ABDOMEN.relative_to(REPOSITORY)


def config(*names: str) -> str:
    return "[" + ",".join(f"'{B}/configs/{name}.json'" for name in (*names, "small")) + "]"


def strict_json(path):
    def refuse(value):
        raise ValueError(f"{value} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_train_adapt_evaluate_inference(phantoms, tmp_path):
    out, out2, out3, out4 = (tmp_path / name for name in ("train", "adapt", "evaluate", "inference"))
    done = run_command(B, config("train"), dataset_dir=phantoms, output_dir=out, **QUICK)
    assert done.returncode == 0, done.stdout
    assert sorted(p.name for p in (out / "release").iterdir()) == [
        "atlas.safetensors",
        "model.pt",
        "prototypes.safetensors",
        "release.json",
    ]
    assert str(phantoms) not in done.stdout.split("parsing config_file")[-1]

    done = run_command(
        B,
        config("adapt"),
        dataset_dir=phantoms,
        release=out / "release",
        method="sfs",
        output_dir=out2,
        **QUICK_ADAPT,
    )
    assert done.returncode == 0, done.stdout
    record = strict_json(out2 / "adaptation.json")
    assert record["method"] == "sfs"
    assert record["verdict"] in ("accept", "reject", "unsure")
    assert record["target_labels_read"] is False
    assert record["target_images"] == 3
    weights = {name: (out2 / f"{name}.pt").read_bytes() for name in ("model", "adapted")}
    assert (weights["model"] == (out / "release" / "model.pt").read_bytes()) == (
        record["guard"]["chosen"] == "unadapted"
    )
    assert (weights["model"] == weights["adapted"]) == (record["guard"]["chosen"] == "last")
    assert {h["name"] for h in record["history"]} >= {"alignment", "classifier"}
    manifest = strict_json(out / "release" / "release.json")
    assert record["source_model_sha256"] == manifest["files"]["model.pt"]
    assert record["adapted_sha256"] == hashlib.sha256((out2 / "adapted.pt").read_bytes()).hexdigest()
    for moment in ("before", "after"):
        assert list(record["volumes_ml"][moment]) == ["1", "2", "3"]
        assert set(record["volumes_ml"][moment]["1"]) == {s.name for s in TASK.structures}
    assert (out2 / "figures" / "embedding.png").is_file()
    assert done.stdout.strip().splitlines()[-1].endswith("model.pt and bundle/ are in the output folder")
    page = (out2 / "report.html").read_text(encoding="utf-8")
    assert "not for diagnosis" in page.lower()
    assert "img00" not in page
    for kept in ("adaptation.json", "history.csv", "report.html"):
        assert str(tmp_path) not in (out2 / kept).read_text(encoding="utf-8")

    done = run_command(
        B,
        config("train", "evaluate"),
        dataset_dir=phantoms,
        checkpoint=out2 / "adapted.pt",
        domain="target",
        split="test",
        output_dir=out3,
        **SAMPLING,
    )
    assert done.returncode == 0, done.stdout
    summary = strict_json(out3 / "summary.json")
    assert (summary["task"], summary["domain"], summary["split"], summary["cases"]) == (
        "abdomen",
        "target",
        "test",
        1,
    )
    assert set(summary["dice"]["per_class"]) == {s.name for s in TASK.structures}
    assert summary["checkpoint_sha256"] == record["adapted_sha256"]
    assert "domain target, split test, 1 case" in done.stdout
    assert "right kidney" in done.stdout
    assert str(tmp_path) not in done.stdout.split("parsing config_file")[-1]
    with (out3 / "metrics.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(TASK.structures)
    assert not any("img00" in value for row in rows for value in row.values())

    images = next(phantoms.rglob("img"))
    done = run_command(
        B,
        config("inference"),
        dataset_dir=images,
        checkpoint=out2 / "model.pt",
        domain="target",
        output_dir=out4,
        **SAMPLING,
    )
    assert done.returncode == 0, done.stdout
    result = strict_json(out4 / "inference.json")
    assert len(result["scans"]) == 4
    for image in images.glob("*.nii.gz"):
        scan = nib.load(image)
        mask = nib.load(out4 / f"{image.name.removesuffix('.nii.gz')}_seg.nii.gz")
        assert mask.shape == scan.shape
        np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-6)
        assert set(np.unique(np.asarray(mask.dataobj))) <= set(range(5))
    with (out4 / "cases.csv").open(encoding="utf-8") as stream:
        numbers = {row["case"]: row["file"] for row in csv.DictReader(stream)}
    assert len(numbers) == 4


@pytest.mark.long
def test_published_size_takes_its_first_steps(phantoms, tmp_path):
    """The defaults without small.json: one step of training, one of adaptation.

    The guard walks over its scans at full size several times: eight slices of each do, and take a minute.
    """
    images = tmp_path / "images"
    images.mkdir()
    for path in next(phantoms.rglob("img")).glob("*.nii.gz"):
        scan = nib.load(path)
        middle = scan.shape[2] // 2
        nib.save(scan.slicer[:, :, middle - 4 : middle + 4], images / path.name)
    out = tmp_path / "train"
    done = run_command(
        B,
        f"{B}/configs/train.json",
        dataset_dir=phantoms,
        output_dir=out,
        max_epochs=1,
        batch_size=4,
        **{"training#epoch_length": 2},
    )
    assert done.returncode == 0, done.stdout
    done = run_command(
        B,
        f"{B}/configs/adapt.json",
        target_images=images,
        release=out / "release",
        method="sfs",
        output_dir=tmp_path / "adapt",
        max_epochs=1,
        batch_size=4,
        **{"adaptation#epoch_length": 2},
    )
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "adapt" / "bundle" / "models" / "model.pt").is_file()


def test_last_line_of_a_failure_is_ours_and_nothing_is_written(tmp_path):
    out = tmp_path / "out"
    done = run_command(B, config("train"), dataset_dir=tmp_path / "nowhere", output_dir=out)
    assert done.returncode == 1
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("monai_sfda: error: ")
    assert "nowhere" in last
    assert str(tmp_path) not in last
    assert "Traceback" not in done.stdout
    assert not out.exists()
