"""Adaptation on labelled source stacks and target stacks at once, for methods that are not source-free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from monai_sfda import processes
from monai_sfda.data.loading import StackLoader
from monai_sfda.data.sampling import SliceSampler
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.adaptation import AdaptationTrainer
from monai_sfda.engines.base import StepTrainer, augmentation_from, seed_for
from monai_sfda.engines.progress import progress_bar
from monai_sfda.errors import SettingError
from monai_sfda.transforms import augment


def require_one_process(title: str) -> None:
    """Refuses several processes for a method that reads both data sets.

    Raises:
        SettingError: when several processes were started.
    """
    if processes.count() > 1:
        raise SettingError(
            f"{title} runs in one process, not {processes.count()}", remedy="start uda.json without torchrun"
        )


class PairedTrainer(StepTrainer):
    """A trainer whose every batch has source slices, as `image` and `label`, and as many target slices, as
    `target_image`, drawn independently of each other. An epoch is one of the source's slices.

    Args:
        network: as in `StepTrainer`.
        dataset: source stacks with labels.
        target: target stacks; with labels, which come as `target_label`, only where a method is known to read
            them.
        slices: so many consecutive target slices, from a place in the middle half of the slices that the seed
            draws; None for all.
        target_augmentation: strengths for the target's slices; None for those of the source's.
        options: of the trainer that this one is mixed into.
    """

    def __init__(
        self,
        network: nn.Module,
        dataset: StackDataset,
        *,
        target: StackDataset,
        slices: int | None = None,
        target_augmentation: Mapping[str, float] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(network, dataset, **options)
        self.target = target
        self.slices = slices
        self.target_augmentation = (
            self.augmentation if target_augmentation is None else augmentation_from(target_augmentation)
        )

    def run(self) -> None:  # type: ignore[override]
        """Reads the target's scans too, and adapts to the end."""
        with progress_bar(f"{self.title}: reading target scans") as progress:
            self.target.prepare(progress)
        super().run()

    def make_loader(self, sampler: SliceSampler, done: int) -> Iterable[dict[str, Tensor]]:
        """A source batch and a target batch of the same size at once."""
        first, end = self.target_range()
        drawn_by = seed_for(self.seed, 0, "target slices")
        slices = SliceSampler(end - first, self.batch_size, drawn_by, first=first)
        return _Pairs(super().make_loader(sampler, done), StackLoader(self.target, slices, done))

    def target_range(self) -> tuple[int, int]:
        """First and end of the target slices that are adapted to."""
        total = len(self.target)
        if self.slices is None:
            return 0, total
        if not 1 <= self.slices <= total:
            raise SettingError(
                f"{self.slices} target slices cannot be taken of {total}",
                remedy="take fewer, or null for all",
            )
        lowest, highest = total // 4, max(3 * total // 4 - self.slices, total // 4)
        drawn = np.random.default_rng(seed_for(self.seed, 0, "target range")).integers(lowest, highest + 1)
        first = min(int(drawn), total - self.slices)
        return first, first + self.slices

    def augmented(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Both images, each augmented by its own draw, and their labels with them."""
        on_device = {
            name: tensor.to(self.state.device, non_blocking=True)
            for name, tensor in batch.items()
            if name.startswith("target_")
        }
        image, label = augment(
            on_device["target_image"], on_device.get("target_label"), self.target_augmentation, generator
        )
        target = {"target_image": image} | ({} if label is None else {"target_label": label})
        return super().augmented(batch, generator) | target

    def describe(self) -> dict[str, Any]:
        """All settings."""
        return {
            **super().describe(),
            "target_augmentation": vars(self.target_augmentation),
            "target_slices_used": list(self.target_range()),
            "target_preprocessing": self.target.preprocessing.to_json(),
        }

    def fingerprint(self) -> str:
        """The target's scans too."""
        return f"{super().fingerprint()}-{self.target.digest()}"


class PairedAdaptationTrainer(PairedTrainer, AdaptationTrainer):
    """Runs the steps of a method that needs source scans beside a release, e.g. AdaSource.

    The release's network is adapted as `AdaptationTrainer` does; `dataset` are the source's stacks.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        require_one_process(options["method"].title)
        super().__init__(*args, **options)


class _Pairs:
    """Source batches with target batches beside them, as `target_image` and `target_label`."""

    def __init__(self, source: Iterable[dict[str, Tensor]], target: StackLoader) -> None:
        self.source = source
        self.target = target

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for source, target in zip(self.source, self.target, strict=True):
            yield source | {f"target_{name}": tensor for name, tensor in target.items()}
