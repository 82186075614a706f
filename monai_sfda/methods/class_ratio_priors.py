"""Priors tau_e of the class ratio of a slice, for AdaEnt: what the release knows, guesses or is told.

A prior is a function of a batch to (B, K) ratios, rows of sum 1, without gradient.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from monai_sfda.errors import ReleaseError, SettingError
from monai_sfda.losses import label_class_ratio
from monai_sfda.networks import keeps_statistics, synchronise_batchnorm
from monai_sfda.release import MANIFEST, ClassRatio, Release

Prior = Callable[[Mapping[str, Tensor]], Tensor]
PriorName = Literal["statistics", "regressor", "tags"]
RegressorStatistics = Literal["target", "source"]


def statistics_prior(ratio: ClassRatio) -> Prior:
    """The source subjects' mean, the same for every slice."""
    mean = torch.tensor(ratio.mean, dtype=torch.float64)

    def prior(batch: Mapping[str, Tensor]) -> Tensor:
        return mean.expand(len(batch["image"]), -1)

    return prior


def regressor_prior(release: Release, statistics: RegressorStatistics, device: torch.device) -> Prior:
    """What the release's network guesses from the slice itself, as in the paper.

    Args:
        release: with the network.
        statistics: batch norm of that network by the `target` batch's statistics, or by those of the `source`
            as in the paper, which on another modality are another's.
        device: where to compute.

    Raises:
        ReleaseError: when the release has no such network; names the option that trains it.
    """
    if release.class_ratio_regressor is None:
        raise ReleaseError(
            "prior 'regressor' needs the release's network that guesses class ratios, and there is none",
            path=MANIFEST,
            remedy="ask the source site to train with --training#class_ratio_regressor {}, or use prior "
            "'statistics'",
        )
    network = copy.deepcopy(release.class_ratio_regressor).to(device).eval().requires_grad_(False)
    for module in network.modules():
        if keeps_statistics(module) and statistics == "target":
            module.train()
    synchronise_batchnorm(network)

    def prior(batch: Mapping[str, Tensor]) -> Tensor:
        ratio: Tensor = network(batch["image"])
        return ratio.double()

    return prior


def tags_prior(release: Release) -> Prior:
    """The source's mean share of each class that the slice's label shows, 0 for the others.

    It reads the target's labels: a benchmark's, never a user's.
    """
    where_present = _where_present(release)

    def prior(batch: Mapping[str, Tensor]) -> Tensor:
        if "label" not in batch:
            raise SettingError(
                "prior 'tags' reads target labels, and none are given",
                remedy="use 'statistics'; 'tags' is for benchmarks on labelled data",
            )
        shown = label_class_ratio(batch["label"], len(where_present)) > 0
        return _shares_of(shown, where_present.to(shown.device))

    return prior


def _shares_of(shown: Tensor, where_present: Tensor) -> Tensor:
    """(B, K) which classes are shown to ratios: each its share, background what the structures leave.

    Where their means together exceed the image, background is 0 and they are scaled.
    """
    ratio = shown * where_present
    ratio[:, 0] = (1 - ratio[:, 1:].sum(1)).clamp_min(0)
    return ratio / ratio.sum(1, keepdim=True)


def _where_present(release: Release) -> Tensor:
    """(K,) the source's mean share in slices that show the class."""
    assert release.class_ratio is not None  # AdaEnt requires it
    present = release.class_ratio.where_present or (None,) * len(release.class_ratio.mean)
    lacking = [name for name, k in release.labels.items() if k > 0 and present[k] is None]
    if lacking:
        raise ReleaseError(
            f"prior 'tags' needs the share of {', '.join(lacking)} in the slices that show it, and the "
            "release does not state it",
            path=MANIFEST,
            remedy="make the release again with this version and at least three subjects of each structure, "
            "or use prior 'statistics'",
        )
    return torch.tensor([share or 0.0 for share in present], dtype=torch.float64)
