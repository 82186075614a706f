"""`adapt.json`: from a release and unlabelled scans to an adapted model, its record, its report and its
bundle.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monai_sfda import processes
from monai_sfda.checkpoints import load_into
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines import AdaptationTrainer
from monai_sfda.engines.before_after import Picture, compare_on_target
from monai_sfda.engines.handlers import CHECKPOINT
from monai_sfda.engines.volumes import write_case_numbers
from monai_sfda.errors import SettingError, nearest
from monai_sfda.files import tensor_file, whole_folder, write_atomically, write_json
from monai_sfda.methods import create_method, origin
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.release import Release, package_versions
from monai_sfda.workflow.bundle_folder import write_bundle
from monai_sfda.workflow.configuration import current_configuration
from monai_sfda.workflow.report import PHANTOM_MANIFEST, prototype_gaps, report_of_run

logger = logging.getLogger(__name__)
NOT_JUDGED = "this version has no label-free guard: look at the report before the model is used"


class AdaptationSettings(BaseModel):
    """The `adaptation` section of a configuration.

    Attributes:
        max_epochs, epoch_length: length of the run; None: one pass through the slices an epoch.
        batch_size: slices a batch.
        learning_rate: None for the method's own.
        method_defaults: settings by method name, which `method_settings` of the user go before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_epochs: int = Field(100, ge=1)
    epoch_length: int | None = Field(None, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float | None = Field(None, gt=0)
    method_defaults: dict[str, dict[str, Any]] = Field(default_factory=dict)


def adaptation_settings(given: Mapping[str, Any]) -> AdaptationSettings:
    """The `adaptation` section; a `SettingError` names what is unknown or out of range."""
    try:
        settings = AdaptationSettings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            hint = f"did you mean {', '.join(nearest(name, AdaptationSettings.model_fields))}?"
            raise SettingError(f"adaptation has no setting '{name}'", remedy=hint) from error
        raise SettingError(
            f"adaptation setting '{name}' cannot be {first['input']!r}", remedy=str(first["msg"]).lower()
        ) from error
    for name in settings.method_defaults:
        create_method(name, settings.method_defaults[name])
    return settings


def method_settings(
    method: str,
    adaptation: AdaptationSettings,
    given: Mapping[str, Any] | None,
    class_proportions: str | None,
) -> dict[str, Any]:
    """The configuration's defaults for the method, then what the user gave, then `class_proportions`."""
    settings = {**adaptation.method_defaults.get(method, {}), **(given or {})}
    if class_proportions is not None:
        settings["class_proportions"] = class_proportions
    return settings


def adapt(
    network: SegmentationNetwork,
    dataset: StackDataset,
    *,
    release: str | Path | None,
    method: str,
    settings: Mapping[str, Any] | None,
    class_proportions: str | None,
    bundle_root: str | Path,
    device: str,
    output_dir: str | Path,
    adaptation: Mapping[str, Any],
    max_epochs: int,
    batch_size: int,
    learning_rate: float | None,
    augmentation: Mapping[str, float],
    seed: int,
    amp: bool = False,
    accumulate: int = 1,
) -> None:
    """Adapts a release to the target's unlabelled scans and writes the run folder.

    Opens nothing of the source but the release, and no target label unless the method's settings read them
    (a benchmark), which the record and the report then say.

    Args:
        network: instance of the bundle's network definition.
        dataset: target stacks, without labels.
        release: folder of the source release.
        method: name.
        settings: of the method.
        class_proportions: shorthand for the setting of that name.
        bundle_root: folder of this bundle, from which the adapted one is made.
        device, output_dir, max_epochs, batch_size, learning_rate, augmentation, seed, amp, accumulate: as in
            `AdaptationTrainer`.
        adaptation: the section of that name, see `AdaptationSettings`.

    Raises:
        ReleaseError, DataError, SettingError, CheckpointError, OutputError: see their texts.
    """
    configuration = current_configuration()
    if release is None:
        raise SettingError(
            "no release is given", remedy="add --release with the folder that train.json wrote"
        )
    if dataset.domain != "target":
        raise SettingError(
            f"domain '{dataset.domain}' cannot be adapted to", remedy="leave domain out: it is 'target'"
        )
    if dataset.images is not None and dataset.datalist is not None:
        raise SettingError("target_images and datalist name two lists of scans", remedy="give one of them")
    task, out = dataset.task, Path(output_dir)
    section = adaptation_settings(adaptation)
    chosen = create_method(method, method_settings(method, section, settings, class_proportions))
    loaded = Release.read(Path(release))
    loaded.require(task, configuration["network_def"], dataset.preprocessing)
    gaps = prototype_gaps(loaded.without_prototype)
    for gap in gaps:
        logger.warning(gap)
    warn_of_finished_run(out, "adaptation.json")
    labels_read = chosen.target_labels_read
    dataset.labels = bool(labels_read)
    before = copy.deepcopy(network)
    load_into(before, loaded.state_dict)
    trainer = AdaptationTrainer(
        network,
        dataset,
        method=chosen,
        release=loaded,
        learning_rate=learning_rate,
        device=device,
        max_epochs=max_epochs,
        epoch_length=section.epoch_length,
        batch_size=batch_size,
        seed=seed,
        output_dir=out,
        augmentation=augmentation,
        amp=amp,
        accumulate=accumulate,
    )
    trainer.run()
    if not processes.is_first():
        return
    where = trainer.state.device
    found = compare_on_target(
        before.to(where),
        network,
        dataset,
        loaded.prototypes,
        device=where,
        batch_size=batch_size,
        seed=seed,
    )
    weights = weights_file(network)
    adapted_sha256 = hashlib.sha256(weights).hexdigest()
    listed = dataset.list()
    record = {
        "schema_version": 1,
        "task": task.name,
        "domain": dataset.domain,
        "modalities": {"source": task.source.modality, "target": task.target.modality},
        "phantom": is_phantom(dataset.root),
        "method": chosen.name,
        "title": chosen.title,
        "source": chosen.source,
        "method_origin": origin(type(chosen)),
        "settings": trainer.describe(),
        "release_sha256": loaded.sha256,
        "source_model_sha256": loaded.model_sha256,
        "adapted_sha256": adapted_sha256,
        "model_sha256": adapted_sha256,
        "target_images": len(listed.cases),
        "target_subjects": len({case.subject for case in listed.cases}),
        "split": listed.split,
        "split_source": listed.split_source,
        "split_missing_subjects": len(listed.missing),
        "structures_without_prototype": loaded.without_prototype,
        "data_warnings": [*listed.warnings, *dataset.doubts],
        "target_labels_read": bool(labels_read),
        "target_labels_used": list(labels_read),
        "verdict": "unsure",
        "reasons": [NOT_JUDGED]
        + [f"a benchmark: the method read target labels ({what})" for what in labels_read]
        + gaps,
        **found.record,
        "history": [{"iteration": i, "name": n, "value": v} for i, n, v in trainer.history.rows],
        "versions": package_versions(),
        "intended_use": "research; not for diagnosis",
    }
    write_case_numbers(out, listed.cases, dataset.root)
    write_atomically(out / "adapted.pt", weights)
    write_atomically(out / "model.pt", weights)
    write_pictures(out / "figures", found.pictures)
    write_bundle(out / "bundle", Path(bundle_root), configuration, out / "model.pt", Path(release))
    write_json(out / "adaptation.json", record)
    report_of_run(out)
    trainer.finish()
    logger.info(
        "adapted by %s on %d scans; report.html, model.pt and bundle/ are in the output folder",
        chosen.name,
        len(listed.cases),
    )


def warn_of_finished_run(folder: Path, product: str) -> None:
    """Says that a finished run's results will be replaced, which stay until the new ones are whole."""
    if (folder / product).exists() and not (folder / CHECKPOINT).is_file():
        logger.warning("output_dir holds a finished run: its results stay until this one's replace them")


def is_phantom(folder: Path) -> bool:
    """Whether the scans of a folder are phantoms that this package wrote."""
    places = [folder.resolve(), *folder.resolve().parents][:5]
    return any((place / PHANTOM_MANIFEST).is_file() for place in places)


def weights_file(network: torch.nn.Module) -> bytes:
    """A bare state dict as the bytes of a file."""
    return tensor_file({name: t.detach().cpu() for name, t in network.state_dict().items()})


def write_pictures(folder: Path, pictures: list[Picture]) -> None:
    """The pictures and their captions, as a folder that the report is made from."""
    with whole_folder(folder) as beside:
        for picture in pictures:
            (beside / f"{picture.name}.png").write_bytes(picture.png)
        captions = {f"{picture.name}.png": picture.caption for picture in pictures}
        (beside / "captions.json").write_text(json.dumps(captions, indent=2) + "\n", encoding="utf-8")
