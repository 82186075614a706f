"""Networks of an experiment and the embeddings of target test pixels: what the analyses look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from monai_sfda.ablations import Arm
from monai_sfda.checkpoints import load_into, load_weights
from monai_sfda.data.stacks import StackDataset
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.release import Release
from monai_sfda.workflow.experiment import Experiment
from monai_sfda.workflow.refit import network_of
from monai_sfda.workflow.run_folder import is_phantom

BATCH = 8


@dataclass(frozen=True)
class Adapted:
    """An arm's release, and its networks before and after adaptation, in evaluation mode."""

    release: Release
    before: SegmentationNetwork
    after: SegmentationNetwork


def load_arm(experiment: Experiment, arm: Arm) -> Adapted:
    """What an arm started from and ended with."""
    release = Release.read(experiment.release_of(arm))
    after = network_of(release)
    path = experiment.run_folder(arm) / "adapted.pt"
    load_into(after, load_weights(path), path.name)
    device = torch.device(experiment.device())
    return Adapted(release, network_of(release).to(device), after.to(device))


def kind_of_data(experiment: Experiment) -> str:
    """` (phantoms)` for the heading of a figure of phantoms, else nothing."""
    return " (phantoms)" if is_phantom(experiment.data) else ""


def target_test_stacks(experiment: Experiment, release: Release, *, labels: bool) -> StackDataset:
    """The target's test scans as the release's network takes them; labels for evaluation alone."""
    preprocessing = release.preprocessing["target"]
    datalist = (experiment.common or {}).get("datalist")
    dataset = StackDataset(
        release.task,
        "target",
        "test",
        experiment.data,
        datalist=None if datalist is None else Path(datalist),
        labels=labels,
        image_size=release.image_size,
        pixel_size_mm=preprocessing.pixel_size_mm,
        stack_slices=preprocessing.stack_slices,
        slice_axis=preprocessing.slice_axis,
    )
    dataset.prepare()
    return dataset


def balanced_pixels(classes: Tensor, per_class: int, generator: torch.Generator) -> Tensor:
    """Indices of up to `per_class` pixels of each class, at random.

    Args:
        classes: (N,) class of each pixel.
        per_class: how many.
        generator: source of randomness.

    Returns:
        Ascending indices into `classes`; a class with fewer pixels gives all it has.
    """
    chosen = []
    for k in classes.unique().tolist():
        found = (classes == k).nonzero().flatten()
        chosen.append(found[torch.randperm(len(found), generator=generator)[:per_class]])
    return torch.cat(chosen).sort().values


def embed_pixels(
    network: SegmentationNetwork, dataset: StackDataset, pixels: Tensor
) -> tuple[Tensor, Tensor]:
    """Embedding and predicted class of single pixels of a data set.

    Args:
        network: in evaluation mode.
        dataset: stacks.
        pixels: (N,) ascending indices into all pixels, slice by slice and row by row.

    Returns:
        (N, D) float32 and (N,) classes, on the CPU.
    """
    device = next(network.parameters()).device
    size = dataset.image_size[0] * dataset.image_size[1]
    embeddings, predictions = [], []
    with torch.inference_mode():
        for start in range(0, len(dataset), BATCH):
            stop = min(start + BATCH, len(dataset))
            wanted = pixels[(pixels >= start * size) & (pixels < stop * size)] - start * size
            if len(wanted) == 0:
                continue
            images = torch.stack([dataset[i]["image"] for i in range(start, stop)]).to(device)
            z = network.features(images)
            logits = network.classify(z)
            wanted = wanted.to(device)
            embeddings.append(z.movedim(1, -1).flatten(0, -2)[wanted].float().cpu())
            predictions.append(logits.movedim(1, -1).flatten(0, -2)[wanted].argmax(1).cpu())
    return torch.cat(embeddings), torch.cat(predictions)
