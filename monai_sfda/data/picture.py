"""Colour pictures, their label pictures and their maps of values.

A picture is a scan of one slice: three channels, rows along the first axis, columns along the second, one
layer along the third. Its affine is the unit matrix, which says that it lies upright and nothing of size:
where a task has `pictures`, nothing is measured in mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from monai_sfda.data.case import PICTURE_SUFFIXES, Case
from monai_sfda.data.checks import check_file
from monai_sfda.data.scan import Scan
from monai_sfda.errors import DataError, OutputError
from monai_sfda.files import whole_file

_OWN_OUTPUT = "_seg"
_FEWEST_PIXELS, _MOST_CLASSES = 1000, 40
_PACKED = np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
#: Cityscapes' colours and ids, for labels that are stored in colour. Black is all that is not labelled.
_COLOURS = {
    (0, 0, 0): 0,
    (111, 74, 0): 5,
    (81, 0, 81): 6,
    (128, 64, 128): 7,
    (244, 35, 232): 8,
    (250, 170, 160): 9,
    (230, 150, 140): 10,
    (70, 70, 70): 11,
    (102, 102, 156): 12,
    (190, 153, 153): 13,
    (180, 165, 180): 14,
    (150, 100, 100): 15,
    (150, 120, 90): 16,
    (153, 153, 153): 17,
    (250, 170, 30): 19,
    (220, 220, 0): 20,
    (107, 142, 35): 21,
    (152, 251, 152): 22,
    (70, 130, 180): 23,
    (220, 20, 60): 24,
    (255, 0, 0): 25,
    (0, 0, 142): 26,
    (0, 0, 70): 27,
    (0, 60, 100): 28,
    (0, 0, 90): 29,
    (0, 0, 110): 30,
    (0, 80, 100): 31,
    (0, 0, 230): 32,
    (119, 11, 32): 33,
}


def read_picture(path: Path) -> Scan:
    """A picture as a scan (3, rows, columns, 1), red, green and blue in 0..255.

    Transparency is dropped, grey becomes three equal channels.

    Raises:
        DataError: when the file is missing, damaged, no picture, or a label.
    """
    check_file(path)
    try:
        with Image.open(path) as picture:
            colours = np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise _no_picture(path) from error
    _check_not_a_label(colours, path)
    values = colours.astype(np.float32)
    return Scan(np.ascontiguousarray(values.transpose(2, 0, 1)[..., None]), np.eye(4))


def _check_not_a_label(colours: NDArray[np.uint8], path: Path) -> None:
    """A picture of a camera has more colours than labels have classes, however few its pixels."""
    flat = colours.reshape(-1, 3)
    if len(flat) < _FEWEST_PIXELS:
        return
    seen = np.unique(flat[:: len(flat) // _FEWEST_PIXELS].astype(np.int32) @ _PACKED)
    if seen.size <= _MOST_CLASSES:
        raise DataError(
            f"only {seen.size} colours: a label, not a picture",
            remedy="put the picture there (have picture and label been exchanged?), or leave it out",
            path=path,
        )


def read_label_picture(path: Path, scan: Scan, dataset: str) -> NDArray[Any]:
    """A label picture's stored values (rows, columns, 1) on its picture's grid.

    Args:
        path: PNG: class ids, in grey or behind a palette; Cityscapes' colours; or, for `synthia`, 16 bits of
            which the first channel is the class.
        scan: the picture.
        dataset: reader's name.

    Raises:
        DataError: when it is missing, damaged, of other colours, or of another size than the picture.
    """
    check_file(path)
    stored = _first_channel(path) if dataset == "synthia" else _ids(path)
    if stored.shape != scan.shape[:2]:
        raise DataError(
            f"a label of {stored.shape[1]} x {stored.shape[0]} pixels for a picture of "
            f"{scan.shape[1]} x {scan.shape[0]}",
            remedy="leave the picture out (a few published ones are like that), or give its own label",
            path=path,
        )
    return stored[..., None]


def _ids(path: Path) -> NDArray[Any]:
    try:
        with Image.open(path) as picture:
            colour = picture.mode in ("RGB", "RGBA")
            values = np.asarray(picture.convert("RGB") if colour else picture)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise _no_picture(path) from error
    return _ids_of_colours(values, path) if colour else values


def _ids_of_colours(colours: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    packed = colours.astype(np.int32) @ _PACKED
    present, where = np.unique(packed, return_inverse=True)
    known = {(r << 16) + (g << 8) + b: value for (r, g, b), value in _COLOURS.items()}
    other = [value for value in present.tolist() if value not in known]
    if other:
        r, g, b = other[0] >> 16, other[0] >> 8 & 255, other[0] & 255
        raise DataError(
            f"{len(other)} colours that are not of Cityscapes, such as ({r}, {g}, {b})",
            remedy="give the label's ids, or its colours without interpolation",
            path=path,
        )
    ids = np.array([known[value] for value in present.tolist()], dtype=np.uint8)
    return np.asarray(ids[where.reshape(packed.shape)])


def _first_channel(path: Path) -> NDArray[Any]:
    """Through ITK, which keeps the 16 bits of several channels."""
    try:
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        raise _no_picture(path) from error
    return np.asarray(values[..., 0] if values.ndim == 3 else values)


def _no_picture(path: Path) -> DataError:
    return DataError("the file is truncated or is no picture", remedy="copy it again", path=path)


def find_pictures(folder: Path, files: Sequence[Path]) -> tuple[list[Case], list[str]]:
    """The pictures among the files of a folder, without labels, each its own subject; and warnings.

    Pictures that this package wrote beside them (`name_seg.png` where `name` is there) are left out.

    Raises:
        DataError: when there is none.
    """
    pictures = [f for f in files if f.suffix.lower() in PICTURE_SUFFIXES]
    stems = {f.stem for f in pictures}
    own = {f for f in pictures if f.stem.endswith(_OWN_OUTPUT) and f.stem.removesuffix(_OWN_OUTPUT) in stems}
    kept = sorted(f for f in pictures if f not in own)
    if not kept:
        raise DataError(
            f"no pictures among {len(files)} files",
            remedy=f"give the folder that holds {', '.join(PICTURE_SUFFIXES)} files",
            path=folder,
        )
    cases = [
        Case(number, str(file.relative_to(folder)), (file,), None, "folder", root=folder)
        for number, file in enumerate(kept, start=1)
    ]
    return cases, [f"{len(own)} segmentations beside their pictures are left out"] if own else []


def write_label_picture(path: Path, array: NDArray[np.uint8]) -> None:
    """Writes classes (rows, columns, 1) as an 8-bit grey PNG, whole or not at all.

    Raises:
        OutputError: when the array is no picture, or the file cannot be written.
    """
    if array.ndim != 3 or array.shape[2] != 1 or array.dtype != np.uint8:
        raise OutputError(
            f"an array of shape {array.shape} {array.dtype} is no label picture",
            remedy="give uint8 classes (rows, columns, 1)",
            path=path,
        )
    with whole_file(path) as beside, beside.open("wb") as file:
        Image.fromarray(array[..., 0]).save(file, "PNG")


def write_map_picture(path: Path, array: NDArray[np.float32]) -> None:
    """Writes a value a pixel (rows, columns, 1) as a 32-bit float TIFF, whole or not at all.

    The values are kept as they are: PNG and JPEG hold whole numbers alone, of which one would have to know
    the scale.

    Raises:
        OutputError: when the array is no map of a picture, or the file cannot be written.
    """
    if array.ndim != 3 or array.shape[2] != 1 or array.dtype != np.float32:
        raise OutputError(
            f"an array of shape {array.shape} {array.dtype} is no map of a picture",
            remedy="give float32 values (rows, columns, 1)",
            path=path,
        )
    with whole_file(path) as beside, beside.open("wb") as file:
        Image.fromarray(array[..., 0]).save(file, "TIFF", compression="tiff_adobe_deflate")
