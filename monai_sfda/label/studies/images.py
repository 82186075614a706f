"""The images of a datastore: MONAI Label's interface to them, and facts about each."""

from __future__ import annotations

import io
import json
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from monai_sfda.catalog import Task
from monai_sfda.data.case import volume_suffix
from monai_sfda.errors import DataError
from monai_sfda.label.stock import prepare
from monai_sfda.label.studies.downloads import Conversions
from monai_sfda.label.studies.errors import UnknownImageError
from monai_sfda.label.studies.records import Change, Records

prepare()

from monailabel.interfaces.datastore import Datastore  # noqa: E402

VOLUME = ".nii.gz"
DETACHED = (".nhdr", ".mhd")
"""Headers whose data lie in another file: as one file they are sent as NIfTI."""
_ALL = "*"
"""Id of the record about all images; no image has it."""
MOST_INFO = 256 << 10


class StudiesImages(Datastore):
    """Images with facts about them; what keeps labels is a subclass.

    Args:
        name: shown to clients.
        home: of what must not be lost: records; backed up with the labels.
        work: of what can be made again: downloads, conversions.
        tasks: of the models that are served, by the model's name.
        cache_gb: how large conversions may grow.
    """

    def __init__(
        self, name: str, *, home: Path, work: Path, tasks: Mapping[str, Task], cache_gb: float
    ) -> None:
        self._name, self._description = name, "research; not for diagnosis"
        self.home, self.work = home, work
        self.tasks = dict(tasks)
        self.records = Records(home / "images")
        self.conversions = Conversions(work / "converted", cache_gb / 2)

    @abstractmethod
    def list_images(self) -> list[str]:
        """Ids of all images."""

    @abstractmethod
    def get_image_uri(self, image_id: str) -> str:
        """The file of an image, or the folder that holds its one DICOM series and nothing else.

        Raises:
            UnknownImageError: when there is no such image.
        """

    @abstractmethod
    def resolve(self, image_id: str) -> str | None:
        """The id of the image that is meant; None where there is none."""

    @abstractmethod
    def facts(self, image_id: str) -> dict[str, Any]:
        """What the image itself says: modality, scanner, identifiers; without asking a PACS."""

    def dicom_files(self, image_id: str) -> list[Path]:
        """The files of a DICOM image in order of their names; none for a volume file."""
        place = self.place_to_label(image_id)
        if place.is_dir():
            return sorted(place.iterdir())
        return [place] if volume_suffix(place) is None else []

    def place_to_label(self, image_id: str) -> Path:
        """Where an image's files are for saving a label: `get_image_uri`, unless there is a better answer."""
        return Path(self.get_image_uri(image_id))

    def acquired_at(self, image_id: str) -> datetime | None:
        """When a DICOM image was acquired, local time of the scanner; None where nothing says it.

        For putting images into order; never part of what is served or kept.
        """
        return None

    def known(self, image_id: str) -> bool:
        """Whether there is an image of that id."""
        return self.resolve(image_id) is not None

    def need(self, image_id: str) -> str:
        """The id of the image that is meant.

        Raises:
            UnknownImageError: when there is none.
        """
        found = self.resolve(image_id)
        if found is None:
            raise UnknownImageError
        return found

    def image_file(self, image_id: str) -> Path:
        """An image as one file, for clients that download it: what is several as NIfTI, on its own grid."""
        image_id = self.need(image_id)
        place = Path(self.get_image_uri(image_id))
        suffix = None if place.is_dir() else volume_suffix(place)
        if suffix is not None and suffix not in DETACHED:
            return place
        return self.conversions.nifti_of(image_id, place)

    def get_image(self, image_id: str, params: Any = None) -> io.BytesIO:
        """The bytes of `image_file`."""
        return io.BytesIO(self.image_file(image_id).read_bytes())

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """What is known of an image; empty where there is none. Holds no patient's data and no path."""
        found = self.resolve(image_id)
        if found is None:
            return {}
        record = self.records.get(found)
        info = {k: v for k, v in (record.get("info") or {}).items() if k != "path"}
        facts = self.facts(found)
        suffix = facts.pop("ext", VOLUME)
        return {**info, **facts, "name": f"{found}{suffix}", "ts": self._seen(found)}

    def _seen(self, image_id: str) -> int:
        """When the datastore saw an image first, seconds; kept over restarts."""
        seen = self.records.peek(image_id).get("ts") or self._all_seen().get(image_id)
        if seen is None:
            self.note_new([image_id])
            seen = self._all_seen().get(image_id, 0)
        return int(seen)

    def note_new(self, image_ids: Iterable[str]) -> None:
        """Remembers when images were seen first, all in one write."""
        now, known = int(time.time()), self._all_seen()
        new = {i: now for i in image_ids if i not in known}
        if new:
            self.records.change({_ALL: lambda record: {"seen": {**new, **(record.get("seen") or {})}}})

    def _all_seen(self) -> Mapping[str, int]:
        found: Mapping[str, int] = self.records.peek(_ALL).get("seen") or {}
        return found

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Replaces top-level entries of what is known of an image.

        Raises:
            UnknownImageError: when there is no such image.
            DataError: when it is too much.
        """
        self.update_image_infos({image_id: info})

    def update_image_infos(self, infos: Mapping[str, Mapping[str, Any]]) -> None:
        """`update_image_info` for several images at once, such as a batch of scores."""
        self.records.change({self.need(image_id): _also_said(info) for image_id, info in infos.items()})

    def note_segmented(self, image_id: str, model: str, version: int | None) -> None:
        """Remembers that a model segmented an image: the label that is saved next is a correction."""
        noted = {model: {"version": version, "ts": time.time()}}
        self.records.change(
            {self.need(image_id): lambda record: {"segmented": {**(record.get("segmented") or {}), **noted}}}
        )


def _also_said(info: Mapping[str, Any]) -> Change:
    """Adds to what is said of an image."""

    def change(record: Mapping[str, Any]) -> dict[str, Any]:
        facts = {**(record.get("info") or {}), **info}
        if len(json.dumps(facts, default=str)) > MOST_INFO:
            raise DataError("too much is said of an image", remedy="keep it under 256 KiB")
        return {"info": facts}

    return change
