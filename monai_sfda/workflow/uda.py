"""`uda.json`: prior matching, from labelled source scans and unlabelled target scans to an adapted model.

It is not source-free. The run folder is that of `adapt.json`, so that evaluation, inference and report read
it, and its record and report say what was read of the source.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monai_sfda.checkpoints import load_into
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.cross_domain import SourceStageTrainer, TargetStageTrainer
from monai_sfda.errors import SettingError, nearest
from monai_sfda.methods import METHODS, create_method
from monai_sfda.methods.prior_matching import PriorMatching
from monai_sfda.networks import CrossDomainAutoencoder, SegmentationNetwork
from monai_sfda.workflow.bundle_folder import write_bundle
from monai_sfda.workflow.configuration import current_configuration
from monai_sfda.workflow.run_folder import RunResult, warn_of_finished_run, write_run_folder
from monai_sfda.workflow.source_model import (
    RECORD,
    UNADAPTED,
    SourceModel,
    read_source_model,
    write_source_model,
)

logger = logging.getLogger(__name__)
SOURCE_FOLDER = "source"
READ_SOURCE = "not source-free: the method read the source's labelled scans"


class UdaSettings(BaseModel):
    """The `uda` section of a configuration.

    Attributes:
        source_epochs: of the source model.
        max_epochs: of the adaptation.
        epoch_length: iterations an epoch of both; None: one pass through the source's slices.
        batch_size: slices a batch, of each domain.
        learning_rate: of the adaptation; None for the method's own.
        source_learning_rate: of the source model; None for the same.
        schedule: `constant` (with the method's decay) or `cosine` to zero over each stage.
        patience: epochs without a rise of the held-out source scans' Dice after which the adaptation stops;
            None for no early stopping.
        discriminator_width: channels of the discriminator's first convolution.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_epochs: int = Field(100, ge=1)
    max_epochs: int = Field(100, ge=1)
    epoch_length: int | None = Field(None, ge=1)
    batch_size: int = Field(4, ge=1)
    learning_rate: float | None = Field(None, gt=0)
    source_learning_rate: float | None = Field(None, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    patience: int | None = Field(None, ge=1)
    discriminator_width: int = Field(64, ge=1)


def uda_settings(given: Mapping[str, Any]) -> UdaSettings:
    """The `uda` section; a `SettingError` names what is unknown or out of range."""
    try:
        return UdaSettings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            hint = f"did you mean {', '.join(nearest(name, UdaSettings.model_fields))}?"
            raise SettingError(f"uda has no setting '{name}'", remedy=hint) from error
        raise SettingError(
            f"uda setting '{name}' cannot be {first['input']!r}", remedy=str(first["msg"]).lower()
        ) from error


def adapt_with_source(
    network: SegmentationNetwork,
    source: StackDataset,
    target: StackDataset,
    validation: StackDataset,
    *,
    method: str,
    settings: Mapping[str, Any] | None,
    stage: str,
    source_model: str | Path | None,
    target_scan: int | str,
    target_slices: int | None,
    bundle_root: str | Path,
    device: str,
    output_dir: str | Path,
    section: Mapping[str, Any],
    max_epochs: int,
    batch_size: int,
    learning_rate: float | None,
    augmentation: Mapping[str, float],
    seed: int,
    amp: bool = False,
    accumulate: int = 1,
) -> None:
    """Trains the source model, adapts it to the target, and writes the run folder.

    No label of the target is opened. The source model stays in `output_dir/source`; an unfinished run in the
    same folder goes on.

    Args:
        network: instance of `uda_network_def`: the path from an image to its segmentation.
        source: labelled source stacks.
        target: target stacks, without labels.
        validation: held-out labelled source stacks; read with the section's `patience` alone.
        method: `prior_matching`.
        settings: of the method.
        stage: `both`, or `source` for the source model alone, which goes straight into `output_dir`.
        source_model: folder of a finished source model, which is then adapted; None trains it.
        target_scan: n, the n-th of the target's scans in an order drawn by the seed, or `all`.
        target_slices: so many consecutive slices of that scan; None for all of them.
        bundle_root: folder of this bundle, from which the adapted one is made.
        section: the `uda` section, see `UdaSettings`.
        device, output_dir, max_epochs, batch_size, learning_rate, augmentation, seed, amp, accumulate: as in
            `StepTrainer`; `max_epochs` is the adaptation's.

    Raises:
        DataError, SettingError, CheckpointError, OutputError: see their texts.
    """
    configuration = current_configuration()
    configuration["network_def"] = configuration["uda_network_def"]
    uda_section, chosen, out = uda_settings(section), _create(method, settings), Path(output_dir)
    if stage not in ("both", "source"):
        raise SettingError(f"stage '{stage}' is unknown", remedy="use both, or source")
    if stage == "source" and source_model is not None:
        raise SettingError("stage 'source' trains what source_model gives", remedy="leave one of them out")
    _choose_scan(target, target_scan, seed)
    networks = CrossDomainAutoencoder(network, uda_section.discriminator_width)
    options: dict[str, Any] = {
        "method": chosen,
        "schedule": uda_section.schedule,
        "device": device,
        "epoch_length": uda_section.epoch_length,
        "batch_size": batch_size,
        "seed": seed,
        "augmentation": augmentation,
        "amp": amp,
        "accumulate": accumulate,
    }
    folder = out if stage == "source" else out / SOURCE_FOLDER
    if source_model is None:
        trainer = SourceStageTrainer(
            networks,
            source,
            max_epochs=uda_section.source_epochs,
            learning_rate=uda_section.source_learning_rate or learning_rate,
            output_dir=folder,
            **options,
        )
        _train_source_model(folder, trainer, configuration, Path(bundle_root))
    else:
        folder = Path(source_model)
    start = _read(folder, source, configuration)
    if stage == "source":
        return
    load_into(networks, start.state_dict, folder / RECORD)
    networks.start_target()
    warn_of_finished_run(out, "adaptation.json")
    adaptation = TargetStageTrainer(
        networks,
        source,
        target=target,
        slices=target_slices,
        validation=validation,
        patience=uda_section.patience,
        max_epochs=max_epochs,
        learning_rate=learning_rate,
        output_dir=out,
        **options,
    )
    unadapted = copy.deepcopy(networks.source_path)
    adaptation.run()
    write_run_folder(
        out,
        RunResult(
            method=chosen,
            before=unadapted,
            after=networks.target_path(),
            before_sha256=start.unadapted_sha256,
            settings=adaptation.describe() | {"target_scan": target_scan, "target_slices": target_slices},
            history=adaptation.history.rows,
            reasons=[READ_SOURCE],
            source_data_read=True,
            more={
                "source_images": len(source.list().cases),
                "source_networks_sha256": start.sha256,
                "best_epoch": adaptation.best_epoch or None,
            },
        ),
        target,
        device=adaptation.state.device,
        batch_size=batch_size,
        seed=seed,
        configuration=configuration,
        bundle_root=Path(bundle_root),
        release=None,
    )
    adaptation.finish()


def _create(method: str, settings: Mapping[str, Any] | None) -> PriorMatching:
    """The method; a `SettingError` for one that adapt.json runs."""
    chosen = create_method(method, settings)
    if not isinstance(chosen, PriorMatching):
        with_source = [name for name, known in METHODS.items() if "source_data" in known.requires]
        raise SettingError(
            f"method '{method}' needs no source scans",
            remedy=f"run adapt.json, or use {', '.join(with_source)}",
        )
    return chosen


def _choose_scan(target: StackDataset, scan: int | str, seed: int) -> None:
    """Cuts the target's list to the n-th scan in an order drawn by the seed; `all` keeps it."""
    if target.domain != "target":
        raise SettingError(
            f"domain '{target.domain}' cannot be adapted to", remedy="leave domain out: it is 'target'"
        )
    if scan == "all":
        return
    cases = target.list().cases
    if not isinstance(scan, int) or not 1 <= scan <= len(cases):
        raise SettingError(
            f"target_scan cannot be {scan!r}: {len(cases)} scans are listed",
            remedy="use a whole number from 1 up to them, or all",
        )
    order = np.random.default_rng([seed, len(cases)]).permutation(len(cases))
    target.only(cases[int(order[scan - 1])].number)


def _train_source_model(
    folder: Path, trainer: SourceStageTrainer, configuration: dict[str, Any], bundle_root: Path
) -> None:
    """The first stage, unless the folder holds the same one, finished."""
    dataset = trainer.dataset
    dataset.prepare()
    fingerprint = trainer.fingerprint()
    if (folder / RECORD).is_file():
        if _read(folder, dataset, configuration).fingerprint == fingerprint:
            logger.info("the folder holds this source model, finished")
            return
        logger.warning("the folder holds a source model of another run, which this one's will replace")
    trainer.run()
    write_source_model(
        folder,
        trainer.network,
        dataset.task,
        configuration["network_def"],
        trainer.describe(),
        fingerprint,
    )
    write_bundle(folder / "bundle", bundle_root, configuration, folder / UNADAPTED, None)
    trainer.finish()


def _read(folder: Path, source: StackDataset, configuration: dict[str, Any]) -> SourceModel:
    return read_source_model(
        folder, source.task, configuration["network_def"], source.preprocessing.to_json()
    )
