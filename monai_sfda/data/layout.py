"""Looking for official layouts in a folder of downloads, without ever looking at a label."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monai_sfda.data.case import volume_suffix
from monai_sfda.errors import DataError

SEARCH_DEPTH = 4
"""Folders between the folder given and the top of a layout."""
_NEVER_SEEN = frozenset({"__macosx", "ground", "label", "labels", "labelstr"})


@dataclass(frozen=True)
class FoundScan:
    """A scan of an official layout: its image is there; its label's place is known, but was not looked at.

    Attributes:
        images: one file or DICOM folder; several are the channels of one scan.
        label: its place.
        subject: where a subject may have several scans; None: the scan's own id is the subject's.
    """

    images: tuple[Path, ...]
    label: Path
    subject: str | None = None


@dataclass(frozen=True)
class Folder:
    """A folder of the search: its path and the names of what it holds."""

    path: Path
    folders: frozenset[str]
    files: tuple[str, ...]


def folders_below(root: Path, levels: int) -> Iterator[Folder]:
    """The folder and those up to `levels` below it, the nearest first, in the order of their names.

    Folders of labels (`Ground`, `label`) are neither entered nor looked at; nor are hidden ones. Linked
    folders are followed, each once.

    Raises:
        DataError: when a folder cannot be read.
    """
    waiting = deque([(root, 0)])
    seen: set[str] = set()
    while waiting:
        path, depth = waiting.popleft()
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(path) as entries:
                known = [
                    e for e in entries if e.name.casefold() not in _NEVER_SEEN and not e.name.startswith(".")
                ]
                folders = {e.name for e in known if volume_suffix(Path(e.name)) is None and e.is_dir()}
                files = sorted(e.name for e in known if e.name not in folders)
        except OSError as error:
            raise DataError(
                f"the folder cannot be read ({error.strerror or error})",
                remedy="check its permissions",
                path=path,
            ) from error
        yield Folder(path, frozenset(folders), tuple(files))
        if depth < levels:
            waiting.extend((path / f, depth + 1) for f in sorted(folders) if f != "DICOM_anon")


def add_subject(found: dict[str, FoundScan], subject: str, scan: FoundScan) -> None:
    """Notes a subject's scan.

    Raises:
        DataError: when the subject was found before, in another folder.
    """
    if subject in found:
        raise DataError(
            f"a scan that is there twice (also in {found[subject].images[0].parent.name})",
            remedy="give the folder of one copy of the data set as dataset_dir",
            path=scan.images[0],
        )
    found[subject] = scan
