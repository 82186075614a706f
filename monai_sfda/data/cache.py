"""Preprocessed scans, one copy a machine however many processes use it: in memory, and in files beyond."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import torch
from torch import Tensor

from monai_sfda import processes
from monai_sfda.data.case import Case
from monai_sfda.errors import DataError, OutputError
from monai_sfda.transforms import SliceGrid

logger = logging.getLogger(__name__)

MEMORY_SHARE = 0.5
"""Of the memory that is free when scans are read; the rest is the network's and the optimiser's."""
_CONTAINER = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class CachedVolume:
    """A preprocessed scan.

    Attributes:
        case: where it comes from.
        image: (C, S + n - 1, H, W) float32, edges clamped.
        label: (S, 1, H, W) uint8, or None.
        num_slices: S.
        plane_shape: (H', W') of the resampled slices before they were padded or cut to (H, W).
        voxel_ml: volume of one resampled voxel, ml; None for a picture.
        grid: how the slices lie on the scan's grid.
        doubt: why its values look like those of another modality; None where they do not.
        content: hash of the scan's values.
    """

    case: Case
    image: Tensor
    label: Tensor | None
    num_slices: int
    plane_shape: tuple[int, int]
    voxel_ml: float | None
    grid: SliceGrid
    doubt: str | None = None
    content: str = ""

    @property
    def is_cut(self) -> bool:
        """Whether the slices were larger than the stacks, so that their edges are missing."""
        return any(have > kept for have, kept in zip(self.plane_shape, self.image.shape[-2:], strict=True))

    @property
    def field_of_view(self) -> tuple[slice, slice]:
        """Rows and columns of a stack that show the scan; the others are padding."""
        rows, columns = (
            slice(max(0, size - have) // 2, max(0, size - have) // 2 + min(size, have))
            for have, size in zip(self.plane_shape, self.image.shape[-2:], strict=True)
        )
        return rows, columns

    @property
    def seen_grid(self) -> SliceGrid:
        """The grid of what the stacks show: that of the scan, without what was cut off."""
        rows, columns = self.field_of_view
        return replace(self.grid, sampled_shape=(rows.stop - rows.start, columns.stop - columns.start))

    @property
    def size(self) -> int:
        """Bytes."""
        return self.image.nbytes + (0 if self.label is None else self.label.nbytes)


@dataclass(frozen=True)
class _Written:
    """A volume in the machine's files: one file a tensor, of which only the shape stands here."""

    case: Case
    image: tuple[int, ...]
    label: tuple[int, ...] | None
    num_slices: int
    plane_shape: tuple[int, int]
    voxel_ml: float | None
    grid: SliceGrid
    doubt: str | None
    content: str


def free_memory() -> int:
    """Bytes that the machine, or the container that this runs in, has left."""
    free = int(psutil.virtual_memory().available)
    try:
        limit, used = ((_CONTAINER / name).read_text() for name in ("memory.max", "memory.current"))
        return free if limit.strip() == "max" else min(free, int(limit) - int(used))
    except (OSError, ValueError):
        return free


class VolumeCache:
    """Takes scans as they are read and hands all of the machine's out.

    A single process keeps them in memory up to `budget` bytes. What is beyond, and everything where several
    processes share a machine, goes to files in the system's folder for temporary files (TMPDIR). They are
    mapped into memory, so that the system keeps in it what is used, and have no name any more once they are
    mapped: nothing is left behind, however a process ends.

    Args:
        folder: for the files; the same for all processes of the machine.
        budget: bytes; None for `MEMORY_SHARE` of the free memory.
    """

    def __init__(self, folder: Path, budget: int | None = None) -> None:
        self.folder = folder
        self.shared = processes.local()[2] > 1
        self.budget = int(MEMORY_SHARE * free_memory()) if budget is None else budget
        self.on_disk = 0
        self._used = 0
        self._kept: dict[int, CachedVolume | _Written | DataError | OutputError] = {}
        self._lock = threading.Lock()

    def put(self, number: int, volume: CachedVolume | DataError) -> None:
        """Takes a scan, or why it could not be read; from any thread.

        Raises:
            OutputError: when a file cannot be written. Several processes raise it together, in `volumes`.
        """
        if isinstance(volume, DataError):
            self._kept[number] = volume
            return
        with self._lock:
            fits = not self.shared and self._used + volume.size <= self.budget
            self._used += volume.size if fits else 0
            self.on_disk += not fits
        if fits:
            self._kept[number] = volume
            return
        try:
            written = _write(volume, self.folder, number)
            self._kept[number] = written if self.shared else _open(written, self.folder, number)
        except OSError as error:
            failure = OutputError(
                f"preprocessed scans cannot be kept in files ({error.strerror})",
                remedy="set TMPDIR to a folder with space for all preprocessed scans",
            )
            if not self.shared:
                raise failure from error
            self._kept[number] = failure

    def volumes(self) -> dict[int, CachedVolume | DataError]:
        """By number, what all processes of this machine have put in.

        Raises:
            OutputError: when a file could not be written or opened.
        """
        machine = processes.local()[0]
        everything: dict[int, CachedVolume | DataError] = {}
        for where, kept in (
            processes.gather((machine, self._kept)) if self.shared else [(machine, self._kept)]
        ):
            for entry in kept.values():
                if isinstance(entry, OutputError):
                    raise entry
            for number, entry in kept.items() if where == machine else ():
                assert not isinstance(entry, OutputError)
                everything[number] = (
                    _open(entry, self.folder, number) if isinstance(entry, _Written) else entry
                )
        processes.wait_for_all()
        if self.on_disk and not self.shared:
            logger.info("%d of %d preprocessed scans are kept in files", self.on_disk, len(everything))
        return everything


@contextmanager
def machine_cache(budget: int | None = None) -> Iterator[VolumeCache]:
    """A cache for the processes of this machine, whose files lose their names in the end.

    Args:
        budget: as in `VolumeCache`.
    """
    machine, number, _ = processes.local()
    folders = processes.gather((machine, tempfile.mkdtemp(prefix="monai_sfda_") if number == 0 else None))
    folder = next(Path(f) for m, f in folders if m == machine and f is not None)
    try:
        yield VolumeCache(folder, budget)
    finally:
        if number == 0:
            shutil.rmtree(folder, ignore_errors=True)


def _write(volume: CachedVolume, folder: Path, key: int) -> _Written:
    volume.image.contiguous().numpy().tofile(folder / f"{key}.image")
    if volume.label is not None:
        volume.label.contiguous().numpy().tofile(folder / f"{key}.label")
    label = None if volume.label is None else tuple(volume.label.shape)
    return _Written(
        volume.case,
        tuple(volume.image.shape),
        label,
        volume.num_slices,
        volume.plane_shape,
        volume.voxel_ml,
        volume.grid,
        volume.doubt,
        volume.content,
    )


def _open(entry: _Written, folder: Path, key: int) -> CachedVolume:
    image = _map(folder / f"{key}.image", entry.image, torch.float32)
    label = None if entry.label is None else _map(folder / f"{key}.label", entry.label, torch.uint8)
    return CachedVolume(
        entry.case,
        image,
        label,
        entry.num_slices,
        entry.plane_shape,
        entry.voxel_ml,
        entry.grid,
        entry.doubt,
        entry.content,
    )


def _map(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor on a file's pages, which processes share as long as nobody writes to it."""
    size = 1
    for length in shape:
        size *= length
    return torch.from_file(str(path), shared=False, size=size, dtype=dtype).view(shape)
