"""What scoring measures of a scan, in one walk of the network over it: how unlike, and how unsure.

The uncertainty of a scan is the mean entropy of the network's probabilities where a structure may be:

    U = sum_v w_v H_v / (log K sum_v w_v),   H_v = -sum_k p_vk log p_vk,   w_v = 1 - p_v,background

over all pixels v of the slices as the network sees them, padding left out, K classes. It is 0 where the
network is certain and 1 where it is undecided between all classes. The weight is the probability of any
structure, so that air round the body does not dilute it, and neither the size of the field of view nor that
of the organs counts; a structure that the network half sees but does not segment still does. In a task
without background every pixel weighs 1. Entropy as a rule of which scan to label: Settles, "Active Learning
Literature Survey", 2009, section 3.1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from monai_sfda.catalog import BACKGROUND
from monai_sfda.data.scan import Scan
from monai_sfda.errors import DataError
from monai_sfda.guard import Familiarity, ScanObserver, compare

if TYPE_CHECKING:
    from monai_sfda.label.models import LoadedModel

_TURN_S = 0.001
"""Between two batches the network is free so long that somebody who waits for a segmentation gets it."""


class StoppedError(Exception):
    """Scoring was told to end in the midst of a scan."""


class NoMemoryError(DataError):
    """The device has no room for a scan now, as while an adaptation runs there."""


def measure(
    loaded: LoadedModel, scan: Scan, stopped: Callable[[], bool] = lambda: False
) -> tuple[Familiarity | None, float]:
    """How far a scan is from what a model knows, and how unsure the model is of it.

    The model's lock is held for one batch of slices at a time: an inference goes before the next batch.

    Args:
        loaded: the model.
        scan: to look at.
        stopped: asked after every batch.

    Returns:
        The familiarity, None for a model that does not say what scans it knows, and the uncertainty.

    Raises:
        StoppedError: when `stopped` says so.
        NoMemoryError: when the device has no room for the scan now.
        DataError: when the network cannot take the scan, or its answer is no number.
    """
    segmenter = loaded.segmenter
    slices, grid = segmenter.preprocessing.image(scan.array, scan.affine)
    pictures = loaded.installed.task.pictures
    observer = None if loaded.scorer is None else ScanObserver(segmenter.network, grid, sized=not pictures)

    def forward(x: Tensor) -> Tensor:
        with loaded.lock, nullcontext() if observer is None else observer.watching():
            logits: Tensor = segmenter.network(x.to(segmenter.device))
        return logits

    background = segmenter.labels.get(BACKGROUND)
    mean = EntropyMean(background)
    try:
        with torch.inference_mode():
            for logits in segmenter.inferer.batches(slices, forward):
                mean.add(logits.float().softmax(1))
                if stopped():
                    raise StoppedError
                time.sleep(_TURN_S)
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise NoMemoryError(
            "the device has too little free memory for the scan",
            remedy="score again when nothing else runs there",
        ) from error
    except RuntimeError as error:
        raise DataError(
            f"the network cannot take a scan of {scan.array.shape[0]} channels",
            remedy="give scans with the channels that the model was trained with",
        ) from error
    uncertainty = mean.share()
    if not math.isfinite(uncertainty):
        raise DataError("the network's answer is no number", remedy="look for values that are no numbers")
    if observer is None or loaded.scorer is None:
        return None, uncertainty
    found = compare(observer.profile(), loaded.scorer.reference, segmenter.labels, pictures=pictures)
    return found, uncertainty


class EntropyMean:
    """The mean entropy of probabilities where a structure may be; see the module.

    Args:
        background: index of the background; None for a task without.

    Example:
        >>> mean = EntropyMean(background=0)
        >>> mean.add(torch.full((1, 4, 8, 8), 0.25))
        >>> round(mean.share(), 6)
        1.0
    """

    def __init__(self, background: int | None) -> None:
        self._background = background
        self._entropy = self._weight = 0.0
        self._classes = 0

    def add(self, p: Tensor) -> None:
        """Probabilities (B, K, H, W) of some slices."""
        self._classes = p.shape[1]
        entropy = torch.special.entr(p).sum(1)
        weight = torch.ones_like(entropy) if self._background is None else 1 - p[:, self._background]
        self._entropy += float((weight * entropy).sum(dtype=torch.float64))
        self._weight += float(weight.sum(dtype=torch.float64))

    def share(self) -> float:
        """U of all slices so far, 0 to 1; 0 where every pixel is certainly background."""
        if self._weight == 0 or self._classes < 2:
            return 0.0
        return self._entropy / (math.log(self._classes) * self._weight)
