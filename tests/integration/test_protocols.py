"""`evaluate.json --protocol` on phantoms of every task: what it says, and how it differs from whole volumes.

The weights are drawn and train nothing: what matters is what is scored.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from monai_sfda.catalog import TASKS, Task, find_task
from monai_sfda.data.listing import list_cases, read_case
from monai_sfda.phantom import write_phantoms
from monai_sfda.transforms import task_preprocessing
from tests.builders import BUNDLES
from tests.integration.commands import run_in_process
from tests.integration.test_bad_input import failure

# task to a phantom's subjects and matrix, and to the sampling of a network of seconds
PHANTOMS = {"abdomen": (3, 64), "cardiac": (3, 40), "brain": (5, 40), "spine": (3, 32), "street": (2, 96)}
SAMPLING: dict[str, dict[str, Any]] = {
    "abdomen": {"image_size": 64, "pixel_size_mm": 6.4},
    "cardiac": {"image_size": 48, "pixel_size_mm": 6.0},
    "brain_modality": {"image_size": 48, "pixel_size_mm": 6.0},
    "brain_grade": {"image_size": 48, "pixel_size_mm": 6.0},
    "spine": {"image_size": 32, "pixel_size_mm": 10.0},
    "street": {"image_size": [32, 64]},
}
PUBLISHED = [(t.name, p.name) for t in TASKS.values() if t.name in SAMPLING for p in t.protocols]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Any:
    """Phantoms of a task by its name, written once."""
    written: dict[str, Path] = {}

    def of(task: Task) -> Path:
        name = task.phantom_name
        if name not in written:
            written[name] = tmp_path_factory.mktemp("phantoms") / name
            subjects, matrix = PHANTOMS[name]
            write_phantoms(name, written[name], subjects, 7, matrix=matrix, workers=1)
        return written[name]

    return of


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Any:
    """Drawn weights of a task's small network, in a file."""

    def of(task: Task) -> Path:
        path = tmp_path_factory.mktemp("weights") / "model.pt"
        configs = BUNDLES / task.bundle / "configs"
        parser = ConfigParser()
        parser.read_config([str(configs / f"{name}.json") for name in ("train", "small")])
        torch.manual_seed(3)
        torch.save(parser.get_parsed_content("network_def").state_dict(), path)
        return path

    return of


def evaluate(task: Task, data: Path, checkpoint: Path, out: Path, **settings: Any) -> dict[str, Any]:
    """`summary.json` of an evaluation on the target's test scans."""
    run_in_process(
        BUNDLES / task.bundle,
        ("train", "evaluate", "small"),
        dataset_dir=data,
        checkpoint=checkpoint,
        domain="target",
        split="test",
        output_dir=out,
        batch_size=8,
        **SAMPLING[task.name],
        **settings,
    )
    return dict(json.loads((out / "summary.json").read_text(encoding="utf-8")))


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("name", "protocol"), PUBLISHED)
def test_a_published_protocol_beside_our_own(data, weights, tmp_path, name, protocol):
    task = find_task(name)
    folder, checkpoint = data(task), weights(task)
    own = evaluate(task, folder, checkpoint, tmp_path / "own")
    found = evaluate(task, folder, checkpoint, tmp_path / "paper", protocol=protocol)
    chosen = task.published_protocol(protocol)
    assert own["protocol"]["name"] == task.own_protocol
    assert found["protocol"] == chosen.to_json() | {"split_source": task.target.split_source}
    assert found["cases"] == own["cases"]
    for key in chosen.distances:
        assert key not in own
        assert set(found[key]["per_class"]) == set(found["dice"]["per_class"])
    names = [s.name for s in task.structures] + [r.name for r in task.regions]
    rows, whole = rows_of(tmp_path / "paper"), rows_of(tmp_path / "own")
    assert [row["structure"] for row in rows] == names * found["cases"]
    assert set(chosen.distances) == set(rows[0]) - set(whole[0])
    CHECKS[name](task, folder, found, rows, whole)


def reference_ml(rows: list[dict[str, str]]) -> np.ndarray:
    return np.array([float(row["reference_ml"]) for row in rows])


def predicted_ml(rows: list[dict[str, str]]) -> np.ndarray:
    return np.array([float(row["predicted_ml"]) for row in rows])


def check_cardiac(task, folder, found, rows, whole):
    """The heart is inside the 256 mm, on pixels of 1 mm; the largest component is a part of all."""
    np.testing.assert_allclose(reference_ml(rows), reference_ml(whole), rtol=0.15)
    assert found["assd_voxel"]["mean"] is None or found["assd_voxel"]["mean"] > 0
    case = list_cases(task, "target", "test", folder).cases[0]
    scan, label = read_case(case, task, "target", with_label=True)
    between = task_preprocessing("cardiac", "target").grid(scan.shape, scan.affine).slice_mm
    voxels = int(np.count_nonzero(label == 1)) * np.prod(scan.spacing_mm) / between
    assert int(rows[0]["reference_voxels"]) == pytest.approx(voxels, rel=0.15)  # 1 mm in the coronal plane


def check_abdomen(task, folder, found, rows, whole):
    """All organs are in the crop, none of them is lost; outside it nothing is predicted any more."""
    np.testing.assert_allclose(reference_ml(rows), reference_ml(whole), rtol=0.15)
    assert predicted_ml(rows).sum() < predicted_ml(whole).sum()
    case = list_cases(task, "target", "test", folder).cases[0]
    _, label = read_case(case, task, "target", with_label=True)
    slices = int((label > 0).any(axis=(0, 1)).sum())
    assert slices < label.shape[2]
    total = sum(int(row["predicted_voxels"]) for row in rows[: len(task.structures)])
    assert total <= slices * 256 * 256


def check_brain(task, folder, found, rows, whole):
    """The same volumes on 128 x 128 pixels; the mean is the paper's."""
    np.testing.assert_allclose(reference_ml(rows), reference_ml(whole), rtol=0.25, atol=1.0)
    averaged = found["protocol"]["mean_of"] or [s.name for s in task.structures]
    of_parts = found["dice"]["per_class"] | found["dice"].get("per_region", {})
    means = [of_parts[name]["mean"] for name in averaged if of_parts[name]["mean"] is not None]
    assert found["dice"]["mean"] == pytest.approx(np.mean(means))


def check_spine(task, folder, found, rows, whole):
    """The same voxels; what the paper calls Hausdorff is of slices, in pixels."""
    for one, other in zip(rows, whole, strict=True):
        assert (one["dice"], one["predicted_voxels"]) == (other["dice"], other["predicted_voxels"])
    assert found["hd_row_pixel"]["mean"] > 0


def check_street(task, folder, found, rows, whole):
    """Pixels that have a class, of pictures of 1024 x 512 instead of their own size."""
    ratio = 1024 * 512 / (96 * 48)
    known, own = (sum(int(row["reference_voxels"]) for row in found) for found in (rows, whole))
    assert known == pytest.approx(own * ratio, rel=1e-3)
    assert found["iou"]["mean"] != found["dice"]["mean"]


CHECKS = {
    "cardiac": check_cardiac,
    "abdomen": check_abdomen,
    "brain_modality": check_brain,
    "brain_grade": check_brain,
    "spine": check_spine,
    "street": check_street,
}


@pytest.mark.parametrize(
    ("configs", "settings", "message"),
    [
        (("train", "evaluate", "small"), {"protocol": "papr"}, "use paper"),
        (("train", "evaluate", "small"), {"protocol": "paper", "domain": "source"}, "that of the target"),
        (
            ("train", "evaluate", "small"),
            {"protocol": "paper", "largest_component": True},
            "choice of protocol",
        ),
        (("train", "small"), {"protocol": "paper"}, "train has no use for setting 'protocol'"),
        (("adapt", "small"), {"protocol": "paper"}, "adapt has no use for setting 'protocol'"),
        (("uda", "small"), {"protocol": "paper"}, "uda has no use for setting 'protocol'"),
    ],
)
def test_what_cannot_be_asked_for(data, weights, tmp_path, configs, settings, message):
    task = find_task("cardiac")
    common = {"dataset_dir": data(task), "output_dir": tmp_path / "out", **SAMPLING["cardiac"]}
    if "evaluate" in configs:
        common |= {"domain": "target", "checkpoint": weights(task)}
    line = failure(BUNDLES / task.bundle, configs, **(common | settings))
    assert message in line
    assert not (tmp_path / "out").exists()
