"""CHAOS: `Train_Sets/MR/<id>/T2SPIR/{DICOM_anon,Ground}` and `T1DUAL`, DICOM series with labels as PNG files.

Source: https://chaos.grand-challenge.org. The two phases of T1DUAL share one `Ground`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from monai_sfda.data.checks import check_folder, describe_shape
from monai_sfda.data.dicom_grid import SliceGrid
from monai_sfda.data.dicom_headers import find_series
from monai_sfda.data.dicom_slices import slices_of
from monai_sfda.data.layout import SEARCH_DEPTH, FoundScan, add_subject, folders_below
from monai_sfda.errors import DataError, SettingError, nearest

_MODALITIES: dict[str, tuple[str, str]] = {
    "T2SPIR": ("T2SPIR", ""),
    "T1DUAL_InPhase": ("T1DUAL", "InPhase"),
    "T1DUAL_OutPhase": ("T1DUAL", "OutPhase"),
}
_LEVELS = SEARCH_DEPTH + 4  # Train_Sets / MR / id / sequence
_SAME_POSITION = 0.1


def expected(modality: str) -> str:
    """The layout of a modality, for messages."""
    sequence, phase = _folders(modality)
    folder = f"Train_Sets/MR/<id>/{sequence}"
    return f"{folder}/DICOM_anon{phase and '/' + phase} with {folder}/Ground"


def find(dataset_dir: Path, modality: str) -> dict[str, FoundScan]:
    """The scans of a modality by subject id.

    Args:
        dataset_dir: folder that holds the unpacked download, at any depth up to four.
        modality: `T2SPIR`, `T1DUAL_InPhase` or `T1DUAL_OutPhase`.

    Raises:
        SettingError: when the modality is unknown.
    """
    sequence, phase = _folders(modality)
    found: dict[str, FoundScan] = {}
    for folder in folders_below(dataset_dir, _LEVELS):
        if (
            folder.path.name != sequence
            or "DICOM_anon" not in folder.folders
            or "Test_Sets" in _below(folder.path, dataset_dir)
        ):
            continue
        image = folder.path / "DICOM_anon" / phase if phase else folder.path / "DICOM_anon"
        if image.is_dir():
            add_subject(found, folder.path.parent.name, FoundScan((image,), folder.path / "Ground"))
    return found


def _below(path: Path, root: Path) -> tuple[str, ...]:
    return path.relative_to(root).parts


def _folders(modality: str) -> tuple[str, str]:
    if modality not in _MODALITIES:
        raise SettingError(
            f"CHAOS modality '{modality}' is unknown",
            remedy=f"use one of {', '.join(nearest(modality, _MODALITIES))}",
        )
    return _MODALITIES[modality]


def read_ground(folder: Path, grid: SliceGrid) -> NDArray[np.uint8]:
    """The PNG labels of a DICOM scan on the scan's grid.

    A PNG belongs to the DICOM file of the same stem and has its frame: its row is the DICOM's row. Where the
    stems are those of a sibling series (the other phase of T1DUAL), the slice at the same position is meant.

    Args:
        folder: the `Ground` folder.
        grid: the scan's slices.

    Returns:
        Stored values, (columns, rows, slices).

    Raises:
        DataError: when a slice has no PNG or a PNG no slice, when one cannot be read, is in colour or of
            another size.
    """
    check_folder(folder)
    pictures = {
        p.stem: p
        for p in sorted(folder.iterdir())
        if p.suffix.lower() == ".png" and not p.name.startswith(".")
    }
    if not pictures:
        raise DataError("no PNG files", remedy="give the folder of the label pictures (Ground)", path=folder)
    slices = {s.file.stem: index for index, s in enumerate(grid.slices)}
    if len(slices) < len(grid.slices):
        raise DataError(
            "PNG labels for a scan whose file names are not one a slice",
            remedy="give the label as a volume",
            path=folder,
        )
    if not set(pictures) & set(slices):
        slices = _sibling_slices(folder, grid)
    strangers = sorted(set(pictures) - set(slices))
    if strangers:
        raise DataError(
            f"{len(strangers)} of {len(pictures)} label pictures belong to no slice of the scan",
            remedy="check that image and label are of the same series",
            path=pictures[strangers[0]],
        )
    covered = {slices[name] for name in pictures}
    if len(covered) < len(grid.slices):
        raise DataError(
            f"{len(grid.slices) - len(covered)} of {len(grid.slices)} slices have no label picture",
            remedy="unpack the data set again; a slice without structures has a black picture",
            path=folder,
        )
    label = np.zeros(grid.shape, dtype=np.uint8)
    for name, path in pictures.items():
        picture = _read_picture(path)
        if picture.shape != grid.shape[1::-1]:
            raise DataError(
                f"a label of {describe_shape(picture.shape[::-1])} pixels for an image of "
                f"{describe_shape(grid.shape[:2])}",
                remedy="check that image and label are of the same series",
                path=path,
            )
        label[:, :, slices[name]] = picture.T
    return label


def picture_with(folder: Path, value: int) -> Path:
    """The first label picture of a `Ground` folder that holds a value; the folder where none does."""
    pictures = (p for p in sorted(folder.iterdir()) if p.suffix.lower() == ".png")
    return next((p for p in pictures if (_read_picture(p) == value).any()), folder)


def _sibling_slices(ground: Path, grid: SliceGrid) -> dict[str, int]:
    """File stems of the series beside `Ground`, to the index of the scan's slice at the same position."""
    normal = grid.slices[0].normal
    positions = np.array([s.position @ normal for s in grid.slices])
    spacing = float(np.linalg.norm(grid.affine[:3, 2]))
    matches: dict[str, int] = {}
    for header in find_series(ground.parent).images:
        position = float(slices_of(header)[0].position @ normal)
        index = int(np.argmin(np.abs(positions - position)))
        if abs(positions[index] - position) <= _SAME_POSITION * spacing:
            matches[header.file.stem] = index
    return matches


def _read_picture(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("L", "P", "1"):
                raise DataError(
                    f"a label picture of mode {picture.mode}",
                    remedy="store 8-bit grey values as CHAOS does",
                    path=path,
                )
            grey = picture.convert("L") if picture.mode == "1" else picture
            return np.asarray(grey, dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError("the PNG file is damaged", remedy="copy or unpack it again", path=path) from error
