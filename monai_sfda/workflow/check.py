"""`monai-sfda check`: what is found, missing or wrong in a download, before a long run starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monai_sfda.catalog import SeededSplit, Task
from monai_sfda.data.content import copies, copy_fault, place
from monai_sfda.data.inspection import CaseSummary, Inspection, inspect_cases
from monai_sfda.data.label_fit import exchanged, suspects, thin_out
from monai_sfda.data.listing import FoundCases, find_cases, list_folder, read_case
from monai_sfda.errors import DataError, SettingError
from monai_sfda.release import MINIMUM_SUBJECTS

SPLITS = ("train", "val", "test")
BOUND = "train --domain target"
SOURCE_TEST = "evaluate --domain source"
JOBS = ("train", "adapt", "evaluate", BOUND, SOURCE_TEST)
_JOB_OF_IMAGES = {
    ("source", "train"): "train",
    ("source", "val"): "train",
    ("source", "test"): SOURCE_TEST,
    ("target", "train"): "adapt",
    ("target", "val"): BOUND,
    ("target", "test"): "evaluate",
}
_NEEDED = (("source", "train"), ("target", "train"), ("target", "test"))
_JOB_OF_LABELS = _JOB_OF_IMAGES | {("target", "train"): BOUND}

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SplitCheck:
    """What was found of one split of one domain.

    Attributes:
        domain, split: which.
        expected: subjects of the official split; None where there is none.
        subjects: found.
        missing: official subject ids that are not there.
        labelled: whether a label was found.
        found: the cases and the faults of those that cannot be listed.
        inspections: of the cases.
        seen_before: whether the cases are those of another split of the domain.
    """

    domain: str
    split: str
    expected: int | None
    subjects: int
    missing: tuple[str, ...]
    labelled: bool
    found: FoundCases
    inspections: tuple[Inspection, ...]
    seen_before: bool

    @property
    def summaries(self) -> list[CaseSummary]:
        """Of the good scans."""
        return [i.summary for i in self.inspections if i.summary is not None]

    @property
    def split_source(self) -> str:
        """Where the split comes from."""
        return self.found.list.split_source


@dataclass
class DataCheck:
    """The whole result.

    Attributes:
        splits: one entry a split that has scans.
        faults: what keeps a job from starting or its result from meaning anything, by job (`JOBS`).
        doubts: what a person should look at; every job can start.
        jobs: whose state is of interest; of the others faults alone.
    """

    splits: list[SplitCheck] = field(default_factory=list)
    faults: dict[str, list[DataError]] = field(default_factory=lambda: {job: [] for job in JOBS})
    doubts: list[DataError] = field(default_factory=list)
    jobs: tuple[str, ...] = ("train", "adapt", "evaluate")

    @property
    def problems(self) -> dict[str, list[str]]:
        """The faults in words, each once a job."""
        return {job: list(dict.fromkeys(map(str, faults))) for job, faults in self.faults.items()}


def check_data(
    task: Task,
    dataset_dir: Path,
    *,
    datalist: Path | None = None,
    plain: bool = False,
    progress: Progress | None = None,
) -> DataCheck:
    """Lists and reads everything that the bundles' jobs would use, two scans at once.

    Args:
        task: of the catalog.
        dataset_dir: folder with the unpacked downloads.
        datalist: JSON that replaces the official layouts.
        plain: the folder holds unlabelled scans of the target in no layout, as `target_images` takes them.
        progress: called with (what is read, done, in all).

    Raises:
        SettingError: when a plain folder is to have a datalist.
    """
    if plain and datalist is not None:
        raise SettingError("a datalist for a plain folder", remedy="give one of them")
    if plain:
        return _check_plain(task, dataset_dir, progress)
    result = DataCheck()
    for domain in ("source", "target"):
        seen: dict[tuple[object, ...], Inspection] = {}
        for split in SPLITS:
            checked = _check_split(task, domain, split, dataset_dir, datalist, seen, progress, result)
            if checked is not None:
                result.splits.append(checked)
                _judge_split(checked, task, result)
        splits = [s for s in result.splits if s.domain == domain]
        _judge_overlaps(splits, result)
        _judge_copies(splits, task, result)
        result.doubts += _exchanged_labels(splits, task, domain)
    _judge_domains(result)
    _judge_release(result)
    result.doubts = list({str(doubt): doubt for doubt in result.doubts}.values())
    return result


def _check_plain(task: Task, folder: Path, progress: Progress | None) -> DataCheck:
    """The unlabelled scans of a folder, to which a model can be adapted."""
    result = DataCheck(jobs=("adapt",))
    try:
        listed = list_folder(folder, task.target.channels, pictures=task.pictures)
    except DataError as error:
        result.faults["adapt"].append(error)
        return result
    check = _inspect(task, "target", "train", FoundCases(listed), None, {}, progress)
    result.splits.append(check)
    _judge_split(check, task, result)
    _judge_copies([check], task, result)
    return result


def _check_split(
    task: Task,
    domain: str,
    split: str,
    dataset_dir: Path,
    datalist: Path | None,
    seen: dict[tuple[object, ...], Inspection],
    progress: Progress | None,
    result: DataCheck,
) -> SplitCheck | None:
    try:
        found = find_cases(task, domain, split, dataset_dir, datalist=datalist)
    except DataError as error:
        if (domain, split) in _NEEDED:
            result.faults[_JOB_OF_IMAGES[domain, split]].append(error)
        return None
    rule = task.domain(domain).splits
    official = None if datalist is not None or isinstance(rule, SeededSplit) else len(rule.get(split, ()))
    return _inspect(task, domain, split, found, official, seen, progress)


def _inspect(
    task: Task,
    domain: str,
    split: str,
    found: FoundCases,
    official: int | None,
    seen: dict[tuple[object, ...], Inspection],
    progress: Progress | None,
) -> SplitCheck:
    """Reads the scans of a split that were not seen before."""
    fresh = [case for case in found.list.cases if case.identity not in seen]

    def advance(done: int, total: int) -> None:
        if progress is not None:
            progress(f"{domain} {split}", done, total)

    seen.update((i.case.identity, i) for i in inspect_cases(fresh, task, domain, True, advance, threads=2))
    return SplitCheck(
        domain,
        split,
        official,
        len({case.subject for case in found.list.cases}),
        found.list.missing,
        any(case.label is not None for case in found.list.cases),
        found,
        tuple(seen[case.identity] for case in found.list.cases),
        bool(found.list.cases) and not fresh,
    )


def _judge_split(check: SplitCheck, task: Task, result: DataCheck) -> None:
    """Faults of the scans and labels of a split, and doubts about them."""
    key = check.domain, check.split
    images, labels = result.faults[_JOB_OF_IMAGES[key]], result.faults[_JOB_OF_LABELS[key]]
    images += check.found.faults
    images += [i.image_error for i in check.inspections if i.image_error is not None]
    # A target scan needs no label to be adapted to: where none has one, none is missing.
    if check.labelled or _JOB_OF_LABELS[key] == _JOB_OF_IMAGES[key]:
        labels += check.found.label_faults
    labels += [i.label_error for i in check.inspections if i.label_error is not None]
    result.doubts += check.found.notes
    for inspection in check.inspections:
        if inspection.doubt is not None:
            result.doubts.append(
                _doubt(inspection, inspection.doubt, "look at it; a scan of another modality does not belong")
            )
        if inspection.summary is not None and inspection.summary.classes == ():
            names = ", ".join(s.name.replace("_", " ") for s in task.structures)
            what = f"the label shows no structure of the task ({names})"
            result.doubts.append(_doubt(inspection, what, "look at it beside the scan"))


def _doubt(inspection: Inspection, what: str, remedy: str) -> DataError:
    case = inspection.case
    return DataError(what, remedy=remedy, path=case.image[0], root=case.root)


def _judge_overlaps(splits: Sequence[SplitCheck], result: DataCheck) -> None:
    """Subjects of the training list that validate or test, too."""
    training = [c for s in splits if s.split == "train" for c in s.found.list.cases]
    subjects = {c.subject: c for c in training}
    files = {c.identity: c for c in training}
    for check in splits:
        if check.split == "train":
            continue
        for case in {c.subject: c for c in check.found.list.cases}.values():
            other = subjects.get(case.subject) or files.get(case.identity)
            if other is None:
                continue
            fault = DataError(
                f"a subject of the {check.split} list who is in the train list too (with "
                f"{place(other.image[0], other.root)})",
                remedy="keep each subject in one list: scores would not be those of unseen subjects",
                path=case.image[0],
                root=case.root,
            )
            result.faults[_JOB_OF_IMAGES[check.domain, check.split]].append(fault)


def _judge_copies(splits: Sequence[SplitCheck], task: Task, result: DataCheck) -> None:
    """Scans and labels under two names; among pictures, and in a plain folder, that may be meant."""
    split_of: dict[tuple[object, ...], SplitCheck] = {}
    for check in splits:
        for inspection in check.inspections:
            split_of.setdefault(inspection.case.identity, check)
    inspected = _inspected(splits)
    copied = copies((i.case, i.content) for i in inspected if i.content)
    for original, copy in copied:
        check = split_of[copy.identity]
        job = _JOB_OF_IMAGES[check.domain, check.split]
        certain = not task.pictures and copy.reader != "folder"
        (result.faults[job] if certain else result.doubts).append(copy_fault(original, copy))
    known = {copy.identity for _, copy in copied}
    for original, copy in copies((i.case, i.label_content) for i in inspected if i.label_content is not None):
        if copy.identity in known or original.label == copy.label or original.subject == copy.subject:
            continue
        check = split_of[copy.identity]
        fault = DataError(
            f"the same label as that of {place(original.image[0], original.root)}",
            remedy="download both labels again: one of them is of another scan",
            path=copy.image[0],
            root=copy.root,
        )
        certain = copy.reader != "datalist" and not task.pictures
        job = _JOB_OF_LABELS[check.domain, check.split]
        (result.faults[job] if certain else result.doubts).append(fault)


def _inspected(splits: Sequence[SplitCheck]) -> list[Inspection]:
    """Every scan of the splits once."""
    return list({i.case.identity: i for check in splits for i in check.inspections}.values())


def _judge_domains(result: DataCheck) -> None:
    """Scans of the target that are scans of the source, too."""
    inspected = {
        domain: [i for s in result.splits if s.domain == domain for i in s.inspections if i.content]
        for domain in ("source", "target")
    }
    source = {i.content: i.case for i in inspected["source"]}
    for inspection in inspected["target"]:
        original = source.get(inspection.content)
        if original is not None and original.identity != inspection.case.identity:
            result.doubts.append(copy_fault(original, inspection.case))


def _exchanged_labels(splits: Sequence[SplitCheck], task: Task, domain: str) -> Iterator[DataError]:
    """Labels that fit the image of another scan of the same grid better than their own, both ways."""
    grids: dict[tuple[float, ...], list[Inspection]] = {}
    for inspection in _inspected(splits):
        if inspection.label_fit is not None:
            grids.setdefault(inspection.grid, []).append(inspection)
    for group in grids.values():
        fits = {number: i.label_fit for number, i in enumerate(group) if i.label_fit is not None}
        worst = [group[number] for number in suspects(fits)] if len(group) > 1 else []
        images = []
        for inspection in worst:
            scan, label = read_case(inspection.case, task, domain, with_label=True)
            if label is not None:
                images.append(thin_out(scan.array, label, background=not task.pictures))
        for number, better in exchanged(images):
            other = worst[better].case
            yield _doubt(
                worst[number],
                f"the label of {place(other.image[0], other.root)} fits this scan far better than its own",
                "look at both with their labels, which seem to be exchanged",
            )


def _judge_release(result: DataCheck) -> None:
    source = next((s for s in result.splits if (s.domain, s.split) == ("source", "train")), None)
    if source is not None and source.subjects < MINIMUM_SUBJECTS:
        result.faults["train"].append(
            DataError(
                f"{source.subjects} source subject{'s' if source.subjects > 1 else ''}",
                remedy=f"a release must rest on at least {MINIMUM_SUBJECTS}",
            )
        )
