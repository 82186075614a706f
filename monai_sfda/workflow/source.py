"""`train.json`: supervised training, then the source release."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from monai_sfda import processes
from monai_sfda.data.listing import CaseList, check_cases
from monai_sfda.data.scans import ScanDataset
from monai_sfda.data.stacks import StackDataset
from monai_sfda.disclosure import MINIMUM_SUBJECTS, enough_scans
from monai_sfda.engines import SliceStackInferer, SupervisedTrainer
from monai_sfda.engines.base import seed_for
from monai_sfda.engines.class_ratio_regression import ClassRatioTrainer, class_ratio_error
from monai_sfda.engines.progress import progress_bar
from monai_sfda.engines.reference_scans import ENOUGH_HELD_OUT, reference_of_scans
from monai_sfda.engines.source_statistics import class_ratio, fit_atlas, fit_prototypes
from monai_sfda.engines.volumes import Segmenter, require_background
from monai_sfda.errors import DataError, NoScansError
from monai_sfda.evaluation.metrics import score_case
from monai_sfda.evaluation.summary import summarise
from monai_sfda.networks import ClassRatioRegressor
from monai_sfda.release import ClassRatio, Release
from monai_sfda.workflow.bundle_folder import released_models, write_bundle
from monai_sfda.workflow.configuration import current_configuration
from monai_sfda.workflow.released_scores import only_enough_subjects, releasable_summary
from monai_sfda.workflow.run_folder import warn_of_finished_run

logger = logging.getLogger(__name__)


def train(
    trainer: SupervisedTrainer,
    validation: ScanDataset,
    inferer: SliceStackInferer,
    *,
    bundle_root: str | Path,
    checkpoint: str | Path | None = None,
    imagenet_weights: str | Path | None = None,
    keep_largest: bool = False,
    rho: float = 0.97,
) -> None:
    """Trains, fits the prototypes, validates on held-out scans, and writes `output_dir/release`
    and, of a source, `output_dir/bundle`.

    The last weights are released: no weights are chosen by validation. An unfinished run in the same folder
    goes on.

    Args:
        trainer: on the labelled split.
        validation: held-out labelled scans of the same domain; may have none.
        inferer: slices to logits.
        bundle_root: folder of this bundle, from which the published one is made.
        checkpoint: weights to start from; None starts from random ones.
        imagenet_weights: torchvision's VGG16 weights for the encoder of `DeepLabV3VGG16`; None for none.
        keep_largest: validate the largest connected component of each structure alone.
        rho: confidence threshold of the prototypes.

    Raises:
        DataError, SettingError, CheckpointError, OutputError: see their texts; nothing is half-written.
    """
    configuration = current_configuration()
    if imagenet_weights is not None:
        trainer.start_from_imagenet(Path(imagenet_weights))
    if checkpoint is not None:
        trainer.start_from(Path(checkpoint))
    dataset = trainer.dataset
    _require_subjects(dataset)
    if keep_largest:
        require_background(dataset.task.labels)
    held_out = _held_out(validation)
    warn_of_finished_run(Path(trainer.output_dir), "release")
    trainer.run()
    network, device = trainer.network, trainer.state.device
    with progress_bar("prototypes") as progress:
        fit = fit_prototypes(
            network, dataset, device=device, batch_size=trainer.batch_size, rho=rho, progress=progress
        )
    # The target's bound stays at its site; what a source releases never rests on one or two subjects.
    prototypes = fit.finish(
        minimum_subjects=MINIMUM_SUBJECTS if dataset.domain == "source" else 1,
        names=list(dataset.task.labels),
    )
    for warning in prototypes.warnings:
        logger.warning("prototypes: %s", warning)
    ratio = class_ratio(dataset, network.num_classes)
    atlas = fit_atlas(dataset)
    for warning in () if atlas is None else atlas.warnings:
        logger.warning("atlas: %s", warning)
    regressor = _train_regressor(trainer)
    inferer.stack_slices = dataset.preprocessing.stack_slices
    segmenter = Segmenter(network, dataset.preprocessing, inferer, device, keep_largest, dataset.task.labels)
    release = Release(
        task=dataset.task.name,
        domain=dataset.domain,
        modalities={name: dataset.task.domain(name).modality for name in ("source", "target")},
        labels=dataset.task.labels,
        network_def=configuration["network_def"],
        preprocessing={
            name: replace(dataset.preprocessing, intensity=dataset.task.domain(name).intensity)
            for name in ("source", "target")
        },
        image_size=dataset.image_size,
        state_dict=network.state_dict(),
        prototypes=prototypes,
        class_ratio=ratio,
        class_ratio_regressor=regressor,
        atlas=atlas,
        reference_scans=_reference_scans(segmenter, dataset, held_out),
        validation=_validate(segmenter, validation, held_out)
        | _validate_regressor(trainer, regressor, ratio, validation, held_out),
        training=trainer.describe()
        | {"split": dataset.list().split, "split_source": dataset.list().split_source},
    )
    if processes.is_first():
        out = Path(trainer.output_dir)
        release.write(out / "release")
        if dataset.domain == "source":
            _publish(out, Path(bundle_root), configuration, release.validation)
    trainer.finish()
    logger.info("trained on %d scans; release/ is in the output folder", len(dataset.list().cases))


def _publish(
    out: Path, template: Path, configuration: Mapping[str, Any], validation: Mapping[str, Any]
) -> None:
    """Writes `bundle/`, complete for any MONAI tool, whose `models/` is the release.

    The target's bound gets none: it rests on the target's labels and stays at its site.
    """
    mean_dice = validation.get("dice", {}).get("mean")
    write_bundle(
        out / "bundle",
        template,
        configuration,
        released_models(out / "release"),
        domain="source",
        eval_metrics=None if mean_dice is None else {"mean_dice": mean_dice},
    )


def _reference_scans(
    segmenter: Segmenter, dataset: StackDataset, held_out: CaseList | None
) -> dict[str, Any] | None:
    """What the domain's scans are like to the trained model: the held-out ones, joined by those of the
    training where they are few.
    """
    cases = [] if held_out is None else list(held_out.cases)
    scans = "validation"
    if len({case.subject for case in cases}) < ENOUGH_HELD_OUT:
        scans = "training and validation" if cases else "training"
        cases = [*cases, *dataset.list().cases]
    with progress_bar("reference scans") as progress:
        reference = reference_of_scans(
            cases,
            dataset.task,
            dataset.domain,
            segmenter.network,
            segmenter.preprocessing,
            segmenter.inferer,
            segmenter.device,
            scans=scans,
            together=True,
            progress=progress,
        )
    return None if reference is None else reference.to_json()


def _train_regressor(trainer: SupervisedTrainer) -> ClassRatioRegressor | None:
    """The network that guesses class ratios, where the settings ask for one; of a source alone.

    It has the segmentation's data, batches and augmentation, and a run folder of its own inside.
    """
    settings, dataset = trainer.settings.class_ratio_regressor, trainer.dataset
    if settings is None or dataset.domain != "source":
        return None
    torch.manual_seed(seed_for(trainer.seed, 0, "class-ratio regressor"))
    regression = ClassRatioTrainer(
        ClassRatioRegressor(
            dataset[0]["image"].shape[0], trainer.network.num_classes, settings.backbone, settings.width
        ),
        dataset=dataset,
        settings=settings,
        device=trainer.state.device,
        batch_size=trainer.batch_size,
        seed=trainer.seed,
        output_dir=Path(trainer.output_dir) / "class_ratio_regressor",
        augmentation=vars(trainer.augmentation),
        amp=trainer.precision is not None,
    )
    regression.run()
    regression.finish()
    return regression.network.eval()


def _require_subjects(dataset: StackDataset) -> None:
    """Refuses, before hours are spent, a source of so few subjects that its release would describe them
    singly.
    """
    subjects = len({case.subject for case in dataset.list().cases})
    if dataset.domain == "source" and subjects < MINIMUM_SUBJECTS:
        raise DataError(
            f"{subjects} source subjects, and a release must rest on at least {MINIMUM_SUBJECTS}",
            path=dataset.dataset_dir,
            root=dataset.dataset_dir,
            remedy="add subjects: statistics of one or two would describe them, which a release must not",
        )


def _validate(segmenter: Segmenter, validation: ScanDataset, held_out: CaseList | None) -> dict[str, Any]:
    """Scores the held-out scans; what is kept for the release is empty with too few subjects for a mean."""
    if held_out is None:
        return {}
    task, scores = validation.task, []
    with progress_bar("validate") as progress:
        mine = held_out.cases[processes.rank() :: processes.count()]
        for done, case in enumerate(mine, start=1):
            scan, label = validation.read(case)
            assert label is not None  # the validation set reads labels
            spacing = None if task.pictures else scan.spacing_mm
            scores += score_case(case.number, segmenter(scan), label, spacing, task.labels, task.regions)
            progress(done, len(mine))
    scores = [score for of_process in processes.gather(scores) for score in of_process]
    subjects = {case.number: case.subject for case in held_out.cases}
    options: dict[str, Any] = {
        "task": task.name,
        "domain": validation.domain,
        "split": "val",
        "cases": len(held_out.cases),
        "protocol": {
            "name": task.own_protocol,
            "largest_component": segmenter.keep_largest,
            "split_source": held_out.split_source,
        },
        "regions": [region.name for region in task.regions],
        "pooled": task.pictures,
    }
    summary = summarise(scores, **options)
    dice, scans = summary["dice"]["mean"], summary["cases"]
    mean = "undefined" if dice is None else f"{dice:.3f}"
    logger.info("validation: mean Dice %s over %d scan%s", mean, scans, "s" * (scans != 1))
    if not enough_scans(subjects.values()):
        logger.warning(
            "fewer than %d validation subjects, or nearly all scans of one: the release keeps no score",
            MINIMUM_SUBJECTS,
        )
        return {}
    return releasable_summary(summarise(only_enough_subjects(scores, subjects), **options))


def _validate_regressor(
    trainer: SupervisedTrainer,
    regressor: ClassRatioRegressor | None,
    ratio: ClassRatio | None,
    validation: ScanDataset,
    held_out: CaseList | None,
) -> dict[str, Any]:
    """The error of the guessed class ratios on held-out slices, under `class_ratio_regressor`; empty without
    regressor or slices, and with too few subjects for a mean.
    """
    if regressor is None or ratio is None or held_out is None:
        return {}
    if not enough_scans(case.subject for case in held_out.cases):
        return {}
    sampling = trainer.dataset.preprocessing
    slices = StackDataset(
        validation.task,
        validation.domain,
        "val",
        validation.folder,
        datalist=validation.datalist,
        image_size=trainer.dataset.image_size,
        pixel_size_mm=sampling.pixel_size_mm,
        stack_slices=sampling.stack_slices,
        slice_axis=sampling.slice_axis,
    )
    with progress_bar("validate the class-ratio regressor") as progress:
        slices.prepare(progress)
    found = class_ratio_error(
        regressor, slices, ratio.mean, device=trainer.state.device, batch_size=trainer.batch_size
    )
    logger.info(
        "class-ratio regressor: mean squared error %.2e on held-out slices, %.2e for the training's mean",
        found["squared_error"],
        found["squared_error_of_the_mean"],
    )
    return {"class_ratio_regressor": found}


def _held_out(validation: ScanDataset) -> CaseList | None:
    """The validation cases, each read once so that a bad one stops the run before it starts; None when there
    are none.
    """
    try:
        listed = validation.list()
    except NoScansError as error:
        logger.warning("no validation: %s", error.what)
        return None
    with progress_bar("validation scans: checking") as progress:
        processes.on_first(
            lambda: check_cases(listed.cases, validation.task, validation.domain, True, progress)
        )
    return listed
