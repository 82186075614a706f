"""Scans of the guard's calibration: volumes that were read before, as stacks, and what can befall them.

All functions take and give volumes without labels, but for those that make a population (`without_organ`,
`windows`): phantoms are made with their labels, as patients are made with their organs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from monai_sfda.catalog import Task
from monai_sfda.data.cache import CachedVolume
from monai_sfda.data.listing import CaseList
from monai_sfda.data.stacks import StackDataset
from monai_sfda.transforms import Preprocessing, clamp_edges

Volumes = Sequence[CachedVolume]


class CachedStacks(StackDataset):
    """Target stacks of volumes that are in memory already; there is no label in them.

    Args:
        task: of the catalog.
        volumes: whose stacks these are; they are numbered anew, from 1.
        preprocessing: that they were read with.
    """

    def __init__(self, task: Task, volumes: Volumes, preprocessing: Preprocessing) -> None:
        rows, columns = (int(size) for size in volumes[0].image.shape[-2:])
        super().__init__(
            task,
            "target",
            "train",
            Path(),
            labels=False,
            image_size=(rows, columns),
            pixel_size_mm=preprocessing.pixel_size_mm,
            stack_slices=preprocessing.stack_slices,
        )
        self._volumes = [
            replace(volume, label=None, case=replace(volume.case, number=number))
            for number, volume in enumerate(volumes, start=1)
        ]
        self._starts = np.cumsum([0, *(volume.num_slices for volume in self._volumes)])
        self._list = CaseList(tuple(v.case for v in self._volumes), (), "train", "phantoms")


def slices_of(volume: CachedVolume, stack_slices: int) -> Tensor:
    """(S, C, H, W): the slices of a volume without the repeated ones at its ends."""
    reach = stack_slices // 2
    return volume.image[:, reach : reach + volume.num_slices].transpose(0, 1)


def with_slices(volume: CachedVolume, slices: Tensor, stack_slices: int) -> CachedVolume:
    """The volume with other slices (S', C, H, W) of the same pixels and the same distance."""
    grid = volume.grid
    stored = next(i for i, (turned, _) in enumerate(grid.orientation) if int(turned) == grid.slice_axis)
    shape = list(grid.scan_shape)
    shape[stored] = len(slices)
    return replace(
        volume,
        image=clamp_edges(slices.float(), stack_slices),
        num_slices=len(slices),
        label=None,
        grid=replace(grid, scan_shape=(shape[0], shape[1], shape[2])),
    )


def inverted(volume: CachedVolume) -> CachedVolume:
    """Dark for bright: x to min + max - x."""
    return replace(volume, image=volume.image.amin() + volume.image.amax() - volume.image)


def constant(volume: CachedVolume, value: float) -> CachedVolume:
    """The same value everywhere."""
    return replace(volume, image=torch.full_like(volume.image, value))


def corrupted(volume: CachedVolume, stack_slices: int, rng: np.random.Generator) -> CachedVolume:
    """A scan as it may come out of a broken transfer: one half of the slices lost, the rest in heavy noise,
    each row moved at random.
    """
    slices = slices_of(volume, stack_slices).clone()
    spread = float(slices.std())
    slices += 2 * spread * torch.from_numpy(rng.standard_normal(tuple(slices.shape))).float()
    moves = rng.integers(0, slices.shape[-1], slices.shape[-2])
    for row, move in enumerate(moves):
        slices[..., row, :] = slices[..., row, :].roll(int(move), -1)
    slices[: len(slices) // 2] = volume.image.amin()
    return with_slices(volume, slices, stack_slices)


def fitted(
    volume: CachedVolume, stack_slices: int, like: CachedVolume, stack_slices_there: int
) -> CachedVolume:
    """A volume of another task in the place of one of this task: on slices of its size, pixels, distance and
    channels, in its range of values.

    Args:
        volume: of the other task.
        stack_slices: its slices a stack.
        like: a volume of this task.
        stack_slices_there: this task's slices a stack.
    """
    slices = slices_of(volume, stack_slices)
    size = (int(like.image.shape[-2]), int(like.image.shape[-1]))
    slices = functional.interpolate(slices, size=size, mode="bilinear", align_corners=False)
    channels = [i % slices.shape[1] for i in range(like.image.shape[0])]
    slices = slices[:, channels]
    low, high, to_low, to_high = (
        float(x) for image in (slices, like.image) for x in (image.amin(), image.amax())
    )
    slices = to_low + (slices - low) * (to_high - to_low) / max(high - low, 1e-6)
    return with_slices(like, slices, stack_slices_there)


def other_imaging(
    volume: CachedVolume, stack_slices: int, population: np.random.Generator, scan: np.random.Generator
) -> CachedVolume:
    """The scan as another population of scanners would show it: contrast, blur, a field that is brighter on
    one side, and noise. The strengths are the population's, direction and noise the scan's.

    Args:
        volume: as the phantom's scanner shows it.
        stack_slices: slices a stack.
        population: of the strengths; in the same state for every scan.
        scan: of chance.
    """
    gamma = float(np.exp(population.uniform(-0.35, 0.35)))
    blur, field, noise = (float(population.uniform(0, most)) for most in (0.7, 0.3, 0.04))
    slices = slices_of(volume, stack_slices)
    low, high = float(slices.amin()), float(slices.amax())
    x = ((slices - low) / max(high - low, 1e-6)).numpy() ** gamma
    x = ndimage.gaussian_filter(x, (0, 0, blur, blur))
    angle = scan.uniform(0, 2 * np.pi)
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, size) for size in x.shape[-2:]), indexing="ij")
    x = x * (1 + field * (np.cos(angle) * rows + np.sin(angle) * columns))
    x = x + noise * scan.standard_normal(x.shape)
    return with_slices(volume, torch.from_numpy(low + x * (high - low)), stack_slices)


def without_organ(
    volume: CachedVolume, index: int, stack_slices: int, rng: np.random.Generator
) -> CachedVolume:
    """The subject without one structure: its pixels take values of what surrounds them, its label is that of
    the background, or of pictures of what surrounds it.

    Args:
        volume: with its label.
        index: of the structure.
        stack_slices: slices a stack.
        rng: of the values taken.
    """
    assert volume.label is not None
    slices, label = slices_of(volume, stack_slices).clone(), volume.label.clone()
    for plane, classes in zip(slices, label[:, 0], strict=True):
        organ = (classes == index).numpy()
        if not organ.any():
            continue
        near = ndimage.binary_dilation(organ, iterations=3) & ~organ
        if not near.any():
            near = ~organ
        donors = np.argwhere(near)
        chosen = donors[rng.integers(0, len(donors), int(organ.sum()))]
        plane[:, torch.from_numpy(organ)] = plane[:, chosen[:, 0], chosen[:, 1]]
        values, counts = np.unique(classes.numpy()[near], return_counts=True)
        classes[torch.from_numpy(organ)] = int(values[np.argmax(counts)])
    return replace(with_slices(volume, slices, stack_slices), label=label)


def windows(share: NDArray[np.float64], part: float = 1 / 3) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last but one of the neighbouring slices that show least, and most, of a class.

    Args:
        share: (S,) of the class in each slice.
        part: how much of a scan is kept.
    """
    length = max(2, round(part * len(share)))
    if len(share) <= length:
        return (0, len(share)), (0, len(share))
    sums = np.convolve(share, np.ones(length), mode="valid")
    least, most = int(np.argmin(sums)), int(np.argmax(sums))
    return (least, least + length), (most, most + length)


def cut(volume: CachedVolume, window: tuple[int, int], stack_slices: int) -> CachedVolume:
    """Some neighbouring slices of a volume."""
    return with_slices(volume, slices_of(volume, stack_slices)[window[0] : window[1]], stack_slices)
