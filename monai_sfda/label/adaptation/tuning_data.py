"""The labels that a fine-tuning learns from: mapped by their names, split by subject."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from monai_sfda.catalog import BACKGROUND, Task
from monai_sfda.data.case import Case
from monai_sfda.data.labels import read_label_volume
from monai_sfda.data.reading import read_case
from monai_sfda.errors import DataError, SfdaError
from monai_sfda.evaluation.report_warnings import counted
from monai_sfda.guard.split import number_kept_back
from monai_sfda.label.adaptation.private_data import Stopped, subject_numbers
from monai_sfda.label.adaptation.selection import GUARD_SHARE, Selection, label_of

FEWEST_HELD_OUT = 2
"""Held-out subjects from which a fine-tuned version may be called better."""
INCOMPLETE = "with a label that does not name all structures"
UNREADABLE_LABEL = "with a label that cannot be read or lies on another grid"
EMPTY_LABEL = "with an empty label"


@dataclass(frozen=True)
class HoldOut:
    """Which labelled studies are learnt from, and which only compare the versions.

    Attributes:
        learnt, held_out: study ids; subjects never are in both.
        held_out_subjects: how many are behind `held_out`.
    """

    learnt: tuple[str, ...]
    held_out: tuple[str, ...]
    held_out_subjects: int

    @property
    def limit(self) -> str | None:
        """What few subjects mean for the comparison, in words."""
        if self.held_out_subjects >= FEWEST_HELD_OUT:
            return None
        who = "nobody" if not self.held_out_subjects else f"only {counted(self.held_out_subjects, 'subject')}"
        return f"{who} can be held out to compare the tuned version with the present one: it stays 'unsure'"


def hold_out(selection: Selection) -> HoldOut:
    """Holds back the last subjects: a quarter, at least two of five and more, none of two."""
    subjects = list(dict.fromkeys(selection.subjects))
    kept = number_kept_back(len(subjects), GUARD_SHARE)
    back = set(subjects[len(subjects) - kept :]) if kept else set()
    pairs = list(zip(selection.studies, selection.subjects, strict=True))
    return HoldOut(
        tuple(study for study, subject in pairs if subject not in back),
        tuple(study for study, subject in pairs if subject in back),
        kept,
    )


def remap_labels(
    scans: Path,
    datastore: Any,
    selection: Selection,
    paths: Mapping[str, list[Path]],
    model: str,
    task: Task,
    go_on: Callable[[], bool],
) -> tuple[Selection, dict[str, list[dict[str, Any]]]]:
    """Writes every study's label with the task's own values beside its scan.

    Args:
        scans: private folder of the links.
        datastore: that holds the labels.
        selection: studies with a final label.
        paths: study id to its channels.
        model: that is tuned.
        task: of the model.
        go_on: asked between studies.

    Returns:
        The selection without studies whose label is unfit, and `target_train` and `target_val` of the
        datalist.

    Raises:
        Stopped: when `go_on` said no.
    """
    bad: dict[str, str] = {}
    labels: dict[str, Path] = {}
    for study in selection.studies:
        if not go_on():
            raise Stopped
        label = label_of(datastore, study, model)
        mapping = None if label is None else values_of(label.info, task)
        if mapping is None:
            bad[study] = INCOMPLETE
            continue
        try:
            case = Case(1, study, tuple(paths[study]), None, "datalist", root=scans)
            scan, _ = read_case(case, task, "target", with_label=False)
            found = remapped(read_label_volume(Path(label.file), scan), mapping)
        except (SfdaError, OSError):
            bad[study] = UNREADABLE_LABEL
            continue
        if not found.any():
            bad[study] = EMPTY_LABEL
            continue
        labels[study] = scans / f"{paths[study][0].name.split('.')[0]}_label.nii.gz"
        nib.save(nib.Nifti1Image(found, scan.affine), labels[study])
    kept = selection.without(bad)
    split, subjects = hold_out(kept), subject_numbers(kept)

    def items(studies: tuple[str, ...]) -> list[dict[str, Any]]:
        return [{"image": paths[s], "label": labels[s], "subject": subjects[s]} for s in studies]

    lists = {"target_train": items(split.learnt)}
    if split.held_out:
        lists["target_val"] = items(split.held_out)
    return kept, lists


def values_of(info: Mapping[str, Any], task: Task) -> dict[int, int] | None:
    """What the values of a stored label mean: stored value to the task's index, by the structures' names.

    Args:
        info: of the label; `label_names` maps names to stored values. Without it the values are the task's.
        task: whose structures are meant.

    Returns:
        None when the label does not name every structure: one that was not looked at must not become
        background.
    """
    structures = {s.name: s.index for s in task.structures}
    named = info.get("label_names")
    if not named:
        return {0: 0} | {index: index for index in structures.values()}
    if not isinstance(named, Mapping):
        return None
    try:
        stored = {str(name): int(value) for name, value in named.items() if name != BACKGROUND}
    except (TypeError, ValueError):
        return None
    if not structures.keys() <= stored.keys() or len(set(stored.values())) < len(stored):
        return None
    return {0: 0} | {value: structures.get(name, 0) for name, value in stored.items()}


def remapped(label: NDArray[Any], mapping: Mapping[int, int]) -> NDArray[np.uint8]:
    """A label with its values exchanged.

    Raises:
        DataError: for a value that has no meaning.
    """
    values = np.unique(label)
    if unknown := [int(value) for value in values if int(value) not in mapping]:
        raise DataError(
            f"the label holds the value {unknown[0]}, which means nothing",
            remedy="save it again from the client",
        )
    out = np.zeros(label.shape, np.uint8)
    for value in values:
        out[label == value] = mapping[int(value)]
    return out
