"""The papers' sizes: one step of training and one of adaptation by each bundle's own configuration, without
small.json. Networks, slices and batches are full size; the scans are a few noisy slices.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from monai_sfda.catalog import TASKS, Task, find_task
from tests.builders import BUNDLES, write_nifti
from tests.integration.commands import run_in_process

SUBJECTS, SLICES = 3, 4
# VGG16 at 256 x 256 takes half a gigabyte a slice: the batch is the paper's, computed in parts.
PARTS = {"abdomen": (4, 4), "cardiac": (8, 7), "soft_tissue": (4, 4), "street": (2, 1)}
BUNDLED = [task.name for task in TASKS.values() if not task.name.startswith("street_")]


def noisy_data(folder, task: Task):
    """A datalist of both domains: every class is a block, every domain has a contrast of its own."""
    rng = np.random.default_rng(0)
    values = [structure.index for structure in task.structures]
    lists: dict[str, list] = {}
    for side in ("source", "target"):
        domain = task.domain(side)
        contrast = rng.uniform(20, 200, max(values) + 1).astype(np.float32)
        for number in range(SUBJECTS):
            name = f"{side}/s{number}"
            plane = np.zeros((128, 64) if task.pictures else (48, 48), np.uint8)
            for k, value in enumerate(values):
                x, y = 2 + 9 * (k % 5), 2 + 11 * (k // 5)
                plane[x : x + 8, y : y + 8] = value
            label = plane if task.pictures else np.stack([plane] * SLICES, axis=task.slice_axis)
            item: dict[str, object] = {"subject": name}
            (folder / side).mkdir(parents=True, exist_ok=True)
            if task.pictures:
                picture = np.repeat(contrast[label].T[..., None], 3, axis=2) + rng.normal(0, 9, (64, 128, 3))
                Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"{name}.png")
                Image.fromarray(label.T).save(folder / f"{name}_label.png")
                item |= {"image": f"{name}.png", "label": f"{name}_label.png"}
            else:
                images = []
                for channel in domain.channels or ("image",):
                    image = contrast[label] + rng.normal(0, 9, label.shape) + 1
                    images.append(f"{name}_{channel}.nii.gz")
                    write_nifti(folder / images[-1], image.astype(np.float32), np.diag([5.0, 5.0, 5.0, 1.0]))
                write_nifti(folder / f"{name}_label.nii.gz", label, np.diag([5.0, 5.0, 5.0, 1.0]))
                item |= {"image": images if len(images) > 1 else images[0], "label": f"{name}_label.nii.gz"}
            lists.setdefault(f"{side}_train", []).append(item)
    path = folder / "datalist.json"
    path.write_text(json.dumps({"labels": task.labels, **lists}), encoding="utf-8")
    return path


@pytest.mark.long
@pytest.mark.parametrize("name", BUNDLED)
def test_the_full_size_configuration_takes_a_step_of_training_and_of_adaptation(name, tmp_path):
    task = find_task(name)
    bundle = BUNDLES / task.bundle
    common = {"dataset_dir": tmp_path, "datalist": noisy_data(tmp_path / "data", task), "max_epochs": 1}
    parts = PARTS.get(name, (1, 1))
    run_in_process(
        bundle,
        ("train",),
        output_dir=tmp_path / "train",
        accumulate=parts[0],
        **{"training#epoch_length": 1},
        **common,
    )
    release = json.loads((tmp_path / "train" / "release" / "release.json").read_text(encoding="utf-8"))
    configuration = json.loads((bundle / "configs" / "train.json").read_text(encoding="utf-8"))
    assert release["training"]["batch_size"] == configuration["batch_size"]
    run_in_process(
        bundle,
        ("adapt",),
        output_dir=tmp_path / "adapt",
        release=tmp_path / "train" / "release",
        accumulate=parts[1],
        **{"adaptation#epoch_length": 1},
        **common,
    )
    record = json.loads((tmp_path / "adapt" / "adaptation.json").read_text(encoding="utf-8"))
    assert record["settings"]["batch_size"] == configuration["adaptation"]["batch_size"]
    assert all(np.isfinite(row["value"]) for row in record["history"])
