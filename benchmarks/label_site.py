"""A site in small for the benchmarks of the MONAI Label app: a trained model, and scans of any size."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

import monai_sfda
from monai_sfda.catalog import ABDOMEN
from monai_sfda.data.case import Case
from monai_sfda.data.labels import known_values, to_classes
from monai_sfda.data.listing import list_cases
from monai_sfda.phantom import write_phantoms
from monai_sfda.store import ModelStore

MODEL, SEED = "abdomen", 100
BUNDLE = Path(monai_sfda.__file__).parents[1] / "bundles" / "abdomen_chaos_btcv_sfda"


@dataclass(frozen=True)
class Site:
    """What the benchmarks run on.

    Attributes:
        root: folder of all of it.
        store: a model store with `MODEL`, whose active version has `small.json`'s network.
        case: a CT phantom of 128 x 128 pixels, with its label.
    """

    root: Path
    store: Path
    case: Case

    def scan_of(self, shape: tuple[int, int, int]) -> Path:
        """The phantom on a grid of another number of voxels, in the same field of view."""
        path = self.root / "scans" / f"{'x'.join(map(str, shape))}.nii.gz"
        if not path.is_file():
            image = nib.load(self.case.image[0])
            values = np.asanyarray(image.dataobj).astype(np.float32)
            factors = _factors(shape, values.shape)
            affine = image.affine @ np.diag([*(1 / factor for factor in factors), 1])
            resampled = zoom(values, factors, order=1, grid_mode=True, mode="nearest")
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(np.rint(resampled).astype(np.int16), affine), path)
        return path

    def truth_of(self, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        """The phantom's classes on that grid, of its nearest voxels."""
        label = self.case.label
        assert label is not None
        stored = np.asanyarray(nib.load(label).dataobj)
        classes = to_classes(stored, *known_values(self.case, ABDOMEN, ABDOMEN.target), label)
        nearest: NDArray[np.uint8] = zoom(
            classes, _factors(shape, classes.shape), order=0, grid_mode=True, mode="nearest"
        )
        return nearest


def _factors(shape: Sequence[int], before: Sequence[int]) -> list[float]:
    return [new / old for new, old in zip(shape, before, strict=True)]


def make_site(root: Path, *, epochs: int | None = None, subjects: int = 6, full: bool = False) -> Site:
    """The site in a folder; what is there is not made again.

    Args:
        root: the folder.
        epochs: of the training; None for those of `small.json`. Times do not depend on what was learned.
        subjects: phantoms of each modality.
        full: a network of full size, hardly trained.
    """
    size = "full" if full else "small"
    data, run, store = root / "data", root / size / "source", root / size / "store"
    if not (data / "manifest.json").is_file() and not any(data.rglob("img")):
        write_phantoms("abdomen", data, subjects=subjects, seed=SEED, matrix=128)
    if not (run / "release" / "release.json").is_file():
        overrides = [] if epochs is None else ["--max_epochs", str(epochs)]
        configs = ("train", "small")
        if full:
            configs = ("train",)
            overrides = ["--max_epochs", "1", "--training#epoch_length", "1", "--batch_size", "2"]
        subprocess.run(bundle_command(configs, run, "--dataset_dir", str(data), *overrides), check=True)
    if not (store / "store.json").is_file():
        ModelStore(store, by="benchmark").publish(run, model=MODEL)
    return Site(root, store, list_cases(ABDOMEN, "target", "train", data).cases[0])


def bundle_command(configs: tuple[str, ...], out: Path, *overrides: str) -> list[str]:
    """`python -m monai.bundle run` on stacked configurations of the abdomen bundle."""
    files = ",".join(f"'{BUNDLE}/configs/{config}.json'" for config in configs)
    words = [sys.executable, "-m", "monai.bundle", "run", "--config_file", f"[{files}]"]
    return [*words, "--bundle_root", str(BUNDLE), "--output_dir", str(out), *overrides]
