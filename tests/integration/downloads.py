"""Small sound data sets in every official layout, for tests that damage them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monai_sfda.catalog import (
    ABDOMEN,
    BRAIN_GRADE,
    BRAIN_MODALITY,
    CARDIAC,
    SOFT_TISSUE,
    SPINE,
    STREET,
    STREET_SYNTHIA_16,
)
from tests.builders import write_nifti

PHANTOMS = {
    "abdomen": (4, 64),
    "cardiac": (4, 48),
    "brain": (6, 40),
    "spine": (4, 48),
    "street": (2, 64),
}
TASKS = {
    task.name: task
    for task in (
        *(ABDOMEN, CARDIAC, BRAIN_MODALITY, BRAIN_GRADE, SPINE, STREET),
        STREET_SYNTHIA_16,
        SOFT_TISSUE,
    )
}


def soft_tissue(root: Path) -> None:
    """A bright ball in each scan, in the layout of the IBSI data; no scan has another's grid."""
    subjects = [(s, "CT") for s in ("STS_002", "STS_003", "STS_008", "STS_019")]
    subjects += [(s, "MR_T1") for s in ("STS_024", "STS_032", "STS_042", "STS_034")]
    for number, (subject, modality) in enumerate(subjects):
        random = np.random.default_rng(number)
        shape = (20 + number, 22, 12)
        x, y, z = np.indices(shape)
        ball = (x - 10) ** 2 + (y - 11) ** 2 + (2 * z - 12) ** 2 < 30 + number
        values = random.normal(40, 10, shape) + 60 * ball
        values[:3] = -1000 if modality == "CT" else 0
        folder = root / "nifti" / subject
        write_nifti(folder / f"{modality}_image.nii.gz", values.astype(np.float32))
        write_nifti(folder / f"{modality}_mask.nii.gz", ball.astype(np.uint8))
