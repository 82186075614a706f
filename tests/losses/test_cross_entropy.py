"""Weighted cross-entropy against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from monai_sfda.losses import segmentation_cross_entropy
from monai_sfda.losses.cross_entropy import image_class_weights


def test_weight_is_mean_count_over_count_per_image():
    label = torch.tensor([[[0, 0, 0, 1]], [[2, 2, 2, 2]]])
    weights = image_class_weights(label, 3)
    # Image 1: counts 3 and 1, mean 2: weights 2/3 and 2; image 2: one class of 4 pixels: weight 1.
    torch.testing.assert_close(weights, torch.tensor([[2 / 3, 2.0, 0.0], [0.0, 0.0, 1.0]]))


def test_weighted_loss_by_hand():
    logits = torch.zeros(1, 2, 1, 4)
    label = torch.tensor([[[[0, 0, 0, 1]]]])
    by_hand = (3 * (2 / 3) + 1 * 2.0) / 4 * math.log(2)
    assert float(segmentation_cross_entropy(logits, label, weighted=True)) == pytest.approx(by_hand)
    assert float(segmentation_cross_entropy(logits, label)) == pytest.approx(math.log(2))
