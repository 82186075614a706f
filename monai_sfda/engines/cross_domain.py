"""The two stages of prior matching: the source model, then the adaptation on both domains' scans at once."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from monai_sfda.data.sampling import SliceSampler
from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.base import StepTrainer, seed_for
from monai_sfda.engines.paired import PairedTrainer, require_one_process
from monai_sfda.engines.progress import progress_bar
from monai_sfda.errors import SettingError
from monai_sfda.methods.prior_matching import PriorMatching
from monai_sfda.networks import CrossDomainAutoencoder

logger = logging.getLogger(__name__)
RARE_SHARE = 0.5
"""Share of the source slices of a batch that is drawn for rare structures."""


class SourceStageTrainer(StepTrainer):
    """Trains the source model, Eqs. 1 to 3, on labelled source stacks.

    Args:
        network: all networks.
        dataset: source stacks with labels.
        method: prior matching.
        learning_rate: replaces the method's when not None.
        schedule: of the learning rate: `constant` (with the method's decay) or `cosine` to zero over the run.
        options: `StepTrainer`'s.

    Raises:
        SettingError: when several processes were started.
    """

    network: CrossDomainAutoencoder

    def __init__(
        self,
        network: CrossDomainAutoencoder,
        dataset: StackDataset,
        *,
        method: PriorMatching,
        learning_rate: float | None = None,
        schedule: Literal["constant", "cosine"] = "constant",
        title: str = "source model",
        **options: Any,
    ) -> None:
        require_one_process(method.title)
        super().__init__(network, dataset, title=title, **options)
        self.method = method
        self.learning_rate = method.settings.learning_rate if learning_rate is None else float(learning_rate)
        self.schedule = schedule
        method.set_networks(self.network)

    def make_optimizer(self) -> torch.optim.Adam:
        """Adam over all networks; those without a gradient stay."""
        settings = self.method.settings
        return torch.optim.Adam(
            self.network.parameters(),
            lr=self.learning_rate,
            betas=(settings.adam_beta1, 0.999),
            eps=settings.adam_eps,
        )

    def make_sampler(self) -> SliceSampler:
        """Draws source slices with rare structures more often."""
        return SliceSampler(
            len(self.dataset), self.batch_size, self.seed, self.dataset.presence(), RARE_SHARE
        )

    def before_step(self, iteration: int) -> None:
        """Sets the learning rate of this step."""
        if self.schedule == "cosine":
            total = self.state.max_epochs * self.state.epoch_length
            factor = 0.5 * (1 + math.cos(math.pi * (iteration - 1) / total))
        else:
            factor = 1 / (1 + self.method.settings.decay * (iteration - 1))
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * factor

    def losses(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Eqs. 1 to 3."""
        self.network.train()
        return self.method.source_step(batch)

    def describe(self) -> dict[str, Any]:
        """All settings."""
        return {
            "method": self.method.name,
            "method_settings": self.method.settings.model_dump(),
            **super().describe(),
            "learning_rate": self.learning_rate,
            "schedule": self.schedule,
        }


class TargetStageTrainer(PairedTrainer, SourceStageTrainer):
    """Adapts, Eq. 8, on labelled source stacks and unlabelled target stacks.

    Early stopping looks at no target label: after each epoch, source scans that no step saw are decoded as
    target images, segmented by the target's path, and scored against their own labels, as Eq. 7 does in
    training. When that Dice has not risen for `patience` epochs the run ends with the best epoch's weights.

    Args:
        network: all networks, from the source model.
        dataset: source stacks with labels.
        target: target stacks, without labels.
        validation: held-out source stacks with labels; needed with `patience` alone.
        patience: epochs; None for no early stopping.
        options: `SourceStageTrainer`'s and `PairedTrainer`'s. The paper chose three `slices` that show three
            of the four structures, which reads labels.
    """

    def __init__(
        self,
        network: CrossDomainAutoencoder,
        dataset: StackDataset,
        *,
        target: StackDataset,
        validation: StackDataset | None = None,
        patience: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(network, dataset, target=target, title="adapt (prior_matching)", **options)
        if target.labels:
            raise SettingError(
                "the target's stacks have labels, which prior matching must not read",
                remedy="list them with labels: false",
            )
        if patience is not None and (patience < 1 or validation is None):
            raise SettingError(
                f"early stopping with a patience of {patience} has nothing to look at",
                remedy="give a patience from 1 and held-out source scans, or null",
            )
        self.validation = validation
        self.patience = patience
        self.best_score = -1.0
        self.best_epoch = 0
        self.best_state: dict[str, Tensor] = {}

    def run(self) -> None:  # type: ignore[override]
        """Adapts to the end, and leaves the best epoch's weights where early stopping was asked for."""
        if self.patience is not None and self.validation is not None:
            with progress_bar(f"{self.title}: reading held-out source scans") as progress:
                self.validation.prepare(progress)
        super().run()
        self.history.write(self)
        if self.best_state:
            self.network.load_state_dict(self.best_state)
        if self.method.settings.segmenter_statistics == "target":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed_for(self.seed, 0, "segmenter statistics"))
                self.method.observe_target(self.target_batches())

    def target_batches(self) -> Iterator[Tensor]:
        """All target slices that are adapted to, once, in an order drawn by the seed, not augmented."""
        first, end = self.target_range()
        drawn_by = seed_for(self.seed, 0, "segmenter statistics order")
        order = first + np.random.default_rng(drawn_by).permutation(end - first)
        for start in range(0, len(order), self.batch_size):
            images = [self.target[int(i)]["image"] for i in order[start : start + self.batch_size]]
            yield torch.stack(images).to(self.state.device)

    def losses(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Eq. 8."""
        self.network.train()
        return self.method.step(batch, generator)

    def after_step(self) -> None:
        """Judges the epoch that ends, when early stopping was asked for."""
        iteration, epoch_length = int(self.state.iteration), int(self.state.epoch_length)
        if self.patience is None or iteration % epoch_length:
            return
        epoch, score = iteration // epoch_length, self.held_out_dice()
        self.method_signals = {"held_out_dice": score}
        if score > self.best_score:
            self.best_score, self.best_epoch = score, epoch
            self.best_state = copy.deepcopy(self.network.state_dict())
        if epoch - self.best_epoch >= self.patience:
            logger.info("epoch %d: no rise since epoch %d, stopping", epoch, self.best_epoch)
            self.terminate()

    def is_over(self, done: int) -> bool:
        """Also when early stopping has ended the run."""
        epochs = done // self.state.epoch_length
        stopped = self.patience is not None and epochs - self.best_epoch >= self.patience
        return super().is_over(done) or stopped

    @torch.inference_mode()
    def held_out_dice(self) -> float:
        """Mean Dice over structures, all held-out source slices together, of the target's path on x_ST."""
        assert self.validation is not None  # checked with the patience
        network = self.network.eval()
        counts = torch.zeros(2, network.source_path.num_classes, dtype=torch.int64)
        for start in range(0, len(self.validation), self.batch_size):
            items = [
                self.validation[i] for i in range(start, min(start + self.batch_size, len(self.validation)))
            ]
            x_s = torch.stack([item["image"] for item in items]).to(self.state.device)
            h_s = network.path.encoder(x_s)
            x_st = network.target_decoder(network.shared_decoder(network.posterior(h_s).mean))
            z_st = network.posterior(network.target_encoder(x_st)).mean
            found = network.segment(z_st).argmax(1).cpu()
            label = torch.stack([item["label"] for item in items])[:, 0].long()
            for k in range(counts.shape[1]):
                counts[0, k] += int(((found == k) & (label == k)).sum())
                counts[1, k] += int((found == k).sum() + (label == k).sum())
        both, sums = counts[:, 1:].double()
        return float((2 * both / sums.clamp_min(1)).mean())

    def extra_state(self) -> dict[str, Any]:
        """What early stopping has seen."""
        best = {"score": self.best_score, "epoch": self.best_epoch, "state": self.best_state}
        return {**super().extra_state(), "best": best}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Takes it back."""
        super().load_extra_state(state)
        best = state["best"]
        self.best_score, self.best_epoch = float(best["score"]), int(best["epoch"])
        self.best_state = dict(best["state"])

    def describe(self) -> dict[str, Any]:
        """All settings."""
        return {**super().describe(), "patience": self.patience}
