"""What a radiologist sees: OHIF in a real headless Chromium, on a study of a real PACS."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage

from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.dicom import read_series
from monai_sfda.label.demo.studies import PhantomStudy, write_series
from tests.label import orthanc as pacs
from tests.label import viewer
from tests.label.browser import opened
from tests.label.installed import MODEL, Installed, installed  # noqa: F401
from tests.label.servers import add_users, started

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
PAINTED = {"liver": (221, 130, 101), "spleen": (157, 108, 162)}
"""Colours of OHIF's own anatomy list."""
WINDOW = (-200, 500)
"""What the study's headers ask viewers to show, HU."""
STUDY = PhantomStudy(1, "CT", "ABDOMEN", seed="ohif")


@pytest.fixture(params=[None, "reader"], ids=["nobody logs in", "logged in"])
def user(request: pytest.FixtureRequest) -> str | None:
    """Who looks; None where the server has no users."""
    name: str | None = request.param
    return name


@pytest.fixture
def served(
    installed: Installed,  # noqa: F811
    tmp_path: Path,
    user: str | None,
) -> Iterator[tuple[str, list[Path]]]:
    """Address of a server beside a PACS with one CT study, and the study's files."""
    files = write_series(next(iter(installed.scans.values())), tmp_path / "dicom", STUDY)
    shutil.copytree(installed.store, tmp_path / "store")
    with pacs.started(tmp_path / "orthanc") as orthanc:
        orthanc.store(files)
        options = ["--store", str(tmp_path / "store"), "--device", "cpu"]
        if user is not None:
            options += ["--users", str(add_users(tmp_path / "users.json"))]
        with started(orthanc.dicomweb, tmp_path / "home", *options) as server:
            yield server.url, files


def test_ohif_shows_the_segmentation_where_the_mask_is(
    served: tuple[str, list[Path]], tmp_path: Path, user: str | None
) -> None:
    url, files = served
    values, affine = read_series(files)
    planes, pixel = viewer.axial(np.clip(values, *WINDOW), affine)
    with opened(tmp_path) as page:
        viewer.open_study(page, url, str(STUDY.uid("study")), user)
        before = viewer.canvas(page)
        content = viewer.run_segmentation(page, MODEL)
        after = viewer.canvas(page)
        page.screenshot(path=str(tmp_path / "ohif.png"))
    labelmap = read_labelmap(content, tmp_path)
    assert labelmap.shape == values.shape
    shown = viewer.find_slice(before, planes, pixel)
    assert shown.correlation > 0.9
    mask = viewer.resized(viewer.axial(labelmap, affine)[0][shown.number].astype(np.uint8), shown)
    painted = viewer.painted(before, after)[shown.rows, shown.columns]
    dice = 2 * (painted & (mask > 0)).sum() / (painted.sum() + (mask > 0).sum())
    assert dice > 0.9
    large = [s for s in ABDOMEN.structures if (mask == s.index).sum() > 1000]
    assert large
    for structure in large:
        inside = ndimage.binary_erosion(mask == structure.index, iterations=4)  # without the outline
        pixels = (picture[shown.rows, shown.columns][inside] for picture in (before, after))
        colour = PAINTED.get(structure.name) or viewer.colour_of(structure.name)
        share, left = viewer.blended(*pixels, colour)
        assert 0.1 < share < 1
        assert left < 20


@pytest.mark.parametrize("user", [None], indirect=True)
def test_a_background_click_in_ohif_takes_a_region_from_the_chosen_structure_alone(
    served: tuple[str, list[Path]], tmp_path: Path
) -> None:
    url, files = served
    values, affine = read_series(files)
    planes, pixel = viewer.axial(np.clip(values, *WINDOW), affine)
    liver = next(s.index for s in ABDOMEN.structures if s.name == "liver")
    with opened(tmp_path) as page:
        viewer.open_study(page, url, str(STUDY.uid("study")))
        shown = viewer.find_slice(viewer.canvas(page), planes, pixel)
        before = read_labelmap(viewer.run_segmentation(page, MODEL), tmp_path)
        mask = viewer.resized(viewer.axial(before, affine)[0][shown.number].astype(np.uint8), shown)
        depth = ndimage.distance_transform_edt(mask == liver)
        row, column = (int(x) for x in np.unravel_index(depth.argmax(), depth.shape))
        place = (shown.rows.start + row, shown.columns.start + column)
        after = read_labelmap(viewer.click_away(page, f"{MODEL}_clicks", "liver", place), tmp_path)
        drawn = viewer.canvas(page)
        page.screenshot(path=str(tmp_path / "clicked.png"))
    removed = (before == liver) & (after == 0)
    assert removed.any()
    np.testing.assert_array_equal(before != after, removed)
    there = viewer.resized(viewer.axial(removed, affine)[0][shown.number].astype(np.uint8), shown) > 0
    assert there[row, column]
    inside = ndimage.binary_erosion(there, iterations=2)
    assert inside.any()
    picture = drawn[shown.rows, shown.columns][inside]
    assert np.median(picture.max(-1) - picture.min(-1)) < 12, "grey as the scan, no other segment's colour"


def read_labelmap(content: bytes, folder: Path) -> np.ndarray:
    """(X, Y, Z) of the NRRD that OHIF was sent."""
    file = folder / "labelmap.nrrd"
    file.write_bytes(content)
    return sitk.GetArrayFromImage(sitk.ReadImage(str(file))).transpose(2, 1, 0)
