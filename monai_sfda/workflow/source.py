"""`train.json`: supervised training, then the source release."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

from monai_sfda.data.listing import CaseList, check_cases
from monai_sfda.data.scans import ScanDataset
from monai_sfda.engines import SliceStackInferer, SupervisedTrainer, segment_scan
from monai_sfda.engines.progress import progress_bar
from monai_sfda.engines.source_statistics import class_ratio, fit_prototypes
from monai_sfda.errors import DataError
from monai_sfda.evaluation.metrics import largest_component, score_case
from monai_sfda.evaluation.summary import summarise
from monai_sfda.release import Release
from monai_sfda.transforms import preprocessing_for
from monai_sfda.workflow.configuration import current_configuration

logger = logging.getLogger(__name__)


def train(
    trainer: SupervisedTrainer,
    validation: ScanDataset,
    inferer: SliceStackInferer,
    *,
    checkpoint: str | Path | None = None,
    keep_largest: bool = False,
    rho: float = 0.97,
) -> None:
    """Trains, fits the prototypes, validates on held-out scans, and writes `output_dir/release`.

    The last weights are released: no weights are chosen by validation. An unfinished run in the same folder
    goes on.

    Args:
        trainer: on the labelled split.
        validation: held-out labelled scans of the same domain; may have none.
        inferer: slices to logits.
        checkpoint: weights to start from; None starts from random ones.
        keep_largest: validate the largest connected component of each structure alone.
        rho: confidence threshold of the prototypes.

    Raises:
        DataError, SettingError, CheckpointError, OutputError: see their texts; nothing is half-written.
    """
    network_def = copy.deepcopy(current_configuration()["network_def"])
    if checkpoint is not None:
        trainer.start_from(Path(checkpoint))
    held_out = _held_out(validation)
    trainer.run()
    dataset, task, network, device = (
        trainer.dataset,
        trainer.dataset.task,
        trainer.network,
        trainer.state.device,
    )
    with progress_bar("prototypes") as progress:
        fit = fit_prototypes(
            network, dataset, device=device, batch_size=trainer.batch_size, rho=rho, progress=progress
        )
    prototypes = fit.finish()
    for warning in prototypes.warnings:
        logger.warning("prototypes: %s", warning)
    scores = []
    if held_out is not None:
        network.eval()
        with progress_bar("validate") as progress:
            for done, case in enumerate(held_out.cases, start=1):
                scan, label = validation.read(case)
                assert label is not None  # the validation set reads labels
                segmentation = segment_scan(scan, network, dataset.preprocessing, inferer, device)
                if keep_largest:
                    segmentation = largest_component(segmentation, task.labels)
                scores += score_case(case.number, segmentation, label, scan.spacing_mm, task.labels)
                progress(done, len(held_out.cases))
    summary = (
        {}
        if held_out is None
        else summarise(
            scores,
            task=task.name,
            domain=dataset.domain,
            split="val",
            cases=len(held_out.cases),
            protocol={
                "name": "whole_volume",
                "largest_component": keep_largest,
                "split_source": held_out.split_source,
            },
        )
    )
    release = Release(
        task=task.name,
        domain=dataset.domain,
        labels=task.labels,
        network_def=network_def,
        preprocessing={
            name: preprocessing_for(
                task,
                task.domain(name),
                pixel_size_mm=dataset.preprocessing.pixel_size_mm,
                stack_slices=dataset.preprocessing.stack_slices,
                slice_axis=dataset.preprocessing.slice_axis,
            )
            for name in ("source", "target")
        },
        image_size=dataset.image_size,
        state_dict=network.state_dict(),
        prototypes=prototypes,
        class_ratio=class_ratio(dataset, network.num_classes),
        validation=summary,
        training=trainer.describe()
        | {"split": dataset.list().split, "split_source": dataset.list().split_source},
    )
    release.write(Path(trainer.output_dir) / "release")
    trainer.finish()
    if summary:
        logger.info(
            "source validation: mean Dice %s over %d scans", summary["dice"]["mean"], summary["cases"]
        )


def _held_out(validation: ScanDataset) -> CaseList | None:
    """The validation cases, each read once so that a bad one stops the run before it starts; None when there
    are none.
    """
    try:
        listed = validation.list()
    except DataError as error:
        logger.warning("no validation: %s", error.what)
        return None
    with progress_bar("validation scans: checking") as progress:
        check_cases(listed.cases, validation.task, validation.domain, True, progress)
    return listed
