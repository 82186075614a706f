"""Looking for official layouts in a folder of downloads, without ever looking at a label."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

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
        fault: why it cannot be used, such as a missing channel; a list that holds the scan is refused.
        note: what a user should know of it; the scan is used.
    """

    images: tuple[Path, ...]
    label: Path
    subject: str | None = None
    fault: DataError | None = None
    note: DataError | None = None


class Layout(Protocol):
    """A module that knows one official layout."""

    def find(self, dataset_dir: Path, modality: str) -> dict[str, FoundScan]:
        """The scans by subject id."""

    def expected(self, modality: str) -> str:
        """The layout in words."""


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
    """Notes a subject's scan; where it is there already, elsewhere, that is the fault of the first."""
    first = found.get(subject)
    if first is None:
        found[subject] = scan
    elif first.fault is None:
        found[subject] = replace(first, fault=twice(first.images[0], scan.images[0]))


def twice(first: Path, second: Path) -> DataError:
    """The fault of a scan that two folders hold, whose paths are told from their common folder."""
    other = first.relative_to(os.path.commonpath((first, second)))
    return DataError(
        f"a scan that is there twice (also {other})",
        remedy="give the folder of one copy of the data set as dataset_dir",
        path=second,
    )
