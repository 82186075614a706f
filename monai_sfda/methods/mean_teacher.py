"""Mean teacher: self-training on what an average of the network's past weights is sure of.

Tarvainen and Valpola 2017, "Mean teachers are better role models" (arXiv 1703.01780); for adaptation French
et al. 2018, "Self-ensembling for visual domain adaptation" (arXiv 1706.05208), without their term on source
images, which are not there. The teacher theta' follows the student theta after each step t,

    theta'_t = alpha theta'_(t-1) + (1 - alpha) theta_t,

and each step minimises, with c = max_k p'_k the teacher's confidence in its prediction y' on a weakly
augmented slice, and p the student's probabilities on the strongly augmented one,

    mean over pixels of 1[c > tau] (-log p_y').

Choices where the two papers leave them open, or segmentation asks for others (*ours*):

- The configuration's `adaptation_augmentation` is the weak one, which both networks see; the student's
  further noise and change of contrast leave every pixel where it is, so that pseudo-labels fit.
- `squared_difference` is French's loss, the mean over classes of (p - p')^2; cross-entropy with the predicted
  class is the default.
- The teacher normalises by the statistics of its batch, which are the target's from the first step on, and
  keeps running statistics of its own; `running` gives it an average of the student's.
- The teacher is what is published, as in the papers.

A step runs a second network forward: the teacher's, without gradient.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from monai_sfda import processes
from monai_sfda.methods.base import CERTAINTY, Method, StepSettings
from monai_sfda.networks import SegmentationNetwork, keeps_statistics
from monai_sfda.release import Release
from monai_sfda.transforms import Augmentation, augment


class MeanTeacherSettings(StepSettings):
    """Settings of the mean teacher.

    Attributes:
        ema: alpha, how much of the teacher stays each step.
        confidence_threshold: tau; pixels of this confidence or less teach nothing.
        consistency: `cross_entropy` with the teacher's class, or `squared_difference` of probabilities.
        student_noise: largest standard deviation of the student's further noise, in units of the image.
        student_gamma: largest further change of its log-contrast.
        teacher_statistics: of the teacher's batch norm: its `batch`, or a `running` average of the student's.
        publish: the `teacher`, or the `student`.
    """

    learning_rate: float = Field(1e-4, gt=0)
    ema: float = Field(0.99, ge=0, lt=1)
    confidence_threshold: float = Field(0.968, ge=0, lt=1)
    consistency: Literal["cross_entropy", "squared_difference"] = "cross_entropy"
    student_noise: float = Field(0.2, ge=0)
    student_gamma: float = Field(0.4, ge=0)
    teacher_statistics: Literal["batch", "running"] = "batch"
    publish: Literal["teacher", "student"] = "teacher"


class MeanTeacher(Method[MeanTeacherSettings]):
    """Self-training by an exponential moving average of the network; see the module's text."""

    name = "mean_teacher"
    title = "mean teacher"
    source = "Tarvainen and Valpola 2017, Mean teachers are better role models; French et al. 2018"
    settings_class = MeanTeacherSettings
    # The student learns the teacher's classes under noise and another contrast: agreement under these, and
    # the means that hold them, follow, not that under other changes, which both networks see alike. Learning
    # one's own classes makes one sure. Running statistics follow the target.
    optimises = CERTAINTY | {
        *("agreement_noise", "agreement_contrast", "agreement", "agreement_worst"),
        "batchnorm",
    }

    def setup(self, network: SegmentationNetwork, release: Release) -> None:
        """Takes the network as student; the teacher starts with the same weights."""
        super().setup(network, release)
        self.teacher = copy.deepcopy(network).requires_grad_(False)
        self._confident = torch.tensor(torch.nan)

    def set_mode(self) -> None:
        """The student trains; the teacher has no dropout. Frozen statistics are so in both."""
        super().set_mode()
        self.teacher.eval()
        settings = self.settings
        if settings.teacher_statistics == "batch" and settings.batchnorm_statistics == "update":
            for module in self.teacher.modules():
                if keeps_statistics(module):
                    module.train()

    def step(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The loss `consistency`."""
        image = batch["image"]
        with torch.no_grad():
            taught = _raised(self.teacher(image)).softmax(1)
        confidence, predicted = taught.max(1)
        sure = (confidence > self.settings.confidence_threshold).to(taught)
        logits = _raised(self.network(self._strongly_augmented(image, generator)))
        if self.settings.consistency == "cross_entropy":
            by_pixel = functional.cross_entropy(logits, predicted, reduction="none")
        else:
            by_pixel = (logits.softmax(1) - taught).square().mean(1)
        self._confident = sure.mean()
        return {"consistency": (sure * by_pixel).mean()}

    def _strongly_augmented(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Noise and contrast; each slice as it would be in the whole batch of all processes."""
        strong = Augmentation(
            rotation_degrees=0.0,
            zoom=0.0,
            shift=0.0,
            sign_flip=0.0,
            gamma=self.settings.student_gamma,
            noise=self.settings.student_noise,
        )
        return augment(image, None, strong, generator, part=processes.place_of_rows(image))[0]

    @torch.no_grad()
    def after_step(self) -> None:
        """The teacher follows the student."""
        alpha = self.settings.ema
        for theirs, ours in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
            theirs.lerp_(ours, 1 - alpha)
        if self.settings.teacher_statistics == "running":
            for average, newest in zip(self.teacher.buffers(), self.network.buffers(), strict=True):
                if average.is_floating_point():
                    average.lerp_(newest, 1 - alpha)
                else:
                    average.copy_(newest)

    def published(self) -> dict[str, Tensor]:
        """The teacher's weights, unless the student is to be published."""
        return (self.teacher if self.settings.publish == "teacher" else self.network).state_dict()

    def finish(self) -> None:
        """Leaves in the network what is published."""
        self.network.load_state_dict(self.published())

    def signals(self) -> dict[str, float]:
        """Share of pixels of the last step, on this process, that the teacher was sure of."""
        return {"confident": float(self._confident)}

    def state_dict(self) -> dict[str, Any]:
        """The teacher."""
        return {"teacher": self.teacher.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.teacher.load_state_dict(state["teacher"])


def _raised(logits: Tensor) -> Tensor:
    """Half precision as float32."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
