"""Bundle folders: where a task's bundle is, and a complete one round a source or an adapted model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import monai_sfda
from monai_sfda.catalog import Task
from monai_sfda.engines.dicom_outputs import ADAPTATION_RECORD
from monai_sfda.errors import SettingError
from monai_sfda.files import file_sha256, whole_folder, write_json
from monai_sfda.guard.reference_file import REFERENCE_FILE
from monai_sfda.release import CLASS_RATIO, MANIFEST, PROTOTYPES
from monai_sfda.release_files import ATLAS

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


def adapted_models(model: Path, release: Path | None, reference: Path | None = None) -> dict[str, Path]:
    """What `models/` of an adapted bundle holds: the weights, what the scans that they know are like, and the
    source's prototypes, class ratios, atlas and manifest, so that it can be adapted again.

    Args:
        model: the weights to ship.
        release: the source release; None where the run had none.
        reference: the `reference_scans.json` of the weights; None where there were too few scans for one.
    """
    files = {"model.pt": model} | ({} if reference is None else {REFERENCE_FILE: reference})
    for name in (PROTOTYPES, CLASS_RATIO, ATLAS, MANIFEST):
        if release is not None and (release / name).is_file():
            files[f"source_{name}"] = release / name
    return files


def released_models(release: Path) -> dict[str, Path]:
    """What `models/` of a published source bundle holds: the release itself."""
    return {path.name: path for path in sorted(release.iterdir()) if path.is_file()}


def write_bundle(
    folder: Path,
    template: Path,
    configuration: Mapping[str, Any],
    models: Mapping[str, Path],
    *,
    domain: str = "target",
    eval_metrics: Mapping[str, Any] | None = None,
    method: str | None = None,
) -> None:
    """Copies the bundle that made the run, with its network and sampling, and puts the weights in.

    Args:
        folder: to write, whole or not at all.
        template: the bundle that is being run.
        configuration: the merged configuration of the run; `small.json` and overrides included.
        models: the files of `models/`, by name; `model.pt` among them.
        domain: whose scans `inference.json` takes when nothing else is said.
        eval_metrics: of the metadata; None keeps the template's.
        method: that adapted the weights, for whoever asks what made a segmentation; None: they are no
            adapted ones.

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
        for name, path in models.items():
            shutil.copyfile(path, beside / "models" / name)
        if method is not None:
            origin = {"method": method, "model_sha256": file_sha256(models["model.pt"])}
            write_json(beside / "models" / ADAPTATION_RECORD, origin)
        for path in sorted((beside / "configs").glob("*.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            if path.name == "metadata.json":
                _describe(content, configuration, eval_metrics)
            else:
                content |= {k: configuration[k] for k in KEPT_KEYS if k in content and k in configuration}
            if path.name == "inference.json":
                content["domain"] = domain
            path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")


def _describe(
    metadata: dict[str, Any], configuration: Mapping[str, Any], eval_metrics: Mapping[str, Any] | None
) -> None:
    """The metadata of the bundle as it is: channels of its network, numbers of its model."""
    image = metadata["network_data_format"]["inputs"]["image"]
    channels = configuration["network_def"]["backbone"]["in_channels"]
    if image["num_channels"] != channels:
        image["num_channels"] = channels
        image["channel_def"] = {str(n): f"slice {n - channels // 2:+d}" for n in range(channels)}
        image["channel_def"][str(channels // 2)] = "slice"
    if eval_metrics is not None:
        metadata["eval_metrics"] = dict(eval_metrics)
