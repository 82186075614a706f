"""The file of a correction's answer: a label map on the scan's own grid, in the client's format."""

# mypy: untyped-calls-exclude="SimpleITK"

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from monai_sfda.data.dicom_grid import LPS_TO_RAS
from monai_sfda.data.scan import Scan
from monai_sfda.errors import OutputError
from monai_sfda.label.correction.task import Corrected, answer_labels
from monai_sfda.label.values import Flag, Options, read_options

_QUICK = 1
"""gzip's level: a label map shrinks a hundredfold at any, and the client waits."""


class AnswerOptions(Options):
    """Format of the answer, as clients ask for it.

    Attributes:
        result_extension: of the file.
        result_dtype: of its voxels.
        result_compress: whether NRRD and MetaImage files are compressed.
    """

    result_extension: Literal[".nii.gz", ".nii", ".nrrd", ".mha"] = ".nii.gz"
    result_dtype: Literal["uint8", "uint16", "int16", "int32"] = "uint8"
    result_compress: Flag = False


def write_answer(
    corrected: Corrected, scan: Scan, labels: Mapping[str, int], request: Mapping[str, Any]
) -> Path:
    """Writes the corrected segmentation to a temporary file, which the server sends and deletes.

    Args:
        corrected: with the model's indices.
        scan: whose grid it is on.
        labels: the model's structures.
        request: says the format, see `AnswerOptions`.

    Raises:
        SettingError: for a format that is not offered.
        OutputError: when it cannot be written.
    """
    options = read_options(AnswerOptions, request)
    wanted = answer_labels(labels, corrected.first)
    table = np.zeros(256, options.result_dtype)
    for name, index in labels.items():
        table[index] = wanted[name]
    array = table[corrected.classes]
    try:
        with tempfile.NamedTemporaryFile(suffix=options.result_extension, delete=False) as file:
            path = Path(file.name)
        if options.result_extension in (".nii", ".nii.gz"):
            data = _nifti(array, scan)
            path.write_bytes(gzip.compress(data, _QUICK) if options.result_extension == ".nii.gz" else data)
        else:
            sitk.WriteImage(_itk_image(array, scan), str(path), options.result_compress)
    except (OSError, RuntimeError) as error:
        raise OutputError(
            f"the answer cannot be written ({type(error).__name__})",
            remedy="ask the administrator whether the server's disk is full",
        ) from error
    return path


def _nifti(array: NDArray[Any], scan: Scan) -> bytes:
    image = nib.Nifti1Image(array, scan.affine, dtype=array.dtype)
    image.header.set_xyzt_units("mm")
    image.set_qform(scan.affine, code=1)
    image.set_sform(scan.affine, code=1)
    return bytes(image.to_bytes())


def _itk_image(array: NDArray[Any], scan: Scan) -> sitk.Image:
    """With the voxels in the scan's own order."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    lps = LPS_TO_RAS @ scan.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing([float(s) for s in spacing])
    image.SetDirection([float(d) for d in (lps[:3, :3] / spacing).ravel()])
    image.SetOrigin([float(o) for o in lps[:3, 3]])
    return image
