"""What clients ask of a correction, read with types and bounds.

3D Slicer's scribbles panel sends `selected_label_name`, `label_info` (a list of `name` and `id`, the values
in the label map that comes along) and `roi` (six voxel indices, in pairs of any order). Its Deepgrow panel
sends `label`, `foreground` and `background`; its DeepEdit panel a list of points under every structure's name
and `label`; OHIF's panel such lists under the names of the clicked structures and `background`. A point is
[i, j, k], the voxel's index in the image as it is stored. Both add the values of their option tables.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from monai_sfda.errors import SettingError, nearest
from monai_sfda.label.segmentation.options import SegmentationOptions
from monai_sfda.label.values import first

FOREGROUND, BACKGROUND = "foreground", "background"
FOREGROUND_SCRIBBLES, BACKGROUND_SCRIBBLES = "foreground_scribbles", "background_scribbles"
_MOST_POINTS = 1000
_LONGEST_TEXT = 100_000
_MOST_SEGMENTS = 1000
_FARTHEST = 2**31

Point = tuple[int, int, int]


class CorrectionOptions(SegmentationOptions):
    """Options of every correction: version, device and format as of a segmentation, and the marks' own.

    Attributes:
        reach_mm: beyond this distance from a mark nothing changes; None: the task's own.
        smoothness: of the corrected border.
    """

    reach_mm: float | None = Field(default=None, ge=2, le=100, allow_inf_nan=False)
    smoothness: float = Field(default=0.5, ge=0, le=20, allow_inf_nan=False)


class Segment(BaseModel):
    """A segment of the client's label map.

    Attributes:
        name: of the structure, or of scribbles.
        id: its value in the label map.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = Field(max_length=200)
    id: int = Field(ge=0, le=65535)


class LabelMapOptions(CorrectionOptions):
    """Options of a correction that a label map may come along with.

    Attributes:
        label_info: what the values of the label map mean.
    """

    label_info: list[Segment] = Field(default=[], max_length=_MOST_SEGMENTS)


class ScribbleOptions(LabelMapOptions):
    """Options of a correction by scribbles.

    Attributes:
        selected_label_name: which structure is meant.
        roi: six voxel indices, in pairs along each axis; nothing changes outside.
    """

    selected_label_name: str | None = Field(default=None, max_length=200)
    roi: list[float] = Field(default=[], max_length=6)


class Clicks(BaseModel):
    """Clicks by structure.

    Attributes:
        foreground: points that belong to a structure, by its name.
        background: points that belong to no structure of those that are corrected.
        chosen: the structure that the client has chosen; None where it names none.
    """

    model_config = ConfigDict(frozen=True)

    foreground: dict[str, list[Point]]
    background: list[Point]
    chosen: str | None


def read_clicks(request: Mapping[str, Any], labels: Mapping[str, int], *, one_structure: bool) -> Clicks:
    """The clicks of a request.

    Args:
        request: as the client sent it.
        labels: the model's structures.
        one_structure: whether `foreground` and `background` are of the structure that `label` names, as of
            Deepgrow's panel; otherwise lists stand under the structures' names.

    Raises:
        SettingError: when a point is none, no structure is chosen or known, or there is no click at all.
    """
    points = {name: read_points(request.get(name), name) for name in labels}
    points = {name: found for name, found in points.items() if found}
    background = read_points(request.get(BACKGROUND), BACKGROUND)
    anonymous = read_points(request.get(FOREGROUND), FOREGROUND)
    label = first(request.get("label"))
    chosen = str(label)[:200] if isinstance(label, str) and label.strip() else None
    if anonymous or (one_structure and chosen is not None):
        if chosen is None and len(labels) == 1:
            chosen = next(iter(labels))
        if chosen is None:
            raise SettingError(
                "foreground clicks without the name of a structure",
                remedy="choose the structure; in OHIF, use the task whose name ends in _clicks",
            )
        check_structure(chosen, labels)
        points = {chosen: [*points.get(chosen, []), *anonymous]}
    if not background and not any(points.values()):
        raise SettingError(
            "no click", remedy="click into the structure (foreground) or beside it (background)"
        )
    if sum(map(len, points.values())) + len(background) > _MOST_POINTS:
        raise SettingError(f"more than {_MOST_POINTS} clicks", remedy="send fewer, or draw scribbles")
    return Clicks(foreground=points, background=background, chosen=chosen if chosen in labels else None)


def check_structure(name: str, labels: Mapping[str, int]) -> None:
    """Refuses a structure that the model has not.

    Raises:
        SettingError: naming the nearest ones.
    """
    if name not in labels:
        raise SettingError(
            f"the model has no structure '{name}'", remedy=f"choose one of {', '.join(nearest(name, labels))}"
        )


def read_points(value: Any, name: str) -> list[Point]:
    """A list of points, as a list or as JSON text; nothing is an empty list.

    >>> read_points("[[1, 2, 3]]", "liver"), read_points(None, "liver"), read_points([4, 5.0, 6], "liver")
    ([(1, 2, 3)], [], [(4, 5, 6)])

    Raises:
        SettingError: when it is anything else.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() and len(value) <= _LONGEST_TEXT else value.strip()
        except (ValueError, RecursionError):
            raise _no_points(name) from None
    if value is None or value == "" or value == []:
        return []
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise _no_points(name)
    if not isinstance(value[0], (list, tuple)):
        value = [value]
    if len(value) > _MOST_POINTS:
        raise SettingError(f"more than {_MOST_POINTS} clicks", remedy="send fewer, or draw scribbles")
    return [_point(point, name) for point in value]


def _point(value: Any, name: str) -> Point:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise _no_points(name)
    numbers = []
    for number in value:
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not abs(number) < _FARTHEST:
            raise _no_points(name)
        numbers.append(round(number))
    return numbers[0], numbers[1], numbers[2]


def _no_points(name: str) -> SettingError:
    return SettingError(
        f"the clicks of '{name}' cannot be read", remedy="send a list of [i, j, k], indices of voxels"
    )


def check_inside(points: Sequence[Point], shape: tuple[int, int, int], name: str) -> None:
    """Refuses clicks outside of the image.

    Raises:
        SettingError: naming the point and the image's size.
    """
    for point in points:
        if not all(0 <= index < size for index, size in zip(point, shape, strict=True)):
            raise SettingError(
                f"the click {list(point)} of '{name}' lies outside of the image, which has "
                f"{' x '.join(map(str, shape))} voxels",
                remedy="click inside the image",
            )


def read_roi(roi: Sequence[float], shape: tuple[int, int, int]) -> tuple[slice, slice, slice] | None:
    """A region of interest, six voxel indices in pairs of any order, cut to the image; None for none.

    Raises:
        SettingError: when it is not six numbers, or lies outside of the image.
    """
    if not roi:
        return None
    if len(roi) != 6 or not all(math.isfinite(value) for value in roi):
        raise SettingError(
            "the region of interest is not six numbers", remedy="place it again, or leave it out"
        )
    parts = []
    for axis, size in enumerate(shape):
        low, high = sorted((roi[2 * axis], roi[2 * axis + 1]))
        start, stop = max(0, round(low)), min(size, round(high) + 1)
        if start >= stop:
            raise SettingError(
                "the region of interest lies outside of the image", remedy="place it again, or leave it out"
            )
        parts.append(slice(start, stop))
    return parts[0], parts[1], parts[2]
