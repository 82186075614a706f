"""IVDM3Seg, intervertebral discs of the lower spine: `NN/NN_{fat,inn,opp,wat}.nii`, `labels/NN_Labels.nii`.

Source: https://ivdm3seg.weebly.com (the layout is second-hand and read tolerantly: `.nii` and `.nii.gz`, any
case of letters, numbers with or without a leading zero, all sets in one folder).

The 16 sets are said to be 8 subjects at two times. Which sets are one subject's we do not know, so by default
the sets are kept together that either usual numbering would pair: 2 k - 1 with 2 k (a subject's sets follow
each other), and k with k + n / 2 (all first examinations, then all second ones). Of 16 sets that makes four
groups of four, and no subject is in two lists whichever of the two is right. A file `subjects.json` beside
the sets, `{"1": "a", "2": "a", "3": "b", ...}`, says it for certain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from monai_sfda.data.layout import SEARCH_DEPTH, FoundScan, add_subject, folders_below
from monai_sfda.errors import DataError

SUBJECTS_FILE = "subjects.json"
_IMAGE = re.compile(r"(\d{1,3})_(fat|inn|opp|wat)(\.nii(?:\.gz)?)", re.IGNORECASE)
_LEVELS = SEARCH_DEPTH + 2  # the folder of all sets / NN


def expected(modality: str) -> str:
    """The layout of a modality, for messages."""
    return f"NN/NN_{modality}.nii with labels/NN_Labels.nii"


def find(dataset_dir: Path, modality: str) -> dict[str, FoundScan]:
    """The images of a modality (`fat`, `inn`, `opp`, `wat`) by number of the set, with their subjects.

    Args:
        dataset_dir: folder that holds the unpacked download, at any depth up to four.
        modality: as in the file names.

    Raises:
        DataError: when `subjects.json` cannot be read, misses a set, or says two things of one.
    """
    found: dict[str, FoundScan] = {}
    listings: list[Path] = []
    for folder in folders_below(dataset_dir, _LEVELS):
        if SUBJECTS_FILE in folder.files:
            listings.append(folder.path / SUBJECTS_FILE)
        for name in folder.files:
            match = _IMAGE.fullmatch(name)
            if match is not None and match[2].lower() == modality:
                image = folder.path / name
                add_subject(found, str(int(match[1])), FoundScan((image,), _label_of(image, match)))
    numbers = sorted(found, key=int)
    subjects = _listed(listings, numbers) if listings else either_pairing(numbers)
    return {number: replace(found[number], subject=subjects[number]) for number in numbers}


def either_pairing(numbers: list[str]) -> dict[str, str]:
    """Groups of sets that hold a subject together by either numbering: number of the set to group.

    >>> groups = either_pairing([str(n) for n in range(1, 17)])
    >>> [number for number, group in groups.items() if group == groups["1"]]
    ['1', '2', '9', '10']
    """
    known = {int(n) for n in numbers}
    half = (max(known, default=0) + 1) // 2
    group = {n: n for n in known}

    def first(n: int) -> int:
        while group[n] != n:
            n = group[n]
        return n

    for n in sorted(known):
        for other in (n + 1 if n % 2 else n, n + half):
            if other in known:
                low, high = sorted((first(n), first(other)))
                group[high] = low
    return {number: f"G{first(int(number)):02d}" for number in numbers}


def _listed(paths: Sequence[Path], numbers: list[str]) -> dict[str, str]:
    """What the files `subjects.json`, mostly one, say of these sets."""
    said: dict[str, str] = {}
    for path in paths:
        for number, subject in _pairs(path):
            if said.setdefault(number, subject) != subject:
                raise DataError(
                    f"set {number} is of subject '{said[number]}' and of subject '{subject}'",
                    remedy="name one subject for every set, in one file",
                    path=path,
                )
    missing = [number for number in numbers if number not in said]
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(numbers)} sets have no subject (the first: set {missing[0]})",
            remedy="name the subject of every set, or remove the file",
            path=paths[0],
        )
    return {number: said[number] for number in numbers}


def _pairs(path: Path) -> list[tuple[str, str]]:
    """Numbers of sets and their subjects as a file has them, a number perhaps twice."""
    try:
        pairs = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=list)
        return [(str(int(number)), str(subject)) for number, subject in pairs]
    except (ValueError, TypeError) as error:
        raise DataError(
            "the file cannot be read as numbers of sets and their subjects",
            remedy='write JSON like {"1": "a", "2": "a", "3": "b"}, or remove the file',
            path=path,
        ) from error


def _label_of(image: Path, match: re.Match[str]) -> Path:
    """Where the mask of an image lies: in `labels` beside the set's folder, or beside the image."""
    name = f"{match[1]}_Labels{match[3]}"
    beside_set = image.parent.parent / "labels" / name
    here = image.parent / "labels" / name
    return beside_set if image.parent.name.isdigit() else here
