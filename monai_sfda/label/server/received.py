"""Files that a client sends, stored under names of our own and checked before anything reads them."""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import UploadFile

from monai_sfda.errors import DataError
from monai_sfda.label.server.answers import TooLargeError
from monai_sfda.label.studies.uploads import check_upload

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".dcm", ".zip", ".bin", ".seg.nrrd", ".png", ".jpg", ".jpeg")
"""Endings of files that are taken, the longest that fits first."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")
_MOST_FILES = 20_000


def ending_of(name: str | None, default: str = ".nii.gz") -> str:
    """The ending of an uploaded file's name.

    Raises:
        DataError: for an ending that is not taken.
    """
    if not name:
        return default
    lowered = name.lower()
    if lowered.endswith(".ima"):
        return ".dcm"
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if lowered.endswith(ending):
            return ending
    if "." not in Path(name).name:
        return ".dcm"
    raise DataError(
        f"a file that ends in '{Path(name).suffix[:12]}' is not taken",
        remedy=f"send one of {', '.join(ENDINGS[:5])}",
    )


def plain_name(name: str | None, number: int) -> str:
    """A name of ours for an uploaded file: its number and its ending, nothing else of the client's name."""
    return f"{number:06d}{ending_of(name)}"


@contextmanager
def received(upload: UploadFile | None) -> Iterator[Path | None]:
    """An uploaded file on disk for as long as the block lasts; None for none."""
    if upload is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="sfda-") as folder:
        path = Path(folder) / f"upload{ending_of(upload.filename)}"
        store(upload, path)
        yield path


def store(upload: UploadFile, path: Path) -> None:
    """Writes an upload and checks that it names no other file.

    Raises:
        DataError: when it does.
    """
    with path.open("xb") as stream:
        shutil.copyfileobj(upload.file, stream, 1 << 20)
    if path.suffix not in (".zip", ".bin"):
        check_upload(path)


def unpack(archive: Path, folder: Path, *, most_bytes: int) -> None:
    """Unpacks a ZIP file of plain files under names of our own.

    Raises:
        DataError: when it is damaged, encrypted, or holds a link.
        TooLargeError: when its content is more than `most_bytes`, whatever its directory claims.
    """
    left = most_bytes
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            if len(entries) > _MOST_FILES:
                raise TooLargeError(
                    f"the archive holds {len(entries)} files", remedy=f"send at most {_MOST_FILES}"
                )
            for number, entry in enumerate(entries):
                if stat.S_ISLNK(entry.external_attr >> 16) or entry.flag_bits & 1:
                    raise DataError(
                        "the archive holds a link or an encrypted file", remedy="send plain files alone"
                    )
                path = folder / plain_name(Path(entry.filename).name, number)
                with opened.open(entry) as source, path.open("xb") as target:
                    while block := source.read(1 << 20):
                        left -= len(block)
                        if left < 0:
                            raise TooLargeError(
                                "the archive is too large when unpacked", remedy="send fewer files at once"
                            )
                        target.write(block)
                check_upload(path)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise DataError("the archive cannot be read", remedy="send a ZIP file") from error


def is_plain_name(name: str) -> bool:
    """Whether a name can be an id that a client makes up: no slash, no leading dot, short."""
    return _PLAIN.fullmatch(name) is not None
