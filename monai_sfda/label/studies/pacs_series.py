"""Which series of a PACS are scans, and what is known of each: asked once a series, kept on disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from monai_sfda.data.dicom import why_no_scan
from monai_sfda.data.dicom_headers import Header
from monai_sfda.errors import SfdaError
from monai_sfda.label.studies.errors import PacsError
from monai_sfda.label.studies.ids import Pseudonyms
from monai_sfda.label.studies.pacs import COUNT, SERIES, STUDY, Pacs, first_value
from monai_sfda.label.studies.records import Records
from monai_sfda.label.studies.series import (
    SHOWN,
    SUBJECT,
    TIMES,
    acquired,
    shown_facts,
    subject_parts,
    text_of,
)

logger = logging.getLogger(__name__)

MODALITIES = ("MR", "CT")
_FRESH_SECONDS, _SHARE = 2.0, 5.0
"""The list is asked for every two seconds, at most for a fifth of the time."""
_SILENT_SECONDS = 5.0
_AGAIN_SECONDS = 60.0
_WANTED = (
    *SHOWN,
    *SUBJECT,
    *(keyword for pair in TIMES for keyword in pair if keyword),
    *("SOPClassUID", "ImageType", "SamplesPerPixel", "NumberOfFrames", "ImagePositionPatient", "Rows"),
)
_GEOMETRY = ("PerFrameFunctionalGroupsSequence",)


@dataclass(frozen=True)
class ListedSeries:
    """A series in the PACS's list.

    Attributes:
        uid, study: its identifiers.
        count: of its instances, as the PACS counts them; 0 where it does not say.
    """

    uid: str
    study: str
    count: int


class PacsSeries:
    """The scans of a PACS.

    The list is asked for again after two seconds, so that a new study appears at once. Headers are looked at
    once a series, one of them; a series that is no scan is not asked for again.

    Args:
        pacs: to ask.
        records: of what is known.
        pseudonyms: of subjects.
        search: further filters of the search, such as a study date's range.
        modalities: of the scans.
        threads: questions at once.
    """

    def __init__(
        self,
        pacs: Pacs,
        records: Records,
        pseudonyms: Pseudonyms,
        *,
        search: Mapping[str, str] | None = None,
        modalities: Sequence[str] = MODALITIES,
        threads: int = 8,
    ) -> None:
        self.pacs, self.records, self.pseudonyms = pacs, records, pseudonyms
        self.search, self.modalities, self.threads = dict(search or {}), tuple(modalities), threads
        self._lock = threading.RLock()
        self._listed: dict[str, ListedSeries] = {}
        self._looked = self._failed = float("-inf")
        self._pause = _FRESH_SECONDS
        self._error: PacsError | None = None
        self._postponed: dict[str, tuple[float, SfdaError]] = {}
        self._counted: dict[str, tuple[int, float]] = {}
        self._looks: dict[str, tuple[int, float]] = {}

    def scans(self) -> dict[str, ListedSeries]:
        """All scans by SeriesInstanceUID.

        Raises:
            PacsError: when the PACS does not answer; for a few seconds after that without asking again.
        """
        with self._lock:
            now = time.monotonic()
            if self._error is not None and now - self._failed < _SILENT_SECONDS:
                raise self._error
            if now - self._looked < self._pause:
                return self._listed
            try:
                rows = [
                    row for m in self.modalities for row in self.pacs.series(**{**self.search, "Modality": m})
                ]
            except PacsError as error:
                self._error, self._failed = error, time.monotonic()
                raise
            self._error = None
            self._listed = self._scans_among([self._note(row) for row in rows])
            self._looked = time.monotonic()
            self._pause = max(_FRESH_SECONDS, _SHARE * (self._looked - now))
            return self._listed

    def find(self, uid: str) -> ListedSeries | None:
        """One scan, also one that has come since the last list; None where there is none.

        Raises:
            PacsError: when the PACS does not answer, to the list or to what is asked of the series.
        """
        found = self.scans().get(uid)
        if found is None and uid and len(uid) <= 64 and uid.replace(".", "").isalnum():
            rows = self.pacs.series(SeriesInstanceUID=uid)
            rows = [r for r in rows if first_value(r, SERIES) == uid and self._is_wanted(r)]
            self._postponed.pop(uid, None)
            found = self._scans_among([self._note(row) for row in rows]).get(uid)
            if found is None and uid in self._postponed:
                raise self._postponed[uid][1]
        return found

    def same_for(self, uid: str, count: int) -> float:
        """For how many seconds each look has counted so many instances of a series; 0 from the first look.

        The PACS's own count and the instances that it lists are told apart: some PACS count otherwise.
        """
        now, times = time.monotonic(), [0.0]
        for sizes in (self._counted, self._looks):
            size, since = sizes.get(uid, (-1, now))
            times.append(now - since if size == count else 0.0)
        return max(times)

    def note_look(self, uid: str, count: int) -> None:
        """Remembers how many instances a look at a series has found."""
        _note(self._looks, uid, count)

    def known(self, uid: str) -> dict[str, Any]:
        """What is kept of a series: `scan`, `facts`, `acquired`."""
        return dict(self.records.peek(uid).get("series") or {})

    def forget_list(self) -> None:
        """The next question asks the PACS."""
        self._looked = self._failed = float("-inf")
        self._error = None

    def _is_wanted(self, row: Mapping[str, Any]) -> bool:
        modality = first_value(row, "00080060")
        return not self.search and modality in self.modalities

    def _note(self, row: Mapping[str, Any]) -> ListedSeries:
        count = first_value(row, COUNT)
        listed = ListedSeries(
            first_value(row, SERIES), first_value(row, STUDY), int(count) if count.isdigit() else 0
        )
        if listed.count:
            _note(self._counted, listed.uid, listed.count)
        return listed

    def _scans_among(self, listed: Sequence[ListedSeries]) -> dict[str, ListedSeries]:
        now = time.monotonic()
        new = [
            s
            for s in listed
            if s.uid and s.study and "scan" not in self.known(s.uid) and self._until(s.uid) < now
        ]
        if new:
            with ThreadPoolExecutor(min(self.threads, len(new)), "pacs") as threads:
                list(threads.map(self._look_at, new))
        return {s.uid: s for s in listed if self.known(s.uid).get("scan")}

    def _until(self, uid: str) -> float:
        """When a series that could not be looked at may be tried again."""
        return self._postponed[uid][0] if uid in self._postponed else float("-inf")

    def _look_at(self, listed: ListedSeries) -> None:
        """Looks at one header in the middle of a series: the first ones may be scouts of another kind."""
        try:
            instances = self.pacs.instances(listed.study, listed.uid)
            if not instances:
                return
            middle = instances[len(instances) // 2]
            header = self.pacs.header(listed.study, listed.uid, middle, (*_WANTED, *_GEOMETRY))
            frames = text_of(header, "NumberOfFrames")
            scan = self._is_scan(header, listed.uid)
            if scan and len(instances) == 1 and frames in ("", "0", "1"):
                return  # one picture is no volume, but more may come
            when = acquired(header)
            known = {
                "scan": scan,
                "study": listed.study,
                "facts": {
                    **shown_facts(header),
                    "SeriesInstanceUID": listed.uid,
                    "StudyInstanceUID": listed.study,
                    "subject": self.pseudonyms.name("subject", *subject_parts(header)),
                },
                "acquired": None if when is None else when.isoformat(),
            }
            self.records.update(listed.uid, {"series": known, **self._first_seen(listed.uid)})
            self._postponed.pop(listed.uid, None)
        except SfdaError as error:
            self._postponed[listed.uid] = time.monotonic() + _AGAIN_SECONDS, error
            logger.warning("a series is left out for now: %s", error.what)

    def _first_seen(self, uid: str) -> dict[str, Any]:
        return {} if "ts" in self.records.peek(uid) else {"ts": int(time.time())}

    @staticmethod
    def _is_scan(header: Dataset, uid: str) -> bool:
        return why_no_scan([Header(Path("header"), header, uid)]) is None


def _note(sizes: dict[str, tuple[int, float]], uid: str, count: int) -> None:
    if sizes.get(uid, (-1, 0.0))[0] != count:
        sizes[uid] = count, time.monotonic()
