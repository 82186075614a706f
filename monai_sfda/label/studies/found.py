"""The scans of a folder, found again in moments when little has changed.

Headers are read once: a folder is looked into again only when a file in it has come, gone or changed. Folders
that share a DICOM series are looked at together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_sfda.data.case import volume_suffix
from monai_sfda.data.checks import check_folder
from monai_sfda.data.dicom import why_no_scan
from monai_sfda.data.dicom_headers import Header, files_below, read_headers
from monai_sfda.data.folder import segmentations_beside, volumes_of_series

_Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class FoundScan:
    """A scan in a folder.

    Attributes:
        files: one volume file, or the files of one DICOM volume.
        series_uid: of a DICOM series; None for a volume file.
        copy: 0, or which copy of the series it is, where folders hold the same one.
        instances: SOPInstanceUIDs of the DICOM files.
    """

    files: tuple[Path, ...]
    series_uid: str | None = None
    copy: int = 0
    instances: tuple[str, ...] = ()


class FoundScans:
    """The scans below a folder.

    Args:
        root: the folder.
        without: folders in it that hold something else.
    """

    def __init__(self, root: Path, without: Iterable[Path] = ()) -> None:
        self.root = root
        self.without = tuple(without)
        self._stamps: dict[Path, _Stamp] = {}
        self._series: dict[Path, frozenset[str]] = {}
        self._groups: dict[frozenset[Path], list[FoundScan]] = {}
        self._volumes: list[FoundScan] = []

    def look(self) -> bool:
        """Looks at the folder; whether anything has changed since the last look.

        Raises:
            DataError: when the folder is missing or cannot be read.
        """
        check_folder(self.root)
        contents: dict[Path, list[Path]] = {}
        volumes: list[Path] = []
        for file in files_below(self.root):
            if any(file.is_relative_to(other) for other in self.without):
                continue
            if volume_suffix(file) is None:
                contents.setdefault(file.parent, []).append(file)
            else:
                volumes.append(file)
        beside = segmentations_beside(volumes)
        found = [FoundScan((file,)) for file in volumes if file not in beside]
        changed = found != self._volumes
        self._volumes = found
        stamps = {folder: _stamp(files) for folder, files in contents.items()}
        news = {folder for folder, stamp in stamps.items() if self._stamps.get(folder) != stamp}
        gone = set(self._stamps) - set(stamps)
        self._stamps = stamps
        if news or gone:
            self._look_into(contents, news, gone)
            changed = True
        return changed

    def scans(self) -> list[FoundScan]:
        """What the last look found, in the order of the paths."""
        found = [*self._volumes, *(scan for group in self._groups.values() for scan in group)]
        return sorted(found, key=lambda scan: scan.files[0])

    def _look_into(self, contents: dict[Path, list[Path]], news: set[Path], gone: set[Path]) -> None:
        for folder in gone:
            self._series.pop(folder, None)
        alone: dict[Path, list[FoundScan]] = {}
        for folder in news:
            headers = read_headers(contents[folder])
            self._series[folder] = frozenset(headers.series())
            alone[folder] = [s for images in headers.series().values() for s in _scans_of(images)]
        groups: dict[frozenset[Path], list[FoundScan]] = {}
        for group in _together(self._series):
            if group in self._groups and not group & news:
                groups[group] = self._groups[group]
            elif len(group) == 1 and next(iter(group)) in alone:
                groups[group] = alone[next(iter(group))]
            else:
                files = [file for folder in sorted(group) for file in contents[folder]]
                series = read_headers(files).series()
                groups[group] = [s for images in series.values() for s in _scans_of(images)]
        self._groups = groups


def _scans_of(images: Sequence[Header]) -> list[FoundScan]:
    """The scans of one series' headers; none where it is a localizer, a screenshot or a projection."""
    headers = list(images)
    if why_no_scan(headers) is not None:
        return []
    found = []
    for copy, volumes in enumerate(volumes_of_series(headers)):
        for volume in volumes:
            ordered = sorted(volume, key=lambda header: header.file)
            found.append(
                FoundScan(
                    tuple(header.file for header in ordered),
                    ordered[0].series_uid,
                    copy,
                    tuple(sorted(header.text("SOPInstanceUID") for header in ordered)),
                )
            )
    return found


def _stamp(files: Sequence[Path]) -> _Stamp:
    """What changes when a file of a folder comes, goes or changes."""
    found = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            found.append((file.name, 0, -1))
        else:
            found.append((file.name, status.st_mtime_ns, status.st_size))
    return tuple(found)


def _together(series: dict[Path, frozenset[str]]) -> list[frozenset[Path]]:
    """Folders that share a series, directly or through others."""
    groups: dict[str, set[Path]] = {}
    result: list[set[Path]] = []
    for folder, uids in series.items():
        joined = {folder}
        for other in {id(groups[uid]): groups[uid] for uid in uids if uid and uid in groups}.values():
            joined |= other
            result.remove(other)
        result.append(joined)
        for member in joined:
            for uid in series[member]:
                groups[uid] = joined
    return [frozenset(group) for group in result if any(series[folder] for folder in group)]
