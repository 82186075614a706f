"""What analyses compute: pixels, silhouettes and responses against the same thing computed apart."""

from __future__ import annotations

import sys

import pytest
import torch
from torch.nn import functional

from monai_sfda.benchmark.embedding import plane_of, require_umap, samples_a_class, silhouette
from monai_sfda.benchmark.pixels import balanced_pixels, embed_pixels
from monai_sfda.benchmark.responses import convolution_responses
from monai_sfda.data.stacks import StackDataset
from monai_sfda.errors import SettingError
from tests.builders import prototypes, small_network, toy_abdomen


def test_balanced_pixels_takes_as_many_of_each_class_and_all_of_a_rare_one():
    classes = torch.tensor([0] * 500 + [1] * 100 + [2] * 3)[torch.randperm(603)]
    chosen = balanced_pixels(classes, 50, torch.Generator().manual_seed(0))
    assert torch.bincount(classes[chosen]).tolist() == [50, 50, 3]
    assert torch.equal(chosen, chosen.unique())


def test_embedded_pixels_are_those_of_the_whole_slices(tmp_path):
    path = toy_abdomen(tmp_path)
    dataset = StackDataset(
        "abdomen", "target", "train", tmp_path, datalist=path, image_size=32, pixel_size_mm=3.2
    )
    network = small_network().eval()
    with torch.no_grad():
        images = torch.stack([dataset[i]["image"] for i in range(len(dataset))])
        z = network.features(images).permute(0, 2, 3, 1).reshape(-1, 4)
        predicted = network(images).argmax(1).flatten()
    pixels = torch.randperm(len(z), generator=torch.Generator().manual_seed(0))[:400].sort().values
    got, classes = embed_pixels(network, dataset, pixels)
    torch.testing.assert_close(got, z[pixels])
    assert torch.equal(classes, predicted[pixels])


def test_silhouette_of_two_pairs_in_closed_form():
    """Two classes of two points each on a line: a = 1; b of an inner point 9.5, of an outer one 10.5."""
    points = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    expected = ((1 - 1 / 10.5) + (1 - 1 / 9.5)) / 2
    assert silhouette(points, torch.tensor([0, 0, 1, 1])) == pytest.approx(expected)
    assert silhouette(points, torch.zeros(4)) is None


def test_pseudo_samples_of_a_figure_are_equally_many_a_class():
    z, classes = samples_a_class(prototypes(), torch.Generator().manual_seed(0))
    counts = torch.bincount(classes)
    assert len(z) == len(classes) == 1500
    assert int(counts.max() - counts.min()) <= 1


def test_umap_keeps_far_classes_apart_and_is_the_same_every_time():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(120, 5, generator=generator) + 30 * torch.arange(2).repeat_interleave(60)[:, None]
    plane = plane_of(points)
    assert plane.shape == (120, 2)
    assert silhouette(torch.from_numpy(plane), torch.arange(2).repeat_interleave(60)) > 0.7
    assert (plane == plane_of(points)).all()


def test_a_missing_umap_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "umap", raising=False)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(SettingError, match=r"umap-learn.*pip install"):
        require_umap()


def test_responses_are_the_convolutions_own_in_the_order_of_their_calls():
    network = small_network().eval()
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, second = convolution_responses(network, image, (1, 2, 99))
    convolutions = [m for m in network.backbone.modules() if isinstance(m, torch.nn.Conv2d)]
    one = convolutions[0]
    with torch.no_grad():
        expected = functional.conv2d(image, one.weight, one.bias, stride=one.stride, padding=one.padding)
    torch.testing.assert_close(first, expected)
    assert second.shape[1] == convolutions[1].out_channels
    assert not any(m._forward_hooks for m in network.modules())


def test_umap_leaves_torch_its_threads():
    """Results depend on the number of threads in the last digits: a figure must not change a later run."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        plane_of(torch.randn(60, 3, generator=torch.Generator().manual_seed(0)))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
