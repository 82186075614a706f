"""What a scan is like to a network: its statistics, taken while the network segments it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_sfda.guard.distances import gaussian_wasserstein
from monai_sfda.guard.moments import RunningMoments
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.networks.batchnorm import keeps_statistics
from monai_sfda.transforms import SliceGrid

# Positions of a slice that are looked at, at most: a regular grid of them, for speed.
POSITIONS = 1024
BINS, LOWEST, HIGHEST = 64, -4.0, 4.0
BIN_WIDTH = (HIGHEST - LOWEST) / BINS


@dataclass(frozen=True)
class ScanProfile:
    """One scan's statistics. They describe a single subject: kept in memory, never written.

    All that is counted by pixels leaves out the padding round the slices.

    Attributes:
        layer_distances: (L,) of each batch norm in the order of the network's layers: the squared
            2-Wasserstein distance of its input from its running statistics, divided by the running variance,
            mean over channels. Empty for a network without batch norm.
        histogram: (`BINS`,) shares of the network's input values from `LOWEST` to `HIGHEST`; what lies beyond
            is in the outermost bins.
        class_share: (K,) shares of the predicted classes.
        class_mean, class_variance: (K, D) of the embeddings predicted to be a class; 0 where none is.
        entropy: mean over pixels of -sum_k p_k log p_k, nats.
        confidence: (K,) mean over the pixels of a predicted class of its probability; 0 where there is none.
        centre: (K, 3) mean place of a predicted class along R, A, S in mm from the corner of the field of
            view; for a picture along rows, columns and layers in shares of it; 0 where there is none.
        extent: (3,) size of the field of view along the same axes, mm; for a picture 1.
        slice_mm: distance between slices, mm.
    """

    layer_distances: Tensor
    histogram: Tensor
    class_share: Tensor
    class_mean: Tensor
    class_variance: Tensor
    entropy: float
    confidence: Tensor
    centre: Tensor
    extent: Tensor
    slice_mm: float


class ScanObserver:
    """Gathers a scan's profile from the forward passes of its segmentation; no pass of its own.

    The slices come in any batches, in their order. Memory does not grow with their number.

    Args:
        network: that segments, in evaluation mode.
        grid: of the scan's slices.
        sized: whether the grid's lengths are mm; False for pictures.

    Example:
        >>> observer = ScanObserver(network, grid)  # doctest: +SKIP
        >>> with observer.watching():  # doctest: +SKIP
        ...     segment_scan(scan, network, preprocessing, inferer, "cpu")
        >>> profile = observer.profile()  # doctest: +SKIP
    """

    def __init__(self, network: SegmentationNetwork, grid: SliceGrid, *, sized: bool = True) -> None:
        self._network = network
        self._grid = grid
        self._layers = [cast(_BatchNorm, m) for m in network.modules() if keeps_statistics(m)]
        device = next(network.parameters()).device
        classes = network.num_classes
        self._layer_moments = [RunningMoments(1, layer.num_features, device) for layer in self._layers]
        self._embeddings = RunningMoments(classes, network.embedding_channels, device)
        self._places = RunningMoments(classes, 3, device)
        self._confidences = RunningMoments(classes, 1, device)
        self._entropy = RunningMoments(1, 1, device)
        self._histogram = torch.zeros(BINS, dtype=torch.float64, device=device)
        self._slices = 0
        rows, columns = (axis for axis in range(3) if axis != grid.slice_axis)
        self._axes = (rows, columns, grid.slice_axis)
        steps, counts = torch.zeros(2, 3, dtype=torch.float64)
        steps[list(self._axes)] = torch.tensor([*grid.pixel_mm, grid.slice_mm], dtype=torch.float64)
        counts[list(self._axes)] = torch.tensor([*grid.sampled_shape, grid.num_slices], dtype=torch.float64)
        self._extent = steps * counts if sized else torch.ones(3, dtype=torch.float64)
        self._steps = (self._extent / counts).tolist()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Looks at every forward pass of the network until the block ends."""
        hooks = [self._network.register_forward_pre_hook(self._see_input)]
        hooks.append(self._network.classifier.register_forward_hook(self._see_output))
        for layer, moments in zip(self._layers, self._layer_moments, strict=True):
            hooks.append(layer.register_forward_pre_hook(_follows(moments)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def profile(self) -> ScanProfile:
        """The profile of all slices seen so far."""
        distances = []
        for layer, moments in zip(self._layers, self._layer_moments, strict=True):
            mean, variance = (cast(Tensor, t).double() for t in (layer.running_mean, layer.running_var))
            distance = gaussian_wasserstein(moments.mean[0], moments.variance[0], mean, variance)
            distances.append((distance / (variance + layer.eps)).mean())
        count = self._embeddings.count
        return ScanProfile(
            layer_distances=torch.stack(distances).cpu() if distances else torch.zeros(0).double(),
            histogram=(self._histogram / self._histogram.sum().clamp_min(1)).cpu(),
            class_share=(count / count.sum().clamp_min(1)).cpu(),
            class_mean=self._embeddings.mean.cpu(),
            class_variance=self._embeddings.variance.cpu(),
            entropy=float(self._entropy.mean),
            confidence=self._confidences.mean[:, 0].cpu(),
            centre=self._places.mean.cpu(),
            extent=self._extent,
            slice_mm=self._grid.slice_mm,
        )

    def _inside(self, x: Tensor) -> tuple[Tensor, int]:
        """(B, C, H, W) without its padding, on a coarser grid; and the step of that grid, pixels."""
        height, width = self._grid.sampled_shape
        top, left = ((x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2)
        step = _step(height, width)
        return x[..., top : top + height : step, left : left + width : step], step

    def _see_input(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        values = self._inside(inputs[0])[0].float().clamp(LOWEST, HIGHEST)
        self._histogram += torch.histc(values, BINS, LOWEST, HIGHEST).double()

    def _see_output(self, module: nn.Module, inputs: tuple[Any, ...], logits: Tensor) -> None:
        z, step = self._inside(inputs[0])
        log_p = self._inside(logits)[0].float().log_softmax(1)
        p = log_p.exp()
        confidence, classes = p.max(1)
        flat = classes.flatten()
        self._embeddings.update(z.movedim(1, -1).flatten(0, -2), flat)
        self._confidences.update(confidence.reshape(-1, 1), flat)
        self._entropy.update(-(p * log_p).sum(1).reshape(-1, 1))
        self._places.update(self._places_of(classes, step), flat)
        self._slices += classes.shape[0]

    def _places_of(self, classes: Tensor, step: int) -> Tensor:
        """(N, 3) places of pixels along R, A, S, for predicted classes (B, h, w) on the coarser grid."""
        slices, rows, columns = (
            torch.arange(n, device=classes.device, dtype=torch.float64) for n in classes.shape
        )
        along = (rows * step + 0.5, columns * step + 0.5, slices + self._slices + 0.5)
        grids = torch.meshgrid(along[2], along[0], along[1], indexing="ij")
        places = torch.empty(classes.numel(), 3, device=classes.device, dtype=torch.float64)
        for axis, index in zip(self._axes, (grids[1], grids[2], grids[0]), strict=True):
            places[:, axis] = index.flatten() * self._steps[axis]
        return places


def _step(height: int, width: int) -> int:
    """Every how manieth row and column is looked at, for at most about `POSITIONS` of a slice."""
    return max(1, math.ceil(math.sqrt(height * width / POSITIONS)))


def _follows(moments: RunningMoments) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    """A hook that adds what goes into a layer to its moments."""

    def see(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        x = inputs[0]
        step = _step(x.shape[-2], x.shape[-1])
        moments.update(x[..., ::step, ::step].movedim(1, -1).flatten(0, -2))

    return see
