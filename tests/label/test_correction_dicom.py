"""Corrections through the app and on DICOM series: voxels are counted as the clients count them."""

from __future__ import annotations

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813

from monai_sfda.errors import SettingError
from monai_sfda.label.correction import infer_tasks_of
from tests.label.dicom_phantoms import write_study


def voxel_in_ohif(files, point_lps):
    """Column, row and slice of a point, from the headers alone; slices ascend along row x column."""
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    row, column = (np.array(headers[0].ImageOrientationPatient[s], float) for s in (slice(3), slice(3, 6)))
    headers.sort(key=lambda h: float(np.cross(row, column) @ np.array(h.ImagePositionPatient, float)))
    away = [np.array(point_lps) - np.array(h.ImagePositionPatient, float) for h in headers]
    k = int(np.argmin([abs(np.cross(row, column) @ a) for a in away]))
    down, across = (float(s) for s in headers[0].PixelSpacing)
    return [round(float(away[k] @ row) / across), round(float(away[k] @ column) / down), k]


@pytest.mark.parametrize("orientation", ["LPS", "LPI", "PSR"])
def test_a_click_on_a_dicom_series_is_the_voxel_that_ohif_counts(installed, tmp_path, orientation):
    models = installed.models()
    labels = models["abdomen"].labels
    series = write_study(tmp_path / "study", modality="CT", orientation=orientation).series[0]
    spleen = np.argwhere(series.labels == labels["spleen"])
    voxel = spleen[len(spleen) // 2]
    point = np.diag([-1, -1, 1]) @ (series.affine @ [*voxel, 1])[:3]
    i, j, k = voxel_in_ohif(series.files, point)
    task = infer_tasks_of(SimpleNamespace(models=models))["abdomen_clicks"]
    sent = {"image": str(series.folder), "spleen": [[i, j, k]], "reach_mm": 8, "result_extension": ".nrrd"}
    file, said = task(sent)
    answer = sitk.GetArrayFromImage(sitk.ReadImage(file))  # slices, rows, columns: as OHIF lays them out
    assert answer[k, j, i] == said["label_names"]["spleen"]
    added = said["corrected"]["spleen"]["added_ml"]
    assert added >= 0
    loaded = models.load("abdomen")
    before = loaded.probabilities(loaded.read(series.folder)).argmax(0).T
    changed = np.argwhere(answer != before)
    assert np.abs(changed - [k, j, i]).max(initial=0) <= 8


def test_the_app_corrects_a_study_by_its_id(installed, tmp_path):
    from monai_sfda.label.app import SfdaApp

    installed.copy_store(tmp_path / "store")
    studies = installed.copy_studies(tmp_path / "studies", 1)
    app = SfdaApp(str(tmp_path), str(studies), {"device": "cpu"})
    try:
        image = app.datastore().list_images()[0]
        shape = nib.load(next(studies.glob("*.nii.gz"))).shape
        middle = [n // 2 for n in shape]
        answer = app.infer({"model": "abdomen_clicks", "image": image, "liver": [middle]})
        said = answer["params"]
        found = np.asarray(nib.load(answer["file"]).dataobj)
        assert found[tuple(middle)] == said["label_names"]["liver"]
        assert set(said["corrected"]) == {"liver"}
        with pytest.raises(SettingError, match="no scribbles came along"):
            app.infer({"model": "abdomen_scribbles", "image": image, "selected_label_name": "liver"})
    finally:
        app.close()
