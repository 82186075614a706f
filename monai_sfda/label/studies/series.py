"""What a datastore keeps of a DICOM series: its modality, its scanner, its identifiers, nothing of who."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from monai_sfda.data.acquisition import parse_time
from monai_sfda.data.dicom_headers import UNREADABLE
from monai_sfda.data.quiet import quiet

SHOWN = ("Modality", "Manufacturer", "ManufacturerModelName", "SeriesInstanceUID", "StudyInstanceUID")
"""Elements of an image's info, under MONAI Label's own names."""
SUBJECT = ("PatientID", "IssuerOfPatientID")
TIMES = (
    ("AcquisitionDateTime", None),
    ("AcquisitionDate", "AcquisitionTime"),
    ("SeriesDate", "SeriesTime"),
    ("ContentDate", "ContentTime"),
    ("StudyDate", "StudyTime"),
)
_NOBODY = frozenset({"", "anonymized", "anonymised", "anonymous", "anon", "unknown", "none", "0"})
_LONGEST = 64


def text_of(dataset: Dataset, keyword: str) -> str:
    """An element as text; empty where there is none or where it breaks its value representation."""
    try:
        with quiet():
            value = dataset.get(keyword)
            return "" if value is None else " ".join(str(value).split())[:_LONGEST]
    except UNREADABLE:
        return ""


def shown_facts(dataset: Dataset) -> dict[str, str]:
    """The elements in `SHOWN` that a header has."""
    facts = {keyword: text_of(dataset, keyword) for keyword in SHOWN}
    return {keyword: value for keyword, value in facts.items() if value}


def subject_parts(dataset: Dataset) -> tuple[str, ...]:
    """What says whose scan it is, for a pseudonym: patient id and issuer, or else the study.

    Anonymised data often share one id, which says nothing.
    """
    patient, issuer = (text_of(dataset, keyword) for keyword in SUBJECT)
    if patient.casefold() in _NOBODY:
        return "study", text_of(dataset, "StudyInstanceUID")
    return "patient", patient, issuer


def acquired(dataset: Dataset) -> datetime | None:
    """The local time at which a series was acquired; None where its header does not say."""
    for date, time in TIMES:
        found = parse_time(text_of(dataset, date), text_of(dataset, time) if time else "")
        if found is not None:
            return found
    return None


def read_header(file: Path) -> Dataset:
    """A file's elements that are asked for here; empty for a file that cannot be read."""
    wanted = [*SHOWN, *SUBJECT, *(keyword for pair in TIMES for keyword in pair if keyword)]
    try:
        with quiet():
            return pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=wanted)
    except UNREADABLE:
        return Dataset()
