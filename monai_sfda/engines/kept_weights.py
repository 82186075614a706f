"""Weights that an adaptation keeps along its run: for a benchmark's curves, and as the guard's candidates."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ignite.engine import Events
from torch import Tensor

from monai_sfda import processes
from monai_sfda.files import tensor_file, write_atomically


class KeepingEngine(Protocol):
    """What is needed of an engine whose weights are kept."""

    state: Any

    def add_event_handler(self, event_name: Any, handler: Callable[..., Any]) -> Any:
        """As in ignite."""


class KeptWeights:
    """Weights at the ends of epochs evenly apart, each in a file `epoch_NNNN.pt`.

    They are written before the run's checkpoint of the same iteration, so that a run that goes on has every
    file up to its checkpoint. A fresh run removes those of an earlier one.

    Args:
        folder: of the files.
        times: how often over the run; more often than there are epochs is every epoch.
    """

    def __init__(self, folder: Path, times: int) -> None:
        self.folder = folder
        self.times = times

    def attach(self, engine: KeepingEngine, published: Callable[[], Mapping[str, Tensor]]) -> None:
        """Starts to keep what `published` gives; to be called before the checkpoint is attached."""

        def start(engine: KeepingEngine) -> None:
            """Removes what an earlier run left, where this one begins at its first iteration."""
            if engine.state.iteration == 0 and processes.is_first():
                self.remove()

        def keep(engine: KeepingEngine) -> None:
            """Writes the published weights, one state dict on the CPU, at the end of a chosen epoch."""
            epoch, rest = divmod(int(engine.state.iteration), int(engine.state.epoch_length))
            if rest or not processes.is_first() or epoch not in self.epochs(int(engine.state.max_epochs)):
                return
            weights = {name: t.detach().cpu() for name, t in published().items()}
            write_atomically(self.path(epoch), tensor_file(weights))

        engine.add_event_handler(Events.STARTED, start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, keep)

    def epochs(self, max_epochs: int) -> list[int]:
        """At whose ends weights are kept; the last epoch is always one.

        >>> KeptWeights(Path("weights"), 4).epochs(10)
        [3, 5, 8, 10]
        """
        return [
            epoch
            for epoch in range(1, max_epochs + 1)
            if epoch * self.times // max_epochs > (epoch - 1) * self.times // max_epochs
        ]

    def path(self, epoch: int) -> Path:
        """The file of an epoch."""
        return self.folder / f"epoch_{epoch:04d}.pt"

    def remove(self) -> None:
        """Removes the folder and what is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
