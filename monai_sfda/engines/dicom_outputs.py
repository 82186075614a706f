"""DICOM segmentations beside the NIfTI masks of a run of inference."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import monai_sfda
from monai_sfda.catalog import Task
from monai_sfda.data.case import Case
from monai_sfda.data.dicom_reference import NotReferableError
from monai_sfda.data.dicom_segmentation import (
    SegmentationDescription,
    find_dcmqi,
    write_dicom_segmentation,
)
from monai_sfda.data.scan import Scan
from monai_sfda.errors import DataError, OutputError, SettingError, SfdaError
from monai_sfda.files import file_sha256

logger = logging.getLogger(__name__)

ADAPTATION_RECORD = "adaptation.json"
"""What adaptation writes beside its weights, in the run folder and in the bundle."""


class DicomSegmentations:
    """Writes the DICOM segmentations of one run of inference.

    Args:
        task: whose structures are segmented.
        checkpoint: the weights; the record of their adaptation is looked for beside them.

    Attributes:
        errors: of the series whose segmentation could not be written.

    Raises:
        SettingError: for a task of pictures, or when dcmqi is not installed.
    """

    def __init__(self, task: Task, checkpoint: Path) -> None:
        if task.pictures:
            raise SettingError(
                "dicom_seg is for DICOM series, and the task has pictures", remedy="leave dicom_seg out"
            )
        find_dcmqi()
        self.task = task
        weights = file_sha256(checkpoint)
        method = adaptation_method(checkpoint, weights)
        self.description = SegmentationDescription(
            series=f"Segmentation ({task.name}), research, not for diagnosis",
            phantom_series=f"Segmentation of a phantom ({task.name}), not for diagnosis",
            content=f"Research, not for diagnosis; weights {weights[:12]}",
            algorithm=" ".join(
                ("monai_sfda", monai_sfda.__version__, task.name, *(() if method is None else (method,)))
            ),
            creator="monai_sfda",
        )
        self.errors: list[SfdaError] = []

    def write(
        self, path: Path, segmentation: NDArray[np.uint8], scan: Scan, case: Case
    ) -> dict[str, list[str] | str]:
        """Writes one scan's segmentation; returns what `inference.json` says of it: `segments`, their names
        in order, or why there is none, `skipped` or `error` and `remedy`.
        """
        path.unlink(missing_ok=True)  # an older run's, which must not pass for this one's
        if not case.files:
            return _skipped(case, "the scan is no DICOM series")
        try:
            names = write_dicom_segmentation(
                path, segmentation, scan, case.files, self.task.structures, self.description
            )
        except NotReferableError as error:
            return _skipped(case, f"{error.what}: {error.remedy}")
        except (DataError, OutputError) as error:
            error.root = error.root or case.root
            self.errors.append(error)
            logger.error("case %d: %s: %s", case.number, error.what, error.remedy)
            return {"error": error.what, "remedy": error.remedy}
        if not names:
            return _skipped(case, "no structure was found, and a DICOM segmentation holds one at least")
        return {"segments": names}


def adaptation_method(checkpoint: Path, sha256: str) -> str | None:
    """The method that adapted a checkpoint, from the record beside it; None where no record names it.

    Args:
        checkpoint: `adapted.pt` or `model.pt` of a run folder, or `models/model.pt` of its bundle.
        sha256: of the checkpoint; a record of other weights does not count.
    """
    try:
        record: Any = json.loads((checkpoint.parent / ADAPTATION_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(record, dict) and sha256 in (record.get("adapted_sha256"), record.get("model_sha256"))
    return str(record["method"]) if known and "method" in record else None


def _skipped(case: Case, reason: str) -> dict[str, list[str] | str]:
    logger.warning("case %d: no DICOM segmentation: %s", case.number, reason)
    return {"skipped": reason}
