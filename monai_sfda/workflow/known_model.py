"""A model and what it knows, from a release, a bundle, or the run folder of either."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from monai.bundle import ConfigParser

from monai_sfda.catalog import find_task
from monai_sfda.data.scans import ScanDataset
from monai_sfda.engines.inference import SliceStackInferer
from monai_sfda.engines.shift import ShiftScorer
from monai_sfda.engines.volumes import VolumeSegmentation
from monai_sfda.errors import ReleaseError
from monai_sfda.files import file_sha256
from monai_sfda.guard.reference_file import find_reference
from monai_sfda.release import MANIFEST, MODEL, Release
from monai_sfda.workflow.configuration import check_device
from monai_sfda.workflow.refit import network_of

_INFERENCE = Path("configs", "inference.json")


@dataclass(frozen=True)
class KnownModel:
    """A model ready to score scans.

    Attributes:
        score: a scan to its familiarity.
        dataset: the scans, as the model reads them.
        sha256: of the weights.
    """

    score: ShiftScorer
    dataset: ScanDataset
    sha256: str


def known_model(
    folder: Path, scans: Path, *, domain: str = "target", device: str | None = None
) -> KnownModel:
    """The model of a folder.

    Args:
        folder: a release, a bundle, or a run folder or store version with one of them inside.
        scans: folder that will be scored.
        domain: whose preprocessing the scans get.
        device: where to compute; None: a GPU where there is one.

    Raises:
        ReleaseError: when the folder holds no model, or one that knows no scans.
        CheckpointError: when the weights are missing, damaged or of another network.
        SettingError: for an unknown domain or device.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    check_device(device)
    for bundle in (folder, folder / "bundle"):
        if (bundle / _INFERENCE).is_file():
            return _of_bundle(bundle, scans, domain, device)
    for release in (folder, folder / "release"):
        if (release / MANIFEST).is_file():
            return _of_release(release, scans, domain, device)
    raise ReleaseError(
        f"no model: neither {MANIFEST} nor {_INFERENCE} is there",
        path=folder,
        remedy="give a release, a bundle, or the output folder of train.json or adapt.json",
    )


def _of_release(folder: Path, scans: Path, domain: str, device: str) -> KnownModel:
    release = Release.read(folder)
    task = find_task(release.task).with_modalities(
        release.modalities.get("source"), release.modalities.get("target")
    )
    dataset = ScanDataset(task, domain, scans)
    preprocessing = release.preprocessing[domain]
    inferer = SliceStackInferer(preprocessing.stack_slices, minimum_size=release.image_size)
    reference, missing = find_reference(folder / MODEL)
    if reference is None:
        raise _knows_nothing(missing)
    network = network_of(release).to(device)
    score = ShiftScorer(network, reference, task, preprocessing, inferer, torch.device(device))
    return KnownModel(score, dataset, release.model_sha256)


def _of_bundle(folder: Path, scans: Path, domain: str, device: str) -> KnownModel:
    parser = ConfigParser()
    parser.read_config(str(folder / _INFERENCE))
    for key, value in {
        "bundle_root": str(folder),
        "dataset_dir": str(scans),
        "domain": domain,
        "device": device,
    }.items():
        parser[key] = value
    run = parser.get_parsed_content("evaluator")
    if not isinstance(run, VolumeSegmentation):
        raise ReleaseError(
            f"the bundle's evaluator is a {type(run).__name__}",
            path=folder,
            remedy="give a bundle that train.json or adapt.json of this package wrote",
        )
    weights = Path(str(run.checkpoint))
    segmenter = run.segmenter()
    reference, missing = find_reference(weights)
    if reference is None:
        raise _knows_nothing(missing)
    score = ShiftScorer(
        segmenter.network,
        reference,
        run.dataset.task,
        segmenter.preprocessing,
        segmenter.inferer,
        segmenter.device,
    )
    return KnownModel(score, run.dataset, file_sha256(weights))


def _knows_nothing(missing: str) -> ReleaseError:
    return ReleaseError(
        f"the model does not say what scans it knows ({missing})",
        remedy="train or adapt again with this version, on scans of at least three subjects",
    )
