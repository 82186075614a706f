"""What is attached to a training engine: loss history, TensorBoard, progress bar, checkpoint."""

from __future__ import annotations

import csv
import io
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from monai_sfda import processes
from monai_sfda.checkpoints import load_into
from monai_sfda.errors import CheckpointError, OutputError, SettingError
from monai_sfda.files import tensor_file, write_atomically

logger = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
HISTORY = "history.csv"
Row = tuple[int, str, float]


class TrainingEngine(Protocol):
    """What the handlers need of an engine; `engines.base.StepTrainer` is one."""

    title: str
    state: Any
    optimizer: torch.optim.Optimizer
    history: History
    method_signals: dict[str, float]

    @property
    def network(self) -> nn.Module:
        """What is trained."""

    def extra_state(self) -> dict[str, Any]:
        """State beside network and optimiser that a resumed run needs."""

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what `extra_state` gave."""

    def add_event_handler(self, event_name: Any, handler: Callable[..., Any]) -> Any:
        """As in ignite."""


class History:
    """Means of the named losses over each interval of iterations, in memory, in `history.csv` and in
    TensorBoard.

    Args:
        folder: the run folder.
        interval: iterations a row.
    """

    def __init__(self, folder: Path, interval: int = 10) -> None:
        self.folder = folder
        self.interval = interval
        self.rows: list[Row] = []
        self._sums: dict[str, torch.Tensor] = {}
        self._count = 0
        self._writer: SummaryWriter | None = None

    def attach(self, engine: TrainingEngine) -> None:
        """Starts to record an engine."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)
        engine.add_event_handler(Events.COMPLETED, self._close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _start(self, engine: Engine) -> None:
        if not processes.is_first():
            return
        try:
            self._writer = SummaryWriter(
                str(self.folder / "tensorboard"), purge_step=engine.state.iteration + 1
            )
        except OSError as error:
            raise OutputError(
                f"TensorBoard events cannot be written ({error.strerror})",
                path=self.folder.name,
                remedy="check that output_dir may be written to and has space left",
            ) from error

    def _collect(self, engine: TrainingEngine) -> None:
        losses: dict[str, torch.Tensor] = engine.state.output
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        self._count += 1
        if engine.state.iteration % self.interval == 0:
            self.flush(engine)

    def flush(self, engine: TrainingEngine) -> None:
        """Closes the current interval: one row a loss, and a check that all are finite.

        Raises:
            SettingError: when a loss is NaN or infinite.
        """
        if not self._count:
            return
        step = int(engine.state.iteration)
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        means |= engine.method_signals
        self._sums, self._count = {}, 0
        for name, value in means.items():
            if not torch.isfinite(torch.tensor(value)):
                raise SettingError(
                    f"loss '{name}' is {value} at iteration {step}",
                    remedy="lower learning_rate, or check the scans",
                )
            self.rows.append((step, name, value))
            if self._writer is not None:
                self._writer.add_scalar(name, value, step)

    def write(self, engine: TrainingEngine) -> None:
        """Writes `history.csv`."""
        self.flush(engine)
        if not processes.is_first():
            return
        text = io.StringIO()
        csv.writer(text).writerows([("iteration", "name", "value"), *self.rows])
        write_atomically(self.folder / HISTORY, text.getvalue().encode())

    def _close(self, engine: Engine) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _fail(self, engine: Engine, error: BaseException) -> None:
        self._close(engine)
        raise error


def read_history(folder: Path) -> list[Row]:
    """Rows of a run's `history.csv`; empty when there is none."""
    path = folder / HISTORY
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return [(int(r["iteration"]), r["name"], float(r["value"])) for r in csv.DictReader(stream)]


def attach_progress(engine: TrainingEngine) -> None:
    """A bar with the losses on a terminal; a line an epoch in a log file."""
    if not processes.is_first():
        return
    if sys.stderr.isatty():
        bar = ProgressBar(persist=True, desc=engine.title)
        bar.attach(
            cast(Engine, engine),
            output_transform=lambda losses: {name: float(value) for name, value in losses.items()},
            event_name=Events.ITERATION_COMPLETED(every=10),
        )
        return

    def log_epoch(engine: TrainingEngine) -> None:
        """One line with the latest losses."""
        iteration = engine.state.iteration
        latest = {name: value for _, name, value in engine.history.rows[-40:] if "/" not in name}
        losses = ", ".join(f"{name} {value:.4g}" for name, value in latest.items())
        logger.info(
            "%s: epoch %d of %d, iteration %d: %s",
            engine.title,
            engine.state.epoch,
            engine.state.max_epochs,
            iteration,
            losses,
        )

    engine.add_event_handler(Events.EPOCH_COMPLETED, log_epoch)


class GracefulStop:
    """Lets an interrupted run finish its iteration and write its checkpoint before it ends.

    The first Ctrl-C or SIGTERM asks to stop; a second Ctrl-C stops at once, without a new checkpoint. When
    one process is asked, all stop after the same iteration.
    """

    signals = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, checkpoint: RunCheckpoint) -> None:
        self.checkpoint = checkpoint
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def attach(self, engine: TrainingEngine) -> None:
        """Starts to watch; `release` ends it."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._stop_when_asked)
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in self.signals}

    def release(self) -> None:
        """Puts the signals' handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _ask(self, number: int, frame: object) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
        logger.warning("stopping after this iteration; Ctrl-C again stops at once")

    def _stop_when_asked(self, engine: TrainingEngine) -> None:
        if processes.any_process(self.asked):
            self.checkpoint.write(engine)
            processes.wait_for_all()
            raise KeyboardInterrupt


class RunCheckpoint:
    """The state of an unfinished run, so that the same command goes on where it stopped.

    Written whole or not at all every `interval` iterations but not more often than every `seconds`, removed
    when the run ends well. A run with other settings does not touch it.

    Args:
        folder: the run folder.
        fingerprint: what must be equal for a run to go on: settings and input, as text.
        interval: iterations between two checkpoints.
        seconds: least time between two, so that short epochs of large networks do not wait for the disk.
    """

    def __init__(self, folder: Path, fingerprint: str, interval: int, seconds: float = 0.0) -> None:
        self.path = folder / CHECKPOINT
        self.fingerprint = fingerprint
        self.interval = interval
        self.seconds = seconds
        self._written = time.monotonic()

    def attach(self, engine: TrainingEngine) -> None:
        """Starts to write an engine's checkpoints."""
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.interval), self._write_when_due)

    def _write_when_due(self, engine: TrainingEngine) -> None:
        done = engine.state.iteration >= engine.state.max_epochs * engine.state.epoch_length
        if done or time.monotonic() - self._written >= self.seconds:
            self.write(engine)
            self._written = time.monotonic()

    def write(self, engine: TrainingEngine) -> None:
        """Writes the engine's state; of several processes the first does."""
        engine.history.flush(engine)
        if not processes.is_first():
            return
        state = {
            "fingerprint": self.fingerprint,
            "iteration": int(engine.state.iteration),
            "network": engine.network.state_dict(),
            "optimizer": engine.optimizer.state_dict(),
            "extra": engine.extra_state(),
            "history": engine.history.rows,
        }
        write_atomically(self.path, tensor_file(state))

    def restore(self, engine: TrainingEngine) -> int:
        """Puts an engine back where its run stopped; returns the iterations done, 0 for a fresh run.

        Raises:
            CheckpointError: when the folder holds an unfinished run with other settings, or the file is
                damaged.
        """
        if not processes.on_first(self.path.is_file):
            return 0
        remedy = f"delete {CHECKPOINT} to start again, or use another output_dir"
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds on damaged files
            raise CheckpointError(
                f"the checkpoint cannot be read ({type(error).__name__})", path=self.path, remedy=remedy
            ) from error
        if state["fingerprint"] != self.fingerprint:
            raise CheckpointError(
                "the folder holds an unfinished run with other settings", path=self.path, remedy=remedy
            )
        load_into(engine.network, state["network"], self.path)
        engine.optimizer.load_state_dict(state["optimizer"])
        engine.load_extra_state(state["extra"])
        engine.history.rows = [(int(i), str(n), float(v)) for i, n, v in state["history"]]
        iteration = int(state["iteration"])
        logger.info("going on after iteration %d of an unfinished run", iteration)
        return iteration

    def remove(self) -> None:
        """The run is done."""
        self.path.unlink(missing_ok=True)
