"""A PACS over DICOMweb (DICOM PS3.18): find series, fetch them, store and take back objects of our own."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from monai_sfda.data.dicom_headers import UNREADABLE
from monai_sfda.data.quiet import quiet
from monai_sfda.files import cannot_write
from monai_sfda.label.studies.connection import Connection
from monai_sfda.label.studies.errors import PacsError
from monai_sfda.label.studies.multipart import (
    DICOM,
    MultipartReader,
    boundary_of,
    dicom_message,
)

logger = logging.getLogger(__name__)

JSON = "application/dicom+json"
_PAGE = 500
_BLOCK = 1 << 18
_SERIES_FIELDS = ("00080060", "0020000D", "0020000E", "00201209")
STUDY, SERIES, INSTANCE, COUNT = "0020000D", "0020000E", "00080018", "00201209"
_FAILED = "00081198"


class Pacs:
    """A DICOMweb service. Thread-safe.

    Args:
        connection: to it.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._request, self._json = connection.request, connection.json

    # finding ----------------------------------------------------------------------------------------------

    def series(self, **filters: str) -> list[dict[str, Any]]:
        """Series, as DICOM JSON, that match `Modality`, `SeriesInstanceUID`, ... (QIDO-RS).

        Raises:
            PacsError: when the PACS does not answer as DICOMweb.
        """
        return self._search("/series", {**filters, "includefield": ",".join(_SERIES_FIELDS)}, SERIES)

    def instances(self, study: str, series: str) -> list[str]:
        """SOPInstanceUIDs of a series' instances, in the PACS's order."""
        found = self._search(f"{_series_path(study, series)}/instances", {}, INSTANCE)
        return [first_value(item, INSTANCE) for item in found]

    def header(self, study: str, series: str, instance: str, keywords: Sequence[str]) -> Dataset:
        """Elements of an instance, those that can be read (WADO-RS metadata)."""
        path = f"{_series_path(study, series)}/instances/{_uid(instance)}/metadata"
        found = self._json(self._request("GET", path, headers={"Accept": JSON}))
        return dataset_of(found[0] if found else {}, keywords)

    def _search(self, path: str, query: Mapping[str, str], key: str) -> list[dict[str, Any]]:
        """All pages of a search. A service may give shorter pages than asked for, with a Warning (PS3.18
        8.3.4.4), or know no pages and give all at once, again and again.
        """
        found: dict[str, dict[str, Any]] = {}
        while True:
            params = {**query, "limit": str(_PAGE), "offset": str(len(found))}
            answer = self._request("GET", path, params=params, headers={"Accept": JSON})
            page = self._json(answer)
            new = {first_value(item, key): item for item in page}
            fresh = {uid: item for uid, item in new.items() if uid and uid not in found}
            found.update(fresh)
            if not fresh or (len(page) < _PAGE and "Warning" not in answer.headers):
                return list(found.values())

    # fetching and storing ---------------------------------------------------------------------------------

    def fetch(self, study: str, series: str, folder: Path, instance: str | None = None) -> list[Path]:
        """Downloads the files of a series, or one of its instances, as they are stored (WADO-RS).

        Files are named by number: nothing of the answer becomes a name.

        Returns:
            The files.

        Raises:
            PacsError: when the answer is none or ends too early.
            OutputError: when the disk is full.
        """
        path = _series_path(study, series) + (f"/instances/{_uid(instance)}" if instance else "")
        accept = f'multipart/related; type="{DICOM}"; transfer-syntax=*'
        files: list[Path] = []
        with self._request("GET", path, headers={"Accept": accept}, stream=True) as answer:
            if answer.status_code == 204:
                return []
            boundary = boundary_of(answer.headers.get("Content-Type", ""))
            with self.connection.answering():
                blocks = answer.iter_content(_BLOCK)
                bodies = iter([blocks]) if boundary is None else MultipartReader(blocks, boundary).parts()
                for number, body in enumerate(bodies, start=1):
                    file = folder / f"{number:05d}.dcm"
                    self._write(file, body)
                    files.append(file)
        return files

    @staticmethod
    def _write(file: Path, body: Iterator[bytes]) -> None:
        try:
            stream = file.open("wb")
        except OSError as error:
            raise cannot_write(file, error) from error
        with stream:
            for block in body:
                try:
                    stream.write(block)
                except OSError as error:
                    raise cannot_write(file, error) from error

    def store(self, study: str, files: Sequence[Path]) -> None:
        """Sends DICOM files (STOW-RS).

        Raises:
            PacsError: when the PACS refuses one.
        """
        body, content_type = dicom_message(files)
        answer = self._request(
            "POST",
            f"/studies/{_uid(study)}",
            data=body,
            headers={"Content-Type": content_type, "Accept": JSON},
            known=(200, 202, 409),
        )
        result = self._json(answer, anything=True)
        first = result[0] if result else {}
        if answer.status_code == 409 or first.get(_FAILED, {}).get("Value"):
            raise PacsError(
                "the PACS refuses the DICOM segmentation", remedy="look at the PACS's log for the reason"
            )

    def delete_series(self, study: str, series: str) -> bool:
        """Deletes a series that we stored; whether it is gone.

        DICOMweb has no deletion: several services offer one at the series' address, Orthanc one of its own.
        """
        path = _series_path(study, series)
        try:
            answer = self._request("DELETE", path, known=range(100, 600))
            if answer.status_code not in (200, 202, 204):
                self._delete_in_orthanc(series)
            return not self.series(SeriesInstanceUID=_uid(series))
        except PacsError as error:
            logger.warning("an older segmentation stays in the PACS: %s", error.what)
            return False

    def _delete_in_orthanc(self, series: str) -> None:
        root = self.connection.url.rpartition("/")[0]
        answer = self._request("POST", "/tools/lookup", root=root, data=_uid(series), known=range(100, 600))
        if answer.status_code != 200 or "json" not in answer.headers.get("Content-Type", ""):
            return
        for found in self._json(answer):
            if found.get("Type") == "Series" and str(found.get("ID", "")).replace("-", "").isalnum():
                self._request("DELETE", f"/series/{found['ID']}", root=root, known=range(100, 600))


def _uid(text: str) -> str:
    """A UID as a part of an address: real ones may hold letters, none holds a slash."""
    return quote(text, safe="")


def _series_path(study: str, series: str) -> str:
    return f"/studies/{_uid(study)}/series/{_uid(series)}"


def first_value(item: Mapping[str, Any], tag: str) -> str:
    """The first value of an element of DICOM JSON, as text; empty where there is none."""
    values = (item.get(tag) or {}).get("Value") or [""]
    return "" if values[0] is None else str(values[0])


def dataset_of(item: Mapping[str, Any], keywords: Sequence[str]) -> Dataset:
    """Elements of DICOM JSON, each read by itself: one that breaks its representation is left out."""
    dataset = Dataset()
    wanted = {f"{tag_for_keyword(keyword) or 0:08X}" for keyword in keywords}
    for tag, element in item.items():
        if tag.upper() in wanted:
            try:
                with quiet():
                    dataset.update(Dataset.from_json({tag: element}))
            except UNREADABLE:
                continue
    return dataset
