"""The label map that comes with scribbles: the segmentation on the client's screen, and the scribbles in it.

3D Slicer draws scribbles as two more segments over the others, so a voxel under a scribble has lost its own
value. It takes that of the nearest voxel without a scribble.
"""

# mypy: untyped-calls-exclude="SimpleITK"

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from scipy import ndimage

from monai_sfda.data.case import volume_suffix
from monai_sfda.data.checks import check_affine
from monai_sfda.data.quiet import quiet
from monai_sfda.data.scan import Scan
from monai_sfda.data.volume import read_volume
from monai_sfda.errors import DataError, SettingError
from monai_sfda.label.correction.requests import BACKGROUND_SCRIBBLES, FOREGROUND_SCRIBBLES, Segment
from monai_sfda.label.correction.window import Window
from monai_sfda.label.studies import check_upload

_BACKGROUND, _FOREGROUND = 254, 255
"""Codes of scribbles, beyond every model's classes."""
_MARGIN_MM = 10.0
"""Round the scribbles, in which the nearest voxel without one is looked for."""
_MOST_TIMES = 4
"""As many voxels as the scan a label map may have: it may be padded."""
_SAME_GRID = 1e-3
"""Voxels by which the corners of two grids may differ and still be the same."""


@dataclass(frozen=True, eq=False)
class LabelMap:
    """What a client's label map says, on the scan's grid.

    Attributes:
        classes: (X, Y, Z) uint8, the model's indices; voxels under scribbles are filled in.
        drawn: whether any structure is drawn in it; where not, there is no segmentation to keep.
        foreground: (N, 3) scribbled voxels that belong to the structure.
        background: (M, 3) scribbled voxels that do not.
    """

    classes: NDArray[np.uint8]
    drawn: bool
    foreground: NDArray[np.int64]
    background: NDArray[np.int64]


def label_file(request: Mapping[str, Any]) -> Path:
    """The file of the label map that the server stored for a request.

    Args:
        request: `label_file` is a `Path`, which a client's JSON cannot hold, or nothing.

    Raises:
        SettingError: when none came along, or what is named is not a file that the server stored.
    """
    stored = request.get("label_file")
    if stored is not None and not isinstance(stored, Path):
        raise SettingError(
            "a request cannot name the file of a label map", remedy="send the label map in the part 'label'"
        )
    named = request.get("label") if stored is None else stored
    missing = SettingError(
        "no scribbles came along", remedy="draw scribbles; they are sent as a label map, in the part 'label'"
    )
    if not isinstance(named, (str, Path)) or not str(named) or "\0" in str(named):
        raise missing
    path = Path(named)
    if not path.is_absolute() or path.is_symlink() or not path.is_file():
        raise missing
    if stored is None and not _of_the_stock_server(path, request):
        raise missing
    return path


def _of_the_stock_server(path: Path, request: Mapping[str, Any]) -> bool:
    """Whether MONAI Label's own endpoint may have stored a file. It lets a client name any file as the label.

    This package's server names `user` in every request and the upload in `label_file` alone.
    """
    return "user" not in request and path.parent.resolve() == Path(tempfile.gettempdir()).resolve()


def read_label_map(
    path: Path, scan: Scan, labels: Mapping[str, int], label_info: Sequence[Segment]
) -> LabelMap:
    """A client's label map on a scan's grid.

    Args:
        path: the file that came along.
        scan: of the same study; a label map on a part of its grid, or in another storage order, is fine.
        labels: the model's structures.
        label_info: what its values mean; empty: the model's indices, then K + 1 background and K + 2
            foreground scribbles, as MONAI Label's own scribbles tasks count.

    Raises:
        DataError: when the file cannot be read, or holds no scribble. No message names it.
    """
    classes = _coded(_read(path, scan), _meaning(labels, label_info), labels)
    foreground, background = classes == _FOREGROUND, classes == _BACKGROUND
    hidden = foreground | background
    if not hidden.any():
        raise DataError(
            "the label map holds no scribbles",
            remedy="draw foreground scribbles into the structure or background scribbles beside it",
        )
    classes[hidden] = 0
    drawn = bool(classes.any())
    _fill_in(classes, hidden, scan)
    return LabelMap(classes, drawn, np.argwhere(foreground), np.argwhere(background))


def read_structures(
    request: Mapping[str, Any], scan: Scan, labels: Mapping[str, int], label_info: Sequence[Segment]
) -> NDArray[np.uint8] | None:
    """The segmentation that came along with clicks, (X, Y, Z); None where none did, or an empty one.

    Arguments and errors as of `read_label_map`, scribbles apart.
    """
    label = request.get("label")
    if request.get("label_file") is None and not (
        isinstance(label, (str, Path)) and Path(label).is_absolute()
    ):
        return None  # the name of a structure
    classes = _coded(_read(label_file(request), scan), _meaning(labels, label_info), labels)
    classes[classes >= _BACKGROUND] = 0
    return classes if classes.any() else None


def _read(path: Path, scan: Scan) -> NDArray[np.uint16]:
    try:
        check_upload(path)
        _check_voxels(path, scan)
        values, affine = read_volume(path, as_float32=False)
        check_affine(affine, path)
        return _on_grid(values, affine, scan)
    except DataError as error:
        raise DataError(f"the label map: {error.what}", remedy=error.remedy) from None


def _check_voxels(path: Path, scan: Scan) -> None:
    """Refuses a label map of far more voxels than the scan before anything but its header is read.

    Raises:
        DataError: also for a file of another format than NIfTI, NRRD and MetaImage.
    """
    suffix = volume_suffix(path)
    if suffix is None:
        raise DataError("it is no NIfTI, NRRD or MetaImage file", remedy="send it as .nii.gz")
    try:
        if suffix in (".nii", ".nii.gz"):
            image: Any = nib.load(path)
            shape = tuple(image.shape)
        else:
            reader = sitk.ImageFileReader()
            reader.SetFileName(str(path))
            with quiet():
                reader.ReadImageInformation()
            shape = (*reader.GetSize(), reader.GetNumberOfComponents())
    except (RuntimeError, ImageFileError, ValueError, OSError, EOFError) as error:
        raise DataError("its header cannot be read", remedy="export it again") from error
    if math.prod(shape) > _MOST_TIMES * math.prod(scan.shape):
        raise DataError(
            f"{' x '.join(map(str, shape))} voxels for a scan of {' x '.join(map(str, scan.shape))}",
            remedy="send the scan's own label map",
        )


def _coded(
    values: NDArray[np.uint16], meaning: Mapping[str, Sequence[int]], labels: Mapping[str, int]
) -> NDArray[np.uint8]:
    """The model's indices in place of the label map's values, and the codes of scribbles; else 0."""
    table = np.zeros(65536, np.uint8)
    codes = {**labels, BACKGROUND_SCRIBBLES: _BACKGROUND, FOREGROUND_SCRIBBLES: _FOREGROUND}
    for name, code in codes.items():
        table[list(meaning.get(name, ()))] = code
    return np.asarray(table[values], np.uint8)


def _meaning(labels: Mapping[str, int], label_info: Sequence[Segment]) -> dict[str, list[int]]:
    """The values of the label map, by name."""
    if not label_info:
        number = len(labels)
        scribbles = {BACKGROUND_SCRIBBLES: [number + 1], FOREGROUND_SCRIBBLES: [number + 2]}
        return {name: [index] for name, index in labels.items()} | scribbles
    found: dict[str, list[int]] = {}
    for segment in label_info:
        if segment.id > 0:
            found.setdefault(segment.name, []).append(segment.id)
    return found


def _on_grid(values: NDArray[Any], affine: NDArray[np.float64], scan: Scan) -> NDArray[np.uint16]:
    """Label values at the scan's voxels, by the nearest voxel in space; 0 outside of the label map."""
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise DataError("it holds no numbers", remedy="send a label map")
    if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise DataError("its values are not within 0 to 65535", remedy="send a label map")
    whole = np.asarray(np.rint(values), np.uint16)
    to_label = np.linalg.solve(affine, scan.affine)
    corners = np.array([[x, y, z, 1.0] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    corners[:, :3] *= np.array(scan.shape) - 1
    moved = corners @ to_label.T
    if whole.shape == scan.shape and np.abs(moved - corners).max() < _SAME_GRID:
        return whole
    inside = ((moved[:, :3] > -0.5) & (moved[:, :3] < np.array(whole.shape) - 0.5)).any()
    # grid-constant: a voxel of the rim may come out a rounding error beyond it
    on_grid: NDArray[np.uint16] = ndimage.affine_transform(
        whole, to_label[:3, :3], to_label[:3, 3], output_shape=scan.shape, order=0, mode="grid-constant"
    )
    if not inside and not on_grid.any():
        raise DataError("it lies elsewhere in space than the scan", remedy="send the scan's own label map")
    return on_grid


def _fill_in(classes: NDArray[np.uint8], hidden: NDArray[np.bool_], scan: Scan) -> None:
    """Gives every hidden voxel the class of the nearest one, in mm, that is not hidden."""
    window = Window.round_voxels(np.argwhere(hidden), scan, _MARGIN_MM)
    part = window.turn(hidden[window.box])
    if part.all():
        return
    nearest = ndimage.distance_transform_edt(
        part, sampling=window.voxel_mm, return_distances=False, return_indices=True
    )
    turned = window.turn(classes[window.box])  # a view: equally near voxels are taken in one order always
    turned[part] = turned[tuple(nearest)][part]
