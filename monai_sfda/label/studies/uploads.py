"""What a client sends is checked before anything reads it: it is one whole file that names no other.

Headers of NRRD and MetaImage may say that the voxels lie in another file, by any path. A header that somebody
uploads could so have any file of the server read, and its bytes sent back as an image.
"""

# mypy: untyped-calls-exclude="SimpleITK"

from __future__ import annotations

import gzip
import math
import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import SimpleITK as sitk  # noqa: N813
from nibabel.filebasedimages import ImageFileError

from monai_sfda.data.case import volume_suffix
from monai_sfda.data.dicom_headers import is_dicom
from monai_sfda.data.quiet import quiet
from monai_sfda.errors import DataError

MOST_BYTES, MOST_VOXELS = 8 << 30, 1 << 31
"""Of one volume, unpacked; a scan of 1024 x 1024 x 1024 voxels fits."""
_HEADER_BYTES, _BLOCK = 1 << 20, 1 << 20
_GZIP = b"\x1f\x8b"
_UPLOAD = Path("upload")
_NRRD_FILE = re.compile(rb"data\s*_?\s*file\s*:", re.IGNORECASE)
_NRRD_END = re.compile(rb"\r?\n\r?\n")
_META_FILE = re.compile(rb"ElementDataFile", re.IGNORECASE)
_META_LOCAL = re.compile(rb"ElementDataFile[ \t]*=[ \t]*LOCAL[ \t]*\r?\n")


def check_upload(path: Path) -> None:
    """An uploaded volume is one whole file: its header names no other file of the server.

    What counts is the content; the ending alone says what a reader would take it for.

    Args:
        path: where the upload was stored; its ending is the one that the client gave.

    Raises:
        DataError: for NRRD and MetaImage headers with a detached data file, for `.nhdr` and `.mhd`, and for
            what is damaged or unpacks to more than `MOST_BYTES`.
    """
    suffix = volume_suffix(path)
    if suffix in (".nhdr", ".mhd"):
        raise DataError(
            f"a header without its data ({suffix})",
            remedy="send one file that holds both: .nii.gz, .nrrd or .mha",
            path=_UPLOAD,
        )
    with path.open("rb") as stream:
        start = stream.read(_HEADER_BYTES)
    if start.startswith(b"NRRD"):
        end = _NRRD_END.search(start)
        if end is None or _NRRD_FILE.search(start, 0, end.start() + 1):
            raise _names_another("NRRD")
        if suffix != ".nrrd":
            raise _is_none(suffix, "NRRD")
    elif suffix == ".nrrd":
        raise _is_none(suffix, "no NRRD")
    elif suffix == ".mha":
        _check_meta(start)
    if suffix is not None:
        _check_size(path, suffix)


def _check_size(path: Path, suffix: str) -> None:
    """Unpacked it is no larger than any scan: a small file may unpack to more than the machine has."""
    try:
        if suffix in (".nii", ".nii.gz"):
            with path.open("rb") as stream:
                packed = stream.read(2) == _GZIP
            nifti: Any = nib.load(path)
            declared = math.prod(nifti.shape) * nifti.get_data_dtype().itemsize
            if declared > MOST_BYTES:
                raise _is_larger()
            written = 0
            with gzip.open(path) if packed else path.open("rb") as opened:
                while block := opened.read(_BLOCK):
                    written += len(block)
                    if written > declared + _HEADER_BYTES:
                        raise DataError(
                            "more data than the header says",
                            remedy="export the volume again",
                            path=_UPLOAD,
                        )
            return
        reader: Any = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        with quiet():
            reader.ReadImageInformation()
        if math.prod(reader.GetSize()) * reader.GetNumberOfComponents() > MOST_VOXELS:
            raise _is_larger()
    except (OSError, EOFError, ValueError, zlib.error, RuntimeError, ImageFileError) as error:
        raise DataError(
            "the file is truncated or damaged", remedy="export it again and send it whole", path=_UPLOAD
        ) from error


def _is_larger() -> DataError:
    return DataError(
        f"a volume of more than {MOST_BYTES >> 30} GiB",
        remedy="send one scan, in its own resolution",
        path=_UPLOAD,
    )


def _check_meta(start: bytes) -> None:
    """The first mention of a data file is a line of its own and says LOCAL; the header ends with it."""
    mention = _META_FILE.search(start)
    if mention is None:
        raise _is_none(".mha", "no MetaImage")
    before = start[: mention.start()].rpartition(b"\n")[2]
    if before.strip(b" \t") or not _META_LOCAL.match(start, mention.start()):
        raise _names_another("MetaImage")


def _names_another(kind: str) -> DataError:
    return DataError(
        f"a {kind} header that names another file for its voxels",
        remedy="send one file that holds both: .nii.gz, .nrrd or .mha with ElementDataFile = LOCAL",
        path=_UPLOAD,
    )


def _is_none(suffix: str | None, what: str) -> DataError:
    return DataError(
        f"content ({what}) that does not fit the ending ({suffix or 'none'})",
        remedy="send a volume under its own ending",
        path=_UPLOAD,
    )


def unpack_dicom(archive: Path, folder: Path, *, most_bytes: int, most_files: int = 20_000) -> int:
    """Unpacks the DICOM files of a ZIP file, under names of our own.

    Names, paths and links of the archive are not used; what is no DICOM is left out.

    Args:
        archive: the ZIP file.
        folder: to fill; made.
        most_bytes: of all files together, unpacked; counted while unpacking, whatever the archive says.
        most_files: of the archive.

    Returns:
        How many DICOM files there are.

    Raises:
        DataError: when it is no ZIP file, too large, encrypted, or holds no DICOM.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = written = 0
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            if len(entries) > most_files:
                raise _too_large(f"{len(entries)} files")
            for entry in entries:
                if stat.S_ISLNK(entry.external_attr >> 16):
                    continue
                target = folder / f"{count + 1:05d}.dcm"
                with opened.open(entry) as source, target.open("wb") as sink:
                    while block := source.read(_BLOCK):
                        written += len(block)
                        if written > most_bytes:
                            raise _too_large(f"over {most_bytes >> 20} MiB unpacked")
                        sink.write(block)
                if is_dicom(target):
                    count += 1
                else:
                    target.unlink()
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError(
            "no ZIP file that can be unpacked", remedy="pack it again, without a password", path=_UPLOAD
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if not count:
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError("no DICOM files in the ZIP file", remedy="pack a series' files", path=_UPLOAD)
    return count


def _too_large(what: str) -> DataError:
    return DataError(f"a ZIP file of {what}", remedy="send one series at a time", path=_UPLOAD)
