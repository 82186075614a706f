"""ENet: layout and parameters of the paper's table, resolution, unpooling, TorchScript, learning."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_sfda.networks import ENet, SegmentationNetwork
from monai_sfda.networks.enet import DownsamplingBottleneck, UpsamplingBottleneck


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def by_hand(classes: int) -> int:
    """Parameters written out block by block; `n` is a batch norm, with a PReLU three a channel."""

    def bottleneck(inputs, outputs, first, inner_kernel):
        i = outputs // 4
        return inputs * i * first + 3 * i + i * i * inner_kernel + 3 * i + i * outputs + 2 * outputs + outputs

    regular, asymmetric = bottleneck(128, 128, 1, 9), bottleneck(128, 128, 1, 10)
    section = 6 * regular + 2 * asymmetric
    initial = 3 * 13 * 9 + 3 * 16
    first = bottleneck(16, 64, 4, 9) + 4 * bottleneck(64, 64, 1, 9)
    decoder = (128 * 64 + 2 * 64 + bottleneck(128, 64, 1, 9)) + 2 * bottleneck(64, 64, 1, 9)
    decoder += (64 * 16 + 2 * 16 + bottleneck(64, 16, 1, 9)) + bottleneck(16, 16, 1, 9)
    full = 16 * classes * 9 + classes
    return initial + first + bottleneck(64, 128, 4, 9) + 2 * section + decoder + full


@pytest.mark.parametrize("classes", [5, 12, 19])
def test_parameters_counted_by_hand(classes):
    assert count(ENet(out_channels=classes)) == by_hand(classes)


def test_parameters_are_the_papers():
    """Table 3 of the paper: 0.37 M, for the 19 classes of Cityscapes."""
    assert round(count(ENet(out_channels=19)) / 1e6, 2) == 0.37


def test_sides_and_channels_are_those_of_the_papers_table():
    """Table 1, for an input of 512 x 512, here an eighth of it."""
    network, shapes = ENet(out_channels=19).eval(), {}
    for name, module in network.named_children():
        module.register_forward_hook(
            lambda _, __, out, name=name: shapes.update(
                {name: tuple((out[0] if type(out) is tuple else out).shape[1:])}
            )
        )
    network(torch.zeros(1, 3, 64, 64))
    table = {
        "initial": (16, 256),
        "down1": (64, 128),
        "stage1": (64, 128),
        "down2": (128, 64),
        "stage2": (128, 64),
        "stage3": (128, 64),
        "up4": (64, 128),
        "stage4": (64, 128),
        "up5": (16, 256),
        "stage5": (16, 256),
        "full": (19, 512),
    }
    assert shapes == {name: (channels, side // 8, side // 8) for name, (channels, side) in table.items()}


def test_dilations_and_asymmetric_convolutions_of_both_sections():
    network = ENet()
    for section in (network.stage2, network.stage3):
        inner = [bottleneck.extension[2] for bottleneck in section]
        dilations = [m.dilation[0] if isinstance(m, nn.Conv2d) else [c.kernel_size for c in m] for m in inner]
        assert dilations == [1, 2, [(5, 1), (1, 5)], 4, 1, 8, [(5, 1), (1, 5)], 16]


def test_unpooling_puts_values_back_where_their_maxima_were():
    """With extensions that add nothing, a value goes down and up again to its own place, zeros elsewhere."""
    down, up = DownsamplingBottleneck(4, 8, 0.0).eval(), UpsamplingBottleneck(8, 4, 0.0).eval()
    for block in (down, up):
        nn.init.zeros_(block.extension[4].weight)
    with torch.no_grad():
        up.project[0].weight.copy_(torch.eye(4, 8)[:, :, None, None])
    x = torch.rand(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.1
    back = up(*down(x))
    largest = nn.functional.interpolate(nn.functional.max_pool2d(x, 2), scale_factor=2)
    expected = torch.where(x == largest, x, 0.0)
    torch.testing.assert_close(back, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (40, 72), (33, 57), (5, 9)])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 5), (1, 2), (4, 16), (20, 3)])
def test_embedding_has_the_inputs_size_for_any_channels(size, inputs, outputs):
    network = ENet(in_channels=inputs, out_channels=outputs).eval()
    assert network(torch.randn(2, inputs, *size)).shape == (2, outputs, *size)


def test_torchscript_and_the_contract_of_features_and_classifier(tmp_path):
    network = SegmentationNetwork(ENet(out_channels=6), embedding_channels=6, num_classes=5).eval()
    x = torch.randn(1, 3, 44, 64)
    torch.jit.script(network).save(tmp_path / "network.ts")
    loaded = torch.jit.load(tmp_path / "network.ts")
    torch.testing.assert_close(loaded(x), network(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loaded.classify(loaded.features(x)), network(x), rtol=1e-4, atol=1e-5)


def test_every_parameter_learns_and_steps_lower_the_loss():
    torch.manual_seed(0)
    backbone = ENet(out_channels=5, dropout=(0.0, 0.0))
    network = SegmentationNetwork(backbone, embedding_channels=5, num_classes=5)
    label = torch.zeros(2, 32, 32, dtype=torch.long)
    label[:, 8:24, 8:24] = 2
    x = torch.randn(2, 3, 32, 32) + label[:, None]
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(x), label)
        loss.backward()
        assert all(p.grad is not None and bool(p.grad.any()) for p in network.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
