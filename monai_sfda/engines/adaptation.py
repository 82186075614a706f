"""Adaptation of a release to unlabelled target stacks by a method."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_sfda import processes
from monai_sfda.checkpoints import load_into
from monai_sfda.data.loading import share_of
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.base import StepTrainer
from monai_sfda.engines.kept_weights import KeptWeights
from monai_sfda.engines.progress import progress_bar
from monai_sfda.errors import SettingError
from monai_sfda.methods.base import KerasAdam, Method
from monai_sfda.networks import SegmentationNetwork
from monai_sfda.release import Release

WEIGHTS, CANDIDATES = "weights", "candidates"
logger = logging.getLogger(__name__)


class AdaptationTrainer(StepTrainer):
    """Runs a method's steps on target stacks, from the release's weights.

    Args:
        network: to adapt; the release's weights are loaded into it, unless the method's ablation keeps its
            first, random ones.
        dataset: target stacks; without labels unless the method's settings read them.
        method: what to do in a step.
        release: what the source site handed over.
        learning_rate: replaces the method's when not None.
        keep_weights: how often over the run the weights are kept in `weights/` for a benchmark's curves, see
            `KeptWeights`; None keeps none.
        candidates: how often over the run, the last time at its end, weights are kept in `candidates/` for
            the guard to choose from, until the run is finished; None keeps none.
        options: `StepTrainer`'s.
    """

    network: SegmentationNetwork

    def __init__(
        self,
        network: SegmentationNetwork,
        dataset: StackDataset,
        *,
        method: Method[Any],
        release: Release,
        learning_rate: float | None = None,
        keep_weights: int | None = None,
        candidates: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(network, dataset, title=f"adapt ({method.name})", **options)
        self.method = method
        self.release = release
        wanted = {WEIGHTS: keep_weights, CANDIDATES: candidates}
        self.kept = {
            name: KeptWeights(self.output_dir / name, times)
            for name, times in wanted.items()
            if times is not None
        }
        if learning_rate is not None and not method.takes_steps:
            raise SettingError(
                f"method '{method.name}' has no learning rate", remedy="leave learning_rate out"
            )
        own_rate = getattr(method.settings, "learning_rate", 0.0)
        self.learning_rate = own_rate if learning_rate is None else float(learning_rate)
        if method.starts_from_release:
            load_into(self.network, release.state_dict)
        else:
            logger.warning("adaptation starts from random weights: an ablation, not a model to use")
        method.setup(self.network, release)

    def takes_steps(self) -> bool:
        """Whether the method has anything to optimise."""
        return self.method.takes_steps

    def make_optimizer(self) -> torch.optim.Adam:
        """Adam over what the method moves."""
        adam = torch.optim.Adam(
            self.method.parameters(), lr=self.learning_rate, eps=self.method.settings.adam_eps
        )
        self._keras = KerasAdam(adam, self.method.settings, self.learning_rate)
        return adam

    def without_steps(self) -> None:
        """Lets the method look at the target's slices, without augmentation."""
        self.method.observe(self._walk)

    def _walk(self) -> Iterator[Tensor]:
        """The share of all slices that is this process's, in their order."""
        first, end = share_of(len(self.dataset), processes.rank(), processes.count())
        with progress_bar(self.title) as progress:
            for start in range(first, end, self.batch_size):
                indices = range(start, min(start + self.batch_size, end))
                batch = torch.stack([self.dataset[i]["image"] for i in indices])
                yield batch.to(self.state.device)
                progress(indices.stop - first, end - first)

    def start_iteration(self, iteration: int) -> None:
        """Tells the method where in the run it is."""
        self.method.start_iteration(iteration, self.state.max_epochs * self.state.epoch_length)

    def before_step(self, iteration: int) -> None:
        """Sets learning rate and eps of this step."""
        self._keras.before_step(iteration)
        if iteration % self.history.interval == 0:
            self.method_signals = self.method.signals()

    def after_step(self) -> None:
        """Lets the method follow the weights."""
        self.method.after_step()

    def run(self) -> None:  # type: ignore[override]
        """Adapts to the end, and leaves in the network what the method publishes."""
        for kept in self.kept.values():
            kept.attach(self, self.method.published)
        super().run()
        self.method.finish()

    def candidates(self) -> dict[int, Path]:
        """Epoch before the last to the weights that were kept at its end for the guard."""
        if CANDIDATES not in self.kept or not self.takes_steps():
            return {}
        kept = self.kept[CANDIDATES]
        return {epoch: kept.path(epoch) for epoch in kept.epochs(int(self.state.max_epochs))[:-1]}

    def finish(self, *, keep_candidates: bool = False) -> None:
        """Removes the checkpoint, and the weights that were kept for the guard unless they are asked for."""
        super().finish()
        if CANDIDATES in self.kept and not keep_candidates and processes.is_first():
            self.kept[CANDIDATES].remove()

    def losses(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The method's named losses."""
        self.method.set_mode()
        return self.method.step(batch, generator)

    def extra_state(self) -> dict[str, Any]:
        """The method's own state too."""
        return {**super().extra_state(), "method": self.method.state_dict()}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Hands the method its state back."""
        super().load_extra_state(state)
        self.method.load_state_dict(state["method"])

    def describe(self) -> dict[str, Any]:
        """All settings, and the hash of the release."""
        return {
            "method": self.method.name,
            "method_settings": self.method.settings.model_dump(),
            **super().describe(),
            "learning_rate": self.learning_rate,
            "candidates": self.kept[CANDIDATES].times if CANDIDATES in self.kept else None,
            "release_sha256": self.release.sha256,
        }
