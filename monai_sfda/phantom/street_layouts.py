"""Street scenes in the layouts of Cityscapes, GTA5 and SYNTHIA: file names, bit depths and palettes alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from PIL import Image

from monai_sfda.catalog import STREET, STREET_SYNTHIA_16
from monai_sfda.phantom.street_classes import TERRAIN, TRAIN, TRUCK

_SYNTHIA_NOT_IN_16 = {TERRAIN: 16, TRUCK: 18, TRAIN: 20}


def cityscapes_files(out: Path, city: str, number: int) -> tuple[Path, Path]:
    """Picture and label of the sequence of that number; cities of the published val split lie there."""
    split = "val" if city in STREET.target.splits_of(())["test"] else "train"
    stem = f"{city}_{number:06d}_000019"
    return (
        out / "cityscapes" / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png",
        out / "cityscapes" / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png",
    )


def gta5_files(out: Path, number: int) -> tuple[Path, Path]:
    """Picture and label; numbers start at 1."""
    name = f"{number:05d}.png"
    return out / "gta5" / "images" / name, out / "gta5" / "labels" / name


def synthia_files(out: Path, number: int) -> tuple[Path, Path]:
    """Picture and label; numbers start at 0."""
    top, name = out / "synthia" / "RAND_CITYSCAPES", f"{number:07d}.png"
    return top / "RGB" / name, top / "GT" / "LABELS" / name


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """(rows, columns, 3) as an 8-bit PNG."""
    Image.fromarray(picture).save(path, "PNG")


def write_ids(path: Path, label: NDArray[np.uint8]) -> None:
    """Cityscapes ids as an 8-bit grey PNG."""
    Image.fromarray(label).save(path, "PNG")


def write_palette(path: Path, label: NDArray[np.uint8]) -> None:
    """Cityscapes ids behind a palette of their colours, as GTA5 has them."""
    picture = Image.fromarray(label).convert("P")
    colours = np.zeros((256, 3), dtype=np.uint8)
    for known, structure in zip(STREET.target.label_values, STREET.structures, strict=True):
        colours[known.low] = structure.color
    picture.putpalette(colours.tobytes())
    picture.putdata(label.ravel())
    picture.save(path, "PNG")


def write_synthia_label(path: Path, label: NDArray[np.uint8], things: NDArray[np.int32]) -> None:
    """Cityscapes ids as SYNTHIA has its own: 16 bits, class, thing and nothing in the three channels."""
    classes = np.zeros(label.shape, dtype=np.uint16)
    task = STREET_SYNTHIA_16
    for of_city, of_synthia in zip(task.target.label_values, task.source.label_values, strict=True):
        classes[label == of_city.low] = of_synthia.low
    for city_id, synthia_id in _SYNTHIA_NOT_IN_16.items():
        classes[label == city_id] = synthia_id
    channels = np.stack([classes, things.astype(np.uint16), np.zeros_like(classes)], axis=-1)
    sitk.WriteImage(sitk.GetImageFromArray(channels, isVector=True), str(path))
