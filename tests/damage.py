"""What befalls files of a download. Each is written anew, since a copy may be a link to the sound file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import JPEG2000

from tests.builders import write_nifti


def write_bytes(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def truncate(path: Path) -> None:
    write_bytes(path, path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    write_bytes(path, b"")


def web_page(path: Path) -> None:
    """What a download without a log-in leaves under the file's name."""
    write_bytes(path, b"<!DOCTYPE html><title>Sign in</title>" + b" " * 200)


def put(source: Path, path: Path) -> None:
    """Another file's content under this name."""
    write_bytes(path, source.read_bytes())


def exchange(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    write_bytes(one, second)
    write_bytes(other, first)


def change(path: Path, how: Callable[[np.ndarray], np.ndarray]) -> None:
    """A NIfTI file with other values."""
    image = nib.load(path)
    array, affine = how(np.asanyarray(image.dataobj).copy()), image.affine
    path.unlink()
    write_nifti(path, array, affine)


def with_nan(path: Path) -> None:
    def spoil(array: np.ndarray) -> np.ndarray:
        array = array.astype(np.float32)
        array[3, 3, 3] = np.nan
        return array

    change(path, spoil)


def unknown_value(path: Path, value: int = 777) -> None:
    if path.suffix == ".png":
        with Image.open(path) as picture:
            values = np.asarray(picture).copy()
        values[2, 2] = 99
        path.unlink()
        Image.fromarray(values).save(path)
        return

    def spoil(array: np.ndarray) -> np.ndarray:
        array = array.astype(np.int16)
        array[2, 2, 2] = value
        return array

    change(path, spoil)


def change_dicom(path: Path, how: Callable[[pydicom.Dataset], None]) -> None:
    dataset = pydicom.dcmread(path)
    how(dataset)
    path.unlink()
    dataset.save_as(path)


def slices(series: Path) -> list[Path]:
    return sorted(series.glob("*.dcm"))


def unsupported_syntax(path: Path) -> None:
    """Says JPEG 2000 and holds something else."""

    def compress(dataset: pydicom.Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = JPEG2000
        dataset.PixelData = pydicom.encaps.encapsulate([b"\x00\x01\x02\x03" * 50])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True

    change_dicom(path, compress)


def without_pixels(path: Path) -> None:
    change_dicom(path, lambda dataset: dataset.__delitem__("PixelData"))
