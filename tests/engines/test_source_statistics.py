"""Class ratios of a release against shares counted by hand from the labels; its atlas against the labels."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_sfda.data.stacks import StackDataset
from monai_sfda.engines.source_statistics import class_ratio, fit_atlas, volume_coordinates
from tests.builders import toy_abdomen


def stacks(datalist):
    return StackDataset(
        "abdomen", "source", "train", datalist.parent, datalist=datalist, image_size=40, pixel_size_mm=2.0
    )


def test_shares_of_subjects_and_of_slices_that_show_a_class(tmp_path):
    """Blocks of 12 x 12 in slices of 40 x 40, in 4 of 6 slices; in one subject, structure 1 only in two."""
    datalist = toy_abdomen(tmp_path)
    path = tmp_path / "source" / "s0_label.nii.gz"
    picture = nib.load(path)
    label = np.asarray(picture.dataobj).copy()
    label[..., :3][label[..., :3] == 1] = 0
    nib.save(nib.Nifti1Image(label, picture.affine), path)
    found = class_ratio(stacks(datalist), 5)
    block = 144 / 1600
    shares = np.array([block * 2 / 6, block * 4 / 6, block * 4 / 6])
    assert found.subjects == 3
    assert found.mean[1] == pytest.approx(shares.mean(), rel=1e-12)
    assert found.std[1] == pytest.approx(shares.std(), rel=1e-12)
    assert found.mean[2] == pytest.approx(block * 4 / 6, rel=1e-12)
    assert found.where_present[1:] == pytest.approx((block,) * 4, rel=1e-12)
    assert sum(found.mean) == pytest.approx(1, rel=1e-12)


def test_a_class_of_two_subjects_counts_in_no_share(tmp_path):
    """Its share cannot be found from the others either, which sum to 1 without it."""
    datalist = toy_abdomen(tmp_path)
    path = tmp_path / "source" / "s0_label.nii.gz"
    picture = nib.load(path)
    label = np.asarray(picture.dataobj).copy()
    label[label == 4] = 0
    nib.save(nib.Nifti1Image(label, picture.affine), path)
    found = class_ratio(stacks(datalist), 5)
    assert (found.mean[4], found.std[4], found.where_present[4]) == (0, 0, None)
    assert found.shown_by == (3, 3, 3, 3, None)
    assert None not in found.where_present[:4]
    # In the two subjects with the structure its 144 pixels of 1600 are nobody's.
    shares = [144 / 1600 * 4 / 6, 144 / 1456 * 4 / 6, 144 / 1456 * 4 / 6]
    assert found.mean[1] == pytest.approx(np.mean(shares), rel=1e-12)
    assert sum(found.mean) == pytest.approx(1, rel=1e-12)


def test_two_subjects_are_not_summarised(tmp_path):
    datalist = toy_abdomen(tmp_path)
    lists = json.loads(datalist.read_text(encoding="utf-8"))
    lists["source_train"] = lists["source_train"][:2]
    datalist.write_text(json.dumps(lists), encoding="utf-8")
    assert class_ratio(stacks(datalist), 5) is None


def test_the_atlas_knows_where_the_blocks_are(tmp_path):
    """Four blocks that move by two of 40 pixels at most: their middles are sure, the ways between are not."""
    dataset = stacks(toy_abdomen(tmp_path))
    found = fit_atlas(dataset)
    assert found.anchored
    assert found.subjects.tolist() == [3, 3, 3, 3, 3]
    coordinates = volume_coordinates(dataset.volumes[0], 3)
    for k, (x, y) in enumerate(((11, 11), (11, 28), (28, 11), (28, 28)), start=1):
        right, front = coordinates.places[0][[x]], coordinates.places[1][[y]]
        probabilities = found.at(right, front, torch.zeros(1).double())[:, 0, 0, 0]
        assert int(probabilities.argmax()) == k
        assert float(probabilities[k]) > 0.8
    middle = found.at(*(c[[20]] for c in coordinates.places[:2]), torch.zeros(1).double())[:, 0, 0, 0]
    assert int(middle.argmax()) == 0


def test_two_subjects_make_no_atlas(tmp_path):
    assert fit_atlas(stacks(toy_abdomen(tmp_path, subjects=2))) is None
