"""The wire to a DICOMweb service: sessions, logins, time limits, and its failures as errors of ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from monai_sfda.errors import SettingError
from monai_sfda.label.studies.errors import PacsError
from monai_sfda.label.studies.multipart import MultipartError

_CONNECT_SECONDS = 5.0


class Connection:
    """HTTP to one service. Thread-safe.

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

    def request(
        self,
        method: str,
        path: str,
        *,
        root: str | None = None,
        known: Sequence[int] = (200, 204),
        **options: Any,
    ) -> requests.Response:
        """An answer with one of the known statuses.

        Args:
            method: of HTTP.
            path: below the service's address.
            root: another address in its place.
            known: statuses that are no failure.
            options: for requests.

        Raises:
            PacsError: for every other answer, and for none.
        """
        address = f"{self.url if root is None else root}{path}"
        options |= {"timeout": self._timeout, "allow_redirects": False}
        with self.answering():
            try:
                answer = self._session().request(method, address, **options)
            except requests.exceptions.ConnectionError as error:
                if isinstance(error, requests.exceptions.Timeout):
                    raise
                self._local.session = None  # the PACS may have closed a connection that was kept
                answer = self._session().request(method, address, **options)
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
            self._local.session = session
        return session

    @contextmanager
    def answering(self) -> Iterator[None]:
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

    def json(self, answer: requests.Response, *, anything: bool = False) -> list[dict[str, Any]]:
        """The objects of an answer in DICOM JSON.

        Args:
            answer: of the service.
            anything: take an answer that is no JSON for an empty one.

        Raises:
            PacsError: when it is no such answer.
        """
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
