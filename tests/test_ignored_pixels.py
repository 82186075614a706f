"""Ignored pixels count nowhere: losses, statistics of a release and scores are those of the other pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from monai_sfda.catalog import IGNORED
from monai_sfda.evaluation.metrics import score_case
from monai_sfda.evaluation.summary import summarise
from monai_sfda.losses import segmentation_cross_entropy, soft_dice_loss
from monai_sfda.prototype_fit import PrototypeFit

K = 4


@pytest.fixture
def batch():
    """Logits, a label with a left half that is ignored, and both without that half."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, K, 6, 8, generator=generator)
    label = torch.randint(K, (2, 1, 6, 8), generator=generator).to(torch.uint8)
    ignored = label.clone()
    ignored[..., :4] = IGNORED
    return logits, ignored, logits[..., 4:], label[..., 4:]


def test_cross_entropy_is_that_of_the_known_pixels(batch):
    logits, label, known_logits, known_label = batch
    for weighted in (False, True):
        loss = segmentation_cross_entropy(logits, label, weighted=weighted)
        alone = segmentation_cross_entropy(known_logits, known_label, weighted=weighted)
        torch.testing.assert_close(loss, alone)
    expected = functional.cross_entropy(known_logits, known_label[:, 0].long())
    torch.testing.assert_close(segmentation_cross_entropy(logits, label), expected)


def test_soft_dice_is_that_of_the_known_pixels_and_may_count_class_0(batch):
    logits, label, known_logits, known_label = batch
    for background in (True, False):
        loss = soft_dice_loss(logits, label, background=background)
        torch.testing.assert_close(loss, soft_dice_loss(known_logits, known_label, background=background))
    p, y = known_logits.softmax(1), functional.one_hot(known_label[:, 0].long(), K).movedim(-1, 1)
    axes = (0, 2, 3)
    dice = 2 * (p * y).sum(axes) / (p.sum(axes) + y.sum(axes))
    torch.testing.assert_close(soft_dice_loss(logits, label, background=False), 1 - dice.mean())


@pytest.mark.parametrize("weighted", [False, True])
def test_a_picture_without_a_known_pixel_moves_nothing(weighted):
    logits = torch.randn(1, K, 4, 4, requires_grad=True)
    label = torch.full((1, 1, 4, 4), IGNORED, dtype=torch.uint8)
    loss = segmentation_cross_entropy(logits, label, weighted=weighted) + soft_dice_loss(logits, label)
    loss.backward()
    assert bool((logits.grad == 0).all())


def test_prototypes_are_those_of_the_known_pixels():
    generator = torch.Generator().manual_seed(2)
    z, label = torch.randn(900, 3, generator=generator), torch.randint(2, (900,), generator=generator)
    p = functional.one_hot(label, 2) * 0.98 + 0.01
    ignored = label.clone()
    ignored[300:] = IGNORED
    fits = [PrototypeFit(2, 3), PrototypeFit(2, 3)]
    fits[0].update(z, p, ignored, "a")
    fits[1].update(z[:300], p[:300], label[:300], "a")
    first, second = (fit.finish() for fit in fits)
    torch.testing.assert_close(first.mean, second.mean)
    torch.testing.assert_close(first.covariance, second.covariance)
    torch.testing.assert_close(first.pixel_share, second.pixel_share)


def test_scores_of_pictures_pool_the_pixels_of_all_and_have_no_millimetres():
    """IoU from one confusion matrix over all known pixels, as the Cityscapes benchmark computes it."""
    rng = np.random.default_rng(3)
    labels = {"road": 0, "sky": 1, "car": 2, "train": 3}
    pictures = []
    for _ in range(3):
        reference = rng.integers(0, 3, (9, 7, 1)).astype(np.uint8)
        reference[rng.random(reference.shape) < 0.2] = IGNORED
        pictures.append((rng.integers(0, 3, (9, 7, 1)).astype(np.uint8), reference))
    scores = [s for n, pair in enumerate(pictures, 1) for s in score_case(n, *pair, None, labels)]
    summary = summarise(
        scores, task="street", domain="target", split="test", cases=3, protocol={"name": "x"}, pooled=True
    )
    predicted, reference = (np.concatenate([p[i].ravel() for p in pictures]) for i in (0, 1))
    known = reference != IGNORED
    confusion = np.bincount(3 * reference[known] + predicted[known], minlength=9).reshape(3, 3)
    hits = np.diag(confusion)
    iou = hits / (confusion.sum(0) + confusion.sum(1) - hits)
    dice = 2 * hits / (confusion.sum(0) + confusion.sum(1))
    for metric, expected in (("iou", iou), ("dice", dice)):
        per_class = summary[metric]["per_class"]
        assert [per_class[n]["mean"] for n in ("road", "sky", "car")] == pytest.approx(expected.tolist())
        assert per_class["train"] == {"mean": None, "std": None, "n": 0}
        assert summary[metric]["mean"] == pytest.approx(expected.mean())
    assert summary["hd95_mm"]["mean"] is None
    assert summary["undefined"]["train"] == {"both_empty": 3, "one_empty": 0}
    assert {s.reference_ml for s in scores} == {None}
