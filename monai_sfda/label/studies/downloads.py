"""What can be made again: DICOM series as NIfTI files for clients that want one file, within a bound."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

import nibabel as nib
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from monai_sfda.data.case import volume_suffix
from monai_sfda.data.dicom import read_grid, scan_headers, slice_grid
from monai_sfda.data.volume import read_volume
from monai_sfda.files import whole_file

_IN_USE_SECONDS = 2 * 3600
"""What was asked for lately is not removed: somebody may be reading it."""


class Conversions:
    """NIfTI copies of DICOM series.

    Args:
        folder: of the copies.
        largest_gb: how large they may grow together; the least recently used ones go first.
    """

    def __init__(self, folder: Path, largest_gb: float) -> None:
        self.folder, self.largest_gb = folder, largest_gb

    def nifti_of(self, image_id: str, series: Path) -> Path:
        """The NIfTI copy of a series, on its own grid; made again when a file of the series has changed.

        Args:
            image_id: names the copy.
            series: folder with one DICOM series, one multi-frame file, or a header with detached data.

        Raises:
            DataError: when the series is no volume.
            OutputError: when it cannot be written.
        """
        name = sha256(image_id.encode()).hexdigest()[:32]
        path = self.folder / name / f"{_stamp(series)}.nii.gz"
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f".{name}.lock"):
            if not path.is_file():
                if not series.is_dir() and volume_suffix(series) is not None:
                    _write(path, *read_volume(series))
                else:
                    grid = slice_grid(scan_headers(series))
                    _write(path, read_grid(grid), grid.affine)
                for old in path.parent.glob("*.nii.gz"):
                    if old != path:
                        old.unlink(missing_ok=True)
                keep_within(self.folder, self.largest_gb, keep=path.parent)
            os.utime(path)
            os.utime(path.parent)
        return path


def _stamp(series: Path) -> str:
    """What changes with the files of a series."""
    files = sorted(series.iterdir()) if series.is_dir() else [series]
    digest = sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _write(path: Path, values: NDArray[np.float32], affine: NDArray[np.float64]) -> None:
    whole = np.rint(values)
    fits = bool((whole == values).all()) and values.min() >= -32768 and values.max() <= 32767
    stored = whole.astype(np.int16) if fits else values
    image = nib.nifti1.Nifti1Image(np.asfortranarray(stored), affine, dtype=stored.dtype)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    with whole_file(path) as beside, gzip.open(beside, "wb", compresslevel=1) as stream:
        stream.write(image.to_bytes())


def keep_within(
    folder: Path,
    largest_gb: float,
    *,
    keep: Path | None = None,
    in_use_seconds: float = _IN_USE_SECONDS,
    remove: Callable[[Path], None] = lambda path: shutil.rmtree(path, ignore_errors=True),
) -> int:
    """Removes the least recently used entries of a cache until the rest is small enough.

    Args:
        folder: its entries are folders; their modification time says when they were asked for last.
        largest_gb: how large they may be together, 10^9 bytes.
        keep: an entry that stays.
        in_use_seconds: entries that were asked for more recently stay, too.
        remove: an entry.

    Returns:
        Bytes that are left.
    """
    entries = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    sizes = {entry: _size(entry.rglob("*")) for entry in entries}
    total = sum(sizes.values())
    for entry in sorted(entries, key=lambda e: e.stat().st_mtime if e.exists() else 0.0):
        if total <= largest_gb * 1e9:
            break
        if entry == keep or time.time() - entry.stat().st_mtime < in_use_seconds:
            continue
        remove(entry)
        total -= sizes[entry]
    return total


def _size(files: Iterable[Path]) -> int:
    total = 0
    for file in files:
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:
            continue
    return total
