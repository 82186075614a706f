"""Labels: stored values to contiguous classes, on the scan's own voxel grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_sfda.catalog import IGNORED, Domain, LabelRange, Task
from monai_sfda.data.case import Case
from monai_sfda.data.chaos import picture_with
from monai_sfda.data.checks import affine_difference, check_affine, describe_shape, same_affine
from monai_sfda.data.scan import Scan
from monai_sfda.data.volume import read_volume
from monai_sfda.errors import DataError

_MOST_NAMED = 10
_MOST_LABELS = 250
"""More unknown values than this are no labels: whole-body atlases have fewer."""
_TABLE_SIZE = 1 << 16


def known_values(case: Case, task: Task, domain: Domain) -> tuple[tuple[LabelRange, ...], tuple[int, ...]]:
    """What a case's stored label values mean.

    An official layout has the values of its publication. A datalist has those of its own `labels`, or else
    the contiguous classes; a `Ground` folder named in a datalist keeps the CHAOS values too, as far as the
    list's do not contradict.

    Returns:
        Ranges of values and their classes, the first that fits counts; values that mean background.
    """
    if case.reader not in ("datalist", "folder"):
        return domain.label_values, domain.other_values
    own = case.stored_labels or tuple(LabelRange(i, i, i) for i in task.labels.values())
    if domain.dataset == "chaos" and case.label is not None and case.label.is_dir():
        return (*own, *domain.label_values), domain.other_values
    return own, ()


def read_label_volume(path: Path, scan: Scan) -> NDArray[Any]:
    """A label file's stored values on the scan's voxel grid.

    A label whose voxel axes are stored in another order or direction, but which covers the same grid, is
    turned to the scan's axes; no value is interpolated.

    Returns:
        (X, Y, Z), of the file's own type.

    Raises:
        DataError: when it cannot be read, or is of another shape or grid than the scan.
    """
    stored, affine = read_volume(path, as_float32=False)
    check_affine(affine, path)
    turned, turned_affine = _turn(stored, affine, scan.affine)
    if turned.shape != scan.shape:
        raise DataError(
            f"a label of {describe_shape(stored.shape)} voxels for an image of {describe_shape(scan.shape)}",
            remedy="give the label of this image, on the image's grid",
            path=path,
        )
    if not same_affine(scan.affine, turned_affine):
        raise DataError(
            f"a label on another grid than its image: {affine_difference(scan.affine, affine)}",
            remedy="resample the label to the image's grid (nearest neighbour)",
            path=path,
        )
    return turned


def to_classes(
    stored: NDArray[Any],
    ranges: Sequence[LabelRange],
    background: Sequence[int],
    path: Path,
    ignored: Sequence[int] = (),
) -> NDArray[np.uint8]:
    """Stored label values as contiguous classes, uint8, of the same shape.

    Args:
        stored: values of any numeric type.
        ranges: which values mean which class; the first that fits counts.
        background: further values that mean background.
        path: the file, or the folder of pictures, for messages.
        ignored: values that mean `IGNORED`, unless a range has them.

    Raises:
        DataError: when values are not finite, not integers, or unknown; the message lists them.
    """
    integers = _integers(stored, path)
    values = _values_present(integers)
    classes = np.zeros(values.size, dtype=np.uint8)
    unknown = []
    for index, value in enumerate(int(v) for v in values):
        match = next((r.index for r in ranges if r.low <= value <= r.high), None)
        if match is not None:
            classes[index] = match
        elif value in ignored:
            classes[index] = IGNORED
        elif value not in background:
            unknown.append(value)
    if len(unknown) > _MOST_LABELS:
        raise DataError(
            f"{values.size} different values: a scan, not a label",
            remedy="put the label there (have image and label been exchanged?)",
            path=path,
        )
    if unknown:
        known = [f"{r.low}" if r.low == r.high else f"{r.low} to {r.high}" for r in ranges]
        known += [str(v) for v in (*background, *ignored) if not any(r.low <= v <= r.high for r in ranges)]
        raise DataError(
            f"unknown label values ({_enumerate(unknown)})",
            remedy="correct the label, or name the value under 'labels' of a datalist, as background "
            f"if it means nothing (known: {', '.join(known)})",
            path=picture_with(path, unknown[0]) if path.is_dir() else path,
        )
    if _is_dense(values):
        table = np.zeros(int(values[-1]) + 1, dtype=np.uint8)
        table[values] = classes
        return np.asarray(table[integers], dtype=np.uint8)
    return np.asarray(classes[np.searchsorted(values, integers)], dtype=np.uint8)


def _integers(stored: NDArray[Any], path: Path) -> NDArray[Any]:
    """The values as integers of whatever width."""
    if stored.dtype.kind in "iu" and stored.dtype != np.uint64:
        return stored
    if stored.dtype.kind == "f":
        if not np.isfinite(stored).all():
            raise DataError("NaN or infinite label values", remedy="store one integer a voxel", path=path)
        fractions = np.unique(stored[stored != np.rint(stored)])
        if fractions.size:
            raise DataError(
                f"label values that are not integers ({_enumerate(fractions)})",
                remedy="store one integer a voxel; do not interpolate labels",
                path=path,
            )
    return stored.astype(np.int64)


def _values_present(integers: NDArray[Any]) -> NDArray[np.int64]:
    """The values that occur, in order; without sorting all voxels where a table can hold them."""
    ends = np.array([integers.min(), integers.max()], dtype=np.int64)
    if not _is_dense(ends):
        return np.asarray(np.unique(integers), dtype=np.int64)
    present = np.zeros(int(ends[-1]) + 1, dtype=bool)
    present[integers] = True
    return np.asarray(np.flatnonzero(present), dtype=np.int64)


def _is_dense(ordered: NDArray[np.int64]) -> bool:
    """Whether values can be the indices of a table."""
    return bool(ordered[0] >= 0 and ordered[-1] < _TABLE_SIZE)


def _enumerate(values: Sequence[Any] | NDArray[Any]) -> str:
    shown = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values[:_MOST_NAMED])
    return f"{shown} and {len(values) - _MOST_NAMED} more" if len(values) > _MOST_NAMED else shown


def _turn(
    array: NDArray[Any], affine: NDArray[np.float64], like: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Permutes and flips axes so that they point as those of `like`; unchanged where no such turn exists."""
    cosines = (like[:3, :3] / np.linalg.norm(like[:3, :3], axis=0)).T @ (
        affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    )
    order = np.abs(cosines).argmax(axis=1)
    if len(set(order.tolist())) < 3:
        return array, affine
    turn = np.eye(4)
    turn[:3, :3] = 0
    turned = array.transpose(order.tolist())
    for new, old in enumerate(order):
        sign = 1.0 if cosines[new, old] > 0 else -1.0
        turn[old, new] = sign
        if sign < 0:
            turn[old, 3] = array.shape[old] - 1
            turned = np.flip(turned, axis=new)
    return turned, affine @ turn
