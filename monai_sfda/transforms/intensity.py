"""Intensities of a modality as network input: window or percentiles, zero mean and unit variance, clip."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor

from monai_sfda.catalog import Intensity


def normalise(volume: Tensor, intensity: Intensity) -> Tensor:
    """Window or percentiles, then (v - mean) / standard deviation, then the clip.

    Mean and standard deviation are the volume's own, or the fixed ones of `intensity`.

    Percentiles, mean and deviation are those of the whole volume, or, with `nonzero`, of its voxels that are
    not 0; a volume of zeros counts as a whole. A constant volume becomes zero everywhere.

    Args:
        volume: any shape, float32.
        intensity: what to do.
    """
    counted = volume != 0 if intensity.nonzero and bool(volume.any()) else torch.ones_like(volume).bool()
    if intensity.window is not None:
        volume = volume.clamp(*intensity.window)
    if intensity.percentiles is not None:
        low, high = np.percentile(volume[counted].numpy(), intensity.percentiles)
        volume = volume.clamp(float(low), float(high))
    if intensity.fixed is not None:
        volume = (volume - intensity.fixed[0]) / intensity.fixed[1]
    else:
        std, mean = torch.std_mean(volume[counted].double(), correction=0)
        volume = (volume - mean.float()) / std.float().clamp_min(1e-6)
    return volume if intensity.clip is None else volume.clamp(-intensity.clip, intensity.clip)


class NormaliseIntensityd(MapTransform):
    """`normalise` for each channel of slices (S, C, H, W) in a dictionary.

    Args:
        keys: slices to normalise.
        intensity: what to do, e.g. a catalog domain's `intensity`.
        allow_missing_keys: skip keys that are not there.
    """

    def __init__(self, keys: KeysCollection, intensity: Intensity, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.intensity = intensity

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            channels = torch.as_tensor(d[key]).float().unbind(1)
            d[key] = torch.stack([normalise(channel, self.intensity) for channel in channels], dim=1)
        return d
