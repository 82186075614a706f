"""A PACS over DICOMweb (DICOM PS3.18): find series, fetch them, store and take back objects of our own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from monai_sfda.data.dicom_headers import UNREADABLE
from monai_sfda.data.quiet import quiet
from monai_sfda.errors import SettingError
from monai_sfda.files import cannot_write
from monai_sfda.label.studies.errors import PacsError
from monai_sfda.label.studies.multipart import (
    DICOM,
    MultipartError,
    MultipartReader,
    boundary_of,
    dicom_message,
)

logger = logging.getLogger(__name__)

JSON = "application/dicom+json"
_PAGE = 500
_BLOCK = 1 << 18
_CONNECT_SECONDS = 5.0
_SERIES_FIELDS = ("00080060", "0020000D", "0020000E", "00201209")
STUDY, SERIES, INSTANCE, COUNT = "0020000D", "0020000E", "00080018", "00201209"
_FAILED = "00081198"


class Pacs:
    """A DICOMweb service. Thread-safe.

    Proxies and passwords of the environment are not used: a PACS stands in the hospital's own network, and
    what is sent to it holds patients' data.

    Args:
        url: of the service, such as `http://pacs:8042/dicom-web`.
        user, password: for HTTP basic authentication; empty for none.
        token: a bearer token instead; empty for none.
        ca_file: of the site's own certificate authority; None for the usual ones.
        timeout_s: the longest pause in an answer.

    Raises:
        SettingError: when the address is none, or holds a password.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str = "",
        password: str = "",
        token: str = "",
        ca_file: Path | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingError("the PACS's address is none", remedy="give http(s)://HOST:PORT/dicom-web")
        if parts.username or parts.password:
            raise SettingError(
                "the PACS's address holds a user or a password",
                remedy="give them by the settings for the PACS, which are not logged",
            )
        if ca_file is not None and not ca_file.is_file():
            raise SettingError(
                "the file of the PACS's certificate authority is missing", remedy="check its path"
            )
        self.url = url.rstrip("/")
        self._basic = (user, password) if user else None
        self._token = token
        self._verify: str | bool = str(ca_file) if ca_file else True
        self._timeout = (min(_CONNECT_SECONDS, timeout_s), timeout_s)
        self._local = threading.local()

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
            with self._answering():
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
        root = self.url.rpartition("/")[0]
        answer = self._request("POST", "/tools/lookup", root=root, data=_uid(series), known=range(100, 600))
        if answer.status_code != 200 or "json" not in answer.headers.get("Content-Type", ""):
            return
        for found in self._json(answer):
            if found.get("Type") == "Series" and str(found.get("ID", "")).replace("-", "").isalnum():
                self._request("DELETE", f"/series/{found['ID']}", root=root, known=range(100, 600))

    # the wire ---------------------------------------------------------------------------------------------

    def _request(
        self,
        method: str,
        path: str,
        *,
        root: str | None = None,
        known: Sequence[int] = (200, 204),
        **options: Any,
    ) -> requests.Response:
        with self._answering():
            answer = self._session().request(
                method,
                f"{self.url if root is None else root}{path}",
                timeout=self._timeout,
                allow_redirects=False,
                **options,
            )
        status = answer.status_code
        if status in known:
            return answer
        answer.close()
        if status in (401, 403):
            raise PacsError("the PACS refuses the login", remedy="check the user and password for the PACS")
        if 300 <= status < 400:
            raise PacsError("the PACS sends us elsewhere", remedy="give its final address")
        if status == 404:
            raise PacsError(
                "the PACS does not have what was asked for",
                remedy="check its address, and load the list again",
            )
        raise PacsError(f"the PACS answers with an error ({status})", remedy="look at the PACS's log")

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.trust_env = False
            session.verify = self._verify
            if self._basic is not None:
                session.auth = self._basic
            elif self._token:
                session.headers["Authorization"] = f"Bearer {self._token}"
            again = Retry(total=1, connect=0, read=0, other=1, redirect=0, status=0, allowed_methods={"GET"})
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=again, pool_maxsize=4))
            self._local.session = session
        return session

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Errors of the wire as ours: without the address, which may name a patient's study."""
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise PacsError(
                "the PACS's certificate is not trusted",
                remedy="give the file of the site's certificate authority",
            ) from error
        except requests.exceptions.Timeout as error:
            raise PacsError(
                "the PACS does not answer in time", remedy="check that it runs, and try again"
            ) from error
        except (requests.exceptions.RequestException, MultipartError) as error:
            raise PacsError(
                "the PACS does not answer, or breaks off",
                remedy="check that it runs, its address and the network, and try again",
            ) from error

    def _json(self, answer: requests.Response, *, anything: bool = False) -> list[dict[str, Any]]:
        if answer.status_code == 204:
            return []
        try:
            content = answer.json()
        except ValueError as error:
            if anything:
                return []
            raise self._no_dicomweb() from error
        found = content if isinstance(content, list) else [content]
        if not all(isinstance(item, dict) for item in found):
            raise self._no_dicomweb()
        return found

    @staticmethod
    def _no_dicomweb() -> PacsError:
        return PacsError(
            "the PACS's answer is no DICOMweb",
            remedy="give the address of its DICOMweb service, such as http://HOST:8042/dicom-web",
        )


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
