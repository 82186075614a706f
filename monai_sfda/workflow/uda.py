"""`uda.json` for prior matching, in two stages: the source model, then the adaptation with both data sets."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from monai_sfda.checkpoints import load_into
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.cross_domain import SourceStageTrainer, TargetStageTrainer
from monai_sfda.errors import SettingError
from monai_sfda.methods.prior_matching import PriorMatching
from monai_sfda.networks import CrossDomainAutoencoder
from monai_sfda.settings import read_settings
from monai_sfda.workflow.bundle_folder import adapted_models, write_bundle
from monai_sfda.workflow.configuration import current_configuration
from monai_sfda.workflow.guarding import guarding_of
from monai_sfda.workflow.paired_job import READ_SOURCE, PairedJob
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


def match_priors(
    job: PairedJob,
    method: PriorMatching,
    validation: StackDataset | None,
    *,
    stage: str,
    source_model: str | Path | None,
) -> None:
    """Trains the source model, adapts it to the target, and writes the run folder.

    No label of the target is opened. The source model stays in `out/source`; an unfinished run in the same
    folder goes on.

    Args:
        job: its network is the path from an image to its segmentation, its section `uda`.
        method: with its settings.
        validation: held-out labelled source stacks; read with the section's `patience` alone.
        stage: `both`, or `source` for the source model alone, which goes straight into `out`.
        source_model: folder of a finished source model, which is then adapted; None trains it.

    Raises:
        DataError, SettingError, CheckpointError, OutputError: see their texts.
    """
    configuration = current_configuration()
    configuration["network_def"] = configuration["uda_network_def"]
    section, source, out = read_settings(UdaSettings, job.section, "uda"), job.source, job.out
    if stage not in ("both", "source"):
        raise SettingError(f"stage '{stage}' is unknown", remedy="use both, or source")
    if stage == "source" and source_model is not None:
        raise SettingError("stage 'source' trains what source_model gives", remedy="leave one of them out")
    job.choose_scan()
    networks = CrossDomainAutoencoder(job.network, section.discriminator_width)
    options = job.trainer_options | {
        "method": method,
        "schedule": section.schedule,
        "epoch_length": section.epoch_length,
    }
    folder = out if stage == "source" else out / SOURCE_FOLDER
    if source_model is None:
        trainer = SourceStageTrainer(
            networks,
            source,
            max_epochs=section.source_epochs,
            learning_rate=section.source_learning_rate or job.learning_rate,
            output_dir=folder,
            **options,
        )
        _train_source_model(folder, trainer, configuration, job.bundle_root)
    else:
        folder = Path(source_model)
    start = _read(folder, source, configuration)
    if stage == "source":
        return
    load_into(networks, start.state_dict, folder / RECORD)
    networks.start_target()
    guarding = guarding_of(job.target, job.guard, job.seed)
    warn_of_finished_run(out, "adaptation.json")
    adaptation = TargetStageTrainer(
        networks,
        source,
        target=guarding.adaptation,
        slices=job.target_slices,
        validation=validation,
        patience=section.patience,
        max_epochs=job.max_epochs,
        learning_rate=job.learning_rate,
        output_dir=out,
        **options,
    )
    unadapted = copy.deepcopy(networks.source_path)
    adaptation.run()
    write_run_folder(
        out,
        RunResult(
            method=method,
            before=unadapted,
            after=networks.target_path(),
            unadapted=folder / UNADAPTED,
            before_sha256=start.unadapted_sha256,
            settings=adaptation.describe() | job.target_settings | guarding.described,
            history=adaptation.history.rows,
            epochs=adaptation.best_epoch or job.max_epochs,
            reasons=[READ_SOURCE],
            source_data_read=True,
            more={
                "source_images": len(source.list().cases),
                "source_networks_sha256": start.sha256,
                "best_epoch": adaptation.best_epoch or None,
            },
        ),
        guarding,
        device=adaptation.state.device,
        batch_size=job.batch_size,
        seed=job.seed,
        configuration=configuration,
        bundle_root=job.bundle_root,
        release=None,
    )
    adaptation.finish()


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
    write_bundle(folder / "bundle", bundle_root, configuration, adapted_models(folder / UNADAPTED, None))
    trainer.finish()


def _read(folder: Path, source: StackDataset, configuration: dict[str, Any]) -> SourceModel:
    return read_source_model(
        folder, source.task, configuration["network_def"], source.preprocessing.to_json()
    )
