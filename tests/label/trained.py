"""A source model that a hospital would receive, and the hospital's own scans: for tests of the whole way.

Hearts of phantoms, from MR to CT, with few pixels and a small network. SFS with the bundle's own settings
gains 8 points of mean Dice on the test subjects (0.61 before), and the guard estimates 7.6 to 8.7, whichever
subjects it keeps back, where it accepts from 4.45. The seed is one that the guard was calibrated on, taken
because the margin is clear: this tests the way of an adaptation that helps through the app, not how well the
guard judges.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from monai_sfda.catalog import CARDIAC
from monai_sfda.data.case import Case
from monai_sfda.data.labels import known_values, to_classes
from monai_sfda.data.listing import list_cases
from monai_sfda.files import write_json
from monai_sfda.phantom import write_phantoms
from monai_sfda.store.lock import locked
from tests.builders import BUNDLES
from tests.integration.commands import run_in_process

SUBJECTS, MATRIX, SEED = 16, 96, 102
SAMPLING = {"image_size": 64, "pixel_size_mm": 3.9}
METHOD = "sfs"
TASK = CARDIAC
BUNDLE = BUNDLES / TASK.bundle
MODEL = "cardiac"
"""Its name in a store: that of its task."""
STRUCTURES = {structure.name: structure.index for structure in TASK.structures}


@dataclass(frozen=True)
class LabelledScan:
    """A phantom's scan, with what is true of it.

    Attributes:
        image: NIfTI.
        case: of the listing, with its label.
    """

    image: Path
    case: Case

    def truth(self) -> NDArray[np.uint8]:
        """Class of each voxel, with the index axes turned to R, A, S as nearly as they go."""
        assert self.case.label is not None
        values = known_values(self.case, TASK, TASK.target)
        return to_classes(canonical(self.case.label), *values, self.case.label)

    def dices(self, segmentation: Path | str, names: Mapping[str, int] = STRUCTURES) -> dict[str, float]:
        """Dice of each structure of a segmentation on the scan's own voxels, however its axes are turned.

        Args:
            segmentation: the file.
            names: values of its structures.
        """
        values, truth = canonical(segmentation), self.truth()
        assert values.shape == truth.shape
        return {name: _dice(values == names[name], truth == index) for name, index in STRUCTURES.items()}

    def dice(self, segmentation: Path | str) -> float:
        """Mean over the structures."""
        return float(np.mean(list(self.dices(segmentation).values())))

    def is_shown_by(self, image: Path | str) -> bool:
        """Whether a file, perhaps one that went through DICOM, shows this scan."""
        mine, other = canonical(self.image), canonical(image)
        return mine.shape == other.shape and bool(np.abs(mine - other).max() <= 1)


def canonical(file: Path | str) -> NDArray[np.float64]:
    """The values of a NIfTI file with its index axes turned to R, A, S as nearly as they go."""
    return np.asarray(nibabel.as_closest_canonical(nibabel.load(file)).dataobj, dtype=np.float64)


def _dice(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float(2 * (mask & truth).sum() / max(1, mask.sum() + truth.sum()))


@dataclass(frozen=True)
class Trained:
    """Nobody changes what is there.

    Attributes:
        run: the training's run folder, whose `bundle` a hospital installs.
        studies: the hospital's scans, NIfTI, one a subject; their labels are for the tests alone.
        unseen: scans of other subjects, whom no adaptation sees.
    """

    run: Path
    studies: tuple[LabelledScan, ...]
    unseen: tuple[LabelledScan, ...]

    @property
    def bundles(self) -> Path:
        """A folder of bundles as `--bundles` takes it."""
        return self.run.parent / "bundles"


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    """The source model, made once for all processes of a session (in about half a minute).

    Where MONAI_SFDA_TEST_SITE names a folder, it is made there once and used again by later sessions.
    """
    kept = os.environ.get("MONAI_SFDA_TEST_SITE")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return make_trained(Path(kept) / "trained" if kept else shared / "trained")


def make_trained(root: Path, seed: int = SEED) -> Trained:
    """Makes what is missing in a folder."""
    root.mkdir(parents=True, exist_ok=True)
    data, run = root / "phantoms", root / "run"
    with locked(root / "lock", 1500):
        if not (root / "whole").is_file():
            write_phantoms(TASK.phantom_name, data, SUBJECTS, seed, matrix=MATRIX, workers=1)
            _train(root, data, run, seed)
            (root / "bundles").mkdir(exist_ok=True)
            shutil.copytree(run / "bundle", root / "bundles" / MODEL, dirs_exist_ok=True)
            (root / "whole").touch()
    return Trained(run, _labelled(data, "train"), _labelled(data, "test"))


def _labelled(data: Path, split: str) -> tuple[LabelledScan, ...]:
    """The scans of a split of the target, one a subject."""
    cases = list_cases(TASK, "target", split, data).cases
    return tuple(LabelledScan(case.image[0], case) for case in cases if case.label is not None)


def _train(root: Path, data: Path, run: Path, seed: int) -> None:
    small = json.loads((BUNDLE / "configs" / "small.json").read_text(encoding="utf-8"))
    definition = small["network_def"]
    definition["backbone"] |= {"channels": [16, 32, 64, 64], "strides": [2, 2, 2], "out_channels": 16}
    write_json(
        root / "smaller.json",
        {
            "batch_size": 8,
            "training": small["training"] | {"max_epochs": 5, "epoch_length": 100},
            "network_def": definition | {"embedding_channels": 16},
            **SAMPLING,
        },
    )
    run_in_process(
        BUNDLE, ("train", "small", str(root / "smaller")), dataset_dir=data, output_dir=run, seed=seed
    )
