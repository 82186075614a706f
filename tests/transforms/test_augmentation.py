"""Augmentation moves image and label together, is reproducible, and does nothing when it is off."""

from __future__ import annotations

import torch

from monai_sfda.transforms import AUGMENTATION_OFF, Augmentation, augment


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    label = torch.zeros(4, 1, 64, 64, dtype=torch.uint8)
    label[:, :, 20:40, 12:30] = 1
    return label.float().repeat(1, 3, 1, 1), label


def test_off_is_the_identity():
    image, label = batch()
    out, moved = augment(image, label, AUGMENTATION_OFF, torch.Generator().manual_seed(0))
    assert torch.equal(out, image)
    assert torch.equal(moved, label)


def test_label_moves_with_the_image():
    image, label = batch()
    settings = Augmentation(20, 0.2, 0.1, 0, 0, 0)
    out, moved = augment(image, label, settings, torch.Generator().manual_seed(0))
    assert not torch.equal(moved, label)
    overlap = ((out[:, :1] > 0.5) == (moved > 0)).float().mean()
    assert float(overlap) > 0.99
    assert set(moved.unique().tolist()) == {0, 1}


def test_seed_decides():
    image, label = batch()
    first, _ = augment(image, label, Augmentation(), torch.Generator().manual_seed(1))
    second, _ = augment(image, label, Augmentation(), torch.Generator().manual_seed(1))
    other, _ = augment(image, label, Augmentation(), torch.Generator().manual_seed(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_sign_flip_multiplies_about_half_the_images_by_minus_one():
    image = torch.ones(400, 1, 4, 4)
    out, _ = augment(image, None, Augmentation(0, 0, 0, 0.5, 0, 0), torch.Generator().manual_seed(0))
    flipped = (out == -1).flatten(1).all(1)
    assert torch.equal(out.abs(), image)
    assert 150 < int(flipped.sum()) < 250


def test_rotation_turns_by_the_angle_on_a_square_and_on_an_oblong_image():
    """The farthest a point at radius r may move under rotation up to a degrees is the chord 2 r sin(a/2)."""
    for height, width in ((64, 64), (48, 96)):
        image = torch.zeros(64, 1, height, width)
        row, column = height // 2, width // 2 + 16
        image[:, :, row - 1 : row + 2, column - 1 : column + 2] = 1
        out, _ = augment(image, None, Augmentation(20, 0, 0, 0, 0, 0), torch.Generator().manual_seed(0))
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        mass = out.sum(dim=(1, 2, 3))
        y = (out[:, 0] * rows).sum((1, 2)) / mass - (height - 1) / 2
        x = (out[:, 0] * columns).sum((1, 2)) / mass - (width - 1) / 2
        radius = (x.square() + y.square()).sqrt()
        angle = torch.atan2(y, x).abs().rad2deg()
        assert float((radius - 16.5).abs().max()) < 1.0
        assert 15 < float(angle.max()) < 22
