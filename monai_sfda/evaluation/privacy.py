"""Keep file names, folders, addresses and DICOM identifiers out of what is kept or sent.

A report numbers its cases. Settings, notes and messages that come in from elsewhere may still carry a path,
and a path may carry a patient's name. What looks like one is replaced here. A name in free text cannot be
recognised: writers of notes and captions use case numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath

WITHHELD = "[withheld]"

_LOCATIONS = (
    re.compile(r"\\\\[^\s'\"<>|,;()\[\]{}]+"),
    re.compile(r"\b[a-z][a-z0-9+.\-]*://[^\s'\"<>]+", re.IGNORECASE),
    re.compile(r"(?<![\w/\\<>.~])(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][^\s/\\'\"<>|,;:()\[\]{}]+){2,}[/\\]?"),
    re.compile(r"(?<![\w/\\<>.])(?:~|\.{1,2}|[A-Za-z]:)[/\\][^\s'\"<>|,;()\[\]{}]*"),
    re.compile(
        r"[^\s'\"<>|,;:()\[\]{}]+\.(?:nii(?:\.gz)?|dcm|dicom|ima|nrrd|nhdr|mha|mhd|hdr|img|png|jpe?g|tiff?)\b",
        re.IGNORECASE,
    ),
    re.compile(r"\b\d+(?:\.\d+){5,}\b"),
)
_LOCATION_KEY = re.compile(
    r"(?:^|[_.])(?:dir|root|path|paths|file|files|folder|images|datalist|release|checkpoint|studies|uri|url)$",
    re.IGNORECASE,
)


def withhold_locations(text: str) -> str:
    """The text with every path, file name of a scan, address and DICOM identifier replaced by `[withheld]`.

    >>> withhold_locations("case 2 read from /data/SMITH_JOHN/scan.nii.gz, mean/std kept")
    'case 2 read from [withheld], mean/std kept'
    """
    for pattern in _LOCATIONS:
        text = pattern.sub(WITHHELD, text)
    return text


def presentable_settings(settings: Mapping[str, object]) -> list[tuple[str, str]]:
    """Settings as (name, value) texts: nested names joined by dots, locations withheld.

    A setting whose name says that it is a location (`dataset_dir`, `release`) is withheld whatever its value
    looks like.
    """
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        name = withhold_locations(str(key))
        if isinstance(value, Mapping) and value:
            rows.extend((f"{name}.{inner}", text) for inner, text in presentable_settings(value))
        elif _is_location(str(key), value):
            rows.append((name, WITHHELD))
        else:
            rows.append((name, _value_text(value)))
    return rows


def _is_location(key: str, value: object) -> bool:
    if isinstance(value, PurePath):
        return True
    holds_text = isinstance(value, str | list | tuple) and len(value) > 0
    return holds_text and _LOCATION_KEY.search(key) is not None


def _value_text(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(WITHHELD if isinstance(entry, PurePath) else _value_text(entry) for entry in value)
    return withhold_locations(str(value))
