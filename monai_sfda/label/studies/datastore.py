"""What both datastores have in common: MONAI Label's interface over images, facts about them, and labels."""

from __future__ import annotations

import io
import logging
import time
from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from monai_sfda.catalog import Task
from monai_sfda.data.case import volume_suffix
from monai_sfda.errors import DataError
from monai_sfda.label.stock import prepare
from monai_sfda.label.studies.archive import write_archive
from monai_sfda.label.studies.downloads import Conversions
from monai_sfda.label.studies.errors import UnknownImageError
from monai_sfda.label.studies.records import Records
from monai_sfda.label.studies.saved import ENDING, SavedLabel, SavedLabels
from monai_sfda.label.studies.saving import LabelSaver

prepare()

from monailabel.interfaces.datastore import Datastore, DefaultLabelTag  # noqa: E402

logger = logging.getLogger(__name__)

FINAL = DefaultLabelTag.FINAL.value
PRIVATE = ("private",)
"""Entries of a record that no client sees."""
_DESCRIPTION = "description"


class StudiesDatastore(Datastore):  # type: ignore[misc]
    """MONAI Label's datastore over studies; a folder's and a PACS's are its subclasses.

    An image is a volume file or one DICOM volume. Ids are opaque (folder) or SeriesInstanceUIDs (PACS); a
    client may also ask by the other names that `resolve` knows. A label's id is its image's.

    Args:
        name: shown to clients.
        home: of what must not be lost: records; backed up with the labels.
        labels: folder of the labels.
        work: of what can be made again: downloads, conversions.
        tasks: of the models that are served, by the model's name.
    """

    def __init__(
        self, name: str, *, home: Path, labels: Path, work: Path, tasks: Mapping[str, Task], cache_gb: float
    ) -> None:
        self._name, self._description = name, "research; not for diagnosis"
        self.home, self.work = home, work
        self.tasks = dict(tasks)
        self.records = Records(home / "images")
        self.labels = SavedLabels(labels)
        self.conversions = Conversions(work / "converted", cache_gb / 2)
        self.saver = LabelSaver(self)

    # images -----------------------------------------------------------------------------------------------

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
        place = Path(self.get_image_uri(image_id))
        if place.is_dir():
            return sorted(place.iterdir())
        return [place] if volume_suffix(place) is None else []

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
        """An image as one file, for clients that download it: a DICOM series as NIfTI, on its own grid."""
        image_id = self.need(image_id)
        place = Path(self.get_image_uri(image_id))
        if not place.is_dir() and volume_suffix(place) is not None:
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
        suffix = facts.pop("ext", ENDING)
        return {**info, **facts, "name": f"{found}{suffix}", "ts": self._seen(found)}

    def _seen(self, image_id: str) -> int:
        """When the datastore saw an image first, seconds; kept over restarts."""
        seen = self.records.peek(image_id).get("ts")
        if seen is None:
            seen = int(time.time())
            self.records.update(image_id, {"ts": seen})
        return int(seen)

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Replaces top-level entries of what is known of an image.

        Raises:
            UnknownImageError: when there is no such image.
        """
        self.update_image_infos({image_id: info})

    def update_image_infos(self, infos: Mapping[str, Mapping[str, Any]]) -> None:
        """`update_image_info` for several images at once, such as a batch of scores."""
        changed = {}
        for image_id, info in infos.items():
            found = self.need(image_id)
            changed[found] = {"info": {**(self.records.get(found).get("info") or {}), **info}}
        self.records.update_many(changed)

    def note_segmented(self, image_id: str, model: str, version: int | None) -> None:
        """Remembers that a model segmented an image: the label that is saved next is a correction."""
        found = self.need(image_id)
        before = self.records.get(found).get("segmented") or {}
        noted = {**before, model: {"version": version, "ts": time.time()}}
        if before.get(model, {}).get("version", -1) != version:
            self.records.update(found, {"segmented": noted})

    # labels -----------------------------------------------------------------------------------------------

    def label_of(self, image_id: str, model: str | None = None, tag: str = FINAL) -> SavedLabel | None:
        """An image's label of one model, or its newest of any."""
        found = self.resolve(image_id)
        return None if found is None else self.labels.get(found, tag, model)

    def labelled(self, tag: str) -> set[str]:
        """Ids of images that have a label with that tag."""
        return self.labels.images(tag)

    def save_label(
        self,
        image_id: str,
        label_filename: str,
        label_tag: str,
        label_info: dict[str, Any],
        label_id: str = "",
    ) -> str:
        """Saves a label on its image's grid, with the model's values; see `LabelSaver.save`."""
        return self.saver.save(self.need(image_id), Path(label_filename), label_tag or FINAL, label_info)

    def dicom_seg(self, image_id: str, label_file: str | Path, params: Mapping[str, Any] | None) -> Path:
        """A model's result as a DICOM SEG; see `LabelSaver.as_object`."""
        return self.saver.as_object(self.need(image_id), Path(label_file), params)

    def stored_elsewhere(self, label: SavedLabel, objects: list[Path]) -> dict[str, Any]:
        """Sends a label's DICOM objects to where the studies are; what became of it, for the label's info."""
        return {}

    def withdraw(self, label: SavedLabel) -> dict[str, Any]:
        """Takes back the DICOM objects that were sent of a label; what became of it, for the label's info."""
        return {}

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """Label ids by tag."""
        found = self.resolve(image_id)
        if found is None:
            return {}
        tags = sorted({FINAL, *self.labels.tags()})
        return {tag: found for tag in tags if found in self.labelled(tag)}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        """A label's id; empty where there is none."""
        return self.get_labels_by_image_id(image_id).get(tag, "")

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """The file of a label; empty where there is none."""
        label = self.label_of(label_id, tag=label_tag)
        return "" if label is None else str(label.file)

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> io.BytesIO | None:
        """The bytes of a label; None where there is none."""
        file = self.get_label_uri(label_id, label_tag)
        return io.BytesIO(Path(file).read_bytes()) if file else None

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """What is known of a label; empty where there is none."""
        label = self.label_of(label_id, tag=label_tag)
        if label is None:
            return {}
        return {**label.info, "model": label.model or None, "name": f"{label.image_id}{ENDING}"}

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Replaces entries of what is known of a label, but for those that say who saved it and what it is.

        Raises:
            DataError: when there is no such label.
        """
        label = self.label_of(label_id, tag=label_tag)
        if label is None:
            raise DataError("no label of that image and tag", remedy="save one first")
        own = self.saver.own_entries
        label.info.update({key: value for key, value in info.items() if key not in own})
        self.labels.write_info(label)

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Removes an image's labels with that tag, here and where the studies are."""
        found = self.resolve(label_id) or label_id
        for label in self.labels.all_of(found, label_tag):
            self.withdraw(label)
            self.labels.remove(label)

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Images that have a label with that tag (`final`), and of those names where names are given."""
        there = self.labelled(label_tag or FINAL)
        return [i for i in self.list_images() if i in there and self._covers(i, label_tag or FINAL, labels)]

    def get_unlabeled_images(
        self, label_tag: str | None = None, labels: list[str] | None = None
    ) -> list[str]:
        """All other images."""
        done = set(self.get_labeled_images(label_tag, labels))
        return [image_id for image_id in self.list_images() if image_id not in done]

    def _covers(self, image_id: str, tag: str, names: list[str] | None) -> bool:
        if not names:
            return True
        covered = {
            n for label in self.labels.all_of(image_id, tag) for n in label.info.get("label_names") or {}
        }
        return set(names) <= covered

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """Images and their newest final labels."""
        pairs = []
        for image_id in self.get_labeled_images():
            label = self.get_label_uri(image_id, FINAL)
            image = self.get_image_uri(image_id) if full_path else image_id
            pairs.append({"image": image, "label": label if full_path else image_id})
        return pairs

    # the whole --------------------------------------------------------------------------------------------

    def name(self) -> str:
        """Shown to clients."""
        return self._name

    def set_name(self, name: str) -> None:
        """Until the next start."""
        self._name = name

    def description(self) -> str:
        """Shown to clients."""
        return self._description

    def set_description(self, description: str) -> None:
        """Until the next start."""
        self._description = description

    def status(self) -> dict[str, Any]:
        """Numbers of images and labels."""
        images = set(self.list_images())
        tags = {tag: len(self.labelled(tag) & images) for tag in {FINAL, *self.labels.tags()}}
        return {
            "total": len(images),
            "completed": tags.get(FINAL, 0),
            "label_tags": {tag: count for tag, count in tags.items() if count},
        }

    def json(self) -> dict[str, Any]:
        """All images and labels, in the form of MONAI Label's record of a local datastore."""
        objects = {}
        for image_id in self.list_images():
            labels = {}
            for tag in self.get_labels_by_image_id(image_id):
                labels[tag] = {"ext": ENDING, "info": self.get_label_info(image_id, tag)}
            info = self.get_image_info(image_id)
            suffix = str(info.get("name", "")).removeprefix(image_id) or ENDING
            objects[image_id] = {"image": {"ext": suffix, "info": info}, "labels": labels}
        return {
            "name": self._name,
            _DESCRIPTION: self._description,
            "images_dir": ".",
            "labels_dir": "labels",
            "objects": objects,
        }

    def get_dataset_archive(self, limit_cases: int | None = None) -> str:
        """A ZIP file of the labelled images, their labels and what is known of both.

        Raises:
            DataError: when nothing is labelled.
        """
        return str(write_archive(self, self.work / "archives", limit_cases))

    def refresh(self) -> None:
        """Looks again at what there is."""

    def close(self) -> None:
        """Lets go of connections."""
