"""Heart phantoms beside real balanced cine MR: blood, muscle and lung, measured alike, and a picture.

The real scans are three patients of the Sunnybrook Cardiac Data (short-axis slices at the end of diastole
with a drawn myocardium), read from a folder beside the checkout; nothing of them is copied but one slice of
the picture (CC0).

    python -m benchmarks.heart_contrast --data ../shared/data --seed 300 --subjects 8
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from monai_sfda.catalog import CARDIAC
from monai_sfda.files import write_atomically, write_json
from monai_sfda.phantom import (
    Grid,
    HeartLabel,
    Thorax,
    draw_angiography,
    draw_heart_mr_scanner,
    heart_ct_grid,
    heart_mr_grid,
    image_heart_ct,
    image_heart_mr,
    make_thorax,
)
from monai_sfda.phantom.jobs import SubjectSeeds
from monai_sfda.release import package_versions
from monai_sfda.workflow.results import machine

mpl.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
RESULT = HERE / "results" / "heart_contrast.json"
PICTURE = HERE.parent / "docs" / "images" / "phantoms_heart.png"
_NEAR_MM = 30.0
_INSIDE_MM = 2.0
_FEWEST = 30  # pixels
Measures = dict[str, float]


def measure(
    image: NDArray[np.float64], blood: NDArray[np.bool_], muscle: NDArray[np.bool_], pixel_mm: float
) -> Measures | None:
    """Ratios of one image; None where too little of blood or muscle is left away from their borders.

    Args:
        image: of any number of dimensions.
        blood, muscle: cavity and muscle of the left ventricle, of the same shape.
        pixel_mm: size of a pixel or voxel.
    """
    steps = max(1, round(_INSIDE_MM / pixel_mm))
    bright = image[ndimage.binary_erosion(blood, iterations=steps)]
    dark = image[ndimage.binary_erosion(muscle, iterations=1)]
    if min(bright.size, dark.size) < _FEWEST:
        return None
    near = ndimage.binary_dilation(blood | muscle, iterations=round(_NEAR_MM / pixel_mm))
    return {
        "blood over muscle": float(bright.mean() / dark.mean()),
        "lung (5th percentile within 30 mm) over blood": float(np.percentile(image[near], 5) / bright.mean()),
        "variation of blood": float(bright.std() / bright.mean()),
        "variation of muscle": float(dark.std() / dark.mean()),
    }


def real_slices(data: Path) -> Iterator[tuple[NDArray[np.float64], NDArray[np.uint8], float]]:
    """The slices of Sunnybrook with cavity (1) and muscle (2) drawn: image, mask, pixel size in mm."""
    for mask_file in sorted((data / "sunnybrook" / "masks").glob("*.png")):
        patient, number = mask_file.stem.split("_")
        mask = np.asarray(Image.open(mask_file))
        files = (data / "sunnybrook" / "dicoms" / patient).glob("*.dcm")
        slices = [file for file in files if int(file.stem) == int(number)]
        if slices and (mask == 2).any():
            dicom = pydicom.dcmread(slices[0])
            yield dicom.pixel_array.astype(np.float64), mask, float(dicom.PixelSpacing[0])


def phantom_hearts(seed: int, subjects: int) -> Iterator[Measures]:
    """Phantoms as `write_phantoms` makes them, without T2 preparation, which cine imaging has none of."""
    for number in range(subjects):
        seeds = SubjectSeeds.of(seed, "source", str(1001 + number))
        scanner = replace(draw_heart_mr_scanner(seeds.scanner), preparation_ms=0.0)
        grid = heart_mr_grid(seeds.grid, 192)
        image = image_heart_mr(make_thorax(seeds.anatomy), grid, scanner, seeds.imaging)
        blood, muscle = (
            image.labels == label for label in (HeartLabel.LEFT_VENTRICLE, HeartLabel.MYOCARDIUM)
        )
        found = measure(image.array.astype(np.float64), blood, muscle, grid.spacing_mm[0])
        if found is not None:
            yield found


def short_axis_grid(thorax: Thorax, pixel_mm: float, matrix: int) -> Grid:
    """Two slices across the left ventricle of a phantom, the septum on the left, the front wall on top."""
    u, v, w = np.asarray(thorax.heart.axes)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([-u * pixel_mm, -v * pixel_mm, w * 8.0], axis=1)
    middle = np.asarray(thorax.heart.point(8.0, 0.0, 30.0)) * np.asarray(thorax.scale)
    affine[:3, 3] = middle - affine[:3, :3] @ np.array([(matrix - 1) / 2, (matrix - 1) / 2, 0.0])
    return Grid((matrix, matrix, 2), affine)


def draw(real: tuple[NDArray[np.float64], NDArray[np.uint8], float], seed: int) -> bytes:
    """A phantom of each modality, axial and coronal, with its labels; short axes of a real and a phantom."""
    source, target = (SubjectSeeds.of(seed, domain, "1001") for domain in ("source", "target"))
    one, other = make_thorax(source.anatomy), make_thorax(target.anatomy)
    scanner = draw_heart_mr_scanner(source.scanner)
    mr = image_heart_mr(one, heart_mr_grid(source.grid, 256, "RAS"), scanner, source.imaging)
    ct = image_heart_ct(
        other, heart_ct_grid(target.grid, 256, "RAS"), draw_angiography(target.scanner), target.imaging
    )
    image, mask, pixel_mm = real
    y, x = (int(c) for c in np.argwhere(mask > 0).mean(0))
    half = round(60.0 / pixel_mm)
    cine = image[max(y - half, 0) : y + half, max(x - half, 0) : x + half]
    quick = replace(scanner, preparation_ms=0.0, resolution_mm=pixel_mm)
    short = image_heart_mr(one, short_axis_grid(one, pixel_mm, 2 * half), quick, source.imaging)
    figure, axes = plt.subplots(2, 4, figsize=(13.0, 6.6), facecolor="black")
    for row, (title, shown, window) in enumerate(
        (
            ("MR", mr, (0.0, float(np.percentile(mr.array, 99.3)))),
            ("CT angiography", ct, (-200.0, 550.0)),
        )
    ):
        colors = np.zeros((len(HeartLabel), 4))
        for structure in CARDIAC.structures:
            colors[structure.index] = (*(c / 255 for c in structure.color), 0.55)
        x_mm, y_mm, z_mm = shown.grid.spacing_mm
        _, y, z = (round(float(c)) for c in np.argwhere(shown.labels > 0).mean(0))
        views = (
            (f"phantom, {title}, axial", shown.array[:, :, z], None, y_mm / x_mm),
            (f"phantom, {title}, coronal", shown.array[:, y], None, z_mm / x_mm),
            ("the same with the task's labels", shown.array[:, y], shown.labels[:, y], z_mm / x_mm),
        )
        for axis, (name, pixels, labels, aspect) in zip(axes[row], views, strict=False):
            axis.imshow(pixels[::-1].T, cmap="gray", vmin=window[0], vmax=window[1], aspect=aspect)
            if labels is not None:
                axis.imshow(colors[labels[::-1].T], aspect=aspect)
            axis.invert_yaxis()
            axis.set_title(name, color="white", fontsize=9)
    for axis, name, pixels in (
        (axes[0, 3], "phantom, cine-like, short axis", short.array[:, :, 0].T),
        (axes[1, 3], "real, cine MR, short axis", cine),
    ):
        axis.imshow(pixels, cmap="gray", vmin=0, vmax=float(np.percentile(pixels, 99.5)))
        axis.set_title(name, color="white", fontsize=9)
    for axis in axes.flat:
        axis.axis("off")
    credit = "Real: Sunnybrook Cardiac Data (Radau et al. 2009), CC0, cut and windowed. Others: phantoms."
    figure.text(0.01, 0.01, f"{credit} Not for diagnosis.", color="white", fontsize=7)
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    stored = io.BytesIO()
    figure.savefig(stored, dpi=80, facecolor="black")
    plt.close(figure)
    return stored.getvalue()


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--seed", type=int, default=300)
    parser.add_argument("--subjects", type=int, default=8)
    arguments = parser.parse_args()
    real = list(real_slices(arguments.data))
    found = {
        "real": [m for m in (measure(i, k == 1, k == 2, mm) for i, k, mm in real) if m is not None],
        "phantom": list(phantom_hearts(arguments.seed, arguments.subjects)),
    }
    table = {
        name: {group: [round(v[name], 3) for v in values] for group, values in found.items()}
        for name in found["real"][0]
    }
    for name, groups in table.items():
        shown = (f"{g} {np.median(v):.2f} ({min(v):.2f} to {max(v):.2f})" for g, v in groups.items())
        print(f"{name}: {'; '.join(shown)}")
    write_json(
        RESULT,
        {
            "what": "heart phantoms (simulated) and real slices, measured alike; not for diagnosis",
            "command": f"python -m benchmarks.heart_contrast --seed {arguments.seed} "
            f"--subjects {arguments.subjects}",
            "phantom": True,
            "table": table,
            "versions": package_versions(),
            "machine": machine(),
        },
    )
    write_atomically(PICTURE, draw(real[1], arguments.seed))


if __name__ == "__main__":
    main()
