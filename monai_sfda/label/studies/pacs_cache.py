"""Series of a PACS on disk: whole or not at all, one folder a volume, within a bound."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from filelock import FileLock

from monai_sfda.data.dicom_headers import read_headers
from monai_sfda.data.folder import volumes_of_series
from monai_sfda.errors import DataError
from monai_sfda.files import cannot_write, write_json
from monai_sfda.label.studies.downloads import keep_within
from monai_sfda.label.studies.errors import PacsError, StillArrivingError
from monai_sfda.label.studies.pacs import Pacs
from monai_sfda.label.studies.pacs_series import ListedSeries, PacsSeries
from monai_sfda.label.studies.volumes import VolumeIds

SETTLED_SECONDS = 1.5
"""A series whose number of instances has not changed for so long counts as arrived."""
PATIENCE_SECONDS = 20.0
"""How long a request waits for a series that is arriving."""
_WHOLE = "volumes.json"


class PacsCache:
    """Downloaded series.

        <folder>/<series>/<state>/volumes.json    the volumes' ids and folders; there when all is whole
        <folder>/<series>/<state>/1/00001.dcm

    A state is a set of instances: when the PACS has others, the series is downloaded again, beside.

    Args:
        folder: of the cache.
        pacs: to download from.
        series: what the PACS lists.
        volumes: ids of volumes.
        largest_gb: how large it may grow.
    """

    def __init__(
        self, folder: Path, pacs: Pacs, series: PacsSeries, volumes: VolumeIds, largest_gb: float
    ) -> None:
        self.folder, self.pacs, self.series, self.volumes = folder, pacs, series, volumes
        self.largest_gb = largest_gb
        self.settled_seconds, self.patience_seconds = SETTLED_SECONDS, PATIENCE_SECONDS

    def volumes_of(self, listed: ListedSeries) -> dict[str, Path]:
        """The volumes of a series by id, each a folder of DICOM files; downloaded unless they are here.

        Raises:
            StillArrivingError: when the series keeps growing.
            PacsError: when the PACS does not answer.
            DataError: when the series has no images.
        """
        entry = self.folder / sha256(listed.uid.encode()).hexdigest()[:32]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        with FileLock(self.folder / f".{entry.name}.lock", is_singleton=True):
            give_up = time.monotonic() + self.patience_seconds
            while True:
                instances = self._look(listed)
                state = entry / _state_of(instances)
                if (state / _WHOLE).is_file():
                    break
                if self._has_settled(listed, instances):
                    self._download(listed, state, instances)
                    if self._look(listed) == instances:
                        break
                if time.monotonic() > give_up:
                    raise StillArrivingError(
                        f"the series is still arriving ({len(instances)} images so far)",
                        remedy="ask again when the transfer has ended",
                    )
            os.utime(state)
            os.utime(entry)
        self._tidy(entry, state)
        return {name: state / place for name, place in _read(state).items()}

    def ids_of(self, listed: ListedSeries) -> list[str]:
        """Ids of the series' volumes as far as they are known without a download: its own, at the least."""
        known = self.volumes.records.peek(listed.uid).get("anchors") or {}
        return list(known) or [listed.uid]

    def place_here(self, image_id: str, uid: str) -> Path | None:
        """The folder of a volume as it was downloaded last, unasked; None where it was not."""
        entry = self.folder / sha256(uid.encode()).hexdigest()[:32]
        states = [s for s in entry.glob("[!.]*/") if (s / _WHOLE).is_file()]
        for state in sorted(states, key=lambda s: s.stat().st_mtime, reverse=True):
            place = _read(state).get(image_id)
            if place is not None:
                return state / place
        return None

    def _look(self, listed: ListedSeries) -> tuple[str, ...]:
        instances = tuple(sorted(self.pacs.instances(listed.study, listed.uid)))
        if not instances:
            raise DataError("a series without images", remedy="transfer the series to the PACS again")
        self.series.note_look(listed.uid, len(instances))
        return instances

    def _has_settled(self, listed: ListedSeries, instances: Sequence[str]) -> bool:
        """Whether two looks, some time apart, agree on the instances; waits for the second one."""
        wait = self.settled_seconds - self.series.same_for(listed.uid, len(instances))
        if wait <= 0:
            return True
        time.sleep(wait)
        return self._look(listed) == tuple(instances)

    def _download(self, listed: ListedSeries, state: Path, instances: Sequence[str]) -> None:
        beside = state.with_name(f".{state.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        try:
            beside.mkdir(parents=True)
            files = self.pacs.fetch(listed.study, listed.uid, beside)
            if len(files) < len(instances):
                raise PacsError(
                    f"the PACS sent {len(files)} of {len(instances)} images", remedy="try again in a while"
                )
            write_json(beside / _WHOLE, self._sort(listed.uid, files, beside))
            shutil.rmtree(state, ignore_errors=True)
            beside.rename(state)
        except OSError as error:
            raise cannot_write(state, error) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _sort(self, uid: str, files: Sequence[Path], folder: Path) -> dict[str, str]:
        """Moves each volume's files into a folder of its own; a series that is bad stays together."""
        headers = read_headers(files)
        volumes = (
            [volume for copy in volumes_of_series(headers.images) for volume in copy]
            if headers.images
            else []
        )
        if len(volumes) < 2:
            volumes_files = [list(files)]
            marks = [[h.text("SOPInstanceUID") for h in headers.images]] if headers.images else [["none"]]
        else:
            volumes_files = [[h.file for h in volume] for volume in volumes]
            marks = [[h.text("SOPInstanceUID") for h in volume] for volume in volumes]
        ids = self.volumes.ids(uid, marks, lambda mark: f"{uid}_{mark.rpartition('-')[2]}")
        for place, group in enumerate(volumes_files, start=1):
            (folder / str(place)).mkdir()
            for file in group:
                file.rename(folder / str(place) / file.name)
        return {name: str(place) for place, name in enumerate(ids, start=1)}

    def _tidy(self, entry: Path, state: Path) -> None:
        """Removes earlier states that nobody has used lately, and what a killed process left."""
        keep_within(entry, 0.0, keep=state)
        for left in entry.glob(".*.tmp"):
            if time.time() - left.stat().st_mtime > 3600:
                shutil.rmtree(left, ignore_errors=True)
        keep_within(self.folder, self.largest_gb, keep=entry)


def _state_of(instances: Sequence[str]) -> str:
    return sha256("\n".join(instances).encode()).hexdigest()[:16]


def _read(state: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((state / _WHOLE).read_text(encoding="utf-8"))
    return found
