"""DRN-26 against the layers that its paper prints."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_sfda.errors import SettingError
from monai_sfda.networks import DRN26

# DRN-C-26 of the paper, level by level: channels, dilation of its 3x3 convolutions, how many of them.
LEVELS = (
    (16, 1, 2),
    (32, 1, 2),
    (64, 1, 4),
    (128, 1, 4),
    (256, 2, 4),
    (512, 4, 4),
    (512, 2, 2),
    (512, 1, 2),
)


def test_layers_are_those_of_drn_c_26():
    network = DRN26(256, 5)
    convolutions = [
        m for m in network.levels.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)
    ]
    expected = [(c, d) for c, d, count in LEVELS for _ in range(count)]
    assert [(m.out_channels, m.dilation[0]) for m in convolutions] == expected
    # with the first convolution and the classifier: 26
    assert len(convolutions) + 2 == 26
    assert [m.stride[0] for m in convolutions if m.stride != (1, 1)] == [2]
    assert network.front[0].kernel_size == (7, 7)
    assert not any(isinstance(m, nn.MaxPool2d) for m in network.modules())


def test_degridding_levels_have_no_skip():
    blocks = list(DRN26(4, 5, width=2).levels)
    assert [block.skips for block in blocks] == [True] * 10 + [False] * 2


@pytest.mark.parametrize(("strides", "enlargement"), [((1, 1, 2), 4), ((1, 1, 1), 4), ((1, 1, 1), 2)])
def test_a_latent_map_becomes_an_image(strides, enlargement):
    network = DRN26(6, 3, width=2, strides=strides, enlargement=enlargement).eval()
    z = torch.randn(2, 6, 16, 8)
    assert network(z).shape == (2, 3, 16 * enlargement, 8 * enlargement)
    assert torch.equal(torch.jit.script(network)(z), network(z))


def test_what_lies_far_away_reaches_a_pixel():
    """Dilation widens the view: the first level's kernel alone sees 7 pixels."""
    network = DRN26(2, 2, width=2, strides=(1, 1, 1), enlargement=1).double().eval()
    z = torch.randn(1, 2, 64, 64, dtype=torch.float64, requires_grad=True)
    network(z)[0, :, 32, 32].sum().backward()
    seen = torch.nonzero(z.grad.abs().sum(dim=(0, 1, 3)) > 0)
    assert int(seen.max() - seen.min()) > 40


@pytest.mark.parametrize("changes", [{"strides": (2, 2)}, {"enlargement": 3}])
def test_impossible_sizes_are_refused(changes):
    with pytest.raises(SettingError, match="not possible"):
        DRN26(4, 2, width=2, **changes)
