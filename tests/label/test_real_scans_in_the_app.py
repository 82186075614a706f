"""Real scans, CT and MR, DICOM and damaged DICOM, through the real server: each is segmented or refused with a
clear reason and what to do; never a bare 500.
"""

from __future__ import annotations

from collections.abc import Iterator

import nibabel
import numpy as np
import pytest

from tests.builders import REPOSITORY
from tests.label.installed import MODEL, Installed, installed  # noqa: F401
from tests.label.servers import started
from tests.label.slicer import Slicer

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
DATA = REPOSITORY.parent / "shared" / "data"
"""Beside the repository; see its README for where each scan is from."""


@pytest.fixture(scope="module")
def slicer(installed: Installed, tmp_path_factory) -> Iterator[Slicer]:  # noqa: F811
    """A workstation at a server of which the real scans, as they lie, are the studies."""
    if not DATA.is_dir():
        pytest.skip("the real scans are not beside the repository (shared/data)")
    home = tmp_path_factory.mktemp("real")
    options = ["--store", str(installed.copy_store(home / "store").root), "--device", "cpu"]
    with started(DATA, home / "home", *options) as server:
        yield Slicer(server.url, home / "workstation")


def test_every_real_study_is_segmented_or_refused_with_a_reason(slicer: Slicer, installed) -> None:  # noqa: F811
    objects = slicer.client.datastore()["objects"]
    assert len(objects) >= 3
    refusals, segmented = {}, []
    for image_id in objects:
        answer = slicer.send(
            "POST", f"/infer/{MODEL}", params={"image": image_id, "output": "image"}, data={"params": "{}"}
        )
        if answer.status_code == 200:
            segmented.append(image_id)
            check_mask(slicer, image_id, answer.content)
        else:
            assert 400 <= answer.status_code < 500, answer.text
            refusals[image_id] = answer.json()
    print(f"{len(segmented)} segmented, {len(refusals)} refused")
    for said in refusals.values():
        print("refused:", said["detail"])
        assert said["detail"]
        assert said["request_id"]
        assert str(DATA) not in str(said)
    assert segmented


def check_mask(slicer: Slicer, image_id: str, content: bytes) -> None:
    """The result lies on the grid of the volume that the same server gives for the study."""
    result = slicer.folder / "result.nii.gz"
    result.write_bytes(content)
    mask, scan = nibabel.load(result), nibabel.load(slicer.download(image_id))
    assert mask.shape == scan.shape[:3]
    np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-3)
    assert np.asarray(mask.dataobj).max() <= 4
