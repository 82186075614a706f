"""Dice sums of a stream against MONAI's Dice of the whole."""

from __future__ import annotations

import pytest
import torch
from monai.metrics import compute_dice
from torch.nn import functional

from monai_sfda.guard.overlap import Overlap, mean_of_shown


@pytest.mark.parametrize("batches", [1, 3, 12])
def test_a_stream_has_the_dice_of_the_whole(batches):
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randint(0, 4, (2, 12, 9, 7), generator=generator)
    overlap = Overlap(4)
    for a, b in zip(first.chunk(batches), second.chunk(batches), strict=True):
        overlap.update(a, b)
    one_hot = [functional.one_hot(m.flatten(), 4).T[None] for m in (first, second)]
    expected = compute_dice(*one_hot, include_background=True)[0].double()
    torch.testing.assert_close(overlap.dice(range(4)), expected, rtol=1e-6, atol=1e-6)


def test_only_what_is_asked_for_counts():
    first, second = torch.tensor([[0, 1, 1, 2]]), torch.tensor([[0, 1, 2, 2]])
    overlap = Overlap(3)
    overlap.update(first, second, torch.tensor([[True, True, False, True]]))
    assert overlap.dice([0, 1, 2]).tolist() == [1, 1, 1]


def test_soft_dice_is_one_only_for_equal_and_certain_probabilities():
    p = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0)).softmax(1)
    certain = functional.one_hot(p.argmax(1), 3).movedim(-1, 1).float()
    for a, b in ((certain, certain), (p, p), (p, certain), (p, p.flip(0))):
        overlap = Overlap(3)
        overlap.update_soft(a, b)
        expected = 2 * (a * b).sum((0, 2, 3)) / (a + b).sum((0, 2, 3))
        torch.testing.assert_close(overlap.dice(range(3)), expected.double(), rtol=1e-5, atol=1e-6)
        assert bool((overlap.dice(range(3)) == 1).all()) == (a is certain)


def test_a_class_that_neither_shows_has_no_dice():
    overlap = Overlap(3)
    overlap.update(torch.tensor([0, 1]), torch.tensor([0, 1]))
    dice = overlap.dice([1, 2])
    assert dice[0] == 1
    assert bool(dice[1].isnan())
    assert mean_of_shown(dice) == 1
    assert mean_of_shown(dice[1:]) is None
