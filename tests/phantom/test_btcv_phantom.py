"""The BTCV layout: NIfTI files of every orientation with the challenge's labels."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from monai_sfda.phantom import Organ, btcv_files, ct_grid, draw_ct_scanner, make_abdomen, write_btcv_subject
from monai_sfda.phantom.sampling import CT_ORIENTATIONS


@pytest.mark.parametrize("orientation", CT_ORIENTATIONS)
def test_files_keep_orientation_labels_and_sides(tmp_path: Path, orientation: str) -> None:
    grid = ct_grid(2, 64, orientation)
    files = tmp_path / "image.nii.gz", tmp_path / "label.nii.gz"
    written = write_btcv_subject(*files, make_abdomen(2), grid, draw_ct_scanner(4), 5)
    image, label = nibabel.load(files[0]), nibabel.load(files[1])
    for nifti in (image, label):
        assert "".join(nibabel.aff2axcodes(nifti.affine)) == orientation
        np.testing.assert_allclose(nifti.affine, grid.affine, atol=1e-3)
        np.testing.assert_allclose(nifti.get_qform(), grid.affine, atol=1e-3)
        np.testing.assert_allclose(nifti.header.get_zooms(), grid.spacing_mm, rtol=1e-5)
    assert image.get_data_dtype() == np.int16
    assert label.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), written.array)
    labels = np.asanyarray(label.dataobj)
    assert set(np.unique(labels)) == set(range(14))

    def side(organ: Organ) -> float:
        return float(nibabel.affines.apply_affine(label.affine, np.argwhere(labels == organ).mean(0))[0])

    assert side(Organ.LIVER) > 20
    assert side(Organ.RIGHT_KIDNEY) > 35
    assert side(Organ.LEFT_KIDNEY) < -35
    assert side(Organ.SPLEEN) < -60


def test_file_names_have_four_digits(tmp_path: Path) -> None:
    image, label = btcv_files(tmp_path, "7")
    assert image.relative_to(tmp_path).as_posix() == "RawData/Training/img/img0007.nii.gz"
    assert label.relative_to(tmp_path).as_posix() == "RawData/Training/label/label0007.nii.gz"


def test_slices_and_pixels_are_those_of_the_challenge() -> None:
    grids = [ct_grid(seed, 512) for seed in range(30)]
    pixels = [grid.spacing_mm[0] for grid in grids]
    assert 0.7 <= min(pixels) < max(pixels) <= 0.95
    assert all(3.0 <= grid.spacing_mm[2] <= 6.5 for grid in grids)
    assert all(32 <= grid.shape[2] <= 48 for grid in grids)
    assert len({nibabel.aff2axcodes(grid.affine) for grid in grids}) >= 4
