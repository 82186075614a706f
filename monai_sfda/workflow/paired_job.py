"""What every run of `uda.json` is given, whatever its method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monai_sfda.data.stacks import StackDataset
from monai_sfda.errors import SettingError
from monai_sfda.networks import SegmentationNetwork

READ_SOURCE = "not source-free: the method read the source's labelled scans"


@dataclass(frozen=True)
class PairedJob:
    """An adaptation on labelled source scans and target scans at once.

    Attributes:
        network: to train.
        source: labelled source stacks.
        target: target stacks, without labels.
        target_scan: n, the n-th of the target's scans in an order drawn by the seed, or `all`.
        target_slices: so many consecutive slices of them; None for all.
        bundle_root: folder of the bundle that is being run.
        out: the run folder.
        section: lengths and more, as the configuration has them.
        max_epochs, learning_rate: of the adaptation; a rate of None is the method's own.
        batch_size, device, seed, augmentation, amp, accumulate: as in `StepTrainer`.
        guard: the section of that name, see `GuardSettings`; None for its defaults.
    """

    network: SegmentationNetwork
    source: StackDataset
    target: StackDataset
    target_scan: int | str
    target_slices: int | None
    bundle_root: Path
    out: Path
    section: Mapping[str, Any] = field(repr=False)
    max_epochs: int
    learning_rate: float | None
    batch_size: int
    device: str
    seed: int
    augmentation: Mapping[str, float]
    amp: bool
    accumulate: int
    guard: Mapping[str, Any] | None = None

    @property
    def trainer_options(self) -> dict[str, Any]:
        """Options of a `StepTrainer` that are the same in every stage."""
        return {
            "device": self.device,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "augmentation": self.augmentation,
            "amp": self.amp,
            "accumulate": self.accumulate,
        }

    @property
    def target_settings(self) -> dict[str, Any]:
        """What of the target was asked for, for the record."""
        return {"target_scan": self.target_scan, "target_slices": self.target_slices}

    def choose_scan(self) -> None:
        """Cuts the target's list to the scan that is adapted to; the others are never read.

        Raises:
            SettingError: when there is no such scan.
        """
        if self.target.domain != "target":
            raise SettingError(
                f"domain '{self.target.domain}' cannot be adapted to",
                remedy="leave domain out: it is 'target'",
            )
        if self.target_scan == "all":
            return
        cases, scan = self.target.list().cases, self.target_scan
        if not isinstance(scan, int) or not 1 <= scan <= len(cases):
            raise SettingError(
                f"target_scan cannot be {scan!r}: {len(cases)} scans are listed",
                remedy="use a whole number from 1 up to them, or all",
            )
        order = np.random.default_rng([self.seed, len(cases)]).permutation(len(cases))
        self.target.only(cases[int(order[scan - 1])].number)
