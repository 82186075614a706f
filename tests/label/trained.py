"""A source model that a hospital would receive, and the hospital's own scans: for tests of the whole way.

Intervertebral discs of phantoms with few pixels, from water MR to in-phase MR of a scanner with another
contrast, sharpness, coil and noise. AdaBN adapts to it in seconds; the guard estimates about 4 points, near
the 4.45 that it accepts from.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from monai_sfda.catalog import SPINE
from monai_sfda.data.case import Case
from monai_sfda.data.listing import list_cases
from monai_sfda.files import write_json
from monai_sfda.phantom import write_phantoms
from monai_sfda.store.lock import locked
from tests.builders import BUNDLES
from tests.integration.commands import run_in_process

SUBJECTS, MATRIX, SEED = 16, 80, 203
SAMPLING = {"image_size": [24, 104], "pixel_size_mm": 3.12}
GAMMA, BLUR, FIELD, NOISE = 1.22, 0.19, 0.026, 0.009
"""The hospital's scanner: contrast, blur in pixels, how much brighter one side is, noise."""
METHOD = "adabn"
BUNDLE = BUNDLES / SPINE.bundle
MODEL = "spine"
"""Its name in a store: that of its task."""


@dataclass(frozen=True)
class LabelledScan:
    """A phantom's scan, with what is true of it.

    Attributes:
        image: NIfTI.
        label: NIfTI of the same grid; above 0 in discs.
    """

    image: Path
    label: Path

    def truth(self) -> NDArray[np.bool_]:
        """Which voxels are disc, with the index axes turned to R, A, S as nearly as they go."""
        return canonical(self.label) > 0

    def dice(self, segmentation: Path | str) -> float:
        """Dice of a segmentation that lies on the scan's own voxels, however its axes are turned."""
        mask, truth = canonical(segmentation) > 0, self.truth()
        assert mask.shape == truth.shape
        return float(2 * (mask & truth).sum() / max(1, mask.sum() + truth.sum()))

    def is_shown_by(self, image: Path | str) -> bool:
        """Whether a file, perhaps one that went through DICOM, shows this scan."""
        mine, other = canonical(self.image), canonical(image)
        return mine.shape == other.shape and bool(np.abs(mine - other).max() <= 1)


def canonical(file: Path | str) -> NDArray[np.float64]:
    """The values of a NIfTI file with its index axes turned to R, A, S as nearly as they go."""
    return np.asarray(nibabel.as_closest_canonical(nibabel.load(file)).dataobj, dtype=np.float64)


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
    """The source model, made once for all processes of a session (in about a minute and a half).

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
            write_phantoms("spine", data, SUBJECTS, seed, matrix=MATRIX, workers=1)
            _train(root, data, run, seed)
            (root / "scans").mkdir(exist_ok=True)
            for number, case in enumerate(_cases(data, "train") + _cases(data, "test")):
                write_other_imaging(case.image[0], root / "scans" / case.image[0].name, seed + number)
            (root / "bundles").mkdir(exist_ok=True)
            shutil.copytree(run / "bundle", root / "bundles" / MODEL, dirs_exist_ok=True)
            (root / "whole").touch()
    return Trained(run, _labelled(root, _cases(data, "train")), _labelled(root, _cases(data, "test")))


def _cases(data: Path, split: str) -> list[Case]:
    """The first examination of every subject of a split of the target."""
    cases = list_cases(SPINE, "target", split, data).cases
    return list({case.subject: case for case in reversed(cases)}.values())[::-1]


def _labelled(root: Path, cases: list[Case]) -> tuple[LabelledScan, ...]:
    return tuple(
        LabelledScan(root / "scans" / case.image[0].name, case.label)
        for case in cases
        if case.label is not None
    )


def write_other_imaging(scan: Path, out: Path, seed: int) -> None:
    """The scan as a scanner with another contrast, sharpness, coil and noise would show it."""
    nifti = nibabel.load(scan)
    x = np.asarray(nifti.dataobj, dtype=np.float64)
    rng = np.random.default_rng(seed)
    x = np.clip(x / np.percentile(x, 99.5), 0, 1) ** GAMMA
    x = ndimage.gaussian_filter(x, (0, BLUR, BLUR))
    up, front = np.meshgrid(*(np.linspace(-1, 1, size) for size in x.shape[1:]), indexing="ij")
    angle = rng.uniform(0, 2 * np.pi)
    x = x * (1 + FIELD * (np.cos(angle) * up + np.sin(angle) * front)) + NOISE * rng.standard_normal(x.shape)
    stored = np.rint(2000 * np.clip(x, 0, None)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(stored, nifti.affine), out)


def _train(root: Path, data: Path, run: Path, seed: int) -> None:
    small = json.loads((BUNDLE / "configs" / "small.json").read_text(encoding="utf-8"))
    definition = small["network_def"]
    definition["backbone"] |= {"channels": [16, 32, 64, 64], "strides": [2, 2, 2], "out_channels": 16}
    write_json(
        root / "smaller.json",
        {
            "training": small["training"] | {"max_epochs": 5, "epoch_length": 100},
            "augmentation": small["augmentation"] | {"gamma": 0.0, "noise": 0.0},
            "network_def": definition | {"embedding_channels": 16},
            **SAMPLING,
        },
    )
    run_in_process(
        BUNDLE, ("train", "small", str(root / "smaller")), dataset_dir=data, output_dir=run, seed=seed
    )
