"""Responses of a network's first convolutions before and after adaptation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from monai_sfda.ablations import Arm
from monai_sfda.benchmark.analysis import Analysis
from monai_sfda.benchmark.pixels import Adapted, kind_of_data, load_arm, target_test_stacks
from monai_sfda.data.stacks import StackDataset
from monai_sfda.evaluation.network_figures import response_grid
from monai_sfda.evaluation.slices import choose_slices
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.workflow.experiment import Experiment

LAYERS = (1, 2, 4)  # the paper shows its responses after two and after four convolutions
FILTERS = 8
SLICES = 32


def convolution_responses(network: SegmentationNetwork, image: Tensor, layers: Sequence[int]) -> list[Tensor]:
    """What the n-th convolutions give for a batch, in the order in which the network calls them.

    Args:
        network: in evaluation mode.
        image: (B, C, H, W).
        layers: numbers from 1; those that the network does not have are left out.

    Returns:
        (B, filters, h, w) each, on the CPU.
    """
    given: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if len(given) < max(layers):
            given.append(output.float().cpu().clone())  # an activation in place may follow

    convolutions = [m for m in network.backbone.modules() if isinstance(m, nn.modules.conv._ConvNd)]
    hooks = [m.register_forward_hook(keep) for m in convolutions]
    try:
        with torch.inference_mode():
            network.features(image)
    finally:
        for hook in hooks:
            hook.remove()
    return [given[n - 1] for n in layers if n <= len(given)]


def responses_before_and_after(experiment: Experiment, arms: Sequence[Arm]) -> Analysis:
    """The first convolution's responses to one test slice, and how much those of the first ones change.

    The change of a layer is |after - before| / |before|, Euclidean norms over all filters, pixels and up to
    32 evenly spaced test slices. No label is read: the slice is the one with the largest predicted area.
    """
    arm = arms[0]
    adapted = load_arm(experiment, arm)
    dataset = target_test_stacks(experiment, adapted.release, labels=False)
    device = next(adapted.before.parameters()).device
    some = np.unique(np.linspace(0, len(dataset) - 1, SLICES).round().astype(int)).tolist()
    moved: dict[int, float] = {}
    size: dict[int, float] = {}
    for i in some:
        image = dataset[i]["image"][None].to(device)
        before = convolution_responses(adapted.before, image, LAYERS)
        after = convolution_responses(adapted.after, image, LAYERS)
        for layer, first, second in zip(LAYERS, before, after, strict=False):
            moved[layer] = moved.get(layer, 0.0) + float((second - first).square().sum())
            size[layer] = size.get(layer, 0.0) + float(first.square().sum())
    measures: dict[str, float | None] = {
        f"change after convolution {layer}": (moved[layer] / size[layer]) ** 0.5 if size[layer] > 0 else None
        for layer in moved
    }
    chosen = _slice_with_most(adapted, dataset, device)
    image = dataset[chosen]["image"]
    (before_one,) = convolution_responses(adapted.before, image[None].to(device), (1,))
    (after_one,) = convolution_responses(adapted.after, image[None].to(device), (1,))
    filters = np.unique(np.linspace(0, before_one.shape[1] - 1, FILTERS).round().astype(int)).tolist()
    figure = response_grid(
        image[dataset.preprocessing.stack_slices // 2].numpy(),
        before_one[0, filters].numpy(),
        after_one[0, filters].numpy(),
        [f"filter {f + 1}" for f in filters],
        heading=f"Responses of the first convolution to one target slice{kind_of_data(experiment)}; "
        "below, the largest difference as a share of the filter's range",
    )
    return Analysis({arm.title: measures}, figure)


def _slice_with_most(adapted: Adapted, dataset: StackDataset, device: torch.device) -> int:
    """The slice of the first scan with the largest predicted area of the first structure that is there."""
    classes = []
    with torch.inference_mode():
        for i in range(dataset.volumes[0].num_slices):
            image = dataset[i]["image"][None].to(device)
            second = adapted.after(image).argmax(1)
            classes.append(torch.where(second > 0, second, adapted.before(image).argmax(1))[0])
    predicted = torch.stack(classes).to(torch.uint8).cpu().numpy()
    axis = dataset.preprocessing.slice_axis
    return choose_slices(np.moveaxis(predicted, 0, axis), 1, axis=axis)[0]
