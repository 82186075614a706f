"""Which studies a job takes, and why the others are left out, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from monai_sfda.catalog import Task
from monai_sfda.errors import SettingError
from monai_sfda.evaluation.report_warnings import counted
from monai_sfda.guard.split import number_kept_back
from monai_sfda.guard.verdict import FEWEST_GUARD_SUBJECTS
from monai_sfda.label.adaptation.options import AdaptOptions, JobOptions
from monai_sfda.label.studies.scanners import images_of_scanner, scanners, unlabelled_images

GUARD_SHARE = 0.25
"""Of the subjects, kept back for the guard; the bundles' own."""
FINAL = "final"
OTHER_SCANNER, OTHER_MODALITY, LABELLED = "of another scanner", "of another modality", "already labelled"
NOT_LABELLED, OTHER_MODEL = "without a final label", "labelled for another model"


@dataclass(frozen=True)
class Selection:
    """Studies of a job.

    Attributes:
        studies: ids, in the datastore's order.
        subjects: whose study it is, a pseudonym each, in the same order.
        left_out: reason to the number of studies that were left out for it.
    """

    studies: tuple[str, ...]
    subjects: tuple[str, ...]
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def number_of_subjects(self) -> int:
        """How many different subjects there are."""
        return len(set(self.subjects))

    def without(self, reasons: dict[str, str]) -> Selection:
        """The selection without studies that turned out to be unfit.

        Args:
            reasons: id to why.
        """
        kept = [(i, s) for i, s in zip(self.studies, self.subjects, strict=True) if i not in reasons]
        counts = Counter(self.left_out) + Counter(reasons.values())
        return Selection(tuple(i for i, _ in kept), tuple(s for _, s in kept), dict(counts))

    def notes(self) -> list[str]:
        """What was taken and what was left out, in words."""
        taken = f"{counted_studies(len(self.studies))} of {counted(self.number_of_subjects, 'subject')} taken"
        return [taken] + [f"{counted_studies(n)} left out: {why}" for why, n in self.left_out.items()]


def counted_studies(number: int) -> str:
    """`1 study`, `3 studies`."""
    return f"{number} {'study' if number == 1 else 'studies'}"


def select_unlabelled(datastore: Any, model: str, task: Task, options: AdaptOptions) -> Selection:
    """The studies that an adaptation takes: without a final label for this model, of the scanner and the list
    asked for, and not of another modality than the model's.

    Raises:
        SettingError: when studies or the scanner asked for are not there, or too few are left.
    """
    asked, left_out = _asked(datastore, options), Counter[str]()
    of_scanner = set(asked) if options.scanner is None else _of_scanner(datastore, options.scanner)
    unlabelled = set(unlabelled_images(datastore, model))
    taken, subjects = [], []
    for study in asked:
        info = datastore.get_image_info(study)
        if study not in of_scanner:
            left_out[OTHER_SCANNER] += 1
        elif study not in unlabelled:
            left_out[LABELLED] += 1
        elif not fits(info, task):
            left_out[OTHER_MODALITY] += 1
        else:
            taken.append(study)
            subjects.append(subject_of(study, info))
    found = Selection(tuple(taken), tuple(subjects), dict(left_out))
    require_enough(found, options.min_studies, "unlabelled")
    return found


def select_labelled(datastore: Any, model: str, options: JobOptions, fewest: int) -> Selection:
    """The studies with a final label for this model, of those asked for.

    Raises:
        SettingError: when studies asked for are not there, or fewer than `fewest` have such a label.
    """
    left_out, taken, subjects = Counter[str](), [], []
    for study in _asked(datastore, options):
        if label_of(datastore, study, model) is None:
            other = datastore.get_labels_by_image_id(study).get(FINAL) is not None
            left_out[OTHER_MODEL if other else NOT_LABELLED] += 1
        else:
            taken.append(study)
            subjects.append(subject_of(study, datastore.get_image_info(study)))
    found = Selection(tuple(taken), tuple(subjects), dict(left_out))
    require_enough(found, fewest, "labelled")
    return found


def label_of(datastore: Any, study: str, model: str) -> Any:
    """The final label of a study for a model, or one that says no model; None where there is neither."""
    return datastore.label_of(study, model) or datastore.label_of(study, "")


def require_enough(found: Selection, fewest: int, what: str) -> None:
    """Refuses a selection that is empty or smaller than asked for.

    Raises:
        SettingError: with what was left out and why.
    """
    if len(found.studies) >= max(1, fewest):
        return
    left_out = "; ".join(f"{n} {why}" for why, n in found.left_out.items())
    remedy = {
        "unlabelled": "load studies without a final label, choose other studies or another scanner",
        "labelled": "correct segmentations and save them as final labels",
    }[what]
    if found.studies:
        remedy += ", or lower min_studies"
    raise SettingError(
        f"{len(found.studies) or 'no'} usable {what} "
        f"{'study' if len(found.studies) == 1 else 'studies'}{f' ({left_out})' if left_out else ''}"
        + (f", and {fewest} are asked for" if fewest > 1 else ""),
        remedy=remedy,
    )


def guards_limit(subjects: int) -> str | None:
    """What a small number of subjects means for the guard, in words; None where there are enough."""
    if number_kept_back(subjects, GUARD_SHARE) >= FEWEST_GUARD_SUBJECTS:
        return None
    return (
        f"with {counted(subjects, 'subject')} the guard can at most say 'unsure', and the unadapted model "
        "stays: it needs scans of at least 5 subjects"
    )


def offered_scanners(datastore: Any) -> list[str]:
    """Scanners as the panel offers them: "Manufacturer, Model", those with most studies first."""
    return [scanner_text(*scanner) for scanner in scanners(datastore)]


def scanner_text(manufacturer: str, model: str) -> str:
    """A scanner in one text.

    >>> scanner_text("GE", "Signa"), scanner_text("GE", "")
    ('GE, Signa', 'GE')
    """
    return ", ".join(part for part in (manufacturer, model) if part)


def subject_of(study: str, info: dict[str, Any]) -> str:
    """Whose study it is: the datastore's pseudonym, else the DICOM study, else the image by itself."""
    return str(info.get("subject") or info.get("StudyInstanceUID") or study)


def _asked(datastore: Any, options: JobOptions) -> Sequence[str]:
    there: list[str] = list(datastore.list_images())
    if not options.studies:
        return there
    wanted = {datastore.resolve(study) or study for study in options.studies}
    if missing := len(wanted - set(there)):
        raise SettingError(
            f"{missing} of the {len(wanted)} studies asked for {'is' if missing == 1 else 'are'} not in the "
            "datastore",
            remedy="use ids that the datastore lists",
        )
    return [study for study in there if study in wanted]


def _of_scanner(datastore: Any, wanted: str) -> set[str]:
    for scanner in scanners(datastore):
        if scanner_text(*scanner).casefold() == " ".join(wanted.split()).casefold():
            return set(images_of_scanner(datastore, *scanner))
    raise SettingError(
        "no study of the scanner asked for is in the datastore",
        remedy=f"use one of: {'; '.join(offered_scanners(datastore)[:10]) or 'any'}",
    )


def fits(info: dict[str, Any], task: Task) -> bool:
    """Whether a study's modality is the model's; one that says none, as a NIfTI file, may be."""
    said = str(info.get("Modality") or "").strip().upper()
    return not said or said == task.target.kind
