"""Heart phantoms beside real balanced cine MR: blood, muscle and lung, measured alike.

The real scans are three patients of the Sunnybrook Cardiac Data (short-axis slices at the end of diastole
with a drawn myocardium), read from a folder beside the checkout; nothing of them is copied.

    python -m benchmarks.heart_contrast --data ../shared/data --seed 300 --subjects 8
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from monai_sfda.files import write_json
from monai_sfda.phantom import (
    HeartLabel,
    draw_heart_mr_scanner,
    heart_mr_grid,
    image_heart_mr,
    make_thorax,
)
from monai_sfda.phantom.jobs import SubjectSeeds
from monai_sfda.release import package_versions
from monai_sfda.workflow.experiment import machine

HERE = Path(__file__).parent
RESULT = HERE / "results" / "heart_contrast.json"
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


def real_slices(data: Path) -> Iterator[Measures]:
    """The slices of Sunnybrook that have cavity and muscle drawn."""
    for mask_file in sorted((data / "sunnybrook" / "masks").glob("*.png")):
        patient, number = mask_file.stem.split("_")
        mask = np.asarray(Image.open(mask_file))
        slices = [
            f for f in (data / "sunnybrook" / "dicoms" / patient).glob("*.dcm") if int(f.stem) == int(number)
        ]
        if not slices or not (mask == 2).any():
            continue
        dicom = pydicom.dcmread(slices[0])
        pixels = dicom.pixel_array.astype(np.float64)
        found = measure(pixels, mask == 1, mask == 2, float(dicom.PixelSpacing[0]))
        if found is not None:
            yield found


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


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--seed", type=int, default=300)
    parser.add_argument("--subjects", type=int, default=8)
    arguments = parser.parse_args()
    found = {
        "real": list(real_slices(arguments.data)),
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


if __name__ == "__main__":
    main()
