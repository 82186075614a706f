"""DeepLabV3 on VGG16: resolution, dilation, parameters beside torchvision's parts, ImageNet weights,
TorchScript.
"""

from __future__ import annotations

import warnings
from itertools import pairwise

import pytest
import torch
from torch import nn

from monai_sfda.errors import CheckpointError
from monai_sfda.networks import DeepLabV3VGG16, SegmentationNetwork
from monai_sfda.networks.deeplab import load_features, load_imagenet_weights, vgg16_features

# Shapes of VGG16's thirteen convolutions (Simonyan and Zisserman 2015, table 1, configuration D).
WIDTHS = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def torchvision():
    """torchvision; its compiled operators, which a CPU build of torch lacks, are not needed here."""
    register = torch.library.register_fake

    def without_torchvisions(operator, *arguments, **options):
        if isinstance(operator, str) and operator.startswith("torchvision::"):
            return lambda function: function
        return register(operator, *arguments, **options)

    torch.library.register_fake = without_torchvisions
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torchvision.models
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision cannot be imported here: {error}")
    finally:
        torch.library.register_fake = register
    return torchvision


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (40, 72), (33, 57)])
def test_embedding_has_the_inputs_size(batch_norm, size):
    network = DeepLabV3VGG16(out_channels=5, batch_norm=batch_norm).eval()
    assert network(torch.randn(2, 3, *size)).shape == (2, 5, *size)
    assert network.encoder(torch.randn(1, 3, 64, 64)).shape == (1, 512, 8, 8)


def test_last_blocks_are_dilated_in_place_of_their_pools():
    convolutions = [m for m in vgg16_features() if isinstance(m, nn.Conv2d)]
    assert [c.dilation[0] for c in convolutions] == [1] * 7 + [2] * 3 + [4] * 3
    assert [c.in_channels for c in convolutions] == WIDTHS[:-1]
    assert [c.out_channels for c in convolutions] == WIDTHS[1:]
    assert sum(isinstance(m, nn.MaxPool2d) for m in vgg16_features()) == 3


def test_dilated_convolution_sees_what_its_dilation_says():
    """The gradient of one output pixel of a block-5 convolution reaches exactly the nine pixels 4 apart."""
    convolution = [m for m in vgg16_features() if isinstance(m, nn.Conv2d)][-1]
    x = torch.zeros(1, 512, 21, 21, requires_grad=True)
    convolution(x)[0, :, 10, 10].sum().backward()
    rows, columns = torch.nonzero(x.grad[0].abs().sum(0), as_tuple=True)
    expected = [(r, c) for r in (6, 10, 14) for c in (6, 10, 14)]
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == expected


def test_parameters_counted_by_hand():
    encoder = sum(9 * a * b + b for a, b in pairwise(WIDTHS))
    branch = 2 * 256  # batch norm
    pyramid = 2 * (512 * 256 + branch) + 3 * (9 * 512 * 256 + branch) + (5 * 256 * 256 + branch)
    head = 9 * 256 * 256 + branch
    network = DeepLabV3VGG16(out_channels=5)
    assert encoder == 14_714_688
    assert count(network.encoder) == encoder
    assert count(network) == encoder + pyramid + head + 256 * 5 + 5


@pytest.mark.parametrize("batch_norm", [False, True])
def test_parameters_equal_torchvisions_parts(batch_norm):
    models = torchvision().models
    vgg = (models.vgg16_bn if batch_norm else models.vgg16)(weights=None)
    head = models.segmentation.deeplabv3.DeepLabHead(512, 5)
    network = DeepLabV3VGG16(out_channels=5, batch_norm=batch_norm)
    assert count(network.encoder) == count(vgg.features)
    assert count(network) == count(vgg.features) + count(head)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_imagenet_weights_go_in_by_name(tmp_path, batch_norm):
    """A state dict with torchvision names, `features.<index>.weight`, and a classifier that is not used."""
    other = vgg16_features(batch_norm=batch_norm)
    weights = {f"features.{name}": t for name, t in other.state_dict().items()}
    weights["classifier.0.weight"] = torch.zeros(3, 3)
    torch.save(weights, tmp_path / "vgg16.pth")
    network = DeepLabV3VGG16(batch_norm=batch_norm)
    load_imagenet_weights(network, tmp_path / "vgg16.pth")
    for name, t in other.state_dict().items():
        assert torch.equal(network.encoder.state_dict()[name], t), name


def test_same_features_as_torchvision_before_the_dilation():
    models = torchvision().models
    vgg = models.vgg16(weights=None).eval()
    network = DeepLabV3VGG16().eval()
    load_features(network, vgg.state_dict())
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(network.encoder[:17](x), vgg.features[:17](x))


def test_weights_of_another_network_are_refused(tmp_path):
    weights = {f"features.{n}": t for n, t in vgg16_features().state_dict().items()}
    with pytest.raises(CheckpointError, match="vgg16_bn"):
        load_features(DeepLabV3VGG16(batch_norm=True), weights)
    with pytest.raises(CheckpointError, match="VGG16"):
        load_features(DeepLabV3VGG16(in_channels=1), weights)


def test_torchscript_and_the_contract_of_features_and_classifier(tmp_path):
    network = SegmentationNetwork(DeepLabV3VGG16(out_channels=5), embedding_channels=5, num_classes=5).eval()
    x = torch.randn(1, 3, 64, 64)
    torch.jit.script(network).save(tmp_path / "network.ts")
    torch.testing.assert_close(torch.jit.load(tmp_path / "network.ts")(x), network(x), rtol=1e-4, atol=1e-5)
    assert torch.equal(network(x), network.classify(network.features(x)))


def test_one_step_lowers_the_loss():
    torch.manual_seed(0)
    network = SegmentationNetwork(
        DeepLabV3VGG16(out_channels=5, dropout=0.0), embedding_channels=5, num_classes=5
    )
    x, label = torch.randn(2, 3, 32, 32), torch.zeros(2, 32, 32, dtype=torch.long)
    label[:, 8:24, 8:24] = 2
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, eps=1e-6)
    losses = []
    for _ in range(4):
        loss = nn.functional.cross_entropy(network(x), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
