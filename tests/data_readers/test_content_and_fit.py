"""Scans under two names, and labels on another's image: measures checked against another library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import f_oneway

from monai_sfda.catalog import IGNORED
from monai_sfda.data.case import Case
from monai_sfda.data.content import content_of, copies, refuse_copies
from monai_sfda.data.label_fit import LabelledImage, exchanged, fit, suspects, thin_out
from monai_sfda.errors import DataError

RANDOM = np.random.default_rng(3)


def case(name: str) -> Case:
    return Case(1, name, (Path("/data/scans") / name,), None, "btcv", root=Path("/data"))


def test_content_is_of_the_values() -> None:
    array = RANDOM.normal(size=(1, 40, 30, 20)).astype(np.float32)
    other = array.copy()
    other[0, 3, 4, 5] += 1
    assert content_of(array) == content_of(array.copy())
    assert content_of(array) != content_of(other)
    assert content_of(array) != content_of(array.reshape(1, 30, 40, 20))
    label = array[0] > 0
    assert content_of(label, every_value=True) == content_of(np.asfortranarray(label), every_value=True)


def test_of_large_scans_a_million_values_tell() -> None:
    large = RANDOM.integers(0, 1000, (1, 256, 256, 60)).astype(np.float32)
    assert content_of(large) == content_of(large.copy())
    assert content_of(large) != content_of(np.flip(large, axis=1))
    assert content_of(large) != content_of(np.roll(large, 1, axis=3))


def test_copies_name_both_files_and_a_file_listed_twice_is_none() -> None:
    listed = [(case("a"), "1"), (case("b"), "2"), (case("c"), "1"), (case("a"), "1")]
    assert [(one.subject, other.subject) for one, other in copies(listed)] == [("a", "c")]
    with pytest.raises(DataError, match=r"the same scan as scans/a, voxel for voxel in scans/c: download"):
        refuse_copies(listed)
    refuse_copies(listed[:2])


def blobs(seed: int, contrast: float = 40.0) -> LabelledImage:
    """Two structures at places of the seed, in noise."""
    random = np.random.default_rng(seed)
    label = np.zeros((24, 24, 12), np.uint8)
    for index in (1, 2):
        x, y, z = random.integers(2, (14, 14, 5))
        label[x : x + 8, y : y + 8, z : z + 5] = index
    channels = contrast * label[None] + random.normal(0, 10, (2, *label.shape))
    return LabelledImage(channels.astype(np.float32), label, background=True)


def test_fit_is_the_share_of_variance_that_analysis_of_variance_gives() -> None:
    image = blobs(0)
    picture = LabelledImage(image.channels[:1], image.label, background=False)  # without a rim: every voxel
    low, high = np.percentile(image.channels[0], (1, 99))
    values = np.clip(image.channels[0], low, high).astype(np.float64)
    found = f_oneway(*(values[image.label == index] for index in range(3)))
    between, within = 2, image.label.size - 3
    expected = found.statistic * between / (found.statistic * between + within)
    assert fit(picture, image.label) == pytest.approx(expected, rel=1e-6)


def test_ignored_pixels_and_labels_without_structures_say_nothing() -> None:
    image = blobs(0)
    hidden = image.label.copy()
    hidden[hidden == 2] = IGNORED
    cleared = LabelledImage(np.where(hidden == IGNORED, 1e6, image.channels), hidden, background=True)
    assert fit(cleared, hidden) > 0.5
    assert fit(image, np.zeros_like(image.label)) == 0.0


@pytest.mark.parametrize("order", [[1, 0, 2, 3, 4], [0, 3, 1, 2, 4]])
def test_exchanged_labels_are_found_with_their_owners(order: list[int]) -> None:
    sound = [blobs(seed) for seed in range(5)]
    mixed = [
        LabelledImage(image.channels, sound[number].label, background=True)
        for image, number in zip(sound, order, strict=True)
    ]
    assert exchanged(mixed) == [(i, order.index(i)) for i in range(5) if order[i] != i]
    assert exchanged(sound) == []
    assert exchanged(sound[:1]) == []


def test_noise_is_no_exchange() -> None:
    assert exchanged([blobs(seed, contrast=0.0) for seed in range(8)]) == []


def test_those_that_fit_worst_are_compared_and_large_volumes_thinned_out() -> None:
    assert suspects({number: 1.0 / (number + 1) for number in range(40)}, most=3) == [37, 38, 39]
    image = thin_out(
        np.zeros((1, 200, 96, 97), np.float32), np.zeros((200, 96, 97), np.uint8), background=True
    )
    assert image.channels.shape == (1, 67, 96, 49)
    assert image.label.shape == (67, 96, 49)
