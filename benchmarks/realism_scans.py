"""Real scans and phantoms on the same grids, with the same masks, to be compared by `phantom_realism.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks import realism_measures as measures
from monai_sfda.catalog import find_task
from monai_sfda.phantom import (
    ContrastPhase,
    Grid,
    Organ,
    choose_subjects,
    ct_grid,
    draw_ct_scanner,
    draw_mr_scanner,
    image_ct,
    image_mr,
    make_abdomen,
    mr_grid,
)
from monai_sfda.phantom.jobs import SubjectSeeds

ABDOMEN, THIGH = "abdomen_examples", "ibsi_sts"
#: Label values of the real abdomen's pseudo labels, and the phantoms' organs.
PSEUDO_LABELS = {"liver": 5, "right kidney": 2, "left kidney": 3, "spleen": 1}
ORGANS = {
    "liver": Organ.LIVER,
    "right kidney": Organ.RIGHT_KIDNEY,
    "left kidney": Organ.LEFT_KIDNEY,
    "spleen": Organ.SPLEEN,
}
ABDOMEN_PIXEL_MM = 3.0
_THIGH_PIXEL_MM, _THIGH_SLICE_MM = 0.977, 3.27
_CT_BODY = -300.0


@dataclass(frozen=True)
class Scan:
    """A scan to be measured.

    Attributes:
        title: for tables and pictures; of a real scan a number, no patient's id.
        kind: `CT` or `MR`.
        image: (X, Y, Z), X to the right and Y to the front; MR in per cent of its fat.
        body: the trunk or the limb, (X, Y, Z).
        tissues: masks by name: organs and visceral fat (what is fat 45 mm below the skin), or fat and muscle.
        pixel_mm: in-plane pixel size.
    """

    title: str
    kind: str
    image: NDArray[Any]
    body: NDArray[np.bool_]
    tissues: dict[str, NDArray[np.bool_]]
    pixel_mm: float


def _read(path: Path) -> tuple[NDArray[np.float32], tuple[float, ...]]:
    image = nibabel.as_closest_canonical(nibabel.load(path))
    return np.asanyarray(image.dataobj).astype(np.float32), image.header.get_zooms()


def _resampled(array: NDArray[Any], grid: Grid, order: int) -> NDArray[Any]:
    """On 3 mm voxels, by the spline of that order: the real scans came to us in that state."""
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, grid.affine))
    zoom = [spacing / ABDOMEN_PIXEL_MM for spacing in image.header.get_zooms()]
    return ndimage.zoom(np.asanyarray(image.dataobj), zoom, order=order, mode="nearest")


def _abdomen(
    title: str, kind: str, image: NDArray[Any], labels: NDArray[Any], values: dict[str, Any]
) -> Scan:
    """Cropped to the trunk; MR in per cent of the subcutaneous fat."""
    smooth = ndimage.gaussian_filter(image, (1.0, 1.0, 0.0))
    threshold = _CT_BODY if kind == "CT" else 0.06 * float(np.percentile(image, 99))
    body = measures.body_mask(smooth if kind == "MR" else image, threshold)
    where = np.argwhere(body.any(2))
    low, high = np.maximum(where.min(0) - 2, 0), where.max(0) + 3
    box = slice(low[0], high[0]), slice(low[1], high[1])
    image, labels, body = image[box], labels[box], body[box]
    if kind == "MR":
        # the rim of the trunk below the skin is fat; its brighter part, as muscle may reach into it
        rim = measures.eroded(body, 4.0, ABDOMEN_PIXEL_MM) & ~measures.eroded(body, 18.0, ABDOMEN_PIXEL_MM)
        image = image * (100.0 / float(np.percentile(image[rim], 60)))
    tissues = {name: labels == value for name, value in values.items()}
    smooth = ndimage.gaussian_filter(image, (0.5, 0.5, 0.0))
    fat = (smooth > -140) & (smooth < -70) if kind == "CT" else smooth > 60
    tissues["visceral fat"] = fat & measures.eroded(body, 45.0, ABDOMEN_PIXEL_MM)
    return Scan(title, kind, image, body, tissues, ABDOMEN_PIXEL_MM)


def real_abdomen(data: Path, kind: str) -> Scan:
    """The real abdominal CT (unenhanced, by its attenuation) or MR (a fat image, by its contrast)."""
    stem = data / ABDOMEN / kind.lower()
    image, _ = _read(stem.with_name(f"{stem.name}_image.nii.gz"))
    labels, _ = _read(stem.with_name(f"{stem.name}_pseudo_label.nii.gz"))
    return _abdomen(f"real {kind}", kind, image, labels, PSEUDO_LABELS)


def phantom_abdomens(kind: str, dataset_seed: int, subjects: int, like: Scan) -> Iterator[Scan]:
    """Phantoms as `write_phantoms` would write them, in the contrast and the heights of a real scan.

    CT without contrast agent, MR as the fat image of the gradient echoes, both sampled as always (256 pixels,
    thick slices) and then resampled to the real scan's 3 mm. They are cut in z to as many slices as it has,
    at the same height relative to the right kidney.
    """
    domain = "target" if kind == "CT" else "source"
    below = round(_middle_slice(like.tissues["right kidney"]))
    count = like.image.shape[2]
    for number, subject in enumerate(choose_subjects(find_task("abdomen").domain(domain), subjects), start=1):
        seeds = SubjectSeeds.of(dataset_seed, domain, subject)
        anatomy = make_abdomen(seeds.anatomy)
        if kind == "CT":
            scanner = replace(draw_ct_scanner(seeds.scanner), phase=ContrastPhase.NONE, oral_contrast=0.0)
            scan: Any = image_ct(anatomy, ct_grid(seeds.grid, 256), scanner, seeds.imaging)
        else:
            mr_scanner = draw_mr_scanner(seeds.scanner)
            scan = image_mr(anatomy, mr_grid(seeds.grid, 256), mr_scanner, seeds.imaging, "Fat")
        image = _resampled(scan.array.astype(np.float32), scan.grid, 3)
        labels = _resampled(scan.labels, scan.grid, 0)
        first = round(_middle_slice(labels == Organ.RIGHT_KIDNEY)) - below
        first = int(np.clip(first, 0, image.shape[2] - count))
        part = slice(first, first + count)
        yield _abdomen(f"phantom {number}", kind, image[..., part], labels[..., part], ORGANS)


def _middle_slice(mask: NDArray[np.bool_]) -> float:
    return float(np.flatnonzero(mask.any((0, 1))).mean())


def _limb(title: str, kind: str, image: NDArray[Any], pixel_mm: float, outline: NDArray[Any] | None) -> Scan:
    """Fat and muscle by thresholds on the smoothed image, without the tumour; MR in per cent of its fat."""
    smooth = ndimage.gaussian_filter(image, (1.5 / pixel_mm, 1.5 / pixel_mm, 0.0))
    if kind == "CT":
        body = measures.body_mask(image, _CT_BODY)
        fat, muscle = (smooth > -140) & (smooth < -70), (smooth > 10) & (smooth < 90)
    else:
        body = measures.body_mask(smooth, 0.1 * float(np.percentile(smooth, 99)))
        bright = float(np.percentile(smooth[body], 90))
        fat = (smooth > 0.75 * bright) & (smooth < 1.35 * bright)
        muscle = (smooth > 0.2 * bright) & (smooth < 0.55 * bright)
        image = image * (100.0 / float(np.median(image[fat])))
    free = body if outline is None else body & ~ndimage.binary_dilation(outline > 0, iterations=5)
    return Scan(title, kind, image, body, {"fat": fat & free, "muscle": muscle & free}, pixel_mm)


def real_thighs(data: Path, kind: str) -> Iterator[Scan]:
    """The soft-tissue scans at their own pixel size, numbered in the order of their folders."""
    name = "CT" if kind == "CT" else "MR_T1"
    for number, folder in enumerate(sorted((data / THIGH / "nifti").iterdir()), start=1):
        path = folder / f"{name}_image.nii.gz"
        if path.is_file():
            image, spacing = _read(path)
            outline, _ = _read(folder / f"{name}_mask.nii.gz")
            yield _limb(f"real {kind} {number}", kind, image, float(spacing[0]), outline)


def phantom_trunks(kind: str, dataset_seed: int, subjects: int) -> Iterator[Scan]:
    """Phantoms sampled as the soft-tissue scans: unenhanced CT, T1-weighted in-phase MR, no resampling."""
    side = 416
    affine = np.diag([_THIGH_PIXEL_MM, _THIGH_PIXEL_MM, _THIGH_SLICE_MM, 1.0])
    affine[:3, 3] = [-side * _THIGH_PIXEL_MM / 2, -side * _THIGH_PIXEL_MM / 2, -30.0]
    grid = Grid((side, side, 8), affine)
    domain = "target" if kind == "CT" else "source"
    for number, subject in enumerate(choose_subjects(find_task("abdomen").domain(domain), subjects), start=1):
        seeds = SubjectSeeds.of(dataset_seed, domain, subject)
        anatomy = make_abdomen(seeds.anatomy)
        if kind == "CT":
            scanner = replace(draw_ct_scanner(seeds.scanner), phase=ContrastPhase.NONE)
            array: NDArray[Any] = image_ct(anatomy, grid, scanner, seeds.imaging).array
        else:
            array = image_mr(anatomy, grid, draw_mr_scanner(seeds.scanner), seeds.imaging, "InPhase").array
        yield _limb(f"phantom {kind} {number}", kind, array.astype(np.float32), _THIGH_PIXEL_MM, None)
