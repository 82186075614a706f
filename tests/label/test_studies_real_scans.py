"""Real DICOM series, well-formed and not, in a folder and in a PACS: found, fetched, labelled, sent back."""

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest

from monai_sfda.catalog import SOFT_TISSUE
from monai_sfda.data.dicom import scan_headers, slice_grid
from monai_sfda.errors import SfdaError
from monai_sfda.label.studies import open_datastore, scanner_of
from monai_sfda.label.studies.segment_objects import read_segmentation
from tests.builders import real
from tests.data_readers import build
from tests.label.orthanc import orthanc  # noqa: F401

TASKS = {"soft_tissue": SOFT_TISSUE}
NAME = SOFT_TISSUE.structures[0].name


def label_of(datastore, image, tmp_path):
    """A box in the middle of an image, written as a client would."""
    grid = slice_grid(scan_headers(Path(datastore.get_image_uri(image))))
    labels = np.zeros(grid.shape, np.uint8)
    x, y, z = (n // 2 for n in grid.shape)
    labels[x - 5 : x + 5, y - 4 : y + 6, max(z - 1, 0) : z + 2] = 1
    return str(build.write_nifti(tmp_path / "label.nii.gz", labels, grid.affine)), labels, grid


def clear(error, tmp_path):
    """A refusal with a reason and a remedy, and without a path."""
    assert error.what
    assert error.remedy
    assert str(tmp_path) not in str(error)
    return str(error)


def test_ct_and_mr_in_a_folder(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "site").symlink_to(real("ibsi_sts"))
    datastore = open_datastore(str(root), cache=tmp_path / "cache", tasks=TASKS)
    infos = {image: datastore.get_image_info(image) for image in datastore.list_images()}
    dicom = {image: info for image, info in infos.items() if "Modality" in info}
    assert sorted(info["Modality"] for info in dicom.values()) == ["CT", "MR"]
    assert "STS_" not in str(infos)
    for image, info in dicom.items():
        assert scanner_of(info) is not None
        file, labels, grid = label_of(datastore, image, tmp_path)
        datastore.save_label(image, file, "final", {"label_info": [{"name": NAME}]})
        (path,) = (p for p in (root / "labels" / "final").glob(f"{image}.*.dcm"))
        numbers, names = read_segmentation(path, grid)
        assert names == {1: NAME}
        assert np.array_equal(numbers, labels)


def test_sunnybrook_in_a_folder_says_what_is_wrong_or_works(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "cine").symlink_to(real("sunnybrook"))
    datastore = open_datastore(str(root), cache=tmp_path / "cache", tasks=TASKS)
    images = datastore.list_images()
    assert images
    outcomes = []
    for image in images:
        try:
            file, labels, grid = label_of(datastore, image, tmp_path)
            datastore.save_label(image, file, "final", {"label_info": [{"name": NAME}]})
        except SfdaError as error:
            outcomes.append(clear(error, tmp_path))
            continue
        (path,) = (root / "labels" / "final").glob(f"{image}.*.dcm")
        assert np.array_equal(read_segmentation(path, grid)[0], labels)
        outcomes.append("labelled")
    assert "labelled" in outcomes


@pytest.mark.parametrize("source", ["ibsi_sts", "sunnybrook"])
def test_through_a_pacs(orthanc, tmp_path, source):  # noqa: F811
    for series in orthanc.series():
        orthanc.delete(series)
    orthanc.store_folder(real(source))
    datastore = open_datastore(orthanc.dicomweb, cache=tmp_path / "cache", tasks=TASKS)
    images = datastore.list_images()
    assert images
    outcomes = []
    for image in images:
        try:
            file, _, _ = label_of(datastore, image, tmp_path)
            datastore.save_label(image, file, "final", {"label_info": [{"name": NAME}]})
        except SfdaError as error:
            outcomes.append(clear(error, tmp_path))
            continue
        outcome = datastore.get_label_info(image, "final")["segmentation"]
        assert outcome.get("series"), outcome
        (found,) = (
            s for s in orthanc.series("SEG") if s["MainDicomTags"]["SeriesInstanceUID"] == outcome["series"]
        )
        data = pydicom.dcmread(io.BytesIO(orthanc.files_of(found)[0]))
        assert data.ReferencedSeriesSequence[0].SeriesInstanceUID == image
        assert data.StudyInstanceUID == datastore.get_image_info(image)["StudyInstanceUID"]
        outcomes.append("labelled")
    assert "labelled" in outcomes, outcomes
