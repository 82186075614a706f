"""When studies were acquired or arrived: to put them into that order, and for nothing that is kept.

Times of acquisition are patient data: they are read from the scans' headers, held in memory alone, and never
part of an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from monai_sfda.data.acquisition import acquired
from monai_sfda.data.case import Case
from monai_sfda.label.next_study.scores import Datastore

ACQUIRED, ARRIVED = "acquired", "arrived"
ORDERS = {
    ACQUIRED: "the acquisition times of their DICOM headers",
    ARRIVED: "the times at which the server first saw them",
}


class AcquisitionTimes:
    """What is known of when a datastore's scans were acquired, in memory."""

    def __init__(self) -> None:
        self._known: dict[str, datetime | None] = {}

    def learn(self, image_id: str, place: Path) -> None:
        """Reads the time from the header of a scan's first file, once.

        Args:
            image_id: of the scan.
            place: its file or the folder of its series.
        """
        if image_id not in self._known:
            self._known[image_id] = _acquired(place)

    def of(self, datastore: Datastore, image_id: str) -> datetime | None:
        """Local time of acquisition, asked of the datastore where it can tell; None where it is not known."""
        if self._known.get(image_id) is None and (ask := getattr(datastore, "acquired_at", None)) is not None:
            self._known[image_id] = ask(image_id)
        return self._known.get(image_id)


_all: WeakKeyDictionary[Any, AcquisitionTimes] = WeakKeyDictionary()
_lock = threading.Lock()


def times_of(datastore: Datastore) -> AcquisitionTimes:
    """What this process knows of a datastore's scans."""
    with _lock:
        return _all.setdefault(datastore, AcquisitionTimes())


def arrived(info: Mapping[str, Any]) -> datetime | None:
    """When the server first saw an image, UTC; None where its information does not say."""
    seconds = info.get("ts")
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        return None
    return datetime.fromtimestamp(seconds, timezone.utc)


def in_time(
    datastore: Datastore, image_ids: Sequence[str], order: str | None, since: datetime | None
) -> tuple[str, list[str], int]:
    """Images in their order in time.

    Args:
        datastore: of the images.
        image_ids: which.
        order: `acquired` or `arrived`; None: by acquisition where it is known of all, else by arrival.
        since: images before are left out; None: none are. Times of acquisition are local ones.

    Returns:
        The order that was possible, the images, and how many were left out as they are from before `since`.
        Images of unknown time come first and are from before.
    """
    known = times_of(datastore)
    times = {i: time.astimezone() for i in image_ids if (time := known.of(datastore, i)) is not None}
    by = ACQUIRED
    if order == ARRIVED or (order is None and len(times) < len(image_ids)):
        by = ARRIVED
        infos = ((i, arrived(datastore.get_image_info(i))) for i in image_ids)
        times = {i: time for i, time in infos if time is not None}
    earliest = datetime.min.replace(tzinfo=timezone.utc)
    ordered = sorted(image_ids, key=lambda i: (times.get(i, earliest), i))
    chosen = ordered if since is None else [i for i in ordered if i in times and times[i] >= since]
    return by, chosen, len(ordered) - len(chosen)


def _acquired(place: Path) -> datetime | None:
    if place.is_dir():
        files = sorted(path for path in place.iterdir() if path.is_file())[:1]
    else:
        files = [place] if place.is_file() else []
    if not files:
        return None
    return acquired(Case(0, "", (place,), None, "folder", files=tuple(files)))
