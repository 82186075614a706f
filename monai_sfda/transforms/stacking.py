"""2.5D: neighbouring slices as the channels of one input, as views of the cached volume."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor
from torch.nn import functional

from monai_sfda.errors import SettingError


def clamp_edges(slices: Tensor, stack_slices: int) -> Tensor:
    """Repeats the first and the last slice so that every stack is a plain view.

    Args:
        slices: (S, C, H, W).
        stack_slices: n, odd.

    Returns:
        (C, S + n - 1, H, W), contiguous.
    """
    if stack_slices < 1 or stack_slices % 2 == 0:
        raise SettingError(
            f"stack_slices {stack_slices} is not possible", remedy="use an odd number: 1, 3, 5 ..."
        )
    reach = stack_slices // 2
    index = torch.arange(-reach, slices.shape[0] + reach).clamp(0, slices.shape[0] - 1)
    return slices.transpose(0, 1)[:, index].contiguous()


def stack_view(clamped: Tensor, index: int, stack_slices: int) -> Tensor:
    """Slices index - n//2 ... index + n//2 as (C, n, H, W), a view of what `clamp_edges` returned."""
    return clamped[:, index : index + stack_slices]


class AdjacentSlicesd(MapTransform):
    """Turns each volume (C, S, H, W) of a dictionary into all its stacks (S, C * n, H, W).

    The dictionary form of `clamp_edges` and `stack_view`, for MONAI pipelines that want every slice of a
    volume at once. With one channel the result is a strided view: memory does not grow with n.

    Args:
        keys: volumes to stack.
        stack_slices: n, odd; slices beyond the ends repeat the last one.
        allow_missing_keys: skip keys that are not there.
    """

    def __init__(self, keys: KeysCollection, stack_slices: int = 3, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.stack_slices = stack_slices

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = all_stacks(
                clamp_edges(torch.as_tensor(d[key]).transpose(0, 1), self.stack_slices), self.stack_slices
            )
        return d


def all_stacks(clamped: Tensor, stack_slices: int) -> Tensor:
    """Every stack of what `clamp_edges` returned: (C, S + n - 1, H, W) -> (S, C * n, H, W), a view when C is
    1.
    """
    windows = clamped.unfold(1, stack_slices, 1)  # (C, S, H, W, n)
    return windows.permute(1, 0, 4, 2, 3).flatten(1, 2)


def pad_plane(slices: Tensor, size: tuple[int, int], value: float) -> tuple[Tensor, tuple[int, int]]:
    """Pads H and W at both sides to at least `size`; returns the offset of the old origin too."""
    missing = [max(0, want - have) for want, have in zip(size, slices.shape[-2:], strict=True)]
    top, left = missing[0] // 2, missing[1] // 2
    padded = functional.pad(slices, (left, missing[1] - left, top, missing[0] - top), value=value)
    return padded, (top, left)
