"""The engine that training and adaptation share: a MONAI trainer whose every iteration is a function of seed
and number.

Batches, augmentation, dropout and the method's draws of iteration i come from generators seeded with (seed,
i). A run that was stopped and goes on therefore ends with the same weights as one that was not.
"""

from __future__ import annotations

import hashlib
import json
import logging
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import Trainer
from torch import Tensor, nn

from monai_sfda import processes
from monai_sfda.data.loading import StackLoader, share_of
from monai_sfda.data.sampling import SliceSampler
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.handlers import GracefulStop, History, RunCheckpoint, attach_progress
from monai_sfda.engines.progress import progress_bar
from monai_sfda.errors import SettingError
from monai_sfda.files import remove_leftovers
from monai_sfda.networks import synchronise_batchnorm
from monai_sfda.transforms import Augmentation, augment

logger = logging.getLogger(__name__)


def seed_for(seed: int, iteration: int, purpose: str) -> int:
    """A 63-bit seed that differs for every iteration and purpose."""
    digest = hashlib.blake2b(f"{seed}/{iteration}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def precision(device: torch.device) -> torch.dtype:
    """The half precision of mixed precision: bfloat16 where the device computes in it, else float16."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return torch.float16
    return torch.bfloat16


def augmentation_from(strengths: Mapping[str, float]) -> Augmentation:
    """Strengths by name; a `SettingError` for an unknown name."""
    try:
        return Augmentation(**strengths)
    except TypeError as error:
        raise SettingError(
            f"augmentation {sorted(strengths)} is not understood",
            remedy=f"use {', '.join(Augmentation.__dataclass_fields__)}",
        ) from error


class StepTrainer(Trainer):
    """A MONAI trainer that takes named losses from `losses` and records them.

    Data are listed, read and checked when `run` starts, not before.

    Args:
        network: images to logits, on its device already or not; it is moved there.
        dataset: stacks to learn from.
        device: where to compute.
        max_epochs: epochs of `epoch_length` iterations.
        epoch_length: iterations an epoch; None for one pass through the slices.
        batch_size: slices a batch.
        seed: of everything random.
        output_dir: the run folder.
        augmentation: strengths, by name.
        title: of the progress bar.
        amp: mixed precision, see `precision`.
        accumulate: parts a batch is computed in; each part must have at least one slice. The gradient is the
            parts' mean. Batch-norm statistics and distances between distributions are those of a part.
            Several processes compute their shares of a part together: statistics and distances are of it all.
        checkpoint_interval: iterations between checkpoints; None for once an epoch, at most twice a minute.
    """

    def __init__(
        self,
        network: nn.Module,
        dataset: StackDataset,
        *,
        device: str | torch.device,
        max_epochs: int,
        epoch_length: int | None,
        batch_size: int,
        seed: int,
        output_dir: str | Path,
        augmentation: Mapping[str, float],
        title: str,
        amp: bool = False,
        accumulate: int = 1,
        checkpoint_interval: int | None = None,
    ) -> None:
        for name, value in {
            "max_epochs": max_epochs,
            "batch_size": batch_size,
            "epoch_length": epoch_length,
            "accumulate": accumulate,
        }.items():
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise SettingError(f"{name} cannot be {value!r}", remedy="use a whole number from 1")
        if accumulate * processes.count() > batch_size:
            parts = f"{accumulate} parts"
            if processes.count() > 1:
                parts += f" on each of {processes.count()} processes"
            raise SettingError(
                f"a batch of {batch_size} cannot be computed in {parts}",
                remedy="lower accumulate or raise batch_size",
            )
        super().__init__(
            device=torch.device(device),
            max_epochs=max_epochs,
            data_loader=(),
            epoch_length=epoch_length or 1,  # set when the slices are known; MONAI would take 0 of ()
            decollate=False,
        )
        self.logger.setLevel(logging.WARNING)  # our own lines say the same, with the losses
        self.network: nn.Module = network.to(torch.device(device))
        self._modules = repr(network)
        synchronise_batchnorm(self.network)
        self.dataset = dataset
        self.batch_size = batch_size
        self.epoch_length = epoch_length
        self.seed = seed
        self.output_dir = Path(output_dir)
        self.title = title
        self.accumulate = accumulate
        self.precision = precision(torch.device(device)) if amp else None
        self.loss_scaler = torch.amp.GradScaler(
            torch.device(device).type, enabled=self.precision == torch.float16
        )
        self.checkpoint_interval = checkpoint_interval
        self.augmentation = augmentation_from(augmentation)
        self.history = History(self.output_dir)
        self.optimizer: torch.optim.Optimizer
        self.method_signals: dict[str, float] = {}

    @abstractmethod
    def losses(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Named losses of a batch; their sum is minimised."""

    @abstractmethod
    def make_optimizer(self) -> torch.optim.Optimizer:
        """The optimiser of a fresh run."""

    def describe(self) -> dict[str, Any]:
        """Every setting that decides about the result, JSON-ready and without paths."""
        return {
            "max_epochs": self.state.max_epochs,
            "epoch_length": self.epoch_length or self.state.epoch_length,
            "batch_size": self.batch_size,
            "accumulate": self.accumulate,
            "processes": processes.count(),
            "precision": "float32" if self.precision is None else str(self.precision).removeprefix("torch."),
            "seed": self.seed,
            "augmentation": vars(self.augmentation),
            "image_size": list(self.dataset.image_size),
            "preprocessing": self.dataset.preprocessing.to_json(),
        }

    def takes_steps(self) -> bool:
        """Whether there is anything to optimise."""
        return True

    def make_sampler(self) -> SliceSampler:
        """Which slices make a batch."""
        return SliceSampler(len(self.dataset), self.batch_size, self.seed)

    def make_loader(self, sampler: SliceSampler, done: int) -> Iterable[dict[str, Tensor]]:
        """Endless batches from iteration `done` on."""
        return StackLoader(
            self.dataset,
            sampler,
            first_iteration=done,
            rank=processes.rank(),
            world_size=processes.count(),
        )

    def augmented(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """A batch on the device, augmented: `image`, and `label` where there is one."""
        device = self.state.device
        image = batch["image"].to(device, non_blocking=True)
        label = batch["label"].to(device, non_blocking=True) if "label" in batch else None
        first, _ = share_of(self.batch_size, processes.rank(), processes.count())
        image, label = augment(image, label, self.augmentation, generator, part=(first, self.batch_size))
        return {"image": image} | ({} if label is None else {"label": label})

    def is_over(self, done: int) -> bool:
        """Whether a run needs no step after `done` iterations."""
        return done >= int(self.state.max_epochs * self.state.epoch_length)

    def without_steps(self) -> None:
        """The whole work of a run that takes no steps."""

    def start_iteration(self, iteration: int) -> None:
        """Called before the losses; iterations count from 1."""

    def before_step(self, iteration: int) -> None:
        """Called before the optimiser's step; iterations count from 1."""

    def after_step(self) -> None:
        """Called after the optimiser's step."""

    def extra_state(self) -> dict[str, Any]:
        """State beside network and optimiser that a resumed run needs."""
        return {"scaler": self.loss_scaler.state_dict()}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what `extra_state` gave."""
        self.loss_scaler.load_state_dict(state["scaler"])

    def fingerprint(self) -> str:
        """What must be equal for an unfinished run to go on; the number of processes may change."""
        settings = {name: value for name, value in self.describe().items() if name != "processes"}
        content = {"settings": settings, "network": self._modules, "data": self.dataset.digest()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def check_fit(self) -> None:
        """Runs one stack through the network, so that a misfit stops the run before it starts.

        Raises:
            SettingError: when the network cannot take the stacks.
        """
        item = self.dataset[0]["image"]
        self.network.eval()
        try:
            with torch.inference_mode():
                out = self.network(item[None].to(self.state.device))
        except RuntimeError as error:
            raise SettingError(
                f"the network cannot take {item.shape[0]} channels of {item.shape[1]} x {item.shape[2]} "
                f"pixels ({str(error).splitlines()[0]})",
                remedy="image_size must be a multiple of the network's stride, "
                "in_channels the scan's channels times stack_slices",
            ) from error
        if tuple(out.shape[-2:]) != tuple(item.shape[-2:]):
            raise SettingError(
                f"the network makes {tuple(out.shape[-2:])} pixels of {tuple(item.shape[-2:])}",
                remedy="use an image_size that is a multiple of the network's stride",
            )

    def run(self) -> None:  # type: ignore[override]
        """Reads the data, goes on with an unfinished run if there is one, and trains to the end.

        Raises:
            DataError: a scan is bad; nothing has been started or written then.
            CheckpointError: the run folder holds an unfinished run with other settings.
        """
        with progress_bar(f"{self.title}: reading scans") as progress:
            self.dataset.prepare(progress)
        self.check_fit()
        if processes.is_first():
            remove_leftovers(self.output_dir)
        sampler = self.make_sampler()
        self.state.epoch_length = self.epoch_length or sampler.epoch_length
        interval = self.checkpoint_interval or self.state.epoch_length
        least = 0.0 if self.checkpoint_interval else 30.0
        fingerprint = processes.on_first(self.fingerprint)
        self.checkpoint = RunCheckpoint(self.output_dir, fingerprint, interval, least)
        if not self.takes_steps():
            self.without_steps()
            return
        processes.copy_from_first(self.network)
        self.optimizer = self.make_optimizer()
        done = self.checkpoint.restore(self)
        if not self.is_over(done):
            self.state.iteration = done
            self.state.epoch = done // self.state.epoch_length
            self.data_loader = self.make_loader(sampler, done)
            self.history.attach(self)
            self.checkpoint.attach(self)
            attach_progress(self)
            stop = GracefulStop(self.checkpoint)
            stop.attach(self)
            try:
                super().run()
            finally:
                stop.release()

    def finish(self) -> None:
        """Removes the checkpoint; to be called when the results are written."""
        if processes.is_first():
            self.checkpoint.remove()

    def _checked_losses(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The losses; a `SettingError` where batch norm has one value a channel, which has no variance."""
        try:
            return self.losses(batch, generator)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise SettingError(
                "batch norm needs two slices at once where the network pools an image to one pixel",
                remedy="raise batch_size, or lower accumulate",
            ) from error

    def _iteration(self, engine: Engine, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        iteration = int(engine.state.iteration)
        rank = processes.rank()
        torch.manual_seed(seed_for(self.seed, iteration, "network" if rank == 0 else f"network {rank}"))
        generator = torch.Generator().manual_seed(seed_for(self.seed, iteration, "step"))
        augmented = self.augmented(batch, generator)
        self.optimizer.zero_grad(set_to_none=True)
        self.start_iteration(iteration)
        means: dict[str, Tensor] = {}
        split = {name: tensor.tensor_split(self.accumulate) for name, tensor in augmented.items()}
        for place in range(self.accumulate):
            part = {name: tensors[place] for name, tensors in split.items()}
            with torch.autocast(
                self.state.device.type, dtype=self.precision, enabled=self.precision is not None
            ):
                losses = self._checked_losses(part, generator)
            share = part["image"].shape[0] / self.batch_size
            self.loss_scaler.scale(share * torch.stack(list(losses.values())).sum()).backward()
            for name, value in losses.items():
                means[name] = means.get(name, torch.zeros_like(value)) + share * value.detach()
        processes.add_gradients(self.network.parameters())
        self.before_step(iteration)
        self.loss_scaler.step(self.optimizer)
        self.loss_scaler.update()
        self.after_step()
        over_all = processes.total(torch.stack(list(means.values())).float())
        return dict(zip(means, over_all, strict=True))
