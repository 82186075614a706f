"""Preprocessed scans in memory, one copy a machine however many processes use it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from monai_sfda import processes
from monai_sfda.data.case import Case
from monai_sfda.errors import DataError, OutputError


@dataclass(frozen=True)
class CachedVolume:
    """A preprocessed scan in memory.

    Attributes:
        case: where it comes from.
        image: (C, S + n - 1, H, W) float32, edges clamped.
        label: (S, 1, H, W) uint8, or None.
        num_slices: S.
        plane_shape: (H', W') of the resampled slices before they were padded or cut to (H, W).
        voxel_ml: volume of one resampled voxel, ml; None for a picture.
        doubt: why its values look like those of another modality; None where they do not.
    """

    case: Case
    image: Tensor
    label: Tensor | None
    num_slices: int
    plane_shape: tuple[int, int]
    voxel_ml: float | None
    doubt: str | None = None

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


@dataclass(frozen=True)
class _Written:
    """A volume in the machine's shared files: one file a tensor, of which only the shape stands here."""

    case: Case
    image: tuple[int, ...]
    label: tuple[int, ...] | None
    num_slices: int
    plane_shape: tuple[int, int]
    voxel_ml: float | None
    doubt: str | None


def shared_on_machine(read: Mapping[int, CachedVolume | DataError]) -> dict[int, CachedVolume | DataError]:
    """What the processes of one machine have read, each its share, for all of them.

    The tensors go through files in the system's folder for temporary files, which every process maps into its
    memory and which have no name any more when this returns: nothing is left behind, however a process ends.

    Args:
        read: by number, what this process has read, or why it could not.

    Returns:
        The same for all numbers of the processes of this machine.

    Raises:
        OutputError: when the files cannot be written.
    """
    machine, number, together = processes.local()
    if together == 1:
        return dict(read)
    folders = processes.gather((machine, tempfile.mkdtemp(prefix="monai_sfda_") if number == 0 else None))
    folder = next(Path(f) for m, f in folders if m == machine and f is not None)
    try:
        failure: OutputError | None = None
        written: dict[int, _Written | DataError] = {}
        try:
            for key, volume in read.items():
                written[key] = volume if isinstance(volume, DataError) else _write(volume, folder, key)
        except OSError as error:
            failure = OutputError(
                f"scans cannot be shared between the processes ({error.strerror})",
                remedy="set TMPDIR to a folder with space for all preprocessed scans",
            )
        shared = processes.gather((machine, written, failure))
        for _, _, problem in shared:
            if problem is not None:
                raise problem
        everything: dict[int, CachedVolume | DataError] = {}
        for where, volumes, _ in shared:
            for key, entry in volumes.items() if where == machine else ():
                everything[key] = entry if isinstance(entry, DataError) else _open(entry, folder, key)
        processes.wait_for_all()
        return everything
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
        volume.doubt,
    )


def _open(entry: _Written, folder: Path, key: int) -> CachedVolume:
    image = _map(folder / f"{key}.image", entry.image, torch.float32)
    label = None if entry.label is None else _map(folder / f"{key}.label", entry.label, torch.uint8)
    return CachedVolume(
        entry.case, image, label, entry.num_slices, entry.plane_shape, entry.voxel_ml, entry.doubt
    )


def _map(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor on a file's pages, which processes share as long as nobody writes to it."""
    size = 1
    for length in shape:
        size *= length
    return torch.from_file(str(path), shared=False, size=size, dtype=dtype).view(shape)
