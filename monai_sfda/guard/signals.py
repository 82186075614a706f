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


_HIGHER: Literal["higher"] = "higher"
_LOWER: Literal["lower"] = "lower"
_NEITHER: Literal["neither"] = "neither"

SIGNALS: dict[str, Signal] = {
    "entropy": Signal("entropy", "nats", _LOWER, "mean over pixels of -sum_k p_k log p_k"),
    "confidence": Signal(
        "confidence", "", _HIGHER, "mean of the largest p_k over the pixels predicted to be a structure"
    ),
    "soft_dice": Signal(
        "soft Dice confidence",
        "",
        _HIGHER,
        "mean over predicted structures of 2 sum p m / (sum p + sum m), m the predicted mask, over the scan",
    ),
    "soft_dice_worst": Signal(
        "soft Dice confidence, worst structure", "", _HIGHER, "the lowest of the structures' soft Dice"
    ),
    "density": Signal(
        "soft neighbourhood density",
        "nats",
        _HIGHER,
        "mean entropy of softmax(f_i f_j / 0.05), j != i, f the normalised p of pixels drawn evenly",
    ),
    "density_balanced": Signal(
        "soft neighbourhood density, balanced",
        "",
        _HIGHER,
        "the same over as many pixels of each predicted class, divided by log(N - 1) of their number N",
    ),
    "agreement": Signal(
        "agreement under small changes",
        "",
        _HIGHER,
        "mean over the changes below of the mean over structures of the Dice of the mask and that of the "
        "changed scan, changed back",
    ),
    "agreement_soft": Signal(
        "soft agreement under small changes",
        "",
        _HIGHER,
        "the same of probabilities, 2 sum p q / sum (p + q): high where the network is also sure",
    ),
    "agreement_worst": Signal(
        "agreement of the worst structure",
        "",
        _HIGHER,
        "the lowest over structures of its mean Dice over the changes",
    ),
    "agreement_mirror": Signal(
        "agreement under a mirror",
        "",
        _HIGHER,
        "Dice where left and right are exchanged, where a task allows it",
    ),
    "agreement_rotation": Signal(
        "agreement under a rotation",
        "",
        _HIGHER,
        "Dice of slices turned by 10 degrees, alternately either way",
    ),
    "agreement_zoom": Signal(
        "agreement under zoom and shift",
        "",
        _HIGHER,
        "Dice of slices enlarged or shrunk by 1.1 and shifted by 3% of their sides",
    ),
    "agreement_contrast": Signal(
        "agreement under another contrast",
        "",
        _HIGHER,
        "Dice under gain 1.2, offset 0.1, gamma 0.85, and inverse",
    ),
    "agreement_noise": Signal(
        "agreement under noise",
        "",
        _HIGHER,
        "Dice under Gaussian noise of 0.2 standard deviations of the scan",
    ),
    "agreement_ramp": Signal(
        "agreement under an intensity ramp",
        "",
        _HIGHER,
        "Dice under a gain from 0.75 to 1.25 across the slice",
    ),
    "ratio_kl": Signal(
        "class ratios from the source's",
        "nats",
        _LOWER,
        "KL(tau || tau^), tau the release's mean shares, tau^ the mean softmax of the scan",
    ),
    "composition_kl": Signal(
        "shares among the structures from the source's",
        "nats",
        _LOWER,
        "the same without the background, each side scaled to sum 1",
    ),
    "ratio_z": Signal(
        "shares outside the source's spread",
        "standard deviations",
        _LOWER,
        "mean over structures of |z|, z = (share - mean) / max(std, 0.1 mean) of the release",
    ),
    "ratio_z_largest": Signal(
        "share farthest outside the source's spread", "standard deviations", _LOWER, "largest |z|"
    ),
    "ratio_outside": Signal(
        "structures outside the source's range", "structures", _LOWER, "how many |z| exceed 3"
    ),
    "vanished": Signal(
        "vanished structures",
        "structures",
        _LOWER,
        "how many have less than 1% of the release's mean share, or, where it states none, no pixel",
    ),
    "volumes": Signal(
        "volumes unlike the source's",
        "half widths",
        _LOWER,
        "mean over structures of the predicted volume's deviation from the release's reference scans",
    ),
    "volumes_farthest": Signal(
        "volume most unlike the source's", "half widths", _LOWER, "the largest of these deviations"
    ),
    "places": Signal(
        "places unlike the source's",
        "half widths",
        _LOWER,
        "mean deviation of the ways from structure to structure along each axis",
    ),
    "places_farthest": Signal(
        "place most unlike the source's", "half widths", _LOWER, "the largest of these deviations"
    ),
    "atlas": Signal(
        "agreement with the atlas",
        "nats",
        _HIGHER,
        "mean over predicted structures of the mean log-probability of their pixels in the atlas",
    ),
    "atlas_dice": Signal(
        "Dice with the atlas",
        "",
        _HIGHER,
        "mean over structures of 2 sum m a / (sum m + sum a), m the predicted mask, a the atlas",
    ),
    "components": Signal(
        "pieces of a structure",
        "pieces",
        _LOWER,
        "mean over predicted structures of their 3D connected pieces of at least 8 voxels",
    ),
    "largest_component": Signal(
        "share of the largest piece",
        "",
        _HIGHER,
        "mean over predicted structures of the share of their voxels in the largest piece",
    ),
    "continuity": Signal(
        "continuity from slice to slice",
        "",
        _HIGHER,
        "mean over structures of the Dice of the masks of neighbouring slices",
    ),
    "edges": Signal(
        "edges under the outlines",
        "",
        _HIGHER,
        "mean over structures of the mean image gradient on their outline, over that of all pixels",
    ),
    "swd": Signal(
        "sliced Wasserstein distance to the prototypes",
        "standard deviations",
        _LOWER,
        "root of the SWD of a sample of embeddings to pseudo-samples in the predicted proportions",
    ),
    "mahalanobis": Signal(
        "Mahalanobis distance to the prototypes",
        "",
        _LOWER,
        "mean over predicted structures of the root mean square distance of embeddings to their prototype",
    ),
    "batchnorm": Signal(
        "distance of batch-norm statistics",
        "",
        _LOWER,
        "root mean square over layers and channels of the scan's 2-Wasserstein distance to the running ones",
    ),
    "beside_dice": Signal(
        "Dice with the unadapted model",
        "",
        _NEITHER,
        "mean over structures of the Dice of the two models' masks",
    ),
    "changed": Signal(
        "changed pixels",
        "",
        _NEITHER,
        "share of the pixels whose class is another than the unadapted model's",
    ),
}
"""All are of one scan, and count the pixels of its field of view, not the padding round it."""


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
