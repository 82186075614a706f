"""A PACS as MONAI Label's datastore: an image is a series, and its id the SeriesInstanceUID that viewers use.

<work>/home/      facts about the series, the key of pseudonyms; to be backed up
<work>/labels/    saved labels, beside the DICOM SEG in the PACS; to be backed up
<work>/series/    downloaded series, within a bound
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pydicom

from monai_sfda.catalog import Task
from monai_sfda.data.quiet import quiet
from monai_sfda.errors import SettingError
from monai_sfda.label.studies.datastore import FINAL, StudiesDatastore
from monai_sfda.label.studies.errors import PacsError, UnknownImageError
from monai_sfda.label.studies.ids import Pseudonyms
from monai_sfda.label.studies.pacs import Pacs
from monai_sfda.label.studies.pacs_cache import PacsCache
from monai_sfda.label.studies.pacs_segmentations import PacsSegmentations
from monai_sfda.label.studies.pacs_series import ListedSeries, PacsSeries
from monai_sfda.label.studies.records import Records
from monai_sfda.label.studies.saved import SavedLabel
from monai_sfda.label.studies.volumes import VolumeIds

logger = logging.getLogger(__name__)


class DicomwebDatastore(StudiesDatastore):
    """MONAI Label's datastore over a PACS.

    A series that holds several volumes (echoes, phases) has further ids, `<SeriesInstanceUID>_...`, once it
    was downloaded; the first one keeps the series' own.

    Args:
        pacs: to ask.
        work: the app's own folder for this datastore.
        tasks: of the models that are served.
        cache_gb: how large downloads and conversions may grow.
        search: further filters of the search.
    """

    def __init__(
        self,
        pacs: Pacs,
        *,
        work: Path,
        tasks: Mapping[str, Task],
        cache_gb: float,
        search: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            "DICOMweb",
            home=work / "home",
            labels=work / "labels",
            work=work,
            tasks=tasks,
            cache_gb=cache_gb,
        )
        self.pacs = pacs
        pseudonyms = Pseudonyms(self.home / "key")
        self.series = PacsSeries(pacs, self.records, pseudonyms, search=search)
        volumes = VolumeIds(Records(self.home / "volumes"), pseudonyms)
        self.cache = PacsCache(work / "series", pacs, self.series, volumes, cache_gb / 2)
        self.segmentations = PacsSegmentations(self)

    def list_images(self) -> list[str]:
        """Ids of all scans that the PACS lists.

        Raises:
            PacsError: when it does not answer.
        """
        scans = self.series.scans().values()
        self.segmentations.send_pending_soon()
        return [name for listed in scans for name in self.cache.ids_of(listed)]

    def resolve(self, image_id: str) -> str | None:
        """The id itself where the PACS has the series, also one that came a moment ago.

        Raises:
            PacsError: when the PACS does not answer, and the series is not here.
        """
        try:
            listed = self._listed(image_id)
        except PacsError:
            if self._here(image_id) is None:
                raise
            return image_id
        return image_id if listed is not None and image_id in self.cache.ids_of(listed) else None

    def get_image_uri(self, image_id: str) -> str:
        """A folder with the files of one volume, downloaded where it is not here or has changed.

        While the PACS is silent, a series that was downloaded is used as it is here.

        Raises:
            UnknownImageError: when the PACS has no such scan.
            StillArrivingError: when the series keeps growing.
            PacsError: when the PACS does not answer.
        """
        try:
            listed = self._listed(image_id)
            if listed is None:
                raise UnknownImageError
            volumes = self.cache.volumes_of(listed)
        except PacsError:
            here = self._here(image_id)
            if here is None:
                raise
            return str(here)
        if image_id not in volumes:
            raise UnknownImageError
        return str(volumes[image_id])

    def facts(self, image_id: str) -> dict[str, Any]:
        """Modality, scanner, identifiers and a pseudonym of the subject."""
        return dict(self.series.known(_series_of(image_id)).get("facts") or {})

    def acquired_at(self, image_id: str) -> datetime | None:
        """When a series was acquired."""
        found = self.series.known(_series_of(image_id)).get("acquired")
        return None if not found else datetime.fromisoformat(found)

    def refresh(self) -> None:
        """Asks the PACS at the next question, and sends labels that it did not take."""
        self.series.forget_list()
        self.segmentations.send_pending()

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Refused: what a PACS holds is for it and its modalities to say."""
        raise SettingError("studies come from the PACS", remedy="send the study to the PACS")

    def remove_image(self, image_id: str) -> None:
        """Refused, for the same reason; what is here of the series is removed."""
        listed = self._listed(image_id)
        if listed is None:
            raise UnknownImageError
        raise SettingError("studies belong to the PACS", remedy="delete the study there")

    def label_of(self, image_id: str, model: str | None = None, tag: str = FINAL) -> SavedLabel | None:
        """A label that was saved here, or one that a person corrected in the PACS."""
        found = super().label_of(image_id, model, tag)
        if found is None and tag == FINAL:
            self.segmentations.adopt(image_id)
            found = super().label_of(image_id, model, tag)
        return found

    def labelled(self, tag: str, model: str | None = None) -> set[str]:
        """Images with a label here or in the PACS."""
        found = super().labelled(tag, model)
        return found | self.segmentations.images(model) if tag == FINAL else found

    def has_label(self, image_id: str, tag: str) -> bool:
        """Whether an image has a label here or in the PACS."""
        return super().has_label(image_id, tag) or (tag == FINAL and self.segmentations.has(image_id))

    def stored_elsewhere(self, label: SavedLabel, objects: list[Path]) -> dict[str, Any]:
        """Sends a label's object to the PACS and takes back the one before it.

        Raises:
            PacsError: when the PACS does not take it; the one before it stays.
        """
        outcome = dict(label.info.get("segmentation") or {})
        older = [*outcome.get("superseded", []), *([outcome["series"]] if outcome.get("series") else [])]
        listed = self._listed(label.image_id)
        if listed is None:
            raise UnknownImageError
        new: dict[str, Any] = {"series": None, "instance": None, "pending": False}
        if objects:
            self.pacs.store(listed.study, objects)
            with quiet():
                header = pydicom.dcmread(objects[0], stop_before_pixels=True)
            new |= {"series": str(header.SeriesInstanceUID), "instance": str(header.SOPInstanceUID)}
        left = [
            uid for uid in older if uid != new["series"] and not self.pacs.delete_series(listed.study, uid)
        ]
        if left:
            logger.warning("the PACS keeps %d older segmentations, which are superseded", len(left))
        return {**new, "superseded": left}

    def withdraw(self, label: SavedLabel) -> dict[str, Any]:
        """Deletes a label's object in the PACS. One that was taken over stays, and does not count any more.

        Raises:
            PacsError: when the PACS does not let us.
        """
        segmentation = label.info.get("segmentation") or {}
        uids = [u for u in (segmentation.get("series"), *segmentation.get("superseded", [])) if u]
        study = self.series.known(_series_of(label.image_id)).get("study") or ""
        left = [uid for uid in uids if not self.pacs.delete_series(study, uid)]
        taken = segmentation.get("taken_from")
        self.segmentations.dismiss([*left, *([taken] if taken else [])])
        return {"superseded": left}

    def close(self) -> None:
        """Waits until what is being sent is there."""
        self.segmentations.close()

    def _here(self, image_id: str) -> Path | None:
        return self.cache.place_here(image_id, _series_of(image_id))

    def _listed(self, image_id: str) -> ListedSeries | None:
        return self.series.find(_series_of(image_id))


def _series_of(image_id: str) -> str:
    """The series of a volume's id."""
    return image_id.partition("_")[0]
