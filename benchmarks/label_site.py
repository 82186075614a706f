"""A site in small for the benchmarks of the MONAI Label app: a trained model, and scans of any size."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import zoom

import monai_sfda
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
        scan: a CT phantom of 128 x 128 pixels.
    """

    root: Path
    store: Path
    scan: Path

    def scan_of(self, shape: tuple[int, int, int]) -> Path:
        """The same phantom on a grid of another number of voxels, in the same field of view."""
        path = self.root / "scans" / f"{'x'.join(map(str, shape))}.nii.gz"
        if not path.is_file():
            image = nib.load(self.scan)
            values = np.asanyarray(image.dataobj).astype(np.float32)
            factors = [new / old for new, old in zip(shape, values.shape, strict=True)]
            affine = image.affine @ np.diag([*(1 / factor for factor in factors), 1])
            resampled = zoom(values, factors, order=1, grid_mode=True, mode="nearest")
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(np.rint(resampled).astype(np.int16), affine), path)
        return path


def make_site(root: Path, *, epochs: int | None = None, subjects: int = 6) -> Site:
    """The site in a folder; what is there is not made again.

    Args:
        root: the folder.
        epochs: of the training; None for those of `small.json`. Times do not depend on what was learned.
        subjects: phantoms of each modality.
    """
    data, run, store = root / "data", root / "source", root / "store"
    if not (data / "manifest.json").is_file() and not any(data.rglob("img")):
        write_phantoms("abdomen", data, subjects=subjects, seed=SEED, matrix=128)
    if not (run / "release" / "release.json").is_file():
        overrides = [] if epochs is None else ["--max_epochs", str(epochs)]
        subprocess.run(bundle_command("train", data, run, *overrides), check=True)
    if not (store / "store.json").is_file():
        ModelStore(store, by="benchmark").publish(run, model=MODEL)
    return Site(root, store, sorted(next(data.rglob("img")).glob("*.nii.gz"))[0])


def bundle_command(name: str, data: Path, out: Path, *overrides: str) -> list[str]:
    """`python -m monai.bundle run` on a configuration of the abdomen bundle with `small.json`."""
    files = ",".join(f"'{BUNDLE}/configs/{config}.json'" for config in (name, "small"))
    words = [sys.executable, "-m", "monai.bundle", "run", "--config_file", f"[{files}]"]
    words += ["--bundle_root", str(BUNDLE), "--dataset_dir", str(data), "--output_dir", str(out)]
    return [*words, *overrides]
