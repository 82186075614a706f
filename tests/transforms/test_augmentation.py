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


def test_shear_moves_a_row_by_its_height_and_no_row_up_or_down():
    """A point r rows from the centre moves along its row by r tan(a), a at most the angle given."""
    image = torch.zeros(64, 1, 65, 65)
    image[:, :, 15:18, 31:34] = 1  # 16 rows above the centre
    settings = Augmentation(0, 0, 0, 0, 0, 0, shear_degrees=20)
    out, _ = augment(image, None, settings, torch.Generator().manual_seed(0))
    rows, columns = torch.meshgrid(torch.arange(65.0), torch.arange(65.0), indexing="ij")
    mass = out.sum(dim=(1, 2, 3))
    moved = (out[:, 0] * columns).sum((1, 2)) / mass - 32
    torch.testing.assert_close((out[:, 0] * rows).sum((1, 2)) / mass, torch.full((64,), 16.0))
    angles = torch.atan2(moved.abs(), torch.tensor(16.0)).rad2deg()
    assert 17 < float(angles.max()) <= 20.1
    assert float(moved.min()) < 0 < float(moved.max())


def test_elastic_displacement_is_smooth_and_as_large_as_said():
    """On a ramp the change of value is the displacement in pixels."""
    ramp = torch.arange(96.0).repeat(200, 1, 96, 1)
    settings = Augmentation(0, 0, 0, 0, 0, 0, elastic=0.02)
    out, _ = augment(ramp, None, settings, torch.Generator().manual_seed(0))
    displacement = (out - ramp)[:, 0, 16:-16, 16:-16]
    # standard deviations are uniform up to 2% of 96 pixels: their root mean square is that over sqrt(3), less
    # between the control points
    expected = 0.02 * 96 / 3**0.5
    assert 0.6 * expected < float(displacement.square().mean().sqrt()) < 1.05 * expected
    assert float(displacement.diff(dim=-1).abs().mean()) < 0.1 * expected


def test_elastic_moves_the_label_with_the_image():
    image, label = batch()
    out, moved = augment(
        image, label, Augmentation(0, 0, 0, 0, 0, 0, elastic=0.05), torch.Generator().manual_seed(0)
    )
    assert not torch.equal(moved, label)
    assert float(((out[:, :1] > 0.5) == (moved > 0)).float().mean()) > 0.98
