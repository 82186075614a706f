"""The label-free signals by which a network on target scans is judged: their names, units and directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Signal:
    """What a number says of one network on one scan.

    Attributes:
        title: for people.
        unit: of its values; empty for none.
        better: which way a good segmentation is expected to move it.
        what: definition, with its equation.
    """

    title: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    what: str


SIGNALS: dict[str, Signal] = {
    "entropy": Signal(
        "entropy", "nats", "lower", "mean over pixels of -sum_k p_k log p_k, in the field of view"
    ),
    "soft_dice": Signal(
        "soft Dice confidence",
        "",
        "higher",
        "mean over predicted structures of 2 sum p m / (sum p + sum m), m the predicted mask, over the scan",
    ),
    "agreement_flip": Signal(
        "agreement under a mirror",
        "",
        "higher",
        "mean over structures of the Dice of the mask and the mask of the mirrored scan, mirrored back",
    ),
    "agreement_intensity": Signal(
        "agreement under changed intensities",
        "",
        "higher",
        "mean over structures of the Dice of the mask and the mask of the scan with changed contrast",
    ),
}


@dataclass(frozen=True)
class ScanSignals:
    """What one network says of one scan. It describes a subject: it stays at the site that has the scan.

    Attributes:
        values: signal to value; one that is undefined for the scan is absent.
        shares: structure to its share of the pixels in the field of view, as predicted.
        segmentation: (S, H, W) predicted classes on the grid of the stacks.
    """

    values: Mapping[str, float]
    shares: Mapping[str, float]
    segmentation: NDArray[np.uint8] = field(repr=False)
