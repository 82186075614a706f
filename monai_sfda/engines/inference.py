"""Segmentation of whole volumes by slices in batches, back on the scan's own grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer
from numpy.typing import NDArray
from torch import Tensor, nn

from monai_sfda.data.scan import Scan
from monai_sfda.transforms import Preprocessing, all_stacks, clamp_edges, pad_plane, resample_plane


class SliceStackInferer(Inferer):
    """Runs a 2.5D network over every slice of a volume.

    Args:
        stack_slices: n, neighbouring slices an input.
        batch_size: slices at once.
        divisor: slices are padded to multiples of it, as encoders ask for.
        minimum_size: slices are padded to at least this (H, W), the size of training.
    """

    def __init__(
        self,
        stack_slices: int = 3,
        batch_size: int = 16,
        divisor: int = 16,
        minimum_size: int | tuple[int, int] = 1,
    ) -> None:
        super().__init__()
        self.stack_slices = stack_slices
        self.batch_size = batch_size
        self.divisor = divisor
        self.minimum_size = (
            (minimum_size, minimum_size) if isinstance(minimum_size, int) else tuple(minimum_size)
        )

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """A volume (1, C, S, H, W) to logits (1, K, S, H, W), S counting slices."""
        batches = self.batches(inputs[0].transpose(0, 1), lambda x: network(x, *args, **kwargs))
        return torch.cat(list(batches)).transpose(0, 1)[None]

    def batches(self, slices: Tensor, network: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        """Logits of slices (S, C, H, W), batch after batch, each (B, K, H, W)."""
        height, width = slices.shape[-2:]
        size = [
            -(-max(have, least) // self.divisor) * self.divisor
            for have, least in zip((height, width), self.minimum_size, strict=True)
        ]
        padded, (top, left) = pad_plane(slices, (size[0], size[1]), float(slices.min()))
        stacks = all_stacks(clamp_edges(padded, self.stack_slices), self.stack_slices)
        for start in range(0, stacks.shape[0], self.batch_size):
            logits = network(stacks[start : start + self.batch_size])
            yield logits[..., top : top + height, left : left + width]


def segment_scan(
    scan: Scan,
    network: nn.Module,
    preprocessing: Preprocessing,
    inferer: SliceStackInferer,
    device: torch.device | str,
) -> NDArray[np.uint8]:
    """The most probable class of every voxel, on the scan's own grid.

    Probabilities, not classes, are resampled to the scan's pixels; the class is chosen there.

    Args:
        scan: to segment.
        network: in evaluation mode, on `device`.
        preprocessing: of the scan's modality.
        inferer: slices to logits.
        device: where the network lies.

    Returns:
        (X, Y, Z) uint8 classes.
    """
    slices, grid = preprocessing.image(scan.array, scan.affine)
    volume = grid.from_slices(segment_slices(slices, network, inferer, device, grid.plane_shape))
    classes: NDArray[np.uint8] = volume[0].astype(np.uint8, copy=False)
    return classes


def segment_slices(
    slices: Tensor,
    network: nn.Module,
    inferer: SliceStackInferer,
    device: torch.device | str,
    shape: tuple[int, int],
) -> Tensor:
    """The most probable class of every pixel of slices, at another number of pixels.

    Args:
        slices: (S, C, H', W'), normalised.
        network: in evaluation mode, on `device`.
        inferer: slices to logits.
        device: where the network lies.
        shape: (H, W) that probabilities are resampled to before the class is chosen.

    Returns:
        (S, 1, H, W) uint8 classes on the CPU.
    """
    batches = plane_probabilities(slices, network, inferer, device, shape)
    return torch.cat([p.argmax(1, keepdim=True).to(torch.uint8).cpu() for p in batches])


def plane_probabilities(
    slices: Tensor,
    network: nn.Module,
    inferer: SliceStackInferer,
    device: torch.device | str,
    shape: tuple[int, int],
) -> Iterator[Tensor]:
    """Class probabilities of slices at another number of pixels, batch after batch.

    The arguments are those of `segment_slices`. What pads the slices for the network is cut off before, so
    that every pixel is one of the field of view.

    Yields:
        (B, K, H, W) float32 on `device`; over K they sum to 1.
    """
    with torch.inference_mode():
        for logits in inferer.batches(slices, lambda x: network(x.to(device))):
            yield resample_plane(logits.float().softmax(1), shape)
