"""Reading a scan that a datastore holds: a file, or a folder with one DICOM series."""

from __future__ import annotations

import logging
import traceback
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_sfda.catalog import Task
from monai_sfda.data.case import Case, volume_suffix
from monai_sfda.data.checks import check_affine, check_intensities
from monai_sfda.data.plausibility import check_not_a_mask
from monai_sfda.data.reading import read_case
from monai_sfda.data.scan import Scan
from monai_sfda.errors import DataError
from monai_sfda.label.models.installed import DOMAIN
from monai_sfda.label.models.size import check_size

logger = logging.getLogger(__name__)


def read_scan(image: Path, task: Task, *, most_voxels: int | None = None) -> Scan:
    """A scan, on its own grid.

    Args:
        image: NIfTI, NRRD or MetaImage file, one DICOM file, or a folder with one DICOM series. A task of
            several channels takes a NIfTI file with the channels along its fourth axis.
        task: that the scan is read for.
        most_voxels: more are refused; None: no limit.

    Raises:
        DataError: when it cannot be read or is not fit for the task. It names no file: the name may be a
            patient's, and who asked knows which scan was meant.
    """
    try:
        channels = task.domain(DOMAIN).channels
        if most_voxels is not None:
            check_size(image, most_voxels * max(1, len(channels)))
        if len(channels) > 1:
            scan = _read_channels(image, channels)
        else:
            case = Case(1, "scan", (image,), None, "folder", root=image.parent)
            scan, _ = read_case(case, task, DOMAIN, with_label=False)
        voxels = int(np.prod(scan.shape))
        if most_voxels is not None and voxels > most_voxels:
            raise DataError(
                f"a scan of {voxels} voxels, the server takes {most_voxels}",
                remedy="crop it, or ask the administrator to raise --conf most_voxels",
            )
    except DataError as error:
        raise DataError(error.what, remedy=_remedy(error.remedy, task)) from None
    except Exception as error:  # a damaged file may break a library anywhere, and its words may name the file
        place = traceback.extract_tb(error.__traceback__)[-1]
        logger.error(
            "a scan cannot be read: %s in %s, line %d", type(error).__name__, place.name, place.lineno
        )
        raise DataError(
            f"the scan cannot be read ({type(error).__name__})",
            remedy="look at the study in the datastore, or choose another",
        ) from None
    return scan


def _remedy(said: str, task: Task) -> str:
    """What somebody at a viewer can do, where the readers speak to somebody with a folder before him."""
    if "set domain" in said:
        return f"choose a {task.domain(DOMAIN).kind} study, or a model for studies of this modality"
    if "series into a folder" in said or "folder that holds the series" in said:
        return "choose a single series of the study; ask the administrator where the list shows none"
    return said


def _read_channels(image: Path, channels: tuple[str, ...]) -> Scan:
    """A scan whose channels are along the fourth axis of a NIfTI file."""
    wanted = f"a NIfTI file of one grid with {len(channels)} volumes along its fourth axis, in the order "
    wanted += ", ".join(channels)
    if image.is_dir() or volume_suffix(image) not in (".nii", ".nii.gz"):
        raise DataError("the model takes several images of a scan at once", remedy=f"store {wanted}")
    try:
        stored = nib.load(image)
        if not isinstance(stored, nib.Nifti1Image):
            raise ValueError("no NIfTI image")
        shape = tuple(stored.shape)
        if len(shape) != 4 or shape[3] != len(channels):
            raise DataError(
                f"a file of {' x '.join(map(str, shape))} voxels, the model takes {len(channels)} images "
                "of a scan at once",
                remedy=f"store {wanted}",
            )
        values = np.asarray(stored.dataobj, dtype=np.float32)
        affine = np.array(stored.affine, dtype=np.float64)
    except (nib.filebasedimages.ImageFileError, ValueError, EOFError, OSError, zlib.error) as error:
        raise DataError(
            "the file is truncated or is no NIfTI image", remedy="copy, download or convert it again"
        ) from error
    check_affine(affine, image)
    array = np.ascontiguousarray(np.moveaxis(values, 3, 0))
    for channel in array:
        check_intensities(channel, image)
        check_not_a_mask(channel, image)
    return Scan(array, affine)
