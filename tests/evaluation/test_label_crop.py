"""Crops by labels: boxes and centres known by hand, classes at another number of pixels against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_sfda.catalog import LabelBox, LabelCentre
from monai_sfda.evaluation.label_crop import Window, label_window, resample_classes


@pytest.fixture
def labelled() -> np.ndarray:
    """Rows 10 to 19 of 64 in one slice, columns 40 to 43 of 32 times 2 in another."""
    mask = np.zeros((3, 64, 64), bool)
    mask[0, 10:20, 30] = True
    mask[2, 15, 40:44] = True
    return mask


@pytest.mark.parametrize(
    ("crop", "window"),
    [
        (None, Window(0, 0, 64, 64)),
        (LabelBox(0, 64), Window(10, 30, 10, 14)),
        (LabelBox(3, 64), Window(7, 27, 16, 20)),
        (LabelBox(6, 128), Window(7, 27, 16, 20)),  # as many millimetres, counted in smaller pixels
        (LabelBox(30, 64), Window(0, 0, 50, 64)),  # cut off at the image's edges
        (LabelBox(1000, 64), Window(0, 0, 64, 64)),
    ],
)
def test_boxes(labelled, crop, window):
    assert label_window(labelled, crop, (64, 64), (128.0, 128.0)) == window


def test_a_box_on_a_coarser_grid_is_moved_outwards(labelled):
    assert label_window(labelled, LabelBox(0, 64), (16, 32), (128.0, 128.0)) == Window(2, 15, 3, 7)


def test_a_centre_is_the_mean_of_the_labelled_voxels(labelled):
    # rows: ten from 10 to 19 and four times 15; columns: ten times 30 and 40 to 43
    row = (145 + 60) / 14 + 0.5
    column = (300 + 166) / 14 + 0.5
    window = label_window(labelled, LabelCentre(40.0), (64, 64), (128.0, 128.0))  # 20 pixels
    assert window == Window(round(row - 10), round(column - 10), 20, 20)
    assert label_window(labelled, LabelCentre(256.0), (64, 64), (128.0, 128.0)).height == 64


@pytest.mark.parametrize("shape", [(12, 20), (24, 40), (30, 30), (7, 90)])
def test_classes_of_a_whole_plane_are_torchs(shape):
    planes = np.random.default_rng(0).integers(0, 5, (3, 24, 40), dtype=np.uint8)
    out = resample_classes(planes, Window.whole((10, 16)), (10, 16), shape)
    torchs = torch.nn.functional.interpolate(
        torch.from_numpy(planes)[:, None].float(), size=shape, mode="nearest-exact"
    )
    np.testing.assert_array_equal(out, torchs[:, 0].numpy().astype(np.uint8))


def test_classes_inside_a_window():
    planes = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    out = resample_classes(planes, Window(1, 2, 2, 1), (4, 4), (4, 2))
    np.testing.assert_array_equal(out[0], planes[0, 2:6, 4:6])
