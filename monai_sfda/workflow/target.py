"""`adapt.json`: from a release and unlabelled scans to an adapted model, its record, its report and its
bundle.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from monai_sfda import processes
from monai_sfda.checkpoints import load_into
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines import AdaptationTrainer
from monai_sfda.errors import SettingError
from monai_sfda.methods import create_method, find_method
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.release import MODEL, Release
from monai_sfda.settings import read_settings
from monai_sfda.workflow.configuration import current_configuration, public_key_of
from monai_sfda.workflow.guarding import guarding_of
from monai_sfda.workflow.report import prototype_gaps
from monai_sfda.workflow.run_folder import RunResult, warn_of_finished_run, write_run_folder

logger = logging.getLogger(__name__)


class AdaptationSettings(BaseModel):
    """The `adaptation` section of a configuration.

    Attributes:
        max_epochs, epoch_length: length of the run; None: one pass through the slices an epoch.
        batch_size: slices a batch.
        learning_rate: None for the method's own.
        keep_weights: how often over the run its weights are kept in `weights/`, for a benchmark's curves;
            None: not at all. More often than there are epochs is every epoch.
        method_defaults: settings by method name, which `method_settings` of the user go before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_epochs: int = Field(100, ge=1)
    epoch_length: int | None = Field(None, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float | None = Field(None, gt=0)
    keep_weights: int | None = Field(None, ge=1)
    method_defaults: dict[str, dict[str, Any]] = Field(default_factory=dict)


def adaptation_settings(given: Mapping[str, Any]) -> AdaptationSettings:
    """The `adaptation` section; a `SettingError` names what is unknown or out of range."""
    settings = read_settings(AdaptationSettings, given, "adaptation")
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
    guard: Mapping[str, Any] | None = None,
) -> None:
    """Adapts a release to the target's unlabelled scans, lets the guard judge, and writes the run folder.

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
        guard: the section of that name, see `GuardSettings`; None for its defaults.

    Raises:
        ReleaseError, DataError, SettingError, CheckpointError, OutputError: see their texts.
    """
    configuration = current_configuration()
    if "source_data" in find_method(method).requires:
        raise SettingError(
            f"method '{method}' needs the source's labelled scans, and adapt.json opens none",
            remedy="run uda.json at a site that has both data sets, or use a source-free method",
        )
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
    loaded = Release.read(Path(release), public_key=public_key_of(configuration))
    loaded.require(task, configuration["network_def"], dataset.preprocessing)
    gaps = prototype_gaps(loaded.without_prototype)
    for gap in gaps:
        logger.warning(gap)
    warn_of_finished_run(out, "adaptation.json")
    labels_read = chosen.target_labels_read
    dataset.labels = bool(labels_read)
    guarding = guarding_of(dataset, guard, seed)
    before = copy.deepcopy(network)
    load_into(before, loaded.state_dict)
    trainer = AdaptationTrainer(
        network,
        guarding.adaptation,
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
        keep_weights=section.keep_weights,
        candidates=guarding.candidates,
    )
    trainer.run()
    if not processes.is_first():
        return
    write_run_folder(
        out,
        RunResult(
            method=chosen,
            before=before,
            after=network,
            unadapted=Path(release) / MODEL,
            before_sha256=loaded.model_sha256,
            settings=trainer.describe() | guarding.described,
            history=trainer.history.rows,
            epochs=max_epochs if chosen.takes_steps else 0,
            kept=trainer.candidates(),
            labels_read=labels_read,
            reasons=gaps,
            release=loaded,
            more={
                "release_sha256": loaded.sha256,
                "release_signed_by": loaded.signed_by,
                "structures_without_prototype": loaded.without_prototype,
            },
        ),
        guarding,
        device=trainer.state.device,
        batch_size=batch_size,
        seed=seed,
        configuration=configuration,
        bundle_root=Path(bundle_root),
        release=Path(release),
    )
    trainer.finish(keep_candidates=guarding.settings.keep_candidates)
