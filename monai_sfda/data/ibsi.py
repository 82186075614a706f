"""IBSI soft-tissue sarcoma: `nifti/STS_xxx/{CT,MR_T1}_{image,mask}.nii.gz`.

Source: IBSI validation data, from TCIA Soft-tissue-Sarcoma, doi 10.7937/K9/TCIA.2015.7GO2GSKS.
"""

from __future__ import annotations

from pathlib import Path

from monai_sfda.data.layout import SEARCH_DEPTH, FoundScan, add_subject, folders_below

_LEVELS = SEARCH_DEPTH + 2  # nifti / STS_xxx


def expected(modality: str) -> str:
    """The layout of a modality, for messages."""
    return f"nifti/STS_xxx/{modality}_image.nii.gz with nifti/STS_xxx/{modality}_mask.nii.gz"


def find(dataset_dir: Path, modality: str) -> dict[str, FoundScan]:
    """The scans of a modality (`CT`, `MR_T1`) by subject id (`STS_002`).

    Args:
        dataset_dir: folder that holds the download, at any depth up to four.
        modality: first part of the file names.

    A subject that is there twice has that as its fault.
    """
    found: dict[str, FoundScan] = {}
    name = f"{modality}_image.nii.gz"
    for folder in folders_below(dataset_dir, _LEVELS):
        if name in folder.files:
            add_subject(
                found,
                folder.path.name,
                FoundScan((folder.path / name,), folder.path / f"{modality}_mask.nii.gz"),
            )
    return found
