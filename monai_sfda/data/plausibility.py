"""Is this a scan of the modality that the task means? What a file says and what its values show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_sfda.data.dicom_headers import Header
from monai_sfda.errors import DataError

FEWEST_VALUES = 16
"""Scans have thousands of different values; masks and thresholded images a handful."""
TISSUE_LOW, BELOW_MR = -50.0, -300.0
"""Every CT shows something below fat's edge, in Hounsfield; no MR has values near those of air in CT."""
OTHER_MODALITIES = frozenset(
    {
        "CT",
        "MR",
        "PT",
        "NM",
        "US",
        "XA",
        "RF",
        "CR",
        "DX",
        "MG",
        "IO",
        "PX",
        "OPT",
        "OP",
        "ES",
        "XC",
        "GM",
        "SM",
    }
)
"""Modalities that a DICOM series may say it is (PS3.3, C.7.3.1.1.1)."""
_LOOKED_AT = 200_000


def check_modality(headers: Sequence[Header], kind: str, path: Path) -> None:
    """The DICOM series is of the modality that is meant.

    Args:
        headers: of the series; one without a Modality, or with one that says nothing (OT), passes.
        kind: `MR` or `CT`.
        path: for the message.

    Raises:
        DataError: when the series says that it is of another modality.
    """
    stated = headers[0].text("Modality").upper() if headers else ""
    if stated in OTHER_MODALITIES - {kind}:
        raise DataError(
            f"a DICOM series of modality {stated} where {kind} is meant",
            remedy=f"leave it out, or set domain to the one whose scans are {stated}",
            path=path,
        )


def check_not_a_mask(values: NDArray[Any], path: Path) -> None:
    """The image has more different values than a mask.

    Raises:
        DataError: when it has `FEWEST_VALUES` or fewer, all integers.
    """
    flat = values.reshape(-1)
    if np.unique(flat[:: max(1, flat.size // _LOOKED_AT)]).size > FEWEST_VALUES:
        return
    found = np.unique(flat)
    if found.size <= FEWEST_VALUES and bool((found == np.rint(found)).all()):
        raise DataError(
            f"only {found.size} different values, all integers: a mask, not a scan",
            remedy="put the scan there (have image and label been exchanged?), or leave the mask out",
            path=path,
        )


def doubt(values: NDArray[Any], kind: str) -> str | None:
    """Why a scan's values look like those of another modality, in words; None when they do not.

    A warning, not proof: files other than DICOM do not say what they are.
    """
    lowest = float(values.min())
    if kind == "CT" and lowest > TISSUE_LOW:
        return f"no value below {TISSUE_LOW:g} HU (the lowest is {lowest:.4g}): is it CT in Hounsfield units?"
    if kind == "MR" and lowest < BELOW_MR:
        return f"values down to {lowest:.4g}, as CT has: is it MR?"
    return None
