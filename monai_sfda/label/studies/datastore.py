"""MONAI Label's datastore over studies: the labels of the images, and the whole."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_sfda.catalog import Task
from monai_sfda.errors import DataError
from monai_sfda.label.studies.archive import write_archive
from monai_sfda.label.studies.images import MOST_INFO, VOLUME, StudiesImages
from monai_sfda.label.studies.saved import ENDING, SavedLabel, SavedLabels
from monai_sfda.label.studies.saving import LabelSaver

logger = logging.getLogger(__name__)

FINAL = "final"
"""MONAI Label's tag of labels that a person has approved."""


class StudiesDatastore(StudiesImages):
    """MONAI Label's datastore over studies; a folder's and a PACS's are its subclasses.

    An image is a volume file or one DICOM volume. Ids are opaque (folder) or SeriesInstanceUIDs (PACS); a
    client may also ask by the other names that `resolve` knows. A label's id is its image's.

    Args:
        name: shown to clients.
        home: of what must not be lost: records; backed up with the labels.
        labels: folder of the labels.
        work: of what can be made again: downloads, conversions.
        tasks: of the models that are served, by the model's name.
        cache_gb: how large conversions may grow.
    """

    def __init__(
        self, name: str, *, home: Path, labels: Path, work: Path, tasks: Mapping[str, Task], cache_gb: float
    ) -> None:
        super().__init__(name, home=home, work=work, tasks=tasks, cache_gb=cache_gb)
        self.labels = SavedLabels(labels)
        self.saver = LabelSaver(self)

    def label_of(self, image_id: str, model: str | None = None, tag: str = FINAL) -> SavedLabel | None:
        """An image's label of one model, or its newest of any."""
        found = self.resolve(image_id)
        return None if found is None else self.labels.get(found, tag, model)

    def labelled(self, tag: str, model: str | None = None) -> set[str]:
        """Ids of images that have a label with that tag, of any model or of one."""
        return self.labels.images(tag, model)

    def has_label(self, image_id: str, tag: str) -> bool:
        """Whether an image has a label with that tag."""
        return self.labels.has(image_id, tag)

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
        return {tag: found for tag in tags if self.has_label(found, tag)}

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
            DataError: when there is no such label, or it is too much.
        """
        label = self.label_of(label_id, tag=label_tag)
        if label is None:
            raise DataError("no label of that image and tag", remedy="save one first")
        own = self.saver.own_entries
        changed = {**label.info, **{key: value for key, value in info.items() if key not in own}}
        if len(json.dumps(changed, default=str)) > MOST_INFO:
            raise DataError("too much is said of a label", remedy="keep it under 256 KiB")
        self.labels.write_info(replace(label, info=changed))

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
            suffix = str(info.get("name", "")).removeprefix(image_id) or VOLUME
            objects[image_id] = {"image": {"ext": suffix, "info": info}, "labels": labels}
        return {
            "name": self._name,
            "description": self._description,
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
