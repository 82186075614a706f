"""Bundle folders: where a task's bundle is, and a complete one round an adapted model for any MONAI tool."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import monai_sfda
from monai_sfda.catalog import Task
from monai_sfda.engines.dicom_outputs import ADAPTATION_RECORD
from monai_sfda.errors import SettingError
from monai_sfda.files import whole_folder, write_json
from monai_sfda.release import CLASS_RATIO, MANIFEST, PROTOTYPES, file_sha256

# What the run was made with and another run from the new bundle must keep.
KEPT_KEYS = (
    "network_def",
    "image_size",
    "pixel_size_mm",
    "training",
    "adaptation",
    "augmentation",
    "adaptation_augmentation",
    "slice_axis",
    "stack_slices",
    "source_modality",
    "target_modality",
)


def find_bundle(task: Task, bundles: Path | None = None) -> Path:
    """The folder of a task's bundle: in `bundles`, in ./bundles, or beside the package's checkout.

    Raises:
        SettingError: when it is in none of them.
    """
    places = (
        [bundles]
        if bundles is not None
        else [Path("bundles"), Path(monai_sfda.__file__).parent.parent / "bundles"]
    )
    for place in places:
        if (place / task.bundle / "configs" / "metadata.json").is_file():
            return place / task.bundle
    raise SettingError(
        f"bundle '{task.bundle}' is not found",
        remedy="run from the checkout, or give its bundles folder with --bundles",
    )


def write_bundle(
    folder: Path,
    template: Path,
    configuration: dict[str, Any],
    model: Path,
    release: Path | None,
    method: str,
) -> None:
    """Copies the bundle that made the run, with its network and sampling, and puts the weights in.

    Args:
        folder: to write, whole or not at all.
        template: the bundle that is being run.
        configuration: the merged configuration of the run; `small.json` and overrides included.
        model: the weights to ship.
        release: the source release; its prototypes and manifest go along, so that the bundle can be adapted
            again. None where the run had none.
        method: that adapted the weights, for whoever asks what made a segmentation.

    Raises:
        SettingError: when `template` is no bundle.
        OutputError: when the folder cannot be written.
    """
    if not (template / "configs" / "metadata.json").is_file():
        raise SettingError(
            "bundle_root holds no configs/metadata.json", remedy="give the bundle's folder as --bundle_root"
        )
    with whole_folder(folder) as beside:
        for name in ("configs", "docs"):
            if (template / name).is_dir():
                # The copy keeps the network of its run; small.json would exchange it.
                shutil.copytree(template / name, beside / name, ignore=shutil.ignore_patterns("small.json"))
        if (template / "LICENSE").is_file():
            shutil.copy2(template / "LICENSE", beside / "LICENSE")
        (beside / "models").mkdir()
        shutil.copyfile(model, beside / "models" / "model.pt")
        origin = {"method": method, "model_sha256": file_sha256(model)}
        write_json(beside / "models" / ADAPTATION_RECORD, origin)
        for name in (PROTOTYPES, CLASS_RATIO, MANIFEST):
            if release is not None and (release / name).is_file():
                shutil.copyfile(release / name, beside / "models" / f"source_{name}")
        for path in sorted((beside / "configs").glob("*.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            if path.name == "metadata.json":
                continue
            for key in KEPT_KEYS:
                if key in content and key in configuration:
                    content[key] = configuration[key]
            path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
