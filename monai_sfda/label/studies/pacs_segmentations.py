"""DICOM SEG objects in the PACS that say what a person corrected: labels, whoever sent them.

A label that was saved here is known here. After the app's folder was lost, or where another workplace
corrects, the PACS alone has it: a segmentation of a known series whose every segment was made or corrected by
a person (SegmentAlgorithmType), under names that a served model has.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset

from monai_sfda.data.dicom import scan_headers, slice_grid
from monai_sfda.data.writing import write_segmentation
from monai_sfda.errors import OutputError, SfdaError
from monai_sfda.label.studies.errors import PacsError, StillArrivingError
from monai_sfda.label.studies.grids import grid_of
from monai_sfda.label.studies.names import SaveOptions, Segment, choose_model, covers, to_model_classes
from monai_sfda.label.studies.pacs import SERIES, STUDY, first_value
from monai_sfda.label.studies.records import Records
from monai_sfda.label.studies.saved import SavedLabel
from monai_sfda.label.studies.saving import is_pending
from monai_sfda.label.studies.segment_objects import (
    is_corrected,
    read_segmentation,
    referenced_series,
    segment_names,
)
from monai_sfda.label.studies.series import text_of

if TYPE_CHECKING:
    from monai_sfda.label.studies.dicomweb import DicomwebDatastore

logger = logging.getLogger(__name__)

_FRESH_SECONDS = 10.0
_THREADS = 8
_SEND_AGAIN_SECONDS = 60.0
_CLOSE_SECONDS = 10.0
_WANTED = ("ReferencedSeriesSequence", "SegmentSequence", "SOPClassUID", "ContentDate", "ContentTime")

_FOR_NOW = (PacsError, StillArrivingError, OutputError)
"""What passes by itself: no word on what the PACS holds."""


class PacsSegmentations:
    """The segmentations that a PACS holds of a datastore's images.

    Args:
        datastore: whose images.
    """

    def __init__(self, datastore: DicomwebDatastore) -> None:
        self.datastore = datastore
        self.records = Records(datastore.home / "segmentations")
        self._looked = self._sent = float("-inf")
        self._known: tuple[tuple[float, int], dict[str, list[dict[str, Any]]]] | None = None
        self._lock = threading.Lock()
        self._sender: threading.Thread | None = None
        self._listed: dict[str, str] = {}

    def images(self, model: str | None = None) -> set[str]:
        """Images of which the PACS holds a label that could be taken over, of any model or of one."""
        usable = self._usable()
        return {i for i, known in usable.items() if model is None or any(k["model"] == model for k in known)}

    def has(self, image_id: str) -> bool:
        """Whether the PACS holds a label of an image that could be taken over."""
        return image_id in self._usable()

    def adopt(self, image_id: str) -> None:
        """Takes over the newest label that the PACS holds of an image; nothing where it holds none.

        What cannot be read is passed over for good, for the one before it; what does not come now, or has no
        room on the disk, is asked for again.
        """
        for known in sorted(self._usable().get(image_id, []), key=lambda k: str(k["content"]), reverse=True):
            try:
                self._take_over(known)
                return
            except _FOR_NOW as error:
                logger.warning("a segmentation in the PACS is not used for now: %s", error.what)
                return
            except SfdaError as error:
                logger.warning("a segmentation in the PACS is not used: %s", error.what)
                self.dismiss([known["id"]])

    def dismiss(self, series: list[str]) -> None:
        """Segmentations that do not count any more, though the PACS keeps them."""
        self.records.update_many({uid: {"usable": False} for uid in series})
        self._known = None

    def send_pending_soon(self) -> None:
        """`send_pending` beside the caller, at most once a minute."""
        with self._lock:
            busy = self._sender is not None and self._sender.is_alive()
            if busy or time.monotonic() - self._sent < _SEND_AGAIN_SECONDS or not self._pending():
                return
            self._sent = time.monotonic()
            self._sender = threading.Thread(target=self.send_pending, name="pacs pending", daemon=True)
            self._sender.start()

    def close(self) -> None:
        """Waits for what is being sent."""
        if self._sender is not None:
            self._sender.join(_CLOSE_SECONDS)

    def send_pending(self) -> None:
        """Sends labels again that the PACS did not take when they were saved."""
        for label in self._pending():
            try:
                self.datastore.saver.send_again(label)
            except OSError as error:  # of one label; the others do not wait for it
                logger.warning("a saved label is still not in the PACS: %s", type(error).__name__)

    def _pending(self) -> list[SavedLabel]:
        labels = self.datastore.labels
        every = (label for image_id in labels.images("final") for label in labels.all_of(image_id, "final"))
        return [label for label in every if is_pending(label)]

    def _usable(self) -> dict[str, list[dict[str, Any]]]:
        """What could be taken over, by image; worked out again when the PACS or the saved labels changed."""
        self._look()
        stamp = self._looked, self.datastore.labels.stamp("final")
        if self._known is None or self._known[0] != stamp:
            own, found = self._own(), dict[str, list[dict[str, Any]]]()
            for uid in self._listed:
                known = self.records.get(uid)
                if uid not in own and known.get("usable") and known.get("image"):
                    found.setdefault(known["image"], []).append(known)
            self._known = stamp, found
        return self._known[1]

    def _own(self) -> set[str]:
        """Series whose labels are here: saved from here, or taken over."""
        own: set[str] = set()
        labels = self.datastore.labels
        for image_id in labels.images("final"):
            for label in labels.all_of(image_id, "final"):
                segmentation = label.info.get("segmentation") or {}
                uids = (segmentation.get(key) for key in ("series", "taken_from"))
                own |= {u for u in (*uids, *segmentation.get("superseded", [])) if u}
        return own

    def _look(self) -> None:
        if time.monotonic() - self._looked < _FRESH_SECONDS:
            return
        rows = self.datastore.pacs.series(Modality="SEG")
        self._listed = {first_value(row, SERIES): first_value(row, STUDY) for row in rows}
        new = [pair for pair in self._listed.items() if "usable" not in self.records.peek(pair[0])]
        if new:
            with ThreadPoolExecutor(min(_THREADS, len(new)), "pacs") as threads:
                list(threads.map(lambda pair: self._look_at(*pair), new))
        self._looked = time.monotonic()

    def _look_at(self, uid: str, study: str) -> None:
        try:
            instances = self.datastore.pacs.instances(study, uid)
            if not instances:
                return
            header = self.datastore.pacs.header(study, uid, instances[-1], _WANTED)
            names = [name for _, name in sorted(segment_names(header).items())]
            options = SaveOptions(label_info=[Segment(name=name[:100]) for name in names])
            usable = bool(names) and is_corrected(header)
            chosen = choose_model(options, self.datastore.tasks) if usable else None
            usable = chosen is not None and covers(chosen[1], names)
        except _FOR_NOW as error:  # it says nothing about the object: the next look asks again
            logger.warning("a segmentation in the PACS is left out for now: %s", error.what)
            return
        except SfdaError as error:
            logger.warning("a segmentation in the PACS is left out: %s", error.what)
            chosen, usable, header, instances = None, False, Dataset(), [""]
        self.records.update(
            uid,
            {
                "usable": usable and chosen is not None,
                "image": referenced_series(header),
                "study": study,
                "instance": instances[-1],
                "model": chosen[0] if chosen else "",
                "content": f"{text_of(header, 'ContentDate')} {text_of(header, 'ContentTime')}",
            },
        )

    def _take_over(self, known: dict[str, Any]) -> None:
        datastore, image_id = self.datastore, str(known["image"])
        if datastore.resolve(image_id) is None:
            return
        task = datastore.tasks[known["model"]]
        series = Path(datastore.get_image_uri(image_id))
        with tempfile.TemporaryDirectory() as temporary:
            files = datastore.pacs.fetch(known["study"], known["id"], Path(temporary), known["instance"])
            if not files:
                raise PacsError("the PACS does not send it", remedy="look at the PACS's log")
            numbers, names = read_segmentation(files[0], slice_grid(scan_headers(series)))
        classes, covered = to_model_classes(numbers, names, task)
        place = datastore.labels.place(image_id, "final", known["model"])
        info = {
            "ts": time.time(),
            "saved_by": "taken over from the PACS",
            "label_names": covered,
            "made": "SEMIAUTOMATIC",
            "model_version": None,
            "segmentation": {"taken_from": known["id"]},
        }
        write_segmentation(place, classes, grid_of(series))
        datastore.labels.write_info(SavedLabel(image_id, "final", known["model"], place, info))
