"""BTCV, Multi-Atlas Labeling Beyond the Cranial Vault:
`RawData/Training/{img/img0001,label/label0001}.nii.gz`.

Source: https://www.synapse.org/#!Synapse:syn3193805.
"""

from __future__ import annotations

import re
from pathlib import Path

from monai_sfda.data.layout import SEARCH_DEPTH, FoundScan, add_subject, folders_below

_IMAGE = re.compile(r"img(\d{4})(\.nii(?:\.gz)?)", re.IGNORECASE)
_LEVELS = SEARCH_DEPTH + 3  # RawData / Training / img


def expected(modality: str) -> str:
    """The layout, for messages."""
    return "RawData/Training/img/img0001.nii.gz with RawData/Training/label/label0001.nii.gz"


def find(dataset_dir: Path, modality: str) -> dict[str, FoundScan]:
    """The training scans by subject id (`img0001` is subject 1); the test scans, which have no labels, are
    left out.

    Args:
        dataset_dir: folder that holds the unpacked download, at any depth up to four.
        modality: the data set has one, which is not looked at.

    A subject that is there twice has that as its fault.
    """
    found: dict[str, FoundScan] = {}
    for folder in folders_below(dataset_dir, _LEVELS):
        if "testing" in (part.casefold() for part in folder.path.relative_to(dataset_dir).parts):
            continue
        for name in folder.files:
            match = _IMAGE.fullmatch(name)
            if match is not None:
                label = folder.path.parent / "label" / f"label{match[1]}{match[2]}"
                add_subject(found, str(int(match[1])), FoundScan((folder.path / name,), label))
    return found
