"""What a method of adaptation is: a name, what it needs, and a step that returns its named losses."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_sfda.errors import ReleaseError, SettingError
from monai_sfda.networks import SegmentationNetwork, keeps_statistics
from monai_sfda.release import MANIFEST, MINIMUM_SUBJECTS, Release
from monai_sfda.settings import read_settings

CERTAINTY = frozenset(
    {
        *("entropy", "confidence", "soft_dice", "soft_dice_worst"),
        *("density", "density_balanced", "agreement_soft"),
    }
)
"""Signals that improve whenever predictions become surer, right or wrong. Density among them: probabilities
near 0 and 1 lie as close together as can be."""
RATIOS = frozenset(
    {
        *("ratio_kl", "composition_kl", "ratio_z", "ratio_z_largest", "ratio_outside"),
        *("volumes", "volumes_farthest"),
    }
)
"""Signals that improve whenever predicted shares approach the source's. Volumes among them: a share of the
field of view. Not `vanished`, which no method is excused from."""


class MethodSettings(BaseModel):
    """Base of all settings; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AdamSettings(MethodSettings):
    """Settings common to all methods that take optimisation steps.

    Attributes:
        learning_rate: of the optimiser; `learning_rate` of the configuration replaces it when given.
        adam_eps: Adam's eps.
        keras_eps: apply eps as Keras does (to the uncorrected root), which matters when it is as large as
            0.1.
        decay: Keras's learning-rate decay a step: lr / (1 + decay t).
    """

    learning_rate: float = Field(1e-4, gt=0)
    adam_eps: float = Field(1e-8, gt=0)
    keras_eps: bool = False
    decay: float = Field(0.0, ge=0)


class StepSettings(AdamSettings):
    """Settings of a method that takes steps and has no mind of its own about batch norm.

    Attributes:
        batchnorm_statistics: `update` (running means follow the target) or `frozen`.
    """

    batchnorm_statistics: Literal["update", "frozen"] = "update"


S = TypeVar("S", bound=MethodSettings)
Walk = Callable[[], Iterator[Tensor]]
"""Walks once over all target slices, as they are, in batches (B, C, *spatial) on the network's device; of
several processes each sees its own share, which may be empty."""


class Method(ABC, Generic[S]):
    """Base of all methods. One instance adapts one network once.

    Class attributes:
        name: as given to `--method`.
        title: as the field writes it.
        requires: what it needs: `prototypes`, `batchnorm`, `class_ratio`, `source_data`.
        source: the paper.
        settings_class: its settings with the paper's defaults.
        takes_steps: whether there is anything to optimise; if not, `observe` may look at the target.
        optimises: names of the guard's signals (`monai_sfda.guard.signals`) that the method minimises, or
            that follow from what it minimises: they say nothing about a run of it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    requires: ClassVar[frozenset[str]] = frozenset()
    source: ClassVar[str]
    settings_class: ClassVar[type[MethodSettings]]
    takes_steps: ClassVar[bool] = True
    optimises: ClassVar[frozenset[str]] = frozenset()

    settings: S
    network: SegmentationNetwork
    release: Release

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        read = read_settings(self.settings_class, settings or {}, f"method '{self.name}'")
        self.settings = read  # type: ignore[assignment]

    def setup(self, network: SegmentationNetwork, release: Release) -> None:
        """Takes the network to adapt, on its device, with the weights to start from already in it.

        Raises:
            SettingError: when the network lacks what the method needs.
            ReleaseError: when the release does.
        """
        if "batchnorm" in self.requires and not any(keeps_statistics(m) for m in network.modules()):
            raise SettingError(
                f"method '{self.name}' works on batch-norm statistics, and the network has none",
                remedy="use a network with batch norm, or another method",
            )
        if release.prototypes.dimension != network.embedding_channels:
            raise SettingError(
                f"the release's prototypes have {release.prototypes.dimension} dimensions, "
                f"the network's embedding {network.embedding_channels}",
                remedy="use the release's own network definition",
            )
        if "class_ratio" in self.requires and release.class_ratio is None:
            raise ReleaseError(
                f"method '{self.name}' needs class ratios, and the release has none: fewer than "
                f"{MINIMUM_SUBJECTS} source subjects were behind it",
                path=MANIFEST,
                remedy=f"ask the source site for a release of at least {MINIMUM_SUBJECTS} subjects, or use "
                "another method",
            )
        self.network = network
        self.release = release

    @property
    def target_labels_read(self) -> tuple[str, ...]:
        """What these settings read of the target's labels, in words: a benchmark's, never a user's.

        Empty for a label-free run. Otherwise the target's labels are opened and given to `step`, and the
        record and the report of the run say so.
        """
        return ()

    @property
    def starts_from_release(self) -> bool:
        """Whether adaptation starts from the release's weights; otherwise from the network's first, random
        ones.
        """
        return True

    def parameters(self) -> list[nn.Parameter]:
        """What the optimiser moves; all parameters unless the method says otherwise."""
        return [p for p in self.network.parameters() if p.requires_grad]

    def set_mode(self) -> None:
        """Puts the network's modules into the mode of an adaptation step."""
        self.network.train()
        if getattr(self.settings, "batchnorm_statistics", "update") == "frozen":
            for module in self.network.modules():
                if keeps_statistics(module):
                    module.eval()

    def start_iteration(self, iteration: int, iterations: int) -> None:
        """Called before the losses of every iteration, for what follows a schedule over the run.

        Args:
            iteration: counted from 1.
            iterations: of the whole run.
        """

    @abstractmethod
    def step(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The named losses of one batch, already weighted; their sum is minimised.

        Over several processes the trainer takes the mean of what they return, weighted by their slices:
        either each returns the mean over its own part of the batch, or all return the same value of the whole
        batch, through the functions of `monai_sfda.processes`.

        Args:
            batch: `image` (B, C, *spatial), augmented, on the network's device; `label` (B, 1, *spatial) only
                where `target_labels_read` is not empty.
            generator: source of randomness of this step, on the CPU.
        """

    def observe(self, walk: Walk) -> None:
        """What a method that takes no steps (`takes_steps`) does instead; nothing unless it says otherwise.

        Args:
            walk: each call walks once over all target slices.
        """

    def after_step(self) -> None:
        """Called after each step of the optimiser."""

    def published(self) -> dict[str, Tensor]:
        """The weights that the run would publish if it ended now: the network's, unless the method says
        otherwise.
        """
        return self.network.state_dict()

    def finish(self) -> None:
        """Called once after the last step; leaves in the network what the run publishes."""

    def signals(self) -> dict[str, float]:
        """Label-free numbers worth recording beside the losses."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """State beside the network's own that a resumed run needs."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        if state:
            raise SettingError(
                f"method '{self.name}' keeps no state", remedy="delete the checkpoint and start again"
            )


def affine_batchnorms(network: nn.Module, method: str) -> list[_BatchNorm]:
    """The batch norms of a network that keep statistics and have a scale and a shift to learn.

    Raises:
        SettingError: when there is none.
    """
    layers = [m for m in network.modules() if isinstance(m, _BatchNorm) and keeps_statistics(m) and m.affine]
    if not layers:
        raise SettingError(
            f"method '{method}' works on scales and shifts of batch norm, and the network has none",
            remedy="use a network with affine batch norm, or another method",
        )
    return layers


class KerasAdam:
    """Sets Adam's eps and learning rate before each step as Keras would apply them.

    Keras adds eps to the uncorrected root: lr sqrt(1 - b2^t)/(1 - b1^t) m / (sqrt(v) + eps). PyTorch corrects
    the root first; with eps_t = eps / sqrt(1 - b2^t) the two are the same. With eps 0.1 PyTorch's own first
    step is 30 times larger. `decay` is Keras's: lr / (1 + decay t), not weight decay.
    """

    def __init__(self, optimizer: torch.optim.Adam, settings: AdamSettings, learning_rate: float) -> None:
        self.optimizer = optimizer
        self.settings = settings
        self.learning_rate = learning_rate

    def before_step(self, t: int) -> None:
        """Prepares step t, counted from 1."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate / (1 + self.settings.decay * (t - 1))
            if self.settings.keras_eps:
                group["eps"] = self.settings.adam_eps / math.sqrt(1 - group["betas"][1] ** t)
