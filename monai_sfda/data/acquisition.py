"""When scans were acquired: to put them into that order, and for nothing that is kept."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pydicom

from monai_sfda.data.case import Case
from monai_sfda.data.dicom_headers import UNREADABLE, is_dicom
from monai_sfda.data.quiet import quiet

_TIMES = (
    ("AcquisitionDateTime", ""),
    ("AcquisitionDate", "AcquisitionTime"),
    ("SeriesDate", "SeriesTime"),
    ("ContentDate", "ContentTime"),
    ("StudyDate", "StudyTime"),
)
_DATE_TIME = re.compile(r"(\d{8})(\d{2})?(\d{2})?(\d{2})?(?:\.(\d{1,6}))?")


def acquired(case: Case) -> datetime | None:
    """The local time at which a DICOM scan's first file was acquired; None for other files and where the
    headers do not say (anonymised series often do not).
    """
    files = case.files or tuple(path for path in case.image if path.is_file())
    if not files:
        return None
    try:
        if not is_dicom(files[0]):
            return None
        with quiet():
            header = pydicom.dcmread(
                files[0], stop_before_pixels=True, specific_tags=[t for pair in _TIMES for t in pair if t]
            )
            for date, time in _TIMES:
                found = parse_time(str(header.get(date) or ""), str(header.get(time) or "") if time else "")
                if found is not None:
                    return found
    except UNREADABLE:
        return None
    return None


def parse_time(date: str, time: str = "") -> datetime | None:
    """A DICOM date (`DA`) with its time (`TM`), or both in one (`DT`); None for what is neither.

    Parts that are missing count as 0, a time zone is left out.

    >>> parse_time("20260102", "0304").isoformat(), parse_time("") is None
    ('2026-01-02T03:04:00', True)
    """
    match = _DATE_TIME.match(date.strip() + time.strip())
    if match is None:
        return None
    day, hours, minutes, seconds, fraction = match.groups()
    try:
        start = datetime.strptime(day, "%Y%m%d")
        return start.replace(
            hour=int(hours or 0),
            minute=int(minutes or 0),
            second=min(int(seconds or 0), 59),  # 60 is a leap second
            microsecond=int((fraction or "0").ljust(6, "0")),
        )
    except ValueError:
        return None


def modified(case: Case) -> datetime:
    """When the scan's files were last written, at the latest."""
    files = case.files or case.image
    return datetime.fromtimestamp(max(Path(f).stat().st_mtime for f in files))
