"""Uncertainty of a prediction: a known network's closed forms, orientations, pads, largest component."""

from __future__ import annotations

import json
import math

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from monai_sfda.catalog import Intensity
from monai_sfda.data.folder import find_scans
from monai_sfda.data.picture import write_map_picture
from monai_sfda.data.scan import Scan
from monai_sfda.data.writing import write_map
from monai_sfda.engines import SliceStackInferer, segment_scan
from monai_sfda.engines.uncertainty import predict_scan
from monai_sfda.errors import OutputError
from monai_sfda.evaluation.regions import largest_component
from monai_sfda.transforms import Preprocessing
from tests.builders import small_network
from tests.transforms.test_geometry import affine_of, oblique

LABELS = {"background": 0, "inner": 1, "outer": 2, "absent": 3}
PLAIN = Intensity(window=None, percentiles=None, clip=None)


class Known(torch.nn.Module):
    """Logits (0, a x, b x, -50) of the middle slice's value x: every probability is known."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x[:, x.shape[1] // 2]
        return torch.stack([torch.zeros_like(x), 1.5 * x, -0.7 * x, torch.full_like(x, -50.0)], dim=1)


def probabilities(array):
    """(4, X, Y, Z) in double precision, of the values as they are normalised."""
    x = (array[0].astype(np.float64) - array.mean(dtype=np.float64)) / array.std(dtype=np.float64)
    exponentials = np.exp(np.stack([np.zeros_like(x), 1.5 * x, -0.7 * x, np.full_like(x, -50.0)]))
    return exponentials / exponentials.sum(0)


def predict(array, affine=None, *, slice_axis=2, pixel=None, network=None, **more):
    affine = np.eye(4) if affine is None else affine
    preprocessing = Preprocessing(slice_axis, pixel, 3, PLAIN)
    inferer = SliceStackInferer(3, batch_size=4)
    return predict_scan(
        Scan(array, affine), network or Known(), preprocessing, inferer, "cpu", LABELS, entropy=True, **more
    )


def noise(shape=(21, 18, 25), seed=0):
    return np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "RPI", "SAR", "PIL", "ASL", "IRP"])
@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_entropy_is_the_closed_form_at_every_voxel_of_every_orientation(codes, slice_axis):
    """The slices are padded for the network (18 to 32): nothing of the pads reaches the map."""
    array = noise()
    p = probabilities(array)
    found = predict(array, oblique(affine_of(codes, (0.7, 1.3, 5.0))), slice_axis=slice_axis)
    assert found.entropy.dtype == np.float32
    np.testing.assert_allclose(found.entropy, -(p * np.log(p)).sum(0), atol=2e-5)
    np.testing.assert_array_equal(found.classes, p.argmax(0))


def test_confidences_are_the_sums_that_define_them():
    array = noise()
    p = probabilities(array)
    found = predict(array)
    for index, name in ((1, "inner"), (2, "outer")):
        m = p.argmax(0) == index
        assert found.confidence[name].mean_probability == pytest.approx(p[index][m].mean(), rel=1e-5)
        soft = 2 * p[index][m].sum() / (p[index].sum() + m.sum())
        assert found.confidence[name].soft_dice == pytest.approx(soft, rel=1e-5)
    assert found.confidence["absent"] is None
    assert "background" not in found.confidence


def test_soft_dice_is_the_dice_to_expect_of_a_calibrated_network():
    """References drawn voxel by voxel from the probabilities have this Dice in the mean."""
    array = noise((30, 30, 10))
    p = probabilities(array)
    m = p.argmax(0) == 1
    found = predict(array).confidence["inner"]
    rng = np.random.default_rng(1)
    truth = [rng.random(m.shape) < p[1] for _ in range(100)]
    dice = [2 * (m & y).sum() / (m.sum() + y.sum()) for y in truth]
    assert found.soft_dice == pytest.approx(np.mean(dice), abs=4 * np.std(dice) / 10 + 1e-3)


def test_undecided_and_certain():
    class Undecided(torch.nn.Module):
        def forward(self, x):
            return torch.zeros(x.shape[0], 4, *x.shape[2:])

    class Certain(torch.nn.Module):
        def forward(self, x):
            return torch.tensor([0.0, 500.0, 0, 0]).view(1, 4, 1, 1).expand(x.shape[0], -1, *x.shape[2:])

    nowhere, everywhere = (predict(noise((9, 7, 5)), network=net()) for net in (Undecided, Certain))
    np.testing.assert_allclose(nowhere.entropy, math.log(4), rtol=1e-6)
    assert all(value is None for value in nowhere.confidence.values())
    assert np.all(everywhere.entropy == 0)
    assert everywhere.confidence["inner"].to_json() == {"mean_probability": 1.0, "soft_dice": 1.0}


def test_the_mask_is_that_of_segment_scan_through_resampling_too():
    scan = Scan(noise((40, 33, 9)), affine_of("LPS", (0.9, 0.9, 4.0)))
    preprocessing, network = Preprocessing(2, 1.6, 3, PLAIN), small_network().eval()
    inferer = SliceStackInferer(3, batch_size=2)
    labels = {"background": 0, **{f"s{k}": k for k in range(1, 5)}}
    found = predict_scan(scan, network, preprocessing, inferer, "cpu", labels)
    np.testing.assert_array_equal(found.classes, segment_scan(scan, network, preprocessing, inferer, "cpu"))
    assert found.entropy is None


@pytest.mark.parametrize("codes", ["RAS", "PIL"])
def test_largest_component_lowers_soft_dice_by_what_was_taken_away(codes):
    """Two blocks of 'inner', one smaller: its probability counts in the sum, its voxels no more."""
    array = np.full((1, 20, 20, 12), -0.2, np.float32)
    array[0, 2:10, 2:10, 2:10] = 6.0
    array[0, 14:17, 14:17, 4:8] = 4.0
    p = probabilities(array)
    found = predict(array, affine_of(codes, (1.0, 1.0, 1.0)), keep_largest=True)
    mask = p.argmax(0)
    kept = largest_component(mask.astype(np.uint8), LABELS)
    assert 0 < (kept == 1).sum() < (mask == 1).sum()
    np.testing.assert_array_equal(found.classes, kept)
    m = kept == 1
    assert found.confidence["inner"].mean_probability == pytest.approx(p[1][m].mean(), rel=1e-5)
    soft = 2 * p[1][m].sum() / (p[1].sum() + m.sum())
    assert found.confidence["inner"].soft_dice == pytest.approx(soft, rel=1e-5)
    whole = predict(array, affine_of(codes, (1.0, 1.0, 1.0)))
    assert whole.confidence["inner"].soft_dice > found.confidence["inner"].soft_dice
    np.testing.assert_array_equal(whole.entropy, found.entropy)


def test_probabilities_that_are_no_numbers_give_no_confidence():
    class Broken(torch.nn.Module):
        def forward(self, x):
            return torch.full((x.shape[0], 4, *x.shape[2:]), float("nan"))

    found = predict(noise((6, 6, 3)), network=Broken())
    assert json.dumps({k: v and v.to_json() for k, v in found.confidence.items()}, allow_nan=False)
    assert all(value is None for value in found.confidence.values())


def test_a_map_is_stored_value_for_value_on_the_scan_grid(tmp_path):
    scan = Scan(noise((5, 6, 7)), oblique(affine_of("LAS", (0.7, 1.3, 5.0))))
    write_map(tmp_path / "a_entropy.nii.gz", scan.array[0], scan)
    stored = nib.load(tmp_path / "a_entropy.nii.gz")
    assert stored.get_data_dtype() == np.float32
    np.testing.assert_array_equal(np.asarray(stored.dataobj), scan.array[0])
    np.testing.assert_allclose(stored.affine, scan.affine, atol=1e-5)
    with pytest.raises(OutputError, match="a map of"):
        write_map(tmp_path / "b.nii.gz", scan.array[0].astype(np.float64), scan)


def test_a_map_of_a_picture_is_stored_value_for_value(tmp_path):
    values = noise((13, 17, 1))[0]
    write_map_picture(tmp_path / "a_entropy.tif", values)
    with Image.open(tmp_path / "a_entropy.tif") as stored:
        np.testing.assert_array_equal(np.asarray(stored), values[..., 0])
    with pytest.raises(OutputError, match="no map of a picture"):
        write_map_picture(tmp_path / "b.tif", values[..., 0])


def test_maps_beside_their_scans_are_no_scans(tmp_path):
    scan = Scan(noise((5, 6, 7)), np.eye(4))
    for name in ("a", "a_entropy", "low_entropy"):
        write_map(tmp_path / f"{name}.nii.gz", scan.array[0], scan)
    cases, warnings = find_scans(tmp_path)
    assert sorted(case.name for case in cases) == ["a", "low_entropy"]
    assert "1 segmentations beside their scans" in warnings[0]
