"""Batches of a data set's slices, and each process's share of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from monai_sfda.data.sampling import SliceSampler
from monai_sfda.data.stacks import StackDataset


def share_of(length: int, rank: int, world_size: int) -> tuple[int, int]:
    """First and end of a process's share of `length` places, as even as can be.

    >>> [share_of(5, rank, 2) for rank in (0, 1)]
    [(0, 3), (3, 5)]
    """
    least, more = divmod(length, world_size)
    first = rank * least + min(rank, more)
    return first, first + least + (rank < more)


class StackLoader:
    """Endless batches of a `StackDataset`, from any iteration on.

    Args:
        dataset: stacks.
        sampler: which indices make a batch.
        first_iteration: iterations already done, when a run goes on.
        rank, world_size: this process's share of each batch: neighbouring places.
    """

    def __init__(
        self,
        dataset: StackDataset,
        sampler: SliceSampler,
        first_iteration: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.dataset = dataset
        self.sampler = sampler
        self.first_iteration = first_iteration
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        iteration = self.first_iteration
        while True:
            indices = self.sampler.batch(iteration)
            first, end = share_of(len(indices), self.rank, self.world_size)
            yield self.collate(indices[first:end])
            iteration += 1

    def collate(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """The items of those indices as one batch."""
        items = [self.dataset[i] for i in indices]
        batch = {"image": torch.stack([item["image"] for item in items])}
        if "label" in items[0]:
            batch["label"] = torch.stack([item["label"] for item in items])
        return batch
