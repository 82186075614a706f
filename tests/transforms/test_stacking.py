"""2.5D stacks: content, clamped edges, and that no memory is copied."""

from __future__ import annotations

import pytest
import torch

from monai_sfda.errors import SettingError
from monai_sfda.transforms import AdjacentSlicesd, all_stacks, clamp_edges, pad_plane, stack_view


@pytest.mark.parametrize("n", [1, 3, 5])
def test_stack_holds_the_neighbours_and_repeats_the_ends(n):
    slices = torch.arange(6.0).reshape(6, 1, 1, 1).expand(6, 1, 2, 2)
    clamped = clamp_edges(slices, n)
    for i in range(6):
        expected = [min(max(j, 0), 5) for j in range(i - n // 2, i + n // 2 + 1)]
        assert stack_view(clamped, i, n)[0, :, 0, 0].tolist() == expected
        assert all_stacks(clamped, n)[i, :, 1, 1].tolist() == expected


def test_stacks_are_views_of_one_volume():
    clamped = clamp_edges(torch.randn(50, 1, 16, 16), 3)
    storage = clamped.untyped_storage().data_ptr()
    assert stack_view(clamped, 7, 3).untyped_storage().data_ptr() == storage
    assert all_stacks(clamped, 3).untyped_storage().data_ptr() == storage
    assert clamped.numel() == 52 * 16 * 16


def test_channels_keep_their_own_neighbours():
    slices = torch.stack([torch.arange(4.0), 10 + torch.arange(4.0)], dim=1)[:, :, None, None]
    assert all_stacks(clamp_edges(slices, 3), 3)[1].flatten().tolist() == [0, 1, 2, 10, 11, 12]


def test_dictionary_transform_for_monai_pipelines():
    volume = torch.arange(5.0).reshape(1, 5, 1, 1)
    out = AdjacentSlicesd("image", 3)({"image": volume, "label": 7})
    assert out["image"].shape == (5, 3, 1, 1)
    assert out["image"][0].flatten().tolist() == [0, 0, 1]
    assert out["label"] == 7


@pytest.mark.parametrize("n", [0, 2, -1])
def test_even_stacks_are_refused(n):
    with pytest.raises(SettingError, match="odd"):
        clamp_edges(torch.zeros(3, 1, 2, 2), n)


def test_padding_reports_where_the_old_origin_is():
    padded, (top, left) = pad_plane(torch.ones(1, 1, 3, 4), (8, 4), -2.0)
    assert padded.shape == (1, 1, 8, 4)
    assert (top, left) == (2, 0)
    assert padded[0, 0, top : top + 3, left : left + 4].eq(1).all()
    assert float(padded.min()) == -2
