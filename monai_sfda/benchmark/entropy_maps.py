"""Maps of the predictions' entropy beside the masks, before adaptation and after each way."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from monai_sfda.ablations import Arm
from monai_sfda.benchmark.analysis import Analysis
from monai_sfda.benchmark.pixels import kind_of_data, load_arm, target_test_stacks
from monai_sfda.benchmark.volume_dice import BATCH
from monai_sfda.catalog import find_task
from monai_sfda.data.stacks import StackDataset
from monai_sfda.evaluation.comparison import UNADAPTED
from monai_sfda.evaluation.entropy_figure import Prediction, entropy_grid
from monai_sfda.evaluation.slices import choose_slices
from monai_sfda.losses import pixel_entropy
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.workflow.experiment import Experiment

Seen = tuple[Tensor, Tensor]
"""Entropy, nats, and predicted classes of all slices, (N, H, W) each."""


def entropy_before_and_after(experiment: Experiment, arms: Sequence[Arm]) -> Analysis:
    """Entropy maps and masks of one target test slice, and the mean entropy over all of them.

    The slice is the one of the first scan with the largest predicted area of the first structure found by any
    of the models; no label chooses it. The reference is drawn beside it.
    """
    seen: dict[str, Seen] = {}
    dataset: StackDataset | None = None
    for arm in arms:
        adapted = load_arm(experiment, arm)
        if dataset is None:
            dataset = target_test_stacks(experiment, adapted.release, labels=True)
            seen[UNADAPTED] = entropy_and_classes(adapted.before, dataset)
        seen[arm.title] = entropy_and_classes(adapted.after, dataset)
    assert dataset is not None  # an ablation has arms
    slices, axis = dataset.volumes[0].num_slices, dataset.preprocessing.slice_axis
    union = torch.stack([classes[:slices] for _, classes in seen.values()]).amax(0).numpy()
    chosen = choose_slices(np.moveaxis(union, 0, axis), 1, axis=axis)[0]
    item = dataset[chosen]
    image = item["image"][dataset.preprocessing.stack_slices // 2]
    figure = entropy_grid(
        image.numpy(),
        item["label"][0].numpy(),
        [
            Prediction(title, entropy[chosen].numpy(), classes[chosen].numpy())
            for title, (entropy, classes) in seen.items()
        ],
        find_task(experiment.task).structures,
        highest=math.log(len(find_task(experiment.task).labels)),
        heading=f"Entropy of the predictions, nats, and masks{kind_of_data(experiment)}",
    )
    measures = {title: {"mean entropy, nats": float(entropy.mean())} for title, (entropy, _) in seen.items()}
    return Analysis(measures, figure)


def entropy_and_classes(network: SegmentationNetwork, dataset: StackDataset) -> Seen:
    """Entropy and class of every pixel, on the CPU; the network in evaluation mode."""
    device = next(network.parameters()).device
    entropies, classes = [], []
    with torch.inference_mode():
        for start in range(0, len(dataset), BATCH):
            stop = min(start + BATCH, len(dataset))
            images = torch.stack([dataset[i]["image"] for i in range(start, stop)])
            logits = network(images.to(device))
            entropies.append(pixel_entropy(logits).cpu())
            classes.append(logits.argmax(1).to(torch.uint8).cpu())
    return torch.cat(entropies), torch.cat(classes)
