"""A label map that is larger than its scan is refused by its header; no value of it is read."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from monai_sfda.data.scan import Scan
from monai_sfda.errors import DataError
from monai_sfda.label.correction import label_map
from monai_sfda.label.correction.label_map import read_label_map

SCAN = Scan(np.zeros((1, 8, 9, 10), np.float32), np.eye(4))
LABELS = {"liver": 1}


@pytest.fixture
def nothing_is_read(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the voxels were read")

    monkeypatch.setattr(label_map, "read_volume", refuse)


@pytest.mark.parametrize("shape", [(80, 90, 10), (8, 9, 10, 50)])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_a_larger_label_map_is_refused_by_its_header(tmp_path, nothing_is_read, shape, ending):
    path = tmp_path / f"map{ending}"
    if ending == ".nii.gz":
        image = nib.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4))
        path.write_bytes(gzip.compress(image.to_bytes()))
    else:
        vector = len(shape) == 4
        values = np.zeros((*shape[2::-1], *shape[3:]), np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(values, isVector=vector), str(path))
    with pytest.raises(DataError, match=r"the label map: .* voxels for a scan of 8 x 9 x 10"):
        read_label_map(path, SCAN, LABELS, [])


def test_a_file_of_another_format_is_refused(tmp_path, nothing_is_read):
    path = tmp_path / "map.dcm"
    path.write_bytes(b"\0" * 200)
    with pytest.raises(DataError, match="the label map: it is no NIfTI, NRRD or MetaImage file"):
        read_label_map(path, SCAN, LABELS, [])


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_a_padded_label_map_is_read(tmp_path, ending):
    path = tmp_path / f"map{ending}"
    values = np.zeros((12, 11, 14), np.uint8)
    values[5, 5, 5], values[6, 6, 6] = 3, 1
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    image.SetOrigin((2.0, 1.0, -2.0))  # LPS: two, one and two voxels of padding before the scan
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(path))
    found = read_label_map(path, SCAN, LABELS, [])
    assert found.foreground.tolist() == [[3, 4, 3]]
    assert np.argwhere(found.classes).tolist() == [[4, 5, 4]]
