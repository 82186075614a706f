"""A case: one scan of a list, where its files lie and what its outputs are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from monai_sfda.catalog import LabelRange

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Endings of the volume files that are read, lower case; DICOM is known by its content, whatever its name."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
"""Endings of the colour pictures that are read, lower case."""

ENTROPY_ENDING = "_entropy"
"""Of the name of a scan's entropy map, which inference may write beside its mask."""

OUTPUT_ENDINGS = ("_seg", ENTROPY_ENDING)
"""Of the names of what this package writes about a scan: no scans, when they lie beside it."""


@dataclass(frozen=True)
class Case:
    """One scan of a list.

    Attributes:
        number: 1, 2, ... in the list: what reports and logs show instead of names.
        subject: subject id, for subject-wise splits; never logged.
        image: one file or DICOM folder; several are the channels of one scan.
        label: label file, or a folder of PNG files (CHAOS `Ground`); None when there is none or when it was
            not asked for.
        reader: `chaos`, `btcv`, `ibsi`, `datalist` or `folder`.
        series_uid: the series meant, when a DICOM folder holds several.
        root: the folder that the user gave; errors name files relative to it.
        files: the files of the DICOM scan, when the listing has looked at their headers already.
        stored_labels: what the stored label values mean, when a datalist says so; None for the reader's own.
        output_name: name for outputs where the scan's own would not be unique in its list.
    """

    number: int
    subject: str
    image: tuple[Path, ...]
    label: Path | None
    reader: str
    series_uid: str | None = None
    root: Path | None = field(default=None, repr=False)
    files: tuple[Path, ...] = field(default=(), repr=False)
    stored_labels: tuple[LabelRange, ...] | None = field(default=None, repr=False)
    output_name: str | None = field(default=None, repr=False)

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells its scan from every other: its files, and of a folder of several series which it is."""
        return self.image, self.series_uid, self.files

    @property
    def name(self) -> str:
        """What outputs are called (`img0001`); for DICOM the folder's name. Used only beside the scans."""
        return self.output_name or stem(self.image[0])


def volume_suffix(path: Path) -> str | None:
    """The ending of a volume file as in `VOLUME_SUFFIXES`; None for every other file."""
    lower = path.name.lower()
    return next((s for s in VOLUME_SUFFIXES if lower.endswith(s) and len(lower) > len(s)), None)


def stem(path: Path) -> str:
    """A file's name without its ending; a DICOM folder's name as it is, dots included.

    >>> stem(Path("img/img0001.nii.gz")), stem(Path("study/1.2.840"))
    ('img0001', '1.2.840')
    """
    suffix = volume_suffix(path) or next(
        (s for s in (".dcm", *PICTURE_SUFFIXES) if path.name.lower().endswith(s)), ""
    )
    return path.name[: len(path.name) - len(suffix)] if suffix else path.name


def with_unique_names(cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases, numbered from 1 and with names that no two share, whatever the case of their letters.

    Scans of the same name take on the names of the folders above, as far as needed (`STS_002_CT_image`); what
    is still equal, such as several series of one folder, is numbered.
    """
    parts = [(*c.image[0].parent.parts[1:], stem(c.image[0])) for c in cases]
    depth = [1] * len(cases)
    while True:
        names = ["_".join(p[-d:]) for p, d in zip(parts, depth, strict=True)]
        groups: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            groups.setdefault(name.casefold(), []).append(index)
        deeper = [
            i
            for group in groups.values()
            if len({parts[j] for j in group}) > 1
            for i in group
            if depth[i] < len(parts[i])
        ]
        if not deeper:
            break
        for index in deeper:
            depth[index] += 1
    taken = set(groups)
    for group in groups.values():
        if len(group) > 1:
            for index in group:
                names[index] = _numbered(names[index], taken)
    return tuple(
        replace(case, number=number, output_name=name)
        for number, (case, name) in enumerate(zip(cases, names, strict=True), start=1)
    )


def _numbered(name: str, taken: set[str]) -> str:
    number = 1
    while f"{name}_{number}".casefold() in taken:
        number += 1
    taken.add(f"{name}_{number}".casefold())
    return f"{name}_{number}"
