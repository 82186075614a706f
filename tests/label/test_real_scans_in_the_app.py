"""Real scans, CT and MR, DICOM and damaged DICOM, through the real server: each is segmented or refused with
a clear reason and what to do; never a bare 500.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest

from monai_sfda.phantom import write_phantoms
from tests.builders import BUNDLES, REPOSITORY
from tests.integration.commands import run_in_process
from tests.label.installed import MODEL as CT_MODEL
from tests.label.installed import Installed, installed  # noqa: F401
from tests.label.servers import started
from tests.label.slicer import Slicer

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
MR_MODEL = "spine"
BUNDLE = BUNDLES / "spine_ivdm3seg_sfda"
DATA = REPOSITORY.parent / "shared" / "data"
"""Beside the repository; see its README for where each scan is from."""


@pytest.fixture(scope="module")
def mr_bundles(tmp_path_factory) -> Path:
    """A folder with a bundle whose target is MR; a training of seconds, what it learns does not matter."""
    root = tmp_path_factory.mktemp("mr")
    write_phantoms("spine", root / "phantoms", subjects=4, seed=11, matrix=48, workers=1)
    steps = {"max_epochs": 1, "training#epoch_length": 4, "batch_size": 4}
    size = {"image_size": [24, 104], "pixel_size_mm": 3.12}
    folders = {"dataset_dir": root / "phantoms", "output_dir": root / "run"}
    run_in_process(BUNDLE, ("train", "small"), **folders, **steps, **size)
    (root / "bundles").mkdir()
    shutil.copytree(root / "run" / "bundle", root / "bundles" / MR_MODEL)
    return root / "bundles"


@pytest.fixture(scope="module")
def slicer(installed: Installed, mr_bundles: Path, tmp_path_factory) -> Iterator[Slicer]:  # noqa: F811
    """A workstation at a server whose studies are the real scans as they lie; a model for CT, one for MR."""
    if not DATA.is_dir():
        pytest.skip("the real scans are not beside the repository (shared/data)")
    home = tmp_path_factory.mktemp("real")
    options = ["--store", str(installed.copy_store(home / "store").root), "--bundles", str(mr_bundles)]
    with started(DATA, home / "home", *options, "--device", "cpu") as server:
        yield Slicer(server.url, home / "workstation")


@pytest.mark.parametrize("model", [CT_MODEL, MR_MODEL])
def test_every_real_study_is_segmented_or_refused_with_a_reason(slicer: Slicer, model: str) -> None:
    objects = slicer.client.datastore()["objects"]
    assert len(objects) >= 3
    refusals, segmented = [], 0
    for image_id in objects:
        answer = slicer.send(
            "POST", f"/infer/{model}", params={"image": image_id, "output": "image"}, data={"params": "{}"}
        )
        if answer.status_code == 200:
            segmented += 1
            check_mask(slicer, image_id, answer.content)
        else:
            assert 400 <= answer.status_code < 500, answer.text
            refusals.append(answer.json())
    for said in refusals:
        assert said["detail"]
        assert said["remedy"]
        assert said["request_id"]
        assert str(DATA) not in str(said)
    reasons = sorted({said["detail"] for said in refusals})
    print(f"{model}: {segmented} segmented, {len(refusals)} refused:", *reasons, sep="\n  ")
    assert segmented >= 2


def check_mask(slicer: Slicer, image_id: str, content: bytes) -> None:
    """The result lies on the grid of the volume that the same server gives for the study."""
    result = slicer.folder / "result.nii.gz"
    result.write_bytes(content)
    mask, scan = nibabel.load(result), nibabel.load(slicer.download(image_id))
    assert mask.shape == scan.shape[:3]
    np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-3)
    assert np.asarray(mask.dataobj).max() <= 4
