"""MMWHS, Multi-Modality Whole Heart Segmentation: `mr_train/mr_train_1001_{image,label}.nii.gz`, `ct_train`
alike.

Source: https://zmiclab.github.io/zxh/0/mmwhs/.
"""

from __future__ import annotations

import re
from pathlib import Path

from monai_sfda.data.layout import SEARCH_DEPTH, FoundScan, add_subject, folders_below

_LEVELS = SEARCH_DEPTH + 1  # mr_train


def expected(modality: str) -> str:
    """The layout of a modality, for messages."""
    stem = f"{modality}_train/{modality}_train_1001"
    return f"{stem}_image.nii.gz with {stem}_label.nii.gz"


def find(dataset_dir: Path, modality: str) -> dict[str, FoundScan]:
    """The training scans of a modality by subject id (`1001`); the test scans, which have no labels, are left
    out.

    Subject 1001 of the MR and subject 1001 of the CT are different people.

    Args:
        dataset_dir: folder that holds the unpacked download, at any depth up to four.
        modality: `mr` or `ct`, as the file names begin.

    A subject that is there twice has that as its fault.
    """
    image = re.compile(rf"({re.escape(modality)}_train_(\d{{4}}))_image(\.nii(?:\.gz)?)", re.IGNORECASE)
    found: dict[str, FoundScan] = {}
    for folder in folders_below(dataset_dir, _LEVELS):
        for name in folder.files:
            match = image.fullmatch(name)
            if match is not None:
                label = folder.path / f"{match[1]}_label{match[3]}"
                add_subject(found, match[2], FoundScan((folder.path / name,), label))
    return found
