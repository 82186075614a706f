"""How large a volume file is, before it is read: by its header, and by what it unpacks to."""

from __future__ import annotations

import gzip
import io
import math
import threading
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO, cast

import nibabel as nib
import SimpleITK as sitk  # noqa: N813
from nibabel.wrapstruct import WrapStructError

from monai_sfda.data.case import volume_suffix
from monai_sfda.data.quiet import quiet
from monai_sfda.errors import DataError

_GZIP = b"\x1f\x8b"
_MOST_RATIO = 1032
"""Bytes that one byte of a gzip file can stand for, at most."""
_SLACK = 1 << 20
"""Extensions of a header, and what lies behind the last voxel."""
_PIECE = 1 << 22
_seen: OrderedDict[tuple[str, int, int, int], None] = OrderedDict()
_guard = threading.Lock()


def check_size(path: Path, most_voxels: int) -> None:
    """A volume file has no more voxels than may be read, and holds no more bytes than its header says.

    A few megabytes of gzip may stand for gigabytes, which would end the server and everybody's work with it.

    Args:
        path: NIfTI, NRRD or MetaImage; other files are not looked at.
        most_voxels: so many numbers, of all its volumes together.

    Raises:
        DataError: when it has more, or is no such file.
    """
    suffix = volume_suffix(path)
    if suffix is None or not path.is_file():
        return
    if not suffix.startswith(".nii"):
        _refuse(math.prod(_itk_shape(path)), most_voxels)
        return
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP
    try:
        with _opened(path, packed) as file:
            voxels, content = _nifti_size(file)
            _refuse(voxels, most_voxels)
            if packed:
                _check_unpacked(path, file, content + _SLACK)
    except (EOFError, zlib.error, gzip.BadGzipFile, WrapStructError, ValueError) as error:
        raise DataError(
            "the file is truncated or is no NIfTI image", remedy="copy, download or convert it again"
        ) from error


def _opened(path: Path, packed: bool) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb") if packed else path.open("rb"))


def _nifti_size(file: BinaryIO) -> tuple[int, int]:
    """Voxels, and bytes of header and voxels together."""
    block = file.read(540)
    sizes = int.from_bytes(block[:4], "little"), int.from_bytes(block[:4], "big")
    kind = nib.Nifti2Header if 540 in sizes else nib.Nifti1Header
    header = kind.from_fileobj(io.BytesIO(block), check=False)
    voxels = math.prod(int(n) for n in header.get_data_shape())
    return voxels, int(header.get_data_offset()) + voxels * header.get_data_dtype().itemsize


def _check_unpacked(path: Path, file: BinaryIO, most: int) -> None:
    """Unpacks piece by piece, keeping none; a file that was found good before is not unpacked again."""
    state = path.stat()
    if state.st_size * _MOST_RATIO <= most:
        return
    known = (str(path), state.st_size, state.st_mtime_ns, most)
    with _guard:
        if known in _seen:
            return
    found = file.tell()
    while piece := file.read(_PIECE):
        found += len(piece)
        if found > most:
            raise DataError(
                "the file unpacks to more than its header says", remedy="write it again from its source"
            )
    with _guard:
        _seen[known] = None
        while len(_seen) > 10_000:
            _seen.popitem(last=False)


def _itk_shape(path: Path) -> tuple[int, ...]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise DataError(
            "the file is truncated or is no NRRD or MetaImage volume",
            remedy="copy it again, with the data file that its header names",
        ) from error
    return tuple(int(n) for n in reader.GetSize())


def _refuse(voxels: int, most: int) -> None:
    if not 0 <= voxels <= most:
        raise DataError(
            f"a scan of {voxels} voxels, the server takes {most}",
            remedy="crop it, or ask the administrator to raise --conf most_voxels",
        )
