"""Changes of a scan: what they do, that the way back leads back, and which a task is tried with."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from monai_sfda.catalog import ABDOMEN, BRAIN_MODALITY, CARDIAC, SPINE, STREET
from monai_sfda.guard.changes import (
    GAIN,
    GAMMA,
    NOISE,
    OFFSET,
    Contrast,
    Mirror,
    Noise,
    Ramp,
    Warp,
    changes_for,
)
from monai_sfda.guard.signals import SIGNALS
from monai_sfda.transforms import task_preprocessing

SLICES = range(4, 10)


def smooth(height: int = 48, width: int = 64, batch: int = 6, channels: int = 3) -> torch.Tensor:
    """A different smooth blob in every slice and channel."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    blobs = [
        torch.exp(-((x - 0.3 * math.sin(i)) ** 2 + (y - 0.3 * math.cos(i)) ** 2) / 0.3)
        for i in range(batch * channels)
    ]
    return torch.stack(blobs).reshape(batch, channels, height, width)


WARPS = [Warp("agreement_rotation", degrees=10), Warp("agreement_zoom", zoom=1.1, shift=0.03)]


@pytest.mark.parametrize("warp", WARPS, ids=lambda w: w.signal)
def test_a_warp_undone_is_what_it_was_where_it_is_known(warp):
    image = smooth()
    warped = warp.apply(image, SLICES)
    back, known = warp.undo(warped, SLICES)
    assert 0.75 < known.float().mean() < 1
    error = (back - image).abs().amax(1)[known].max()
    assert error < 0.02
    assert (warped - image).abs().max() > 5 * error


def test_a_rotation_turns_a_point_by_its_angle():
    """A point right of the centre of a picture twice as wide as high, about 10 degrees up or down."""
    image = torch.zeros(2, 1, 41, 81)
    image[:, :, 20, 60] = 1.0
    turned = Warp("agreement_rotation", degrees=10).apply(image, [0, 1])
    for number, sign in ((0, -1), (1, 1)):
        weight = turned[number, 0]
        row = (weight.sum(1) @ torch.arange(41.0)) / weight.sum() - 20
        column = (weight.sum(0) @ torch.arange(81.0)) / weight.sum() - 40
        assert math.degrees(math.atan2(float(row), float(column))) == pytest.approx(sign * 10, abs=0.5)
        assert math.hypot(float(row), float(column)) == pytest.approx(20, abs=0.3)


ALL = [*WARPS, Contrast(), Noise(7), Ramp(), Mirror((0, 1, 2), 2, 3, pictures=False)]


@pytest.mark.parametrize("change", ALL, ids=lambda c: c.signal)
def test_a_slice_is_changed_in_the_same_way_whatever_its_batch(change):
    image = smooth()
    together = change.apply(image, SLICES)
    alone = torch.cat([change.apply(image[i : i + 1], [s]) for i, s in enumerate(SLICES)])
    torch.testing.assert_close(together, alone)
    assert not torch.equal(together, image)


def test_contrast_by_hand():
    image = smooth()
    low, high = image[0].min(), image[0].max()
    changed = Contrast().apply(image, range(6))
    curved = low + (high - low) * ((image[0] - low) / (high - low)) ** GAMMA
    torch.testing.assert_close(changed[0], GAIN * curved + OFFSET)
    low, high = image[1].min(), image[1].max()
    curved = low + (high - low) * ((image[1] - low) / (high - low)) ** (1 / GAMMA)
    torch.testing.assert_close(changed[1], curved / GAIN - OFFSET)
    constant = torch.full((1, 3, 4, 4), 2.0)
    torch.testing.assert_close(Contrast().apply(constant, [0]), GAIN * constant + OFFSET)


def test_noise_has_its_strength_and_seed():
    image = torch.zeros(2, 3, 128, 128)
    noise = Noise(0).apply(image, [0, 1])
    assert float(noise.std()) == pytest.approx(NOISE, rel=0.02)
    assert torch.equal(noise, Noise(0).apply(image, [0, 1]))
    assert not torch.equal(noise, Noise(1).apply(image, [0, 1]))
    assert not torch.equal(noise[0], noise[1])


def test_a_ramp_keeps_the_lowest_value_and_turns():
    image = torch.ones(4, 1, 3, 5)
    image[:, :, 1, 2] = 0
    ramps = Ramp().apply(image, range(4))[:, 0]
    assert bool((ramps[:, 1, 2] == 0).all())
    torch.testing.assert_close(ramps[0, :, 0], torch.tensor([0.75, 1.0, 1.25]))
    torch.testing.assert_close(ramps[1, 0], torch.linspace(0.75, 1.25, 5))
    torch.testing.assert_close(ramps[2], ramps[0].flip(0))
    torch.testing.assert_close(ramps[3], ramps[1].flip(1))


def test_a_mirror_exchanges_left_and_right_of_the_body_and_of_names():
    image = smooth(channels=6)
    axial = Mirror((0, 2, 1), 2, 3, pictures=False)
    torch.testing.assert_close(axial.apply(image, SLICES), image.flip(2))  # rows run from left to right
    picture = Mirror((0, 1), 2, 1, pictures=True)
    torch.testing.assert_close(picture.apply(image, SLICES), image.flip(3))
    # Sagittal stacks of two channels and three slices: the order of the slices.
    sagittal = Mirror((0, 1), 0, 3, pictures=False)
    torch.testing.assert_close(sagittal.apply(image, SLICES), image[:, [2, 1, 0, 5, 4, 3]])
    p = image[:, :3]
    back, known = axial.undo(axial.apply(p, SLICES), SLICES)
    torch.testing.assert_close(back, p[:, [0, 2, 1]])
    assert known is None


def test_sides_in_names_are_exchanged_by_their_codes():
    kidneys = replace(ABDOMEN, mirrors=True)
    assert kidneys.mirrored_classes == (0, 1, 3, 2, 4)
    assert STREET.mirrored_classes == tuple(range(19))


@pytest.mark.parametrize(
    ("task", "mirrored"),
    [(ABDOMEN, False), (CARDIAC, False), (BRAIN_MODALITY, True), (SPINE, True), (STREET, True)],
)
def test_a_mirror_is_tried_where_the_mirrored_scan_is_a_plausible_one(task, mirrored):
    preprocessing = task_preprocessing(task, "target", 2.0, image_size=(32, 64))
    signals = [change.signal for change in changes_for(task, preprocessing, 0)]
    assert ("agreement_mirror" in signals) == mirrored
    assert len(signals) == 5 + mirrored
    assert set(signals) <= SIGNALS.keys()


def test_a_single_sagittal_slice_is_its_own_mirror_and_not_tried():
    for stack_slices, count in ((1, 5), (3, 6)):
        preprocessing = task_preprocessing(SPINE, "target", 2.0, stack_slices, slice_axis=0)
        assert len(changes_for(SPINE, preprocessing, 0)) == count
