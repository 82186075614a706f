"""Intensities and the form in which preprocessing travels with a release."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.transforms import Compose

from monai_sfda.catalog import ABDOMEN, Intensity
from monai_sfda.errors import ReleaseError
from monai_sfda.transforms import AdjacentSlicesd, Preprocessing, normalise, preprocessing_for


def test_window_then_zero_mean_unit_variance_then_clip():
    volume = torch.tensor([-1000.0, -125.0, 0.0, 75.0, 275.0, 3000.0])
    windowed = np.clip(volume.numpy(), -125, 275)
    expected = np.clip((windowed - windowed.mean()) / windowed.std(), -3, 3)
    out = normalise(volume, Intensity(window=(-125.0, 275.0)))
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-5)


def test_percentiles_are_the_scans_own():
    volume = torch.arange(1001.0)
    out = normalise(volume, Intensity(percentiles=(0.0, 98.0), clip=None))
    assert float(out.max()) == pytest.approx(float(out[980]))
    assert float(out.mean()) == pytest.approx(0, abs=1e-5)


def test_constant_volume_is_zero_not_nan():
    assert normalise(torch.full((4, 4), 7.0), Intensity()).eq(0).all()


def test_travels_as_json_and_back():
    preprocessing = preprocessing_for(ABDOMEN, ABDOMEN.target, pixel_size_mm=3.2)
    assert Preprocessing.from_json(json.loads(json.dumps(preprocessing.to_json()))) == preprocessing


def test_damaged_json_is_a_release_error():
    with pytest.raises(ReleaseError, match="preprocessing"):
        Preprocessing.from_json({"slice_axis": 2})


def test_slices_of_a_scan_have_the_scans_grid():
    array = np.random.default_rng(0).normal(size=(1, 40, 30, 5)).astype(np.float32) * 100
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    image, grid = preprocessing_for(ABDOMEN, ABDOMEN.target, pixel_size_mm=4.0).image(array, affine)
    assert image.shape == (5, 1, 20, 15)
    label = np.zeros((40, 30, 5), np.uint8)
    assert preprocessing_for(ABDOMEN, ABDOMEN.target, pixel_size_mm=4.0).label(label, grid).shape == (
        5,
        1,
        20,
        15,
    )


def test_pipeline_of_dictionary_transforms_is_the_same():
    """What MONAI users put into a Compose gives what the bundles compute."""
    rng = np.random.default_rng(0)
    array = rng.normal(size=(1, 40, 30, 5)).astype(np.float32) * 100
    label = rng.integers(0, 5, (1, 40, 30, 5)).astype(np.uint8)
    affine = np.diag([2.0, -2.0, 5.0, 1.0])
    preprocessing = preprocessing_for(ABDOMEN, ABDOMEN.target, pixel_size_mm=4.0)
    image, grid = preprocessing.image(array, affine)
    pipeline = Compose(
        [preprocessing.transform("image", "label"), AdjacentSlicesd("stacks", 3, allow_missing_keys=True)]
    )
    out = pipeline({"image": array, "label": label, "affine": affine})
    assert torch.equal(out["image"], image)
    assert torch.equal(out["label"], preprocessing.label(label[0], grid))
    assert out["grid"] == grid
