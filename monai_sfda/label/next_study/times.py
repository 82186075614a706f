"""Studies in their order in time. Times of acquisition are patient data: they order, and are not kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from monai_sfda.label.next_study.scores import Datastore

ACQUIRED, ARRIVED = "acquired", "arrived"
ORDERS = {
    ACQUIRED: "the acquisition times of their DICOM headers",
    ARRIVED: "the times at which the server first saw them",
}


def in_time(
    datastore: Datastore,
    image_ids: Sequence[str],
    infos: Mapping[str, Mapping[str, Any]],
    order: str | None,
    since: datetime | None,
) -> tuple[str, list[str], int]:
    """Images in their order in time.

    Args:
        datastore: of the images.
        image_ids: which.
        infos: what the datastore knows of them.
        order: `acquired` or `arrived`; None: by acquisition where it is known of all, else by arrival.
        since: images before are left out; None: none are. Times of acquisition are local ones.

    Returns:
        The order that was possible, the images, and how many were left out as they are from before `since`.
        Images of unknown time come first and are from before.
    """
    by, times = ACQUIRED, {}
    if order != ARRIVED:
        known = ((i, datastore.acquired_at(i)) for i in image_ids)
        times = {i: time.astimezone() for i, time in known if time is not None}
    if order == ARRIVED or (order is None and len(times) < len(image_ids)):
        by = ARRIVED
        times = {i: time for i in image_ids if (time := arrived(infos[i])) is not None}
    earliest = datetime.min.replace(tzinfo=timezone.utc)
    ordered = sorted(image_ids, key=lambda i: (times.get(i, earliest), i))
    chosen = ordered if since is None else [i for i in ordered if i in times and times[i] >= since]
    return by, chosen, len(ordered) - len(chosen)


def arrived(info: Mapping[str, Any]) -> datetime | None:
    """When the server first saw an image, UTC; None where its information does not say."""
    seconds = info.get("ts")
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        return None
    return datetime.fromtimestamp(seconds, timezone.utc)
