"""Outlines on and beside the edges of an image."""

from __future__ import annotations

import pytest
import torch

from monai_sfda.guard.edges import EdgeContrast


def step_image(width: int = 20) -> torch.Tensor:
    image = torch.zeros(2, 3, 10, width)
    image[..., width // 2 :] = 4.0
    return image


def mask_from(column: int, width: int = 20) -> torch.Tensor:
    mask = torch.zeros(2, 10, width, dtype=torch.long)
    mask[..., column:] = 1
    return mask


def contrast(image: torch.Tensor, mask: torch.Tensor, batches: int = 1) -> float | None:
    edges = EdgeContrast(3)
    for x, m in zip(image.chunk(batches), mask.chunk(batches), strict=True):
        edges.update(x, m)
    return edges.mean([1, 2])


@pytest.mark.parametrize("batches", [1, 2])
def test_an_outline_on_the_edge_by_hand(batches):
    """Central differences are 2 in the two columns at the step; the mean over 20 columns is 0.2."""
    assert contrast(step_image(), mask_from(10), batches) == pytest.approx(2 / 0.2)


def test_an_outline_elsewhere_has_none():
    assert contrast(step_image(), mask_from(3)) == 0


def test_an_outline_that_knows_nothing_of_the_image_is_at_one():
    image = torch.randn(8, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(8, 64, 64, dtype=torch.long)
    mask[:, 10:50, 10:50] = 2
    assert contrast(image, mask) == pytest.approx(1.0, abs=0.05)


def test_no_outline_and_no_edge_say_nothing():
    assert contrast(step_image(), torch.zeros(2, 10, 20, dtype=torch.long)) is None
    assert contrast(torch.ones(2, 1, 10, 20), mask_from(10)) is None
