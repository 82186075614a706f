"""What the values of a saved label mean: clients number segments by their order and name them beside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from monai_sfda.catalog import BACKGROUND, LabelRange, Task
from monai_sfda.data.labels import to_classes
from monai_sfda.errors import DataError, SettingError, nearest

LABEL_FILE = Path("label")
"""What messages call a saved label; its own name may say whose it is."""


class Segment(BaseModel):
    """One entry of `label_info`, as Slicer and OHIF send it.

    Attributes:
        name: of the structure.
        idx: a number that the client gives it, see `segment_values`.
    """

    model_config = ConfigDict(extra="ignore")
    name: str = Field(max_length=100)
    idx: int | None = Field(default=None, ge=0, le=65535)


class SaveOptions(BaseModel):
    """What comes with a saved label. Other keys of the client are left out.

    Attributes:
        label_info: the segments in order; None where the file holds the model's own values.
        model: whose structures are meant.
        model_version: of the model that the label was made with.
        saved_by: who saves; set by the server.
        client_id: of the client's window.
        params: of a model's result, kept as they are.
    """

    model_config = ConfigDict(extra="ignore", protected_namespaces=())
    label_info: list[Segment] | None = Field(default=None, max_length=256)
    model: str | None = Field(default=None, max_length=64)
    model_version: int | None = Field(default=None, ge=1)
    saved_by: str | None = Field(default=None, max_length=128)
    client_id: str | None = Field(default=None, max_length=200)
    params: dict[str, Any] | None = None


def comparable(name: str) -> str:
    """A name as it is compared: `Right Kidney` is `right_kidney`."""
    return "_".join(name.replace("_", " ").replace("-", " ").casefold().split())


def segment_values(segments: Sequence[Segment], stored: NDArray[Any]) -> dict[int, str]:
    """The names of a file's values.

    A value is the place of its segment, from 1. 3D Slicer sends an `idx` too, which counts segments that it
    has left out of the file (scribbles, background), so it says the value only where the file has values
    beyond the places, and each of them is some segment's.

    Args:
        segments: that the client named, in its order.
        stored: values of the file.

    Raises:
        DataError: when the `idx` are in another order than the segments: places and numbers then say
            different things of the same voxels.
    """
    said = [segment.idx for segment in segments if segment.idx]
    whole = len(said) == len(segments)
    if whole and said != sorted(set(said)):
        raise DataError(
            "segments whose numbers (idx) are in another order than they are",
            remedy="send label_info in the order of the values, or without idx",
            path=LABEL_FILE,
        )
    if whole and stored.size and stored.max() > len(segments):
        present = np.unique(stored)
        if set(present[present != 0].tolist()) <= set(said):
            return {value: segment.name for value, segment in zip(said, segments, strict=True)}
    return {place: segment.name for place, segment in enumerate(segments, start=1)}


def result_names(said: Mapping[str, Any] | None) -> dict[int, str] | None:
    """The names of the values of a model's result, by its `label_names`; None where it does not say them."""
    found = (said or {}).get("label_names")
    if not isinstance(found, Mapping) or not found:
        return None
    try:
        return {int(value): str(name) for name, value in found.items() if int(value) > 0}
    except (TypeError, ValueError):
        return None


def covers(task: Task, names: Iterable[str]) -> bool:
    """Whether a task has structures of all these names, and there is one at least."""
    named = {comparable(name) for name in names} - {BACKGROUND}
    return bool(named) and named <= {comparable(s.name) for s in task.structures}


def choose_model(
    options: SaveOptions, tasks: Mapping[str, Task], likely: Sequence[str] = ()
) -> tuple[str, Task] | None:
    """Whose structures a saved label holds.

    Args:
        options: that came with it.
        tasks: of the models that are served.
        likely: models that segmented the image, the latest first.

    Returns:
        The model's name and task; None where no model is served.

    Raises:
        SettingError: when the model is unknown, or nothing says which one is meant.
        DataError: when no model has the structures named.
    """
    if not tasks:
        return None
    if options.model is not None:
        if options.model not in tasks:
            raise SettingError(
                f"model '{options.model}' is not served",
                remedy=f"name one of {', '.join(nearest(options.model, tasks))}",
            )
        return options.model, tasks[options.model]
    candidates = list(dict.fromkeys([*(m for m in likely if m in tasks), *tasks]))
    if options.label_info is not None:
        named = {comparable(s.name) for s in options.label_info} - {BACKGROUND}
        known = {m: {comparable(s.name) for s in tasks[m].structures} for m in candidates}
        fitting = [m for m in candidates if named <= known[m]]
        if not fitting:
            fitting = sorted(candidates, key=lambda m: -len(named & known[m]))
            if not named & known[fitting[0]]:
                raise _unknown_names(sorted(named), [n for m in candidates for n in _names(tasks[m])])
        return fitting[0], tasks[fitting[0]]
    if len(candidates) == 1 or (likely and likely[0] in tasks):
        return candidates[0], tasks[candidates[0]]
    raise SettingError(
        "nothing says whose structures the label holds",
        remedy=f"send 'model' ({', '.join(sorted(tasks))}) or the segments' names as 'label_info'",
    )


def to_model_classes(
    stored: NDArray[Any], names: Mapping[int, str] | None, task: Task
) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """A saved label's values as the model's contiguous classes.

    Args:
        stored: (X, Y, Z) values of the file.
        names: of the values; None where the file holds the model's classes already.
        task: whose structures are meant.

    Returns:
        The classes; the structures that the label covers, by name, with their classes. A structure that no
        segment names is not covered: nobody said that it is not there.

    Raises:
        DataError: when a value has no segment, or a segment with voxels has a name that the model lacks.
    """
    structures = {comparable(s.name): s for s in task.structures}
    if names is None:
        ranges = [LabelRange(s.index, s.index, s.index) for s in task.structures]
        return to_classes(stored, ranges, (0,), LABEL_FILE), {s.name: s.index for s in task.structures}
    ranges, background, unknown = [], [0], {}
    covered: dict[str, int] = {}
    for value, name in names.items():
        structure = structures.get(comparable(name))
        if structure is not None:
            if structure.name in covered:
                raise DataError(
                    f"two segments are called '{structure.name}'",
                    remedy="join them, or rename one",
                    path=LABEL_FILE,
                )
            ranges.append(LabelRange(value, value, structure.index))
            covered[structure.name] = structure.index
        elif comparable(name) == BACKGROUND:
            background.append(value)
        else:
            unknown[value] = name
    if unknown:
        filled = [name for value, name in unknown.items() if (stored == value).any()]
        if filled:
            raise _unknown_names(filled, _names(task))
    return to_classes(stored, ranges, background, LABEL_FILE), covered


def _names(task: Task) -> list[str]:
    return [structure.name for structure in task.structures]


def _unknown_names(names: Sequence[str], known: Sequence[str]) -> DataError:
    quoted = ", ".join(f"'{name[:40]}'" for name in names[:5])
    return DataError(
        f"segments that the model does not have ({quoted})",
        remedy=f"rename or remove them; the model has {', '.join(known)}",
        path=LABEL_FILE,
    )
