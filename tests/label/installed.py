"""A site in small: phantom studies, and a store with a trained and an adapted abdomen model, made once."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from monai_sfda.label.models import Models
from monai_sfda.phantom import write_phantoms
from monai_sfda.store import ModelStore
from monai_sfda.store.lock import locked
from tests.integration.commands import ABDOMEN, QUICK, QUICK_ADAPT, run_in_process

MODEL = "abdomen"
"""Name of the model in the store."""


@dataclass(frozen=True)
class Installed:
    """What the tests of the app share; nobody changes it: take a copy of the store by `copy_store`.

    Attributes:
        phantoms: four MR and four CT subjects in the official layouts.
        source_run, adapted_run: run folders of a short training, and of a short adaptation that was accepted.
        store: a store with the source model (version 1, active) and the adapted one (version 2).
        scans: the target's CT scans, NIfTI, by name.
        labels: their labels, by the same names; contiguous classes are those of the catalog's reader.
    """

    phantoms: Path
    source_run: Path
    adapted_run: Path
    store: Path
    scans: dict[str, Path]
    labels: dict[str, Path]

    def models(self) -> Models:
        """The store's models."""
        return Models(ModelStore(self.store), device="cpu")

    def copy_store(self, folder: Path) -> ModelStore:
        """A store of one's own to change."""
        shutil.copytree(self.store, folder)
        return ModelStore(folder)

    def copy_studies(self, folder: Path, count: int | None = None) -> Path:
        """A folder datastore of the scans, without labels."""
        folder.mkdir(parents=True, exist_ok=True)
        for path in list(self.scans.values())[:count]:
            shutil.copyfile(path, folder / path.name)
        return folder


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Installed:
    """A site with one model in two versions; made in about a minute, once for all processes of a
    session.

    Where MONAI_SFDA_TEST_SITE names a folder, it is made there once and used again by later sessions.
    """
    kept = os.environ.get("MONAI_SFDA_TEST_SITE")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    root = Path(kept) if kept else shared / "site"
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / "lock", 900):
        if not (root / "whole").is_file():
            _make(root)
            (root / "whole").touch()
    images = next((root / "data").rglob("img"))
    scans = {path.name: path for path in sorted(images.glob("*.nii.gz"))}
    labels = {
        name: path
        for name in scans
        for path in images.parent.rglob(name.replace("img", "label"))
        if path.parent != images
    }
    return Installed(root / "data", root / "source", root / "adapted", root / "store", scans, labels)


def _make(root: Path) -> None:
    write_phantoms("abdomen", root / "data", subjects=4, seed=5, matrix=96, workers=1)
    source_run, adapted_run = root / "source", root / "adapted"
    run_in_process(ABDOMEN, ("train", "small"), dataset_dir=root / "data", output_dir=source_run, **QUICK)
    run_in_process(
        ABDOMEN,
        ("adapt", "small"),
        release=source_run / "release",
        output_dir=adapted_run,
        target_images=next((root / "data").rglob("img")),
        method="adabn",
        **QUICK_ADAPT | {"guard#enabled": False, "max_epochs": 1},
    )
    store = ModelStore(root / "store", by="tests")
    store.publish(source_run)
    store.publish(adapted_run)
