"""Another rho for a release: the same weights, prototypes that a plain count confirms, of the same scans."""

from __future__ import annotations

import shutil

import pytest
import torch

from monai_sfda.data.stacks import StackDataset
from monai_sfda.errors import DataError, ReleaseError, SettingError
from monai_sfda.phantom import write_phantoms
from monai_sfda.release import Release
from monai_sfda.workflow.refit import network_of, refit_prototypes


def test_the_same_rho_gives_the_releases_own_prototypes(phantoms, source_run, tmp_path):
    old = Release.read(source_run / "release")
    new = refit_prototypes(
        source_run / "release", tmp_path / "new", rho=old.prototypes.rho, dataset_dir=phantoms
    )
    for name in ("weight", "mean", "covariance", "count", "threshold"):
        torch.testing.assert_close(
            getattr(new.prototypes, name), getattr(old.prototypes, name), rtol=1e-6, atol=1e-9, equal_nan=True
        )


def test_rho_0_keeps_every_rightly_predicted_pixel(phantoms, source_run, tmp_path):
    release = source_run / "release"
    new = refit_prototypes(release, tmp_path / "new", rho=0.0, dataset_dir=phantoms)
    assert (tmp_path / "new" / "model.pt").read_bytes() == (release / "model.pt").read_bytes()
    old = Release.read(release)
    assert new.sha256 != old.sha256
    assert new.training["prototypes_refitted_from"] == old.sha256
    assert new.prototypes.rho == 0.0

    network = network_of(old)
    dataset = StackDataset("abdomen", "source", "train", phantoms, image_size=64, pixel_size_mm=6.4)
    right = torch.zeros(5, dtype=torch.float64)
    with torch.no_grad():
        for i in range(len(dataset)):
            label = dataset[i]["label"][0].long()
            agreed = network(dataset[i]["image"][None])[0].argmax(0) == label
            right += torch.bincount(label[agreed], minlength=5)
    available = new.prototypes.available
    assert bool(available.any())
    assert torch.equal(new.prototypes.count[available], right[available])


@pytest.mark.parametrize("rho", [-0.1, 1.0])
def test_a_rho_that_is_no_confidence_is_refused(phantoms, source_run, tmp_path, rho):
    with pytest.raises(SettingError, match="rho"):
        refit_prototypes(source_run / "release", tmp_path / "new", rho=rho, dataset_dir=phantoms)
    assert not (tmp_path / "new").exists()


def test_scans_that_the_release_was_not_made_from_are_refused(source_run, tmp_path):
    write_phantoms("abdomen", tmp_path / "others", subjects=4, seed=6, matrix=48, workers=2)
    with pytest.raises(DataError, match="not those that the release was made from"):
        refit_prototypes(source_run / "release", tmp_path / "new", rho=0.8, dataset_dir=tmp_path / "others")
    assert not (tmp_path / "new").exists()


def test_the_targets_bound_is_no_release_to_refit(phantoms, source_run, tmp_path):
    shutil.copytree(source_run / "release", tmp_path / "bound")
    path = tmp_path / "bound" / "release.json"
    text = path.read_text(encoding="utf-8").replace('"domain": "source"', '"domain": "target"')
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReleaseError, match="target domain"):
        refit_prototypes(tmp_path / "bound", tmp_path / "new", rho=0.8, dataset_dir=phantoms)
