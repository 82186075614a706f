"""Saving a label: checked against its image's grid, turned into the model's classes, kept with who and when.

Of a DICOM image a final label becomes a DICOM SEG object beside the mask, too, which a PACS is sent.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from pydantic import ValidationError

from monai_sfda.catalog import LabelRange, Task
from monai_sfda.data.dicom_reference import NotReferableError
from monai_sfda.data.labels import to_classes
from monai_sfda.data.scan import Scan
from monai_sfda.data.writing import write_segmentation
from monai_sfda.errors import DataError, SettingError, SfdaError
from monai_sfda.files import cannot_write
from monai_sfda.label.studies.errors import PacsError, UnknownImageError
from monai_sfda.label.studies.grids import grid_of, read_saved_label
from monai_sfda.label.studies.names import (
    LABEL_FILE,
    SaveOptions,
    choose_model,
    result_names,
    segment_values,
    to_model_classes,
)
from monai_sfda.label.studies.saved import OBJECT_ENDING, SavedLabel
from monai_sfda.label.studies.segment_objects import Made, describe, write_label

if TYPE_CHECKING:
    from monai_sfda.label.studies.datastore import StudiesDatastore

logger = logging.getLogger(__name__)

_MOST_PARAMS = 64 << 10


class LabelSaver:
    """Saves the labels of a datastore.

    Args:
        datastore: whose images are labelled.
    """

    own_entries = frozenset(
        {
            *("ts", "saved_by", "saved_at", "model", "model_version", "label_names", "segmentation"),
            *("image", "name", "made"),
        }
    )
    """What a label's info says by itself, and nobody can overwrite."""

    def __init__(self, datastore: StudiesDatastore) -> None:
        self.datastore = datastore

    def save(self, image_id: str, file: Path, tag: str, info: Mapping[str, Any] | None) -> str:
        """Saves a label; labels of one image one after the other.

        An older one of the same image, tag and model is replaced.

        Args:
            image_id: of the datastore.
            file: as the client sent it.
            tag: `final`, `original` or another word.
            info: what came with it, see `SaveOptions`.

        Returns:
            The label's id, which is the image's.

        Raises:
            DataError: when the file is no label on the image's grid, or names what the model does not have.
            SettingError: when nothing says which model is meant.
            OutputError: when it cannot be written.
            PacsError: when it is kept here, and the PACS did not take it.
        """
        with self._alone(image_id):
            return self._save(image_id, file, tag, self._options(info))

    def _save(self, image_id: str, file: Path, tag: str, options: SaveOptions) -> str:
        noted = self.datastore.records.get(image_id).get("segmented") or {}
        chosen = choose_model(options, self.datastore.tasks, self._likely(image_id))
        model = chosen[0] if chosen else (options.model or "")
        place = self.datastore.labels.place(image_id, tag, model)
        grid = grid_of(self.datastore.place_to_label(image_id))
        stored = read_saved_label(file, grid)
        if chosen is None:
            classes, covered = _any_classes(stored), dict[str, int]()
        else:
            names = self._names(options, stored)
            classes, covered = to_model_classes(stored, names, chosen[1])
        version = options.model_version or noted.get(model, {}).get("version")
        made: Made = "AUTOMATIC" if tag == "original" else "SEMIAUTOMATIC" if version else "MANUAL"
        now = datetime.now(UTC)
        kept = {
            "ts": time.time(),
            "saved_at": now.isoformat(timespec="seconds"),
            "saved_by": options.saved_by or "unknown",
            "model_version": version,
            "label_names": covered,
            "made": made,
        }
        if options.client_id:
            kept["client_id"] = options.client_id
        if options.params is not None:
            kept["params"] = options.params
        label = SavedLabel(image_id, tag, model, place, kept)
        before = self.datastore.labels.get(image_id, tag, model)
        if before is not None:
            label.info["segmentation"] = dict(before.info.get("segmentation") or {})
        has_object = tag == "final" and chosen is not None and bool(self.datastore.dicom_files(image_id))
        if has_object:  # whoever is killed from here on leaves a label that is sent later
            label.info["segmentation"] = {**label.info.get("segmentation", {}), "pending": True}
        check_json(label.info)
        write_segmentation(place, classes, grid)
        self.datastore.labels.write_info(label)
        if has_object and chosen is not None:
            self._write_object(label, classes, grid, chosen[1], made)
        return image_id

    def _alone(self, image_id: str) -> FileLock:
        """Two people who save a label of one image would leave two objects in the PACS."""
        folder = self.datastore.home / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        return FileLock(folder / f"{sha256(image_id.encode()).hexdigest()[:32]}.lock", is_singleton=True)

    def as_object(self, image_id: str, file: Path, info: Mapping[str, Any] | None) -> Path:
        """A model's result as a DICOM SEG that is not kept; a file of its own, for the caller to delete.

        Raises:
            DataError: when the image is no DICOM series, or the file is no label of it.
        """
        files = self.datastore.dicom_files(image_id)
        if not files:
            raise DataError(
                "the image is no DICOM series", remedy="ask for another kind of output than dicom_seg"
            )
        said = dict(info or {})  # a client's label_info is no word on the values of a model's result
        options = self._options({key: said[key] for key in ("model", "model_version") if key in said})
        chosen = choose_model(options, self.datastore.tasks, self._likely(image_id))
        if chosen is None:
            raise SettingError("no model is served", remedy="install one, and name it as 'model'")
        grid = grid_of(self.datastore.place_to_label(image_id))
        stored = read_saved_label(file, grid)
        classes, _ = to_model_classes(stored, result_names(said), chosen[1])
        path = self.datastore.work / "objects" / f"{secrets.token_hex(8)}{OBJECT_ENDING}"
        made: Made = "SEMIAUTOMATIC" if said.get("corrected") else "AUTOMATIC"
        description = describe(chosen[1], chosen[0], options.model_version, made)
        if write_label(path, classes, grid, files, chosen[1], description) is None:
            raise DataError(
                "nothing was segmented, and a DICOM segmentation holds one segment at least",
                remedy="ask for the result as an image",
            )
        return path

    @staticmethod
    def _names(options: SaveOptions, stored: NDArray[Any]) -> dict[int, str] | None:
        """The names of a file's values: as the client says, or as the result says that it is."""
        if options.label_info is not None:
            return segment_values(options.label_info, stored)
        return result_names(options.params)

    def _likely(self, image_id: str) -> list[str]:
        """Models that segmented an image, the latest first."""
        noted = self.datastore.records.get(image_id).get("segmented") or {}
        return sorted(noted, key=lambda model: -float(noted[model].get("ts", 0)))

    def _options(self, info: Mapping[str, Any] | None) -> SaveOptions:
        given = dict(info or {})
        params = given.get("params")
        if not isinstance(params, dict) or len(repr(params)) > _MOST_PARAMS:
            given.pop("params", None)
        if isinstance(given.get("label_info"), list) and not given["label_info"]:
            given.pop("label_info")
        try:
            return SaveOptions.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise SettingError(
                f"'{where}' of a saved label is not as it should be ({first['msg']})",
                remedy="send label_info as a list of {'name': ...}, one a segment, in the values' order",
            ) from None

    def _write_object(
        self, label: SavedLabel, classes: NDArray[np.uint8], grid: Scan, task: Task, made: Made
    ) -> None:
        """The DICOM SEG of a label, beside it and where the studies are."""
        files = self.datastore.dicom_files(label.image_id)
        path = label.object_file
        description = describe(task, label.model, label.info["model_version"], made)
        outcome: dict[str, Any] = dict(label.info.get("segmentation") or {})
        outcome.pop("reason", None)
        label.info["segmentation"] = outcome
        try:
            header = write_label(path, classes, grid, files, task, description)
        except SfdaError as error:
            # what the PACS has of the label before stays until there is something in its place
            outcome["reason"] = f"{error.what}: {error.remedy}"
            outcome["pending"] = not isinstance(error, NotReferableError)
            logger.warning("no DICOM segmentation of a saved label: %s", error.what)
            self.datastore.labels.write_info(label)
            return
        if header is None:
            outcome["reason"] = "the label is empty, and a DICOM segmentation holds one segment at least"
        self._send(label, [] if header is None else [path])

    def send_again(self, label: SavedLabel) -> None:
        """Sends a label's object that was not taken when it was saved; a failure is written down again."""
        try:
            with self._alone(label.image_id):
                newest = self.datastore.labels.get(label.image_id, label.tag, label.model)
                if newest is None or newest.file != label.file or not is_pending(newest):
                    return  # another was saved since, or this one was sent
                try:
                    self._make_and_send(newest)
                except UnknownImageError as error:
                    self._give_up(newest, error)
        except SfdaError as error:
            logger.warning("a saved label is still not in the PACS: %s", error.what)

    def _make_and_send(self, label: SavedLabel) -> None:
        """A label's object as it was made, or made now."""
        task = self.datastore.tasks.get(label.model)
        if label.object_file.is_file():
            self._send(label, [label.object_file])
        elif task is not None:
            grid = grid_of(self.datastore.place_to_label(label.image_id))
            classes = np.asarray(read_saved_label(label.file, grid), dtype=np.uint8)
            self._write_object(label, classes, grid, task, label.info.get("made", "MANUAL"))

    def _give_up(self, label: SavedLabel, error: SfdaError) -> None:
        """The study is gone: the label stays here, and there is nothing to send it to."""
        logger.warning("a saved label is not sent any more: %s", error.what)
        outcome = dict(label.info.get("segmentation") or {})
        label.info["segmentation"] = {**outcome, "reason": error.what, "pending": False}
        self.datastore.labels.write_info(label)

    def _send(self, label: SavedLabel, objects: list[Path]) -> None:
        outcome = dict(label.info["segmentation"])
        try:
            sent = self.datastore.stored_elsewhere(label, objects)
            label.info["segmentation"] = {**outcome, "pending": False, **sent}
        except UnknownImageError:
            raise  # still pending: the next who sends it again finds the study there, or gives up
        except SfdaError as error:
            label.info["segmentation"] = {**outcome, "reason": error.what, "pending": True}
            raise PacsError(
                f"the label is kept here, but it is not in the PACS: {error.what}", remedy=error.remedy
            ) from error
        finally:
            self.datastore.labels.write_info(label)


def is_pending(label: SavedLabel) -> bool:
    """Whether a label has a DICOM object that is still to be sent."""
    return bool((label.info.get("segmentation") or {}).get("pending"))


def check_json(info: Mapping[str, Any]) -> None:
    """Before a mask is written: what is said of it can be kept.

    Raises:
        SettingError: when it holds what JSON, or a text file, cannot.
    """
    try:
        json.dumps(info, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise SettingError(
            "what came with the label cannot be kept as JSON",
            remedy="send texts, finite numbers, lists and objects",
        ) from error


def _any_classes(stored: NDArray[Any]) -> NDArray[np.uint8]:
    """A label's values as they are, where no model says what they mean."""
    identity = [LabelRange(value, value, value) for value in range(1, 256)]
    return to_classes(stored, identity, (0,), LABEL_FILE)
