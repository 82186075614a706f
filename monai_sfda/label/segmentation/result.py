"""The result of a segmentation, as clients read it: a labelmap on the scan's own grid and its parameters."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from monai_sfda.data.checks import describe_shape
from monai_sfda.data.dicom_grid import LPS_TO_RAS
from monai_sfda.data.scan import Scan
from monai_sfda.engines.uncertainty import StructureConfidence
from monai_sfda.errors import OutputError
from monai_sfda.files import cannot_write
from monai_sfda.guard.familiarity import FAMILIAR, Familiarity
from monai_sfda.label.models import LoadedModel
from monai_sfda.label.models.volumes import volumes_ml
from monai_sfda.label.segmentation.options import ResultOptions
from monai_sfda.label.values import read_options
from monai_sfda.store import Version

INTENDED_USE = "research; not for diagnosis"
_COMPRESSION = 1  # a labelmap shrinks a hundredfold at any level, and the highest takes ten times as long


def write_result(
    array: NDArray[Any],
    scan: Scan,
    request: Mapping[str, Any] | ResultOptions,
    folder: Path | None = None,
) -> str:
    """Writes a labelmap, or a map of values, into a new temporary file; whoever sends it takes it away.

    Args:
        array: (X, Y, Z) on the scan's grid; written as the request's `result_dtype`.
        scan: whose affine is stored.
        request: the client's `result_extension`, `result_dtype` and `result_compress` are honoured.
        folder: for the file; None: the system's for temporary files.

    Returns:
        The file's path.

    Raises:
        SettingError: when the request asks for another format.
        OutputError: when the array does not fit the scan, or the disk is full.
    """
    options = request if isinstance(request, ResultOptions) else read_options(ResultOptions, request)
    if array.shape != scan.shape:
        raise OutputError(
            f"a result of {describe_shape(array.shape)} for a scan of {describe_shape(scan.shape)} voxels",
            remedy="report it to the developers",
        )
    values = np.asarray(array, dtype=np.dtype(options.result_dtype))
    ending = options.result_extension
    try:
        handle, name = tempfile.mkstemp(prefix="result-", suffix=ending, dir=folder)
        os.close(handle)
        try:
            if ending == ".nrrd":
                _write_nrrd(Path(name), values, scan, compress=options.result_compress)
            else:
                _write_nifti(Path(name), values, scan)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise cannot_write(Path("result" + ending), error) from error
    return name


def _write_nifti(path: Path, values: NDArray[Any], scan: Scan) -> None:
    image = nib.Nifti1Image(values, scan.affine, dtype=values.dtype)
    image.header.set_xyzt_units("mm")
    image.set_qform(scan.affine, code=1)
    image.set_sform(scan.affine, code=1)
    data = image.to_bytes()
    path.write_bytes(gzip.compress(data, _COMPRESSION, mtime=0) if path.suffix == ".gz" else data)


def _write_nrrd(path: Path, values: NDArray[Any], scan: Scan, *, compress: bool) -> None:
    """Axes as stored, space left-posterior-superior; raw where a client does without compression."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    affine = LPS_TO_RAS @ scan.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    try:
        sitk.WriteImage(image, str(path), useCompression=compress, compressionLevel=_COMPRESSION)
    except RuntimeError as error:
        raise OutputError("the result cannot be written", remedy="make room on the server's disk") from error


def parameters(
    loaded: LoadedModel,
    scan: Scan,
    segmentation: NDArray[np.uint8],
    confidence: Mapping[str, StructureConfidence | None] | None = None,
    *,
    familiarity: Familiarity | None = None,
    volumes: Mapping[str, float] | None = None,
    warnings: Iterable[str] = (),
) -> dict[str, Any]:
    """What is said of a result beside its file.

    Args:
        loaded: the version that made it.
        scan: that was segmented.
        segmentation: (X, Y, Z) uint8, contiguous classes.
        confidence: of each structure; None where nobody has computed it.
        familiarity: how far the scan is from those that the model knows.
        volumes: in ml, where they are known already.
        warnings: more of them, in words.
    """
    version = loaded.version
    found = [*warnings, *_warnings(version, familiarity)]
    return {
        "label_names": loaded.installed.labels,
        "volumes_ml": dict(
            volumes_ml(segmentation, scan, loaded.installed.task) if volumes is None else volumes
        ),
        "confidence": None
        if confidence is None
        else {name: None if value is None else value.to_json() for name, value in confidence.items()},
        "model": loaded.installed.name,
        "model_version": version.number,
        "model_sha256": loaded.sha256,
        "verdict": version.verdict,
        "familiarity": None if familiarity is None else familiarity.to_json(),
        "warnings": found,
        "warning": "; ".join(found) or None,
        "centroids": {},
        "intended_use": INTENDED_USE,
    }


def _warnings(version: Version, familiarity: Familiarity | None) -> list[str]:
    found = []
    if version.rejected:
        found.append(f"the label-free guard rejected version {version.number}")
    if familiarity is not None and familiarity.verdict != FAMILIAR:
        reasons = "; ".join(familiarity.reasons)
        found.append(
            f"the scan is {familiarity.verdict} compared with those that the model knows "
            f"(score {familiarity.score:.1f}{'; ' if reasons else ''}{reasons})"
        )
    return found
