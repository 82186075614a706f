"""`uda.json` for a method that adapts a release with the source's labelled scans at hand, e.g. AdaSource."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_sfda.checkpoints import load_into
from monai_sfda.engines.paired import PairedAdaptationTrainer
from monai_sfda.errors import SettingError
from monai_sfda.methods import create_method
from monai_sfda.release import MODEL, Release
from monai_sfda.workflow.configuration import current_configuration
from monai_sfda.workflow.guarding import guarding_of
from monai_sfda.workflow.paired_job import READ_SOURCE, PairedJob
from monai_sfda.workflow.report import prototype_gaps
from monai_sfda.workflow.run_folder import RunResult, warn_of_finished_run, write_run_folder
from monai_sfda.workflow.target import adaptation_settings, method_settings

logger = logging.getLogger(__name__)


def adapt_release_with_source(
    job: PairedJob,
    method: str,
    *,
    settings: Mapping[str, Any] | None,
    release: str | Path | None,
    target_augmentation: Mapping[str, float] | None,
) -> None:
    """Adapts a release on labelled source and unlabelled target scans, and writes the run folder.

    Target labels are opened only where the method's settings read them (a benchmark).

    Args:
        job: its section is `adaptation`, see `AdaptationSettings`.
        method: name.
        settings: of the method; they go before the section's `method_defaults`.
        release: folder of the source release.
        target_augmentation: of the target's slices; the job's is the source's.

    Raises:
        ReleaseError, DataError, SettingError, CheckpointError, OutputError: see their texts.
    """
    configuration = current_configuration()
    if release is None:
        raise SettingError(
            f"no release is given, and method '{method}' adapts one",
            remedy="add --release with the folder that train.json wrote",
        )
    if job.target.images is not None and job.target.datalist is not None:
        raise SettingError("target_images and datalist name two lists of scans", remedy="give one of them")
    section = adaptation_settings(job.section)
    chosen = create_method(method, method_settings(method, section, settings, None))
    loaded = Release.read(Path(release))
    loaded.require(job.target.task, configuration["network_def"], job.target.preprocessing)
    gaps = prototype_gaps(loaded.without_prototype)
    for gap in gaps:
        logger.warning(gap)
    warn_of_finished_run(job.out, "adaptation.json")
    labels_read = chosen.target_labels_read
    job.target.labels = bool(labels_read)
    guarding = guarding_of(job.target, job.guard, job.seed)
    before = copy.deepcopy(job.network)
    load_into(before, loaded.state_dict)
    trainer = PairedAdaptationTrainer(
        job.network,
        job.source,
        target=guarding.adaptation,
        slices=job.target_slices,
        target_augmentation=target_augmentation,
        method=chosen,
        release=loaded,
        learning_rate=job.learning_rate,
        max_epochs=job.max_epochs,
        epoch_length=section.epoch_length,
        keep_weights=section.keep_weights,
        candidates=guarding.candidates,
        output_dir=job.out,
        **job.trainer_options,
    )
    trainer.run()
    write_run_folder(
        job.out,
        RunResult(
            method=chosen,
            before=before,
            after=job.network,
            unadapted=Path(release) / MODEL,
            before_sha256=loaded.model_sha256,
            settings=trainer.describe() | job.target_settings | guarding.described,
            history=trainer.history.rows,
            epochs=job.max_epochs,
            kept=trainer.candidates(),
            labels_read=labels_read,
            reasons=[*gaps, READ_SOURCE],
            release=loaded,
            source_data_read=True,
            more={
                "release_sha256": loaded.sha256,
                "structures_without_prototype": loaded.without_prototype,
                "source_images": len(job.source.list().cases),
            },
        ),
        guarding,
        device=trainer.state.device,
        batch_size=job.batch_size,
        seed=job.seed,
        configuration=configuration,
        bundle_root=job.bundle_root,
        release=Path(release),
    )
    trainer.finish(keep_candidates=guarding.settings.keep_candidates)
