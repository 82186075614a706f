"""The spine phantoms in pictures and numbers: four Dixon images, what stands out from what in each.

No open Dixon scan of the spine was at hand, so nothing real stands beside them. It draws the picture of
docs/phantoms.md and prints contrasts over several subjects.

    python -m benchmarks.spine_phantoms --seed 300 --subjects 6
"""

from __future__ import annotations

import argparse
import io
import statistics
from enum import Enum
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from monai_sfda.files import write_atomically
from monai_sfda.phantom import (
    SpineImages,
    SpineTissue,
    Tissue,
    draw_spine_scanner,
    image_spine,
    make_spine,
)
from monai_sfda.phantom.ivdm3seg import FULL_MATRIX, ivdm3seg_grid
from monai_sfda.phantom.jobs import SubjectSeeds
from monai_sfda.phantom.spine_anatomy import Spine
from monai_sfda.phantom.spine_mr import DIXON_IMAGES
from monai_sfda.phantom.spine_tissues import SPINE_TISSUES

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "phantoms_spine.png"
_TITLES = {"wat": "water", "inn": "in phase", "opp": "opposed phase", "fat": "fat"}
_GROUPS: dict[str, tuple[Enum, ...]] = {
    "disc": (SpineTissue.NUCLEUS, SpineTissue.ANNULUS, SpineTissue.DEGENERATE_DISC),
    "marrow": (SpineTissue.RED_MARROW, SpineTissue.YELLOW_MARROW),
    "muscle": (Tissue.MUSCLE,),
    "fat": (Tissue.SUBCUTANEOUS_FAT,),
    "fluid": (Tissue.CEREBROSPINAL_FLUID,),
}


def one_subject(seed: int, subject: str) -> tuple[Spine, SpineImages]:
    """A subject and the images of the first examination."""
    seeds = SubjectSeeds.of(seed, "subjects", subject)
    spine = make_spine(seeds.anatomy)
    grid = ivdm3seg_grid(seeds.grid, FULL_MATRIX)
    return spine, image_spine(spine, grid, draw_spine_scanner(seeds.scanner), seeds.imaging)


def signals(spine: Spine, images: SpineImages) -> dict[str, dict[str, float]]:
    """Median signal relative to muscle by image and tissue, in voxels that hold at least 95% of it."""
    values = {kind: tuple(float(kind in group) for group in _GROUPS.values()) for kind in SPINE_TISSUES}
    cover, _ = spine.paint(images.grid, values)
    table: dict[str, dict[str, float]] = {}
    for name in DIXON_IMAGES:
        median = {
            group: float(np.median(images.arrays[name][share > 0.95]))
            for group, share in zip(_GROUPS, cover, strict=True)
        }
        table[name] = {group: value / median["muscle"] for group, value in median.items()}
    return table


def _show(axes: Axes, image: NDArray[np.int16], labels: NDArray[np.uint8], size: tuple[float, float]) -> None:
    extent = (0.0, size[0], 0.0, size[1])
    axes.imshow(image.T, cmap="gray", origin="lower", extent=extent, vmax=float(np.percentile(image, 99.5)))
    axes.contour(labels.T, [0.5], colors="#35c3ff", linewidths=0.7, extent=extent)
    axes.axis("off")


def draw(subjects: list[SpineImages], path: Path) -> None:
    """A sagittal and an axial slice of each subject in all images, discs outlined."""
    figure, axes = plt.subplots(
        2 * len(subjects), 4, figsize=(11, 4.9 * len(subjects)), height_ratios=[1.5, 1] * len(subjects)
    )
    for number, images in enumerate(subjects):
        x, y, z = (n * s for n, s in zip(images.grid.shape, images.grid.spacing_mm, strict=True))
        middle = images.grid.shape[2] // 2
        level = int(np.argmax(images.labels.sum((0, 2))))
        for column, name in enumerate(("wat", "inn", "opp", "fat")):
            array = images.arrays[name]
            top, below = axes[2 * number, column], axes[2 * number + 1, column]
            _show(top, array[:, :, middle], images.labels[:, :, middle], (x, y))
            top.set_title(f"subject {number + 1}: {_TITLES[name]}", fontsize=10)
            # the patient's right on the left of the picture, the front upwards
            axial = np.moveaxis(array[:, level, ::-1], 0, 1), np.moveaxis(images.labels[:, level, ::-1], 0, 1)
            half = slice(0, array.shape[0] * 5 // 8)
            _show(below, axial[0][:, half], axial[1][:, half], (z, x * 5 / 8))
    figure.text(0.5, 0.005, "Phantoms, not patients. Not for diagnosis.", ha="center", fontsize=9)
    figure.tight_layout(rect=(0, 0.015, 1, 1))
    stream = io.BytesIO()
    figure.savefig(stream, dpi=85, format="png")
    write_atomically(path, stream.getvalue())


def main() -> None:
    """Draws the picture and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=300)
    parser.add_argument("--subjects", type=int, default=6)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()
    made = [one_subject(options.seed, f"S{n:02d}") for n in range(1, options.subjects + 1)]
    draw([images for _, images in made[:2]], options.picture)
    tables = [signals(*subject) for subject in made]
    print("signal relative to muscle: median over subjects (range)")
    for name in DIXON_IMAGES:
        words = []
        for group in _GROUPS:
            values = [table[name][group] for table in tables]
            words.append(f"{group} {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
        print(f"{_TITLES[name]}: " + ", ".join(words))


if __name__ == "__main__":
    main()
