"""Another confidence threshold for a release's prototypes, without training again: the source site's step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from monai.bundle import ConfigParser

from monai_sfda.catalog import find_task
from monai_sfda.checkpoints import load_into
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.source_statistics import fit_prototypes
from monai_sfda.errors import DataError, ReleaseError
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.release import MINIMUM_SUBJECTS, Release


def refit_prototypes(
    release: Path,
    out: Path,
    *,
    rho: float,
    dataset_dir: Path,
    datalist: Path | None = None,
    device: str = "cpu",
    batch_size: int = 8,
) -> Release:
    """Fits the prototypes of a release's network again and writes a release that differs in them alone.

    Reads the labelled source scans, so that it runs where the release was made. The share of each class in
    them must be the one that the release states: prototypes of other scans would be another experiment.

    Args:
        release: folder of the release, of the source domain.
        out: folder of the new release.
        rho: confidence threshold.
        dataset_dir, datalist: the source's training scans, as in `train.json`.
        device: where to compute.
        batch_size: slices at once.

    Returns:
        The new release as it is on disk.

    Raises:
        ReleaseError: when the release is damaged or of the target domain.
        DataError: when the scans cannot be read or are not those that the release was made from.
        SettingError: for a rho that is no confidence.
    """
    old = Release.read(release)
    if old.domain != "source":
        raise ReleaseError(
            f"the release was trained on the {old.domain} domain's labels",
            path=release,
            remedy="give the release of train.json with --domain source",
        )
    preprocessing = old.preprocessing["source"]
    dataset = StackDataset(
        find_task(old.task).with_modalities(old.modalities.get("source")),
        "source",
        old.training.get("split", "train"),
        dataset_dir,
        datalist=datalist,
        image_size=old.image_size,
        pixel_size_mm=preprocessing.pixel_size_mm,
        stack_slices=preprocessing.stack_slices,
        slice_axis=preprocessing.slice_axis,
    )
    dataset.prepare()
    network = network_of(old).to(torch.device(device))
    fit = fit_prototypes(network, dataset, device=device, batch_size=batch_size, rho=rho)
    prototypes = fit.finish(minimum_subjects=MINIMUM_SUBJECTS)
    if not torch.allclose(prototypes.pixel_share, old.prototypes.pixel_share, rtol=1e-9, atol=1e-12):
        raise DataError(
            "the scans are not those that the release was made from: their class shares differ",
            path=dataset_dir,
            root=dataset_dir,
            remedy="give the source data, and the datalist, of the release's training",
        )
    new = replace(
        old, prototypes=prototypes, training=old.training | {"prototypes_refitted_from": old.sha256}
    )
    new.write(out)
    return Release.read(out)


def network_of(release: Release) -> SegmentationNetwork:
    """The release's network with its weights, in evaluation mode."""
    network = ConfigParser({"network": release.network_def}).get_parsed_content("network")
    if not isinstance(network, SegmentationNetwork):
        raise ReleaseError(
            f"the release's network is a {type(network).__name__}",
            remedy="give a release that train.json of this package wrote",
        )
    load_into(network, release.state_dict)
    return network.eval()
